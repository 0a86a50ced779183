"""`crash` ends an actor where it stands, and nothing accepted is lost by it."""

from __future__ import annotations

import random
import threading

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import POLICY_ACTOR, ROUTER, Crashed, crash, record, running_async_bus
from pywats_events.transports import MockTransport
from pywats_supervision import Happening
from pywats_supervision.testing import settled
from support.handlers import Recording, event_of


@pytest.mark.event_bus(retry_policy=RetryPolicy(max_retries=1, initial_delay=10, jitter=False))
async def test_the_event_in_hand_of_a_crashed_handler_goes_to_its_policy(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    handler = Recording(lambda event: trio.sleep(5))
    async_event_bus.subscribe(handler)
    first, second = [await async_event_bus.publish(event_of(number)) for number in (1, 2)]
    await trio.sleep(3)
    crash(async_event_bus, handler)
    await first.wait_settled()
    # Crashed at 3; the second event took the worker from then to 8; the retry was due at 13 and took 5.
    assert trio.current_time() == pytest.approx(18)
    assert handler.numbers == [2, 1]
    assert [event.attempt for event in handler.handled] == [1, 2]
    assert second.settled


async def test_without_a_policy_it_becomes_a_dead_letter_with_the_error_of_the_crash(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    async_event_bus.subscribe(Recording(lambda event: trio.sleep(5), name="slow"))
    receipt = await async_event_bus.publish(event_of())
    await trio.sleep(1)
    crash(async_event_bus, "slow", ConnectionError("gone"))
    await receipt.wait_settled()
    assert receipt.outcomes == {"slow": Outcome.DEAD_LETTERED}
    letter = async_event_bus.error_policy.dead_letter_queue.peek()
    assert letter is not None
    assert repr(letter.error) == "ConnectionError('gone')"


async def test_an_idle_handler_that_crashes_is_started_again(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    handler = Recording()
    subscription = async_event_bus.subscribe(handler, concurrency=2)
    await settled()
    recording = record(async_event_bus)
    crash(async_event_bus, subscription)
    await settled()
    for worker in ("worker-1", "worker-2"):
        assert recording.kinds(worker)[0] is Happening.FAILED
        assert recording.kinds(worker)[-1] is Happening.UP
    assert "Crashed" in recording.events[0].error
    await (await async_event_bus.publish(event_of())).wait_settled()
    assert len(handler.handled) == 1


@pytest.mark.parametrize("who", [ROUTER, POLICY_ACTOR])
async def test_a_crash_of_the_bus_s_own_actors_loses_nothing(
    who: str, async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    handler = Recording(lambda event: trio.sleep(1))
    async_event_bus.subscribe(handler)
    recording = record(async_event_bus)
    receipts = []
    for number in range(6):
        receipts.append(await async_event_bus.publish(event_of(number)))
        if number % 3 == 0:
            crash(async_event_bus, who)
    for receipt in receipts:
        await receipt.wait_settled()
    assert sorted(handler.numbers) == list(range(6))
    assert recording.kinds(who).count(Happening.FAILED) >= 1


async def test_a_transport_that_crashes_connects_again(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    transport = MockTransport()
    connections: list[str] = []
    transport.on_connect(lambda: connections.append("up"))
    async_event_bus.register_transport(transport)
    await settled()
    crash(async_event_bus, transport)
    await trio.sleep(1)
    assert connections == ["up", "up"]
    assert transport.is_connected


async def test_who_is_not_there_cannot_crash(async_event_bus: AsyncEventBus) -> None:
    with pytest.raises(LookupError, match="'default' has no actor 'nobody' that is up"):
        crash(async_event_bus, "nobody")


def test_a_handler_of_plain_code_crashes_from_the_test_s_thread(event_bus: EventBus) -> None:
    begun = threading.Event()

    class Waiting(Recording):
        async def handle(self, event: Event) -> None:
            begun.set()
            await trio.sleep_forever()

    handler = Waiting(name="waiting")
    event_bus.subscribe(handler)
    receipt = event_bus.publish(Event(EventType.TEST_RESULT))
    assert begun.wait(10)
    crash(event_bus, handler)
    receipt.wait(timeout=10)
    letter = event_bus.error_policy.dead_letter_queue.peek()
    assert letter is not None
    assert isinstance(letter.error, Crashed)
    assert str(letter.error) == f"{handler!r} was crashed by the test"


async def test_handlers_that_came_stay_and_those_that_went_stay_away_when_the_router_crashes(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    came, went = Recording(name="came"), Recording(name="went")
    async_event_bus.subscribe(went)
    async_event_bus.subscribe(came)
    await settled()
    await async_event_bus.unsubscribe(went)
    crash(async_event_bus, ROUTER)
    await settled()
    assert [child.name for child in async_event_bus.snapshot().child("handlers").detail.children] == ["came"]
    await (await async_event_bus.publish(event_of(1))).wait_settled()
    assert (came.numbers, went.numbers) == ([1], [])


async def test_a_handler_and_a_transport_may_come_while_the_router_is_started_again(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    slow = Recording(lambda event: trio.sleep(2), EventType.ASSET_FAULT, name="slow")
    async_event_bus.subscribe(slow)
    await async_event_bus.publish(event_of(0, EventType.ASSET_FAULT))
    await trio.sleep(1)
    crash(async_event_bus, ROUTER)
    await trio.sleep(0.5)  # the group waits for the slow handler
    came, transport = Recording(name="came"), MockTransport()
    async_event_bus.subscribe(came)
    async_event_bus.register_transport(transport)
    await trio.sleep(2)
    await transport.inject_event_async(event_of(1))
    assert (came.numbers, slow.numbers) == ([1], [0])


async def test_publishers_sleep_while_the_router_is_started_again(autojump_clock: MockClock) -> None:
    slow, other = (
        Recording(lambda event: trio.sleep(60), name="slow"),
        Recording(event_type=EventType.ASSET_FAULT),
    )
    async with running_async_bus(capacity=2, grace=600) as bus:
        bus.subscribe(slow)
        bus.subscribe(other)
        await bus.publish(event_of(0))
        await settled()
        crash(bus, ROUTER)  # its restart waits for the slow handler's grace
        for number in range(1, 9):
            await bus.publish(event_of(number, EventType.ASSET_FAULT))
        assert trio.current_time() > 1  # a publisher that polled would stop the virtual clock
    assert other.numbers == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_crashes_whenever_every_event_is_handled_or_a_dead_letter(
    seed: int, autojump_clock: MockClock
) -> None:
    chance = random.Random(seed)

    async def work(event: Event) -> None:
        await trio.sleep(chance.random())
        if chance.random() < 0.1:
            raise ConnectionError("gone")
        if event.event_type is EventType.TEST_RESULT:
            await bus.publish(event.derive(EventType.ASSET_FAULT))

    policy = RetryPolicy(max_retries=2, initial_delay=0.5)
    async with running_async_bus(retry_policy=policy, capacity=5, grace=600) as bus:
        parallel, keyed = Recording(work, name="parallel"), Recording(work, name="keyed")
        caused = Recording(work, EventType.ASSET_FAULT, name="caused")
        bus.subscribe(parallel, concurrency=3)
        bus.subscribe(keyed, concurrency=2, order_by=lambda event: event.payload["number"] % 3)
        bus.subscribe(caused, ordered=True)
        victims = [parallel, keyed, caused, ROUTER, POLICY_ACTOR]

        async def crash_now_and_then() -> None:
            while True:
                await trio.sleep(chance.uniform(1, 4))
                try:
                    crash(bus, chance.choice(victims))
                except LookupError:
                    pass  # it is down just now

        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_now_and_then)
            receipts = [await bus.publish(event_of(number)) for number in range(40)]
            await bus.wait_idle()
            nursery.cancel_scope.cancel()
        letters = bus.error_policy.dead_letter_queue.get_entries()
        for number, receipt in enumerate(receipts):
            for name, handler in (("parallel", parallel), ("keyed", keyed)):
                ends = handler.numbers.count(number) + sum(
                    letter.handler_name == name and letter.event_id == receipt.event.id for letter in letters
                )
                assert ends == 1, (number, name, receipt)
        ends = len(caused.handled) + sum(letter.handler_name == "caused" for letter in letters)
        assert ends == len(parallel.handled) + len(keyed.handled)
