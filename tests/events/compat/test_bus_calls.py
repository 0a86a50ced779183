"""Buses by the calls of pywats-api 0.6; where that was at fault, as it should have been."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, BaseHandler, Event, EventBus, EventType
from pywats_events.durability import Store
from pywats_events.errors import BusFull
from pywats_events.policies import DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from support.handlers import Recording, event_of


def test_handlers_are_registered_counted_found_and_unregistered() -> None:
    bus = EventBus(name="station")
    late, early = Recording(name="late"), Recording(name="early")
    early._priority = 1
    bus.register_handler(late)
    bus.register_handler(early)
    assert (bus.name, bus.handler_count, bus.is_running) == ("station", 2, False)
    assert bus.get_handlers(EventType.TEST_RESULT) == [early, late]
    assert bus.get_handlers(EventType.ASSET_FAULT) == []
    assert bus.unregister_handler(late)
    assert not bus.unregister_handler(late)
    assert bus.get_handlers(EventType.TEST_RESULT) == [early]


def test_a_bus_starts_publishes_and_stops_in_plain_code() -> None:
    handler = Recording()
    bus = EventBus()
    bus.register_handler(handler)
    bus.start()
    bus.start()
    for number in range(100):
        bus.publish(event_of(number))
    bus.publish_async(event_of(100))
    bus.stop(timeout=10)
    bus.stop()
    assert not bus.is_running
    assert handler.numbers == list(range(101))


def test_on_event_hears_of_each_event_and_on_error_of_each_failed_attempt() -> None:
    heard: list[str] = []

    async def fail(event: Event) -> None:
        raise ValueError("bad")

    bus = EventBus(retry_policy=RetryPolicy(max_retries=1, initial_delay=0))
    bus.on_event(lambda event: heard.append(str(event.event_type)))
    bus.on_error(lambda event, error: heard.append(f"{event.attempt}: {error}"))
    bus.register_handler(Recording(fail))
    with bus:
        bus.publish(event_of()).wait(timeout=10)
    assert heard == ["test.result", "1: bad", "2: bad"]


def test_a_callback_that_raises_disturbs_nobody() -> None:
    handler = Recording()
    bus = EventBus()
    bus.on_event(lambda event: 1 / 0)
    bus.register_handler(handler)
    with bus:
        bus.publish(event_of()).wait(timeout=10)
    assert len(handler.handled) == 1


async def test_the_delays_of_the_retry_policy_are_really_waited(autojump_clock: MockClock) -> None:
    times: list[float] = []

    async def fail(event: Event) -> None:
        times.append(trio.current_time())
        raise ConnectionError("gone")

    async with AsyncEventBus(retry_policy=RetryPolicy(3, initial_delay=1.0, jitter=False)) as bus:
        bus.register_handler(Recording(fail))
        await (await bus.publish(event_of())).wait_settled()
    assert times == pytest.approx([0, 1, 3, 7])


async def test_a_retry_goes_only_to_the_handler_that_failed(autojump_clock: MockClock) -> None:
    async def fail_once(event: Event) -> None:
        if event.attempt == 1:
            raise ConnectionError("gone")

    healthy, failing = Recording(name="healthy"), Recording(fail_once, name="failing")
    async with AsyncEventBus(retry_policy=RetryPolicy(3)) as bus:
        bus.register_handler(healthy)
        bus.register_handler(failing)
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
    assert [event.attempt for event in healthy.handled] == [1]
    assert [event.attempt for event in failing.handled] == [2]
    assert receipt.outcomes == {"healthy": Outcome.HANDLED, "failing": Outcome.HANDLED}


async def test_the_retried_event_is_the_one_that_was_published(autojump_clock: MockClock) -> None:
    seen: list[Event] = []

    async def fail_twice(event: Event) -> None:
        seen.append(event)
        if event.metadata.retry_count < 2:
            raise ConnectionError("gone")

    async with AsyncEventBus(retry_policy=RetryPolicy(3)) as bus:
        bus.register_handler(Recording(fail_twice))
        event = event_of()
        await (await bus.publish(event)).wait_settled()
    assert {each.id for each in seen} == {event.id}
    assert [each.metadata.retry_count for each in seen] == [0, 1, 2]
    assert all(each.payload is event.payload for each in seen)


async def test_events_are_handled_in_the_order_of_publishing() -> None:
    async def work(event: Event) -> None:
        for _ in range(event.payload["number"] % 3):
            await trio.lowlevel.checkpoint()

    handler = Recording(work)
    async with AsyncEventBus() as bus:
        bus.register_handler(handler)
        for number in range(500):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert handler.numbers == list(range(500))


async def test_publishing_waits_while_a_handler_s_queue_is_full(autojump_clock: MockClock) -> None:
    async with AsyncEventBus(capacity=5) as bus:
        bus.register_handler(Recording(lambda event: trio.sleep(1)))
        for number in range(20):
            await bus.publish(event_of(number))
            assert bus.queue_size <= 7
        # One in hand and five queued: the rest had to wait, a second each.
        assert trio.current_time() >= 13
        await bus.wait_idle()


async def test_an_event_that_keeps_failing_is_a_dead_letter_after_its_last_attempt(
    autojump_clock: MockClock,
) -> None:
    async def fail(event: Event) -> None:
        raise ConnectionError("gone")

    letters = DeadLetterQueue(max_size=10)
    policies = ErrorPolicy(dead_letter_queue=letters)
    async with AsyncEventBus(retry_policy=RetryPolicy(2), error_policy=policies) as bus:
        bus.register_handler(Recording(fail, name="failing"))
        event = event_of()
        await (await bus.publish(event)).wait_settled()
    (entry,) = letters.get_entries()
    assert entry.event is not None
    assert (entry.event.id, entry.handler_name, entry.attempts) == (event.id, "failing", 3)
    assert entry.event.payload == event.payload


async def test_a_handler_that_fails_holds_up_no_other(autojump_clock: MockClock) -> None:
    async def fail(event: Event) -> None:
        raise ConnectionError("gone")

    healthy = Recording(name="healthy")
    async with AsyncEventBus(retry_policy=RetryPolicy(5, initial_delay=60, jitter=False)) as bus:
        bus.register_handler(Recording(fail, name="failing"))
        bus.register_handler(healthy)
        for number in range(10):
            await bus.publish(event_of(number))
        await trio.sleep(1)
        assert healthy.numbers == list(range(10))
        await bus.stop(timeout=0)


async def test_system_events_tell_of_errors_and_dead_letters(autojump_clock: MockClock) -> None:
    async def fail(event: Event) -> None:
        raise ConnectionError("gone")

    told: list[str] = []

    class Alarm(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return EventType.system_events()

        async def handle(self, event: Event) -> None:
            told.append(f"{event.event_type}: {event.payload.get('error_message')}")

    async with AsyncEventBus() as bus:
        bus.register_handler(Alarm())
        bus.register_handler(Recording(fail))
        await (await bus.publish(event_of())).wait_settled()
        await bus.wait_idle()
    assert told == ["system.handler_error: gone", "system.dead_letter: gone"]


def test_a_handler_may_publish_and_what_it_published_is_handled_too() -> None:
    bus = EventBus()

    class Rule(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            bus.publish(event.derive(EventType.UNIT_DISQUALIFIED, {"unit_id": "SN-1", "reason": "fail"}))

    disqualified = Recording(event_type=EventType.UNIT_DISQUALIFIED)
    bus.register_handler(Rule())
    bus.register_handler(disqualified)
    with bus:
        bus.publish(event_of()).wait(timeout=10)
        assert len(disqualified.handled) == 1


def test_handlers_registered_while_the_bus_runs_get_the_next_event_and_gone_ones_none() -> None:
    early, late = Recording(name="early"), Recording(name="late")
    with EventBus() as bus:
        bus.register_handler(early)
        bus.publish(event_of(1)).wait(timeout=10)
        bus.register_handler(late)
        bus.publish(event_of(2)).wait(timeout=10)
        assert bus.unregister_handler(early)
        bus.publish(event_of(3)).wait(timeout=10)
    assert early.numbers == [1, 2]
    assert late.numbers == [2, 3]


def test_many_threads_may_publish_at_once() -> None:
    handler = Recording()

    def publish(first: int) -> None:
        for number in range(first, first + 200):
            bus.publish(event_of(number))

    with EventBus(capacity=50) as bus:
        bus.register_handler(handler)
        threads = [threading.Thread(target=publish, args=(first,)) for first in (0, 200, 400, 600)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bus.wait_idle(timeout=30)
    assert sorted(handler.numbers) == list(range(800))
    for first in (0, 200, 400, 600):
        own = [number for number in handler.numbers if first <= number < first + 200]
        assert own == sorted(own)


async def test_publishing_returns_a_receipt_that_tells_what_became_of_the_event() -> None:
    async with AsyncEventBus() as bus:
        bus.register_handler(Recording(name="handler"))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
    assert (receipt.accepted, receipt.settled) == (True, True)
    assert receipt.outcomes == {"handler": Outcome.HANDLED}


def test_publishing_without_waiting_refuses_what_a_full_handler_would_hold_up() -> None:
    release = threading.Event()
    bus = EventBus(capacity=2)
    bus.subscribe(lambda event: release.wait(10), event_types=[EventType.TEST_RESULT])
    with bus:
        accepted: list[Event] = []
        with pytest.raises(BusFull, match=r"a subscription to test\.result is full") as caught:
            while len(accepted) < 100:
                accepted.append(bus.publish_nowait(event_of(len(accepted))).event)
        assert caught.value.event not in accepted
        assert 2 <= len(accepted) <= 4
        assert bus.publish_nowait(event_of(0, EventType.ASSET_FAULT)).wait(timeout=10).settled
        release.set()
        bus.wait_idle(timeout=10)


@pytest.mark.parametrize("now", [False, True])
async def test_on_trio_other_threads_publish_without_waiting_also_inside_sync_handlers(now: bool) -> None:
    caused = Recording(event_type=EventType.ASSET_FAULT)

    def cause(event: Event) -> None:
        bus.publish_nowait(event_of(2, EventType.ASSET_FAULT), now=now)

    async with AsyncEventBus() as bus:
        bus.subscribe(cause, event_types=[EventType.TEST_RESULT])
        bus.subscribe(caused)
        receipt = await trio.to_thread.run_sync(bus.publish_nowait, event_of(1))
        await receipt.wait_settled()
        await bus.wait_idle()
    assert caused.numbers == [2]


async def test_what_another_thread_publishes_while_the_bus_ends_is_handed_back() -> None:
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus()
        bus.subscribe(Recording(), name="handler")
        await nursery.start(bus.run)
        receipts: list[Receipt] = []
        publish = threading.Thread(target=lambda: receipts.append(bus.publish_nowait(event_of())))
        publish.start()
        publish.join()  # on trio's thread, so the event is on its way when the bus is cancelled
        nursery.cancel_scope.cancel()
    receipts.append(Receipt(event_of(), (), bus._core.ledger, 1, routed=-1))
    bus._core.enter((receipts[1],), None)  # one whose turn comes when the bus has ended
    assert [receipt.handed_back for receipt in receipts] == [True, True]
    assert bus.queue_size == 0


@pytest.mark.parametrize("with_store", [False, True])
async def test_what_nobody_takes_is_handed_back_too_when_its_turn_comes_after_the_end(
    with_store: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path) if with_store else None
    async with AsyncEventBus(store=store) as bus:
        core = bus._core
        receipt = core.entering(event_of())  # as a thread makes it
    core.enter((receipt,), None)
    assert receipt.handed_back
    assert (bus.queue_size, bus.unrouted_count) == (0, 0)


async def test_several_tasks_may_wait_until_the_bus_is_idle_also_while_it_stops(
    autojump_clock: MockClock,
) -> None:
    times: list[float] = []

    async def wait() -> None:
        await bus.wait_idle()
        times.append(trio.current_time())

    async with AsyncEventBus() as bus, trio.open_nursery() as nursery:
        bus.subscribe(Recording(lambda event: trio.sleep(2)))
        await bus.publish(event_of())
        nursery.start_soon(wait)
        with trio.move_on_after(1):
            await bus.wait_idle()
        nursery.start_soon(wait)
        await trio.lowlevel.checkpoint()
        await bus.stop()
    assert times == [2, 2]


@pytest.mark.parametrize(("face", "option"), [(EventBus, "max_workers"), (AsyncEventBus, "max_concurrent")])
def test_an_option_that_is_gone_is_refused_with_what_took_its_place(face: Any, option: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^{face.__name__} has no option '{option}'; write subscribe\(.*concurrency"
    ):
        face(**{option: 8})
    with pytest.raises(TypeError, match=rf"^{face.__name__} has no option 'retry_polcy'$"):
        face(retry_polcy=RetryPolicy())
