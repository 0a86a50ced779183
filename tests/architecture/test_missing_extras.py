"""Where a package of an extra is missing, the error says which extra to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

CFX_TRANSPORT = """
from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle="//a/b/c", listen="amqp://127.0.0.1:0")))
"""
FILE_WATCHER = """
from pywats_files import FileWatcher, FolderConfig
FileWatcher(FolderConfig(folder="in"))
"""
RABBITMQ = """
from pywats_rabbitmq.connection import library
library()
"""

ENTRIES = [
    ("proton", "import pywats_cfx.amqp1", "cfx"),
    ("proton", CFX_TRANSPORT, "cfx"),
    ("watchfiles", FILE_WATCHER, "files"),
    ("aio_pika", RABBITMQ, "rabbitmq"),
    ("httpx2", "from pywats_wats import WATSClient", "wats"),
    ("starlette", "from pywats_wats.testing import StandInWATS", "demo"),
    ("hypercorn", "from pywats_wats.testing import StandInWATS", "demo"),
    ("typer", "import pywats_station.cli.app", "station"),
    ("rich", "import pywats_station.cli.app", "station"),
    ("rich", "import pywats_station.demo", "demo"),
]

PROGRAM = """
import sys
sys.modules[{missing!r}] = None
try:
    {entry}
except ImportError as error:
    print(error)
else:
    print("nothing is said")
"""


@pytest.mark.parametrize(("missing", "entry", "extra"), ENTRIES)
def test_without_a_package_of_an_extra_its_entry_says_what_to_install(
    missing: str, entry: str, extra: str
) -> None:
    program = PROGRAM.format(missing=missing, entry=entry.strip().replace("\n", "\n    "))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert f'pip install "pywats-events[{extra}]"' in done.stdout


def test_a_watcher_that_looks_for_itself_needs_no_extra() -> None:
    program = PROGRAM.format(
        missing="watchfiles",
        entry=FILE_WATCHER.strip().replace("\n", "\n    ").replace('"in"', '"in", watch="poll"'),
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "nothing is said\n"
