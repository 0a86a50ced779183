"""A bus that ends before all is handled, or fails, says so where people look: in the log."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.durability import Store
from pywats_events.errors import BusFailed
from pywats_events.policies import RetryPolicy
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""


def told(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What was logged at that level or above."""
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


async def test_one_line_counts_what_is_handed_back_and_names_who_had_it(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Event) -> None:
        raise ConnectionError

    bus = AsyncEventBus("left")
    bus.subscribe(Recording(lambda event: trio.sleep_forever(), name="stuck"))
    bus.subscribe(Recording(fail, name="failing"), retry_policy=RetryPolicy(initial_delay=60, jitter=False))
    bus.subscribe(Recording(name="healthy"))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        for number in range(3):
            await bus.publish(event_of(number))
        await wait_all_tasks_blocked()
        await bus.stop(timeout=1)
    (line,) = told(caplog)
    assert line.startswith("bus 'left' has ended before 3 of the events that it had accepted were handled")
    assert "'stuck' (3)" in line
    assert "'failing' (3)" in line
    assert "healthy" not in line
    assert "store" not in line


async def test_events_that_a_handed_back_one_has_caused_count_as_well(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bus = AsyncEventBus()

    async def cause(event: Event) -> None:
        await bus.publish(event_of(1, EventType.WORK_STARTED))

    bus.subscribe(Recording(cause, name="cause"))
    bus.subscribe(Recording(lambda event: trio.sleep_forever(), EventType.WORK_STARTED, name="stuck"))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipt = await bus.publish(event_of(0))
        await wait_all_tasks_blocked()
        await bus.stop(timeout=1)
    assert receipt.handed_back
    assert "before 2 of the events" in told(caplog)[0]


async def test_a_kill_says_it_too(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    bus = AsyncEventBus()
    bus.subscribe(Recording(lambda event: trio.sleep_forever(), name="stuck"))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        await bus.publish(event_of())
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert "'stuck' (1)" in told(caplog)[0]


async def test_with_a_store_it_says_that_they_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = AsyncEventBus(store=Store(tmp_path / "store"), capacity=1)
    bus.subscribe(Recording(lambda event: trio.sleep_forever(), name="stuck"), shutdown=0)
    async with bus:
        for number in range(4):  # one in hand, one queued, the others on the disk
            await bus.publish(event_of(number))
        await bus.stop(timeout=0)
    (line,) = told(caplog)
    assert "before 4 of the events" in line
    assert "come back from its store with the next start" in line


async def test_a_bus_that_has_handled_all_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bus = AsyncEventBus()
    bus.subscribe(Recording())
    async with bus:
        await bus.publish(event_of())
    assert told(caplog) == []


SCRIPT = """
from pywats_events import BaseHandler, Event, EventBus, EventType

class Ends(BaseHandler):
    event_types = [EventType.TEST_RESULT]
    async def handle(self, event):
        raise SystemExit(3)

bus = EventBus("forgotten")
bus.subscribe(Ends())
bus.start()
bus.publish(Event(event_type=EventType.TEST_RESULT))
"""


def test_a_script_that_asks_nothing_learns_from_its_standard_error_that_the_bus_failed(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert "bus 'forgotten' has failed, and handles nothing any more" in run.stderr
    assert "SystemExit: 3" in run.stderr
    assert "'Ends' (1)" in run.stderr


def test_a_failure_is_logged_once_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    class Fatal(BaseException):
        pass

    async def end(event: Event) -> None:
        raise Fatal("the end") from OSError("the disk")

    bus = EventBus()
    bus.subscribe(Recording(end))
    bus.start()
    bus.publish(event_of()).wait(timeout=DEADLINE)
    with pytest.raises(BusFailed) as failed:
        bus.stop()
    assert isinstance(failed.value.__cause__, Fatal)
    assert isinstance(failed.value.__cause__.__cause__, OSError)
    assert len(told(caplog, logging.CRITICAL)) == 1


def test_what_keeps_a_bus_from_starting_is_raised_and_not_logged_as_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("no folder", encoding="utf-8")
    bus = EventBus(store=Store(tmp_path / "a file"))
    with pytest.raises(Exception, match="a file"):
        bus.start()
    assert told(caplog, logging.CRITICAL) == []
