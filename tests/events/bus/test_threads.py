"""EventBus in plain code: any thread may call it, and each call has one answer."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.durability import Store
from pywats_events.errors import BusNotRunning, BusStopped, NotAnEvent, UnsettledTimeout, WouldDeadlock
from pywats_events.settlement import Outcome
from pywats_events.transports import MockTransport
from pywats_supervision import ChildSpec
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


def test_many_threads_that_wait_for_one_place_do_not_overfill_a_subscription() -> None:
    sizes: list[int] = []

    async def look(event: Event) -> None:
        sizes.append(subscription.mailbox.size)
        await trio.lowlevel.checkpoint()

    with EventBus() as bus:
        subscription = bus.subscribe(Recording(look), capacity=2)

        def publish_some() -> None:
            for number in range(25):
                bus.publish(event_of(number), timeout=DEADLINE)

        threads = [threading.Thread(target=publish_some) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bus.wait_idle(timeout=DEADLINE)
    assert len(sizes) == 200
    assert max(sizes) <= 4  # a thread looks, then publishes: another may come in between


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


def test_waits_that_ran_out_leave_nothing_behind() -> None:
    release = threading.Event()
    bus = EventBus(capacity=1)
    bus.subscribe(lambda event: release.wait(DEADLINE), event_types=[EventType.TEST_RESULT], name="slow")
    bus.start()
    receipt = bus.publish(event_of())
    with pytest.raises(TimeoutError):
        while True:  # until it is full, and then one more
            bus.publish(event_of(), timeout=0.05)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            bus.publish(event_of(), timeout=0.01)
        with pytest.raises(TimeoutError):
            bus.wait_idle(timeout=0.01)
        with pytest.raises(UnsettledTimeout):
            receipt.wait(timeout=0.01)
        receipt.future.cancel()
    for _ in range(100):  # passes of the bus's thread, of which ending a task takes a few
        bus.snapshot(timeout=DEADLINE)
    assert not bus._run._nursery.child_tasks
    assert not receipt.callbacks
    release.set()
    bus.stop()
    assert receipt.settled


def test_a_subscription_goes_on_stopping_when_nobody_waits_for_it_any_more() -> None:
    release = threading.Event()
    bus = EventBus()
    bus.subscribe(lambda event: release.wait(DEADLINE), event_types=[EventType.TEST_RESULT], name="slow")
    bus.start()
    receipt = bus.publish(event_of())
    with pytest.raises(TimeoutError):
        bus.unsubscribe("slow", timeout=0.05)
    release.set()
    receipt.wait(timeout=DEADLINE)
    for _ in range(100):
        bus.snapshot(timeout=DEADLINE)
    assert bus.snapshot(timeout=DEADLINE).child("handlers").detail.children == ()
    bus.stop()


def test_a_call_that_the_bus_s_thread_does_not_come_to_in_time_is_not_made() -> None:
    begun, release = threading.Event(), threading.Event()

    async def holds_the_thread_up(event: Event) -> None:
        begun.set()
        release.wait(DEADLINE)

    with EventBus("held up") as bus:
        bus.subscribe(Recording(holds_the_thread_up))
        bus.publish(event_of())
        assert begun.wait(DEADLINE)
        calls: list[Callable[[], Any]] = [
            lambda: bus.subscribe(Recording(name="late"), timeout=0.05),
            lambda: bus.register_transport(MockTransport(), timeout=0.05),
            lambda: bus.add_child(ChildSpec("late", trio.sleep_forever), timeout=0.05),
            lambda: bus.snapshot(timeout=0.05),
        ]
        for call in calls:
            with pytest.raises(TimeoutError, match=r"'held up' did not come to this call in 0\.05 s"):
                call()
        release.set()
        bus.wait_idle(timeout=DEADLINE)
        assert (bus.handler_count, bus.transport_count) == (1, 0)


def test_a_start_that_takes_too_long_is_given_up() -> None:
    class Slow(Recording):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    bus = EventBus()
    bus.subscribe(Slow(), shutdown=0)
    with pytest.raises(TimeoutError):
        bus.start(timeout=0.05)
    bus.stop(timeout=0)
    assert not bus.is_running
    with pytest.raises(BusStopped, match="build another"):
        bus.start()


def test_who_starts_a_bus_that_another_thread_is_starting_waits_until_it_is_up() -> None:
    begun, release = threading.Event(), threading.Event()
    up: list[bool] = []

    class Slow(Recording):
        async def on_start(self) -> None:
            begun.set()
            with trio.fail_after(DEADLINE):
                while not release.is_set():
                    await trio.lowlevel.checkpoint()
            up.append(True)

    bus = EventBus()
    bus.subscribe(Slow())
    first = threading.Thread(target=bus.start)
    first.start()
    assert begun.wait(DEADLINE)
    with pytest.raises(TimeoutError):
        bus.start(timeout=0.05)
    release.set()
    bus.start(timeout=DEADLINE)
    assert up == [True]
    first.join(DEADLINE)
    bus.stop()


def test_a_stop_that_comes_while_the_store_is_opened_is_not_forgotten(tmp_path: Path) -> None:
    opening, release = threading.Event(), threading.Event()

    class SlowStore(Store):
        async def open(self) -> Any:
            opening.set()
            with trio.fail_after(DEADLINE):
                while not release.is_set():
                    await trio.lowlevel.checkpoint()
            return await super().open()

    bus = EventBus(store=SlowStore(tmp_path / "store"))
    told: list[type[Exception]] = []

    def start() -> None:
        try:
            bus.start()
        except Exception as error:
            told.append(type(error))

    starting = threading.Thread(target=start)
    starting.start()
    assert opening.wait(DEADLINE)
    bus.stop()
    starting.join(DEADLINE)
    assert told == [BusStopped]
    assert not bus.is_running


def test_a_call_that_comes_when_the_run_has_just_ended_is_told_that_the_bus_has_stopped() -> None:
    bus = EventBus("just ended")
    bus.start()
    thread = bus._run._thread
    assert thread is not None
    bus.stop()
    with pytest.raises(BusStopped, match="'just ended' stopped meanwhile"):
        bus._run._call_running(thread, lambda: None)


def test_a_handler_of_another_bus_may_wait_for_this_one() -> None:
    answers: list[Any] = []

    class Asks(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle(self, event: Event) -> None:
            answers.append(second.publish(event_of()).wait(timeout=DEADLINE).settled)
            second.wait_idle(timeout=DEADLINE)
            answers.append(second.unsubscribe("there"))
            second.stop()
            answers.append(second.is_running)
            with EventBus("third") as third:
                answers.append(third.is_running)
            answers.append(third.is_running)

    second = EventBus("second")
    second.subscribe(Recording(name="there"))
    second.start()
    with EventBus("first") as first:
        first.subscribe(Asks())
        receipt = first.publish(event_of()).wait(timeout=DEADLINE)
    assert receipt.outcomes == {"Asks": Outcome.HANDLED}
    assert answers == [True, True, False, True, False]


def test_the_end_of_a_bus_ends_its_threads_before_the_main_thread_ends() -> None:
    bus = EventBus("short-lived")
    bus.start()
    watcher = next(one for one in threading.enumerate() if one.name == "EventBus short-lived watcher")
    bus.stop()
    watcher.join(DEADLINE)
    assert not watcher.is_alive()
