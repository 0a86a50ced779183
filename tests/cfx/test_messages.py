"""The generated messages: complete, current, and found by their names."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pywats_cfx import messages
from pywats_cfx._generate.render import render_all
from pywats_cfx._generate.schema import Schema
from pywats_cfx.messages import CFXMessage, find, get, names
from pywats_cfx.messages.production.testandinspection import UnitsTested

PACKAGE = Path(messages.__file__).parent


@pytest.mark.skipif(
    not find_spec("ruff"), reason="what is generated is formatted by ruff: make lint installs it"
)
def test_what_is_checked_in_is_what_the_generator_writes() -> None:
    stale = [
        name
        for name, text in render_all(Schema(PACKAGE.parent / "_generate" / "schema.json")).items()
        if (PACKAGE / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run python -m pywats_cfx._generate"


def test_all_messages_of_the_standard_are_there() -> None:
    assert len(names()) == 183
    for name in names():
        message = get(name)
        assert issubclass(message, CFXMessage)
        assert name == message.CFX_NAME


def test_a_message_is_found_by_its_full_name() -> None:
    assert get("CFX.Production.TestAndInspection.UnitsTested") is UnitsTested
    assert messages.Heartbeat.CFX_NAME == "CFX.Heartbeat"
    assert find("CFX.Structures.PCBInspection.Feature+Value") is not None


def test_an_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(LookupError, match=r"did you mean CFX\.Production\.TestAndInspection\.UnitsTested\?"):
        get("CFX.Production.UnitsTested")
    with pytest.raises(LookupError, match=r"has no message 'CFX\.Structures\.Tool'"):
        get("CFX.Structures.Tool")
    assert find("os.system") is None
    with pytest.raises(AttributeError):
        messages.UnitsTested  # noqa: B018


def test_importing_the_package_costs_at_most_60_ms_beyond_what_it_builds_on() -> None:
    code = (
        "import time, msgspec, trio, pywats_events; begun = time.thread_time();"
        "import pywats_cfx; print(time.thread_time() - begun)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) <= 0.06


def test_importing_the_package_loads_no_message_module() -> None:
    code = (
        "import sys, pywats_cfx; print([m for m in sys.modules if m.startswith('pywats_cfx.messages.')]);"
        "pywats_cfx.decode; print('pywats_cfx.messages.structures' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
