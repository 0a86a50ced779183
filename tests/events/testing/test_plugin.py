"""The pytest plugin gives a user's tests running buses, and fails those that lose or change something."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from pywats_events import AsyncEventBus, EventBus


def outcome_of(tmp_path: Path, source: str, *options: str) -> tuple[dict[str, int], str]:
    """Run a user's test file: how many passed, failed and so on, and what was written."""
    (tmp_path / "test_station.py").write_text(source, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", *options, "."],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    counts: dict[str, int] = {}
    words = run.stdout.strip().splitlines()[-1].replace(",", "").split()
    for number, word in pairwise(words):
        if number.isdigit():
            counts[word.rstrip("s")] = int(number)
    return counts, run.stdout


async def test_the_bus_of_a_test_on_trio_runs(async_event_bus: AsyncEventBus) -> None:
    assert async_event_bus.is_running


def test_the_bus_of_a_test_of_plain_code_runs(event_bus: EventBus) -> None:
    assert event_bus.is_running


def test_tests_that_lose_or_change_something_fail_and_others_pass(tmp_path: Path) -> None:
    counts, said = outcome_of(
        tmp_path,
        """
import pytest
from pywats_events import Event, EventType
from pywats_events.policies import RetryPolicy

def event():
    return Event(event_type=EventType.TEST_RESULT, payload={"unit_id": "SN-1"})

def test_passes(event_bus):
    seen = []
    event_bus.subscribe(seen.append, event_types=[EventType.TEST_RESULT])
    event_bus.publish(event()).wait(timeout=10)
    assert len(seen) == 1

def test_mutates(event_bus):
    event_bus.subscribe(lambda event: event.payload.clear(), event_types=[EventType.TEST_RESULT])
    event_bus.publish(event()).wait(timeout=10)

@pytest.mark.trio
@pytest.mark.event_bus(name="tried", retry_policy=RetryPolicy(max_retries=2, initial_delay=0))
async def test_has_its_options(async_event_bus):
    attempts = []
    async def fail(event):
        attempts.append(event.attempt)
        raise ConnectionError
    async_event_bus.subscribe(fail, event_types=[EventType.TEST_RESULT])
    await (await async_event_bus.publish(event())).wait_settled()
    assert async_event_bus.name == "tried"
    assert attempts == [1, 2, 3]
""",
    )
    assert counts == {"passed": 3, "error": 1}, said
    assert "changed the payload of event" in said


def test_without_pytest_trio_the_async_fixture_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pytest_trio.py").write_text("raise ImportError('not installed')\n", encoding="utf-8")
    counts, said = outcome_of(
        tmp_path,
        "def test_one(async_event_bus): pass\ndef test_two(event_bus): pass\n",
        "-p",
        "no:trio",
        "-p",
        "no:pytest_trio",
    )
    assert counts == {"passed": 1, "error": 1}, said
    assert "pip install pytest-trio" in said


def test_the_kit_itself_works_without_pytest() -> None:
    code = (
        "import sys\n"
        "sys.modules['pytest'] = sys.modules['_pytest'] = None\n"
        "from pywats_events.testing import conformance, running_bus\n"
        "with running_bus() as bus: print(bus.is_running)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr) == ("True\n", "")
