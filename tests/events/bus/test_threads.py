"""EventBus in plain code: any thread may call it, and each call has one answer."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.errors import BusNotRunning, BusStopped, NotAnEvent, UnsettledTimeout, WouldDeadlock
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""


def test_many_threads_publish_at_once_and_the_counts_add_up() -> None:
    handler = Recording()
    with EventBus(capacity=16) as bus:
        bus.subscribe(handler)

        def publish(first: int) -> None:
            for number in range(first, first + 500):
                bus.publish(event_of(number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(publish, range(0, 4000, 500)))
        bus.wait_idle(timeout=DEADLINE)
    assert sorted(handler.numbers) == list(range(4000))


def test_events_of_one_thread_keep_their_order() -> None:
    handler = Recording()
    with EventBus(capacity=4) as bus:
        bus.subscribe(handler)
        for number in range(1000):
            bus.publish(event_of(number))
    assert handler.numbers == list(range(1000))


def test_publish_before_start_after_stop_and_of_no_event_has_one_answer_each() -> None:
    bus = EventBus()
    with pytest.raises(BusNotRunning, match="start"):
        bus.publish(event_of())
    with bus:
        with pytest.raises(NotAnEvent, match="publish takes an Event"):
            bus.publish("SN-1")  # type: ignore[arg-type]
    with pytest.raises(BusStopped):
        bus.publish(event_of())


def test_a_wait_that_runs_out_says_who_has_the_event() -> None:
    release = threading.Event()

    class Slow(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle(self, event: Event) -> None:
            release.wait(DEADLINE)

    with EventBus() as bus:
        bus.subscribe(Slow())
        receipt = bus.publish(event_of())
        with pytest.raises(UnsettledTimeout, match="Slow"):
            receipt.wait(timeout=0.3)
        release.set()
        assert receipt.wait(timeout=DEADLINE).settled


def test_waiting_inside_a_handler_would_deadlock_and_says_so() -> None:
    caught: list[type[Exception]] = []

    class Waiting(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle(self, event: Event) -> None:
            try:
                bus.publish(event_of(event_type=EventType.WORK_STARTED)).wait(timeout=DEADLINE)
            except WouldDeadlock as error:
                caught.append(type(error))

    with EventBus() as bus:
        bus.subscribe(Waiting())
        bus.publish(event_of()).wait(timeout=DEADLINE)
    assert caught == [WouldDeadlock]


def test_a_blocking_handler_publishes_into_its_outbox() -> None:
    after = Recording(event_type=EventType.WORK_STARTED)

    class Blocking(BaseHandler):
        attempts = 0

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle(self, event: Event) -> None:
            bus.publish(event_of(event.attempt, EventType.WORK_STARTED))
            self.attempts += 1
            if self.attempts == 1:
                raise ConnectionError

    from pywats_events.policies import ImmediateRetryPolicy

    with EventBus(retry_policy=ImmediateRetryPolicy()) as bus:
        bus.subscribe(Blocking())
        bus.subscribe(after)
        bus.publish(event_of()).wait(timeout=DEADLINE)
    assert after.numbers == [2]


def test_a_receipt_is_awaited_on_asyncio_through_its_future() -> None:
    async def main() -> Any:
        receipt = bus.publish(event_of())
        return await asyncio.wait_for(asyncio.wrap_future(receipt.future), DEADLINE)

    with EventBus() as bus:
        bus.subscribe(Recording())
        assert asyncio.run(main()).settled


def test_stop_inside_a_handler_only_asks() -> None:
    class Last(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            bus.stop()

    bus = EventBus()
    bus.subscribe(Last())
    bus.start()
    receipt = bus.publish(event_of())
    bus.stop()
    assert receipt.settled
    assert not bus.is_running


def test_stopping_twice_changes_nothing() -> None:
    bus = EventBus()
    bus.start()
    bus.stop()
    bus.stop()
    with pytest.raises(BusStopped, match="build another"):
        bus.start()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to a whole console there")
def test_ctrl_c_in_the_main_thread_ends_a_waiting_script(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text(
        "import trio\n"
        "from pywats_events import BaseHandler, Event, EventBus, EventType\n"
        "class Never(BaseHandler):\n"
        "    event_types = [EventType.TEST_RESULT]\n"
        "    async def handle(self, event):\n"
        "        print('in hand', flush=True)\n"
        "        await trio.sleep_forever()\n"
        "bus = EventBus()\n"
        "bus.subscribe(Never(), shutdown=0)\n"
        "bus.start()\n"
        "try:\n"
        "    bus.publish(Event(event_type=EventType.TEST_RESULT)).wait()\n"
        "finally:\n"
        "    bus.stop(timeout=0)\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in hand\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
