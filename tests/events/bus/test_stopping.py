"""How a bus ends: inputs first, then what was accepted, then the tree; what is left is handed back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, BaseHandler, Event, EventBus, EventType
from pywats_events.errors import BusStopped, WouldDeadlock
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import virtual_runtime
from pywats_events.transports import MockTransport, TransportState
from pywats_supervision import ChildSpec, Supervisor
from support.handlers import Recording, event_of

AFTER = EventType.WORK_STARTED
DEADLINE = 10
"""Seconds that a test with real threads waits at most."""


async def test_inputs_stop_first_and_what_was_accepted_is_handled_with_what_it_causes(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []

    async def cause(event: Event) -> None:
        await trio.sleep(2)
        diary.append(f"transport {transport.state.value}")
        await bus.publish(event_of(event.payload["number"], AFTER))
        await bus.publish(event_of(-1, AFTER), now=True)

    after = Recording(lambda event: trio.sleep(1), AFTER)
    bus, transport = AsyncEventBus(), MockTransport()
    bus.subscribe(Recording(cause))
    bus.subscribe(after)
    bus.register_transport(transport)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        await wait_all_tasks_blocked()
        receipt = await bus.publish(event_of(1))
        async with trio.open_nursery() as stopping:
            stopping.start_soon(bus.stop, 60)
            await wait_all_tasks_blocked()
            assert bus.is_running
            assert transport.state is TransportState.DISCONNECTED
            for publish in (bus.publish, bus.publish_nowait):
                with pytest.raises(BusStopped):
                    result: Any = publish(event_of())
                    await result
    assert diary == ["transport disconnected"]
    assert sorted(after.numbers) == [-1, 1]
    assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert trio.current_time() == 4  # not the whole grace
    assert not bus.is_running


async def test_retries_that_come_within_the_grace_are_made_and_later_ones_handed_back(
    autojump_clock: MockClock,
) -> None:
    async def fail_once(event: Event) -> None:
        if event.attempt == 1:
            raise ConnectionError

    soon, late = Recording(fail_once, name="soon"), Recording(fail_once, name="late")
    bus = AsyncEventBus()
    bus.subscribe(soon, retry_policy=RetryPolicy(initial_delay=5, jitter=False))
    bus.subscribe(late, retry_policy=RetryPolicy(initial_delay=50, jitter=False))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipt = await bus.publish(event_of(1))
        await wait_all_tasks_blocked()
        await bus.stop(timeout=10)
    assert receipt.outcomes == {"soon": Outcome.HANDLED, "late": Outcome.HANDED_BACK}
    assert receipt.handed_back
    assert trio.current_time() == 10


async def test_what_an_open_breaker_holds_is_handed_back(autojump_clock: MockClock) -> None:
    async def away(event: Event) -> None:
        raise ConnectionError

    bus = AsyncEventBus(retry_policy=RetryPolicy(), capacity=2)
    bus.subscribe(
        Recording(away, name="away"), breaker=CircuitBreaker(failure_threshold=1, reset_timeout=3600)
    )
    refused: list[int] = []

    async def publish(number: int) -> None:
        try:
            receipts.append(await bus.publish(event_of(number)))
        except BusStopped:
            refused.append(number)

    receipts: list[Receipt] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        for number in range(6):
            nursery.start_soon(publish, number)
        await wait_all_tasks_blocked()
        await bus.stop(timeout=10)
    assert len(receipts) + len(refused) == 6
    assert [receipt.outcomes for receipt in receipts] == [{"away": Outcome.HANDED_BACK}] * len(receipts)
    assert refused


async def test_handlers_are_asked_to_stop_in_reverse_when_all_is_settled(autojump_clock: MockClock) -> None:
    diary: list[str] = []

    class Writes(Recording):
        async def on_start(self) -> None:
            diary.append(f"start {self.name}")

        async def on_stop(self) -> None:
            diary.append(f"stop {self.name}")

        async def handle(self, event: Event) -> None:
            await trio.sleep(1)
            diary.append(f"handled by {self.name}")

    bus = AsyncEventBus()
    bus.subscribe(Writes(name="first"))
    bus.subscribe(Writes(name="second"))
    async with bus:
        await bus.publish(event_of())
    assert diary[:2] == ["start first", "start second"]
    assert sorted(diary[2:4]) == ["handled by first", "handled by second"]
    assert diary[4:] == ["stop second", "stop first"]


async def test_a_kill_hands_back_whatever_is_anywhere(autojump_clock: MockClock) -> None:
    """Queued, in hand, waiting for a key, a retry or the dead letters, or just published."""

    class Broken(DeadLetterQueue):
        def add(self, *args: Any, **options: Any) -> Any:
            raise OSError("no space left")

    async def fail(event: Event) -> None:
        raise ValueError

    async def keep(event: Event) -> None:
        kept.append(await bus.publish(event_of(1, AFTER)))
        await trio.sleep_forever()

    kept: list[Receipt] = []
    bus = AsyncEventBus(error_policy=ErrorPolicy(Broken()), capacity=4)
    bus.subscribe(Recording(keep, name="in hand"))
    bus.subscribe(
        Recording(lambda event: trio.sleep_forever(), name="keyed"), order_by=lambda event: 0, concurrency=2
    )
    bus.subscribe(Recording(fail, name="retrying"), retry_policy=RetryPolicy(initial_delay=60))
    bus.subscribe(Recording(fail, name="dead"))
    told: list[Receipt] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipts = [await bus.publish(event_of(number)) for number in range(4)]
        await wait_all_tasks_blocked()
        receipts.append(bus.publish_nowait(event_of(4)))
        for receipt in receipts:
            receipt.add_done_callback(told.append)
        nursery.cancel_scope.cancel()
    names = ("in hand", "keyed", "retrying", "dead")
    for receipt in receipts:
        assert receipt.settled
        assert receipt.outcomes == dict.fromkeys(names, Outcome.HANDED_BACK)
    assert len(told) == len(receipts)
    assert [receipt.outcomes for receipt in kept] == [{"": Outcome.DROPPED}]
    assert bus.queue_size == 0


async def test_a_publisher_that_waits_when_the_bus_is_killed_is_told(autojump_clock: MockClock) -> None:
    told: list[type[Exception]] = []

    async def publish() -> None:
        try:
            while True:
                await bus.publish(event_of())
        except Exception as error:
            told.append(type(error))

    bus = AsyncEventBus(capacity=1)
    bus.subscribe(Recording(lambda event: trio.sleep_forever()))
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            outer.start_soon(publish)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            while not told:
                await trio.lowlevel.checkpoint()
    assert told == [BusStopped]


async def test_several_may_stop_it_and_all_return_when_it_has_stopped(autojump_clock: MockClock) -> None:
    bus = AsyncEventBus()
    bus.subscribe(Recording(lambda event: trio.sleep(3)))
    ends: list[float] = []

    async def stop(grace: float) -> None:
        await bus.stop(grace)
        ends.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipt = await bus.publish(event_of())
        for grace in (10, 20):
            nursery.start_soon(stop, grace)
        await bus.wait_stopped()
        assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert ends == [3, 3]
    await bus.stop()


async def test_a_handler_can_ask_for_the_stop_but_not_wait_for_it(autojump_clock: MockClock) -> None:
    async def last(event: Event) -> None:
        with pytest.raises(WouldDeadlock, match="request_stop"):
            await bus.stop()
        bus.request_stop(5)

    bus = AsyncEventBus()
    bus.subscribe(Recording(last))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipt = await bus.publish(event_of())
    assert receipt.outcomes == {"Recording": Outcome.HANDLED}


async def test_a_bus_runs_once(autojump_clock: MockClock) -> None:
    bus = AsyncEventBus("only once")
    async with bus:
        with pytest.raises(RuntimeError, match="'only once' is running"):
            await bus.run()
        with pytest.raises(RuntimeError, match="'only once' is running"):
            async with bus:
                pass
        await (await bus.publish(event_of())).wait_settled()
    with pytest.raises(BusStopped, match="'only once' has been stopped; build another"):
        await bus.run()
    with pytest.raises(BusStopped, match="build another"):
        async with bus:
            pass


async def test_who_waits_for_its_end_may_begin_before_its_start(autojump_clock: MockClock) -> None:
    bus = AsyncEventBus()
    ends: list[float] = []

    async def wait() -> None:
        await bus.wait_stopped()
        ends.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        await nursery.start(bus.run)
        await trio.sleep(1)
        assert ends == []
        await bus.stop()
    assert ends == [2]


class Blocking(BaseHandler):
    """A sync handler that works until the test lets go."""

    def __init__(self, bus: EventBus) -> None:
        super().__init__("blocking")
        self.bus = bus
        self.begun = threading.Event()
        self.release = threading.Event()
        self.done = threading.Event()
        self.late: list[str] = []

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    def handle(self, event: Event) -> None:
        self.begun.set()
        self.release.wait(DEADLINE)
        try:
            self.bus.publish(event_of(1, AFTER))
        except Exception as error:
            self.late.append(type(error).__name__)
        self.done.set()


def test_a_blocking_handler_is_left_behind_at_the_end_of_the_grace_and_its_late_result_dropped() -> None:
    bus, after = EventBus(), Recording(event_type=AFTER)
    handler = Blocking(bus)
    bus.subscribe(handler)
    bus.subscribe(after)
    bus.start()
    in_hand, queued = bus.publish(event_of(1)), bus.publish(event_of(2))
    assert handler.begun.wait(DEADLINE)
    bus.stop(timeout=0.2)
    for receipt in (in_hand, queued):
        assert receipt.outcomes == {"blocking": Outcome.HANDED_BACK}
    handler.release.set()
    assert handler.done.wait(DEADLINE)
    assert handler.late == ["BusStopped"]
    assert in_hand.outcomes == {"blocking": Outcome.HANDED_BACK}
    assert after.handled == []


def test_a_blocking_handler_that_ends_within_the_grace_has_handled_its_event() -> None:
    bus, after = EventBus(), Recording(event_type=AFTER)
    handler = Blocking(bus)
    bus.subscribe(handler)
    bus.subscribe(after)
    bus.start()
    receipts = [bus.publish(event_of(number)) for number in range(3)]
    assert handler.begun.wait(DEADLINE)
    bus.request_stop(DEADLINE)
    handler.release.set()
    bus.stop(DEADLINE)
    assert all(receipt.outcomes == {"blocking": Outcome.HANDLED} for receipt in receipts)
    assert after.numbers == [1, 1, 1]


async def test_a_bus_is_a_child_like_any_other(autojump_clock: MockClock) -> None:
    """Asked to stop by a supervisor above, it drains within its grace."""
    handler = Recording(lambda event: trio.sleep(2), name="handler")
    bus = AsyncEventBus("inner", runtime=virtual_runtime())
    bus.subscribe(handler)
    tree = Supervisor([bus.spec()], name="outer")
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        receipts = [await bus.publish(event_of(number)) for number in range(2)]
        await tree.stop(timeout=60)
    assert isinstance(bus.spec(), ChildSpec)
    assert all(receipt.settled for receipt in receipts)
    assert [receipt.outcomes["handler"] for receipt in receipts] == [Outcome.HANDLED] * 2
