"""What is lost, or changed by a handler, does not pass unseen."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.handlers import EnrichmentMiddleware, HandlerChain
from pywats_events.models import TestResultEvent
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import (
    PayloadGuard,
    PayloadMutated,
    assert_nothing_lost,
    record,
    running_async_bus,
    running_bus,
)
from pywats_events.testing.accounting import Witness
from support.handlers import Recording, event_of


async def mutate(event: Event) -> None:
    event.payload["number"] += 1


async def test_while_an_event_is_in_hand_the_bus_is_not_done(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    async_event_bus.subscribe(Recording(lambda event: trio.sleep(1), name="slow"))
    for number in range(3):
        await async_event_bus.publish(event_of(number))
    await trio.sleep(0.5)
    with pytest.raises(AssertionError) as caught:
        assert_nothing_lost(async_event_bus)
    assert str(caught.value).splitlines() == [
        "bus 'default' is not done:",
        "  3 of 3 accepted events are not settled",
        "  'slow' holds 2 queued, 1 in hand, 0 that wait for a retry",
    ]
    await async_event_bus.wait_idle()
    assert_nothing_lost(async_event_bus)


async def test_while_an_event_waits_for_its_retry_the_bus_is_not_done(autojump_clock: MockClock) -> None:
    async def fail(event: Event) -> None:
        if event.attempt == 1:
            raise ConnectionError("gone")

    async with running_async_bus(retry_policy=RetryPolicy(1, initial_delay=60, jitter=False)) as bus:
        bus.subscribe(Recording(fail, name="failing"))
        await bus.publish(event_of())
        await trio.sleep(1)
        with pytest.raises(
            AssertionError, match="'failing' holds 0 queued, 0 in hand, 1 that wait for a retry"
        ):
            assert_nothing_lost(bus)
        await bus.wait_idle()


async def test_what_the_stop_hands_back_is_told_at_the_end_of_the_block(autojump_clock: MockClock) -> None:
    with pytest.raises(AssertionError, match=r"given to .'stuck'., which neither handled it nor gave it up"):
        async with running_async_bus(grace=1) as bus:
            bus.subscribe(Recording(lambda event: trio.sleep_forever(), name="stuck"))
            await bus.publish(event_of())
            await trio.lowlevel.checkpoint()


async def test_an_error_of_the_block_comes_out_bare_and_nothing_else_is_told(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(KeyError, match="the test's own"):
        async with running_async_bus() as bus:
            bus.subscribe(Recording(lambda event: trio.sleep_forever()))
            await bus.publish(event_of())
            raise KeyError("the test's own")


def test_a_block_of_plain_code_is_checked_too() -> None:
    with pytest.raises(AssertionError, match="'mutating' changed the payload of event"), running_bus() as bus:
        bus.subscribe(Recording(mutate, name="mutating"))
        bus.publish(event_of()).wait(timeout=10)


def test_a_block_of_plain_code_that_fails_ends_at_once() -> None:
    with pytest.raises(KeyError, match="the test's own"), running_bus() as bus:
        bus.subscribe(Recording(lambda event: trio.sleep_forever()))
        bus.publish(event_of())
        raise KeyError("the test's own")


async def test_a_handler_that_mutates_its_payload_fails_and_is_not_tried_again() -> None:
    guard = PayloadGuard()
    bus = AsyncEventBus(retry_policy=RetryPolicy(5), middleware=HandlerChain().add(guard))
    async with bus:
        bus.subscribe(Recording(mutate, name="mutating"))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
    assert receipt.outcomes == {"mutating": Outcome.DEAD_LETTERED}
    (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert isinstance(letter.error, PayloadMutated)
    assert guard.mutations == [str(letter.error)]


async def test_one_that_mutates_and_fails_is_found_too_and_deep_inside_as_well() -> None:
    async def mutate_and_fail(event: Event) -> None:
        event.payload["steps"][0]["name"] = "other"
        raise ConnectionError("gone")

    guard = PayloadGuard()
    async with AsyncEventBus(middleware=HandlerChain().add(guard)) as bus:
        bus.subscribe(Recording(mutate_and_fail))
        event = Event(event_type=EventType.TEST_RESULT, payload={"steps": [{"name": "VCC"}]})
        await (await bus.publish(event)).wait_settled()
    assert len(guard.mutations) == 1


@pytest.mark.parametrize("payload", [{"unit_id": "SN-1"}, TestResultEvent(unit_id="SN-1"), {"any": object()}])
async def test_one_that_only_reads_passes_with_every_kind_of_payload(payload: object) -> None:
    guard = PayloadGuard()
    async with AsyncEventBus(middleware=HandlerChain().add(guard)) as bus:
        handler = Recording()
        bus.subscribe(handler)
        event = Event(event_type=EventType.TEST_RESULT, payload=payload)
        receipt = await bus.publish(event)
        await receipt.wait_settled()
        assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert guard.mutations == []


async def test_the_test_s_own_middleware_is_inside_the_witness() -> None:
    chain = HandlerChain().add(EnrichmentMiddleware(lambda event: event.derive(source="enriched")))
    async with running_async_bus(middleware=chain) as bus:
        handler = Recording()
        bus.subscribe(handler)
        await (await bus.publish(event_of())).wait_settled()
    assert [event.source for event in handler.handled] == ["enriched"]


def test_the_witness_misses_what_was_begun_and_not_ended() -> None:
    async def cancelled(event: Event) -> None:
        scope.cancel()
        await trio.sleep_forever()

    witness, event = Witness(), event_of()

    async def main() -> None:
        with scope:
            await witness.process(event, cancelled)

    scope = trio.CancelScope()
    trio.run(main)
    with pytest.raises(AssertionError, match=f"event {event.id} was given to"):
        witness.check()


async def test_only_a_bus_that_runs_has_a_tree_to_record() -> None:
    with pytest.raises(LookupError, match="does not run"):
        record(AsyncEventBus())


def test_the_tree_of_a_bus_in_plain_code_is_recorded_too(event_bus: EventBus) -> None:
    recording = record(event_bus)
    event_bus.subscribe(Recording(name="new"))
    event_bus.publish(event_of()).wait(timeout=10)
    assert "up handlers/new" in recording.lines()
