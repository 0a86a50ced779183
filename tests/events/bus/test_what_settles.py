"""An event is settled when every subscription has an outcome, and so have the events it caused."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.errors import BusNotRunning, BusStopped, NotAnEvent
from pywats_events.policies import DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome
from support.handlers import Recording, event_of


async def nothing(event: Event) -> None:
    await trio.lowlevel.checkpoint()


async def test_an_event_is_settled_when_its_last_handler_returns(autojump_clock: MockClock) -> None:
    async with AsyncEventBus() as bus:
        bus.subscribe(Recording(nothing, name="quick"))
        bus.subscribe(Recording(lambda event: trio.sleep(10), name="slow"))
        receipt = await bus.publish(event_of())
        await trio.sleep(5)
        assert not receipt.settled
        assert receipt.outcomes == {"quick": Outcome.HANDLED}
        await receipt.wait_settled()
        assert trio.current_time() == 10
        assert receipt.outcomes == {"quick": Outcome.HANDLED, "slow": Outcome.HANDLED}


async def test_an_event_settles_only_with_the_events_that_its_handler_published(
    autojump_clock: MockClock,
) -> None:
    async with AsyncEventBus() as bus:

        async def cause(event: Event) -> None:
            await bus.publish(Event(event_type=EventType.WORK_COMPLETED))

        bus.subscribe(Recording(cause))
        bus.subscribe(Recording(lambda event: trio.sleep(7), EventType.WORK_COMPLETED, "after"))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        assert trio.current_time() == 7


async def test_a_chain_of_thousands_of_causes_settles_without_recursion() -> None:
    async with AsyncEventBus() as bus:

        async def next_one(event: Event) -> None:
            if event.payload["number"] < 5000:
                await bus.publish(event_of(event.payload["number"] + 1))

        handler = Recording(next_one)
        bus.subscribe(handler)
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        assert len(handler.handled) == 5001


async def test_an_event_that_nobody_takes_is_settled_as_unrouted() -> None:
    async with AsyncEventBus() as bus:
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        assert receipt.outcomes == {"": Outcome.UNROUTED}


async def test_what_is_left_at_the_end_of_the_grace_is_handed_back(autojump_clock: MockClock) -> None:
    bus = AsyncEventBus()
    bus.subscribe(Recording(lambda event: trio.sleep_forever()))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        await bus.stop(timeout=2)
    assert all(receipt.settled and receipt.handed_back for receipt in receipts)
    assert trio.current_time() == pytest.approx(2)


async def test_a_kill_of_the_bus_leaves_no_receipt_open() -> None:
    bus = AsyncEventBus()
    bus.subscribe(Recording(lambda event: trio.sleep_forever()))
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        nursery.cancel_scope.cancel()
    assert all(receipt.settled and receipt.handed_back for receipt in receipts)


async def test_stop_handles_what_was_accepted_and_what_it_causes(autojump_clock: MockClock) -> None:
    bus = AsyncEventBus()

    async def cause(event: Event) -> None:
        await trio.sleep(1)
        await bus.publish(Event(event_type=EventType.WORK_COMPLETED))

    after = Recording(nothing, EventType.WORK_COMPLETED, "after")
    bus.subscribe(Recording(cause))
    bus.subscribe(after)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        for number in range(3):
            await bus.publish(event_of(number))
        await bus.stop(timeout=10)
    assert len(after.handled) == 3


async def test_a_handler_that_fails_discards_what_it_published(autojump_clock: MockClock) -> None:
    after = Recording(nothing, EventType.WORK_COMPLETED, "after")
    async with AsyncEventBus(retry_policy=RetryPolicy(max_retries=2, jitter=False)) as bus:
        bus.subscribe(after)

        async def cause_and_fail(event: Event) -> None:
            await bus.publish(Event(event_type=EventType.WORK_COMPLETED, payload={"attempt": event.attempt}))
            if event.attempt < 3:
                raise ConnectionError

        bus.subscribe(Recording(cause_and_fail))
        await (await bus.publish(event_of())).wait_settled()
    assert [event.payload["attempt"] for event in after.handled] == [3]


async def test_a_dead_letter_settles_its_event_and_keeps_the_story(autojump_clock: MockClock) -> None:
    letters = DeadLetterQueue()

    async def fail(event: Event) -> None:
        raise ConnectionError("no answer")

    async with AsyncEventBus(
        retry_policy=RetryPolicy(max_retries=2, initial_delay=1, jitter=False),
        error_policy=ErrorPolicy(letters),
    ) as bus:
        bus.subscribe(Recording(fail, name="reporter"))
        receipt = await bus.publish(event_of(7))
        await receipt.wait_settled()
        assert receipt.outcomes == {"reporter": Outcome.DEAD_LETTERED}
        assert trio.current_time() == 1 + 2
    (letter,) = letters.get_entries()
    assert letter.event is not None
    assert letter.event.payload == {"number": 7}
    assert (letter.handler_name, letter.attempts, str(letter.error)) == ("reporter", 3, "no answer")
    assert "raise ConnectionError" in letter.traceback_text


async def test_while_the_dead_letters_fail_nothing_settles(autojump_clock: MockClock) -> None:
    class Full(DeadLetterQueue):
        broken = True

        def add(self, *args: Any, **options: Any) -> Any:
            if self.broken:
                raise OSError("no space left")
            return super().add(*args, **options)

    letters = Full()

    async def fail(event: Event) -> None:
        raise ValueError

    async with AsyncEventBus(error_policy=ErrorPolicy(letters)) as bus:
        bus.subscribe(Recording(fail))
        receipt = await bus.publish(event_of())
        await trio.sleep(300)
        assert not receipt.settled
        assert receipt.outcomes == {}
        letters.broken = False
        await receipt.wait_settled()
        assert set(receipt.outcomes.values()) == {Outcome.DEAD_LETTERED}
    assert len(letters) == 1


async def test_a_publish_has_one_answer_before_the_start_and_after_the_end() -> None:
    bus = AsyncEventBus()
    with pytest.raises(BusNotRunning, match="start it"):
        await bus.publish(event_of())
    async with bus:
        with pytest.raises(NotAnEvent, match="publish takes an Event"):
            await bus.publish({"unit_id": "SN-1"})  # type: ignore[arg-type]
    with pytest.raises(BusStopped):
        await bus.publish(event_of())
