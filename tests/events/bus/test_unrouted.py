"""An event that nobody takes is settled, counted and visible; a dead letter where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.durability import Store
from pywats_events.errors import Untaken
from pywats_events.policies import DeadLetterEntry, DeadLetterQueue, ErrorPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus
from support.handlers import Recording, event_of

KEEPS: dict[str, Any] = {"dead_letter_unrouted": True}


async def test_it_is_counted(autojump_clock: MockClock) -> None:
    async with running_async_bus() as bus:
        bus.subscribe(Recording())
        for event_type in (EventType.TEST_RESULT, EventType.WORK_STARTED, EventType.CUSTOM):
            await bus.publish(event_of(0, event_type))
        await bus.wait_idle()
        assert bus.unrouted_count == 2
        assert len(bus.error_policy.dead_letter_queue) == 0


def test_it_is_counted_for_plain_code_too() -> None:
    with EventBus() as bus:
        bus.publish(event_of(0)).wait(timeout=5)
        assert bus.unrouted_count == 1


async def test_where_that_is_asked_for_it_becomes_a_dead_letter_and_settles_with_it(
    autojump_clock: MockClock,
) -> None:
    told: list[Event] = []
    announced = Recording(event_type=EventType.EVENT_DEAD_LETTER)
    policy = ErrorPolicy(**KEEPS).on_failure(lambda event, error: told.append(event))
    async with running_async_bus(error_policy=policy) as bus:
        bus.subscribe(announced)
        receipt = await bus.publish(event_of(7))
        await receipt.wait_settled()
        assert receipt.outcomes == {"": Outcome.DEAD_LETTERED}
        (letter,) = policy.dead_letter_queue.get_entries()
        assert (letter.event, letter.handler_name, letter.attempts) == (receipt.event, None, 1)
        assert isinstance(letter.error, Untaken)
        assert str(letter.error) == "no subscription of bus 'default' takes 'test.result'"
        assert told == [receipt.event]
        assert bus.unrouted_count == 1
        while not announced.handled:
            await trio.sleep(1)
    assert announced.handled[0].payload["handler"] is None


async def test_one_that_filters_let_nobody_have_is_one_too(autojump_clock: MockClock) -> None:
    async with running_async_bus(error_policy=ErrorPolicy(**KEEPS)) as bus:
        bus.subscribe(Recording(), filter=lambda event: event.payload["number"] > 0)
        receipts = [await bus.publish(event_of(number)) for number in range(2)]
        await bus.wait_idle()
        assert [set(receipt.outcomes.values()) for receipt in receipts] == [
            {Outcome.DEAD_LETTERED},
            {Outcome.HANDLED},
        ]


async def test_what_a_handler_publishes_for_nobody_settles_its_cause_when_it_is_kept(
    autojump_clock: MockClock,
) -> None:
    async def cause(event: Event) -> None:
        await bus.publish(event_of(1, EventType.WORK_STARTED))

    async with running_async_bus(error_policy=ErrorPolicy(**KEEPS)) as bus:
        bus.subscribe(Recording(cause))
        await (await bus.publish(event_of())).wait_settled()
        assert len(bus.error_policy.dead_letter_queue) == 1


async def test_such_a_dead_letter_goes_to_those_that_take_it_when_it_is_replayed(
    autojump_clock: MockClock,
) -> None:
    one, two = Recording(name="one"), Recording(name="two")
    async with running_async_bus(error_policy=ErrorPolicy(**KEEPS)) as bus:
        await (await bus.publish(event_of(7))).wait_settled()
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
        with pytest.raises(LookupError, match=r"no subscription of bus 'default' takes .* 'test\.result'"):
            await bus.replay_dead_letter(letter)
        for handler in (one, two):
            bus.subscribe(handler)
        receipt = await bus.replay_dead_letter(letter)
        await receipt.wait_settled()
        assert receipt.outcomes == {"one": Outcome.HANDLED, "two": Outcome.HANDLED}
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert (one.numbers, two.numbers) == ([7], [7])


class Fails(DeadLetterQueue):
    """Cannot keep anything until it is mended."""

    broken = True

    def add(self, *args: Any, **options: Any) -> DeadLetterEntry:
        if self.broken:
            raise OSError("disk full")
        return super().add(*args, **options)


@pytest.mark.parametrize("options", [KEEPS, {}], ids=["kept", "counted"])
async def test_one_that_the_router_has_not_seen_when_the_bus_is_killed_is_handed_back_if_it_is_to_be_kept(
    options: dict[str, Any],
) -> None:
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(error_policy=ErrorPolicy(**options))
        await nursery.start(bus.run)
        receipts = [bus.publish_nowait(event_of()) for _ in range(200)]  # more than it takes in one go
        nursery.cancel_scope.cancel()
    outcome = Outcome.HANDED_BACK if options else Outcome.UNROUTED
    assert all(receipt.outcomes == {"": outcome} for receipt in receipts)


async def test_while_it_cannot_be_kept_it_is_not_settled(autojump_clock: MockClock) -> None:
    queue = Fails()
    async with running_async_bus(error_policy=ErrorPolicy(queue, **KEEPS), grace=600) as bus:
        receipt = await bus.publish(event_of())
        await trio.sleep(60)
        assert not receipt.settled
        queue.broken = False
        await receipt.wait_settled()
        assert len(queue) == 1


async def test_with_a_store_its_source_is_told_only_when_the_dead_letter_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with AsyncEventBus(store=store, error_policy=ErrorPolicy(**KEEPS)) as bus:
        first = await bus.publish(event_of(7))
        await first.wait_secured()
        assert first.outcomes == {"": Outcome.DEAD_LETTERED}
        (letter,) = store.dead_letters.get_entries()
        again = await bus.publish(first.event)
        await again.wait_settled()
        assert again.outcomes == {"": Outcome.KNOWN}
    async with AsyncEventBus(store=Store(tmp_path)) as bus:
        handler = Recording()
        bus.subscribe(handler)
        await (await bus.replay_dead_letter(letter)).wait_settled()
    assert handler.numbers == [7]


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_what_is_no_answer_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"dead_letter_unrouted must be True or False, not {value!r}"):
        ErrorPolicy(dead_letter_unrouted=value)
