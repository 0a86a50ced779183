"""The router never waits; publishers do, at the door, and only those of a full subscription's types."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.errors import BusFull, BusStopped
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy
from support.handlers import Recording, event_of


async def test_a_publish_waits_while_a_subscription_holds_its_capacity(autojump_clock: MockClock) -> None:
    handler = Recording(lambda event: trio.sleep(1))
    async with AsyncEventBus(capacity=3) as bus:
        subscription = bus.subscribe(handler)
        most = 0
        for number in range(20):
            await bus.publish(event_of(number))
            most = max(most, subscription.mailbox.size)
        await bus.wait_idle()
    assert most <= 3
    assert handler.numbers == list(range(20))


async def test_publishers_of_other_types_go_on(autojump_clock: MockClock) -> None:
    quick = Recording(event_type=EventType.WORK_STARTED)
    async with AsyncEventBus(capacity=2) as bus, trio.open_nursery() as nursery:
        bus.subscribe(Recording(lambda event: trio.sleep_forever()), shutdown=0)
        bus.subscribe(quick)

        async def flood() -> None:
            while True:
                await bus.publish(event_of())

        nursery.start_soon(flood)
        await wait_all_tasks_blocked()
        for number in range(50):
            await (await bus.publish(event_of(number, EventType.WORK_STARTED))).wait_settled()
        assert quick.numbers == list(range(50))
        nursery.cancel_scope.cancel()


async def test_a_cancelled_publish_accepts_nothing(autojump_clock: MockClock) -> None:
    async with AsyncEventBus(capacity=1) as bus:
        bus.subscribe(Recording(lambda event: trio.sleep_forever()), shutdown=0)
        await bus.publish(event_of())
        await wait_all_tasks_blocked()
        await bus.publish(event_of())
        unsettled = bus.queue_size
        with trio.CancelScope() as scope:
            scope.cancel()
            await bus.publish(event_of())
        assert scope.cancelled_caught
        assert bus.queue_size == unsettled
        with pytest.raises(BusFull) as full:
            bus.publish_nowait(event_of(9))
        assert full.value.event.payload == {"number": 9}
        bus.request_stop(0)


async def test_a_breaker_open_for_an_hour_delays_only_publishers_of_its_types(
    autojump_clock: MockClock,
) -> None:
    async def away(event: Event) -> None:
        raise ConnectionError

    quick = Recording(event_type=EventType.WORK_STARTED)
    bus = AsyncEventBus(retry_policy=RetryPolicy(max_retries=100), capacity=2)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        bus.subscribe(Recording(away), breaker=CircuitBreaker(failure_threshold=1, reset_timeout=3600))
        bus.subscribe(quick)
        nursery.start_soon(_flood, bus)
        for number in range(30):
            started = trio.current_time()
            await (await bus.publish(event_of(number, EventType.WORK_STARTED))).wait_settled()
            assert trio.current_time() == started
            await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert quick.numbers == list(range(30))


async def _flood(bus: AsyncEventBus) -> None:
    while True:
        await bus.publish(event_of())


async def test_two_handlers_that_publish_to_each_other_at_full_mailboxes_do_not_deadlock() -> None:
    async with AsyncEventBus(capacity=1) as bus:

        async def ping(event: Event) -> None:
            if event.payload["number"] < 500:
                await bus.publish(event_of(event.payload["number"] + 1, EventType.WORK_STARTED))

        async def pong(event: Event) -> None:
            await bus.publish(event_of(event.payload["number"] + 1))

        bus.subscribe(Recording(ping))
        bus.subscribe(Recording(pong, EventType.WORK_STARTED))
        receipts = [await bus.publish(event_of()) for _ in range(10)]
        with trio.fail_after(30):
            for receipt in receipts:
                await receipt.wait_settled()


async def test_a_stop_sends_waiting_publishers_away() -> None:
    bus = AsyncEventBus(capacity=1)
    refused: list[int] = []

    async def publish(number: int) -> None:
        try:
            await bus.publish(event_of(number))
        except BusStopped:
            refused.append(number)

    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        bus.subscribe(Recording(lambda event: trio.sleep_forever()), shutdown=0)
        for number in range(5):
            nursery.start_soon(publish, number)
        await wait_all_tasks_blocked()
        await bus.stop(timeout=0)
    assert len(refused) == 3


async def test_healthy_events_are_not_late_while_one_is_retried(autojump_clock: MockClock) -> None:
    """The user's own policy, one bad event among a hundred a second."""
    late: list[float] = []

    async def handle(event: Event) -> None:
        if event.payload["number"] % 100 == 0 and event.attempt < 4:
            raise ConnectionError
        if event.attempt == 1:
            late.append(trio.current_time() - event.payload["number"] / 100)

    handler = Recording(handle)
    async with AsyncEventBus(
        retry_policy=RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=60.0),
        error_policy=ErrorPolicy(circuit_breaker=CircuitBreaker()),
    ) as bus:
        bus.subscribe(handler)
        for number in range(1000):
            await trio.sleep_until(number / 100)
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert len(late) == 990
    assert max(late) == pytest.approx(0, abs=0.001)


async def test_a_publisher_that_gives_up_at_the_door_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    release = trio.Event()

    async def work(event: Event) -> None:
        await release.wait()

    async with AsyncEventBus() as bus:
        subscription = bus.subscribe(Recording(work), capacity=1)
        for number in range(2):
            await bus.publish(event_of(number))
            await wait_all_tasks_blocked()
        for number in range(100):
            with trio.move_on_after(1) as waiting:
                await bus.publish(event_of(number))
            assert waiting.cancelled_caught
        assert not subscription.mailbox._space
        assert not bus._core.door._waiting
        release.set()
