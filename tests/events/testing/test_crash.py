"""`crash` ends an actor where it stands, and nothing accepted is lost by it."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import POLICY_ACTOR, ROUTER, Crashed, crash, record
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
