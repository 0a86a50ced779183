"""What a handler publishes stays with the event in hand, and enters the bus when the handler returns."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.errors import OutboxOverflow, WouldDeadlock
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import ROUTER, crash, running_async_bus
from support.handlers import Recording, event_of

AFTER = EventType.WORK_STARTED
RETRIES = RetryPolicy(max_retries=2, initial_delay=1, jitter=False)


async def test_it_is_kept_until_the_handler_returns(autojump_clock: MockClock) -> None:
    kept: list[Receipt] = []
    after = Recording(event_type=AFTER)

    async def publish_and_linger(event: Event) -> None:
        kept.append(await bus.publish(event_of(1, AFTER)))
        kept.append(bus.publish_nowait(event_of(2, AFTER)))
        await trio.sleep(10)

    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(publish_and_linger))
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await trio.sleep(9)
        assert (after.numbers, [one.accepted for one in kept], bus.queue_size) == ([], [False, False], 1)
        await receipt.wait_settled()
        assert after.numbers == [1, 2]
        assert all(one.accepted and one.settled for one in kept)


async def test_acceptance_of_what_it_published_and_its_being_handled_are_one_step(
    autojump_clock: MockClock,
) -> None:
    """At no moment is the event done and what it caused not there, nor the other way round."""
    seen: list[tuple[bool, bool]] = []

    async def publish(event: Event) -> None:
        caused.append(await bus.publish(event_of(1, AFTER)))

    caused: list[Receipt] = []
    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(publish, name="cause"))
        bus.subscribe(Recording(lambda event: trio.sleep(1), AFTER))
        receipt = await bus.publish(event_of())
        for _ in range(20):
            if caused:
                seen.append((caused[0].accepted, receipt.outcomes.get("cause") is Outcome.HANDLED))
            await trio.lowlevel.checkpoint()
        assert not receipt.settled  # what it caused is not
        await receipt.wait_settled()
        assert trio.current_time() == 1
    assert (True, True) in seen
    assert set(seen) <= {(True, True), (False, False)}


async def test_what_a_failed_attempt_published_is_dropped_and_its_receipts_end(
    autojump_clock: MockClock,
) -> None:
    kept: list[Receipt] = []
    told: list[Receipt] = []
    after = Recording(event_type=AFTER)

    async def publish_and_fail(event: Event) -> None:
        receipt = await bus.publish(event_of(event.attempt, AFTER))
        receipt.add_done_callback(told.append)
        kept.append(receipt)
        if event.attempt < 3:
            raise ConnectionError

    async with running_async_bus(retry_policy=RETRIES, grace=60) as bus:
        bus.subscribe(Recording(publish_and_fail))
        bus.subscribe(after, name="after")
        await (await bus.publish(event_of())).wait_settled()
        first, second, third = kept
        assert told == [first, second, third]
        for dropped in (first, second):
            assert dropped.settled
            assert not dropped.accepted
            assert not dropped.handed_back
            assert dropped.outcomes == {"": Outcome.DROPPED}
        assert third.outcomes == {"after": Outcome.HANDLED}
    assert after.numbers == [3]


async def test_what_a_cancelled_attempt_published_is_dropped_too(autojump_clock: MockClock) -> None:
    kept: list[Receipt] = []
    after = Recording(event_type=AFTER)

    async def publish_and_linger(event: Event) -> None:
        kept.append(await bus.publish(event_of(len(kept), AFTER)))
        if len(kept) == 1:
            await trio.sleep_forever()

    async with running_async_bus(grace=60) as bus:
        handler = Recording(publish_and_linger)
        bus.subscribe(handler, shutdown=0)
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await trio.sleep(1)
        crash(bus, ROUTER)  # everything after it in the tree is cancelled and started again
        await receipt.wait_settled()
    assert [one.outcomes.get("") for one in kept] == [Outcome.DROPPED, None]
    assert after.numbers == [1]
    assert [event.attempt for event in handler.handled] == [1]  # a cancelled attempt is not counted


async def test_now_goes_at_once_whatever_becomes_of_the_handler(autojump_clock: MockClock) -> None:
    after = Recording(event_type=AFTER)

    async def publish_and_fail(event: Event) -> None:
        receipt = await bus.publish(event_of(1, AFTER), now=True)
        await receipt.wait_settled()
        bus.publish_nowait(event_of(2, AFTER), now=True)
        raise ValueError

    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(publish_and_fail, name="cause"))
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await bus.wait_idle()
        assert receipt.outcomes == {"cause": Outcome.DEAD_LETTERED}
    assert after.numbers == [1, 2]


@pytest.mark.parametrize("number", [1000, 1001])
async def test_more_than_a_thousand_from_one_event_is_the_handlers_failure(
    number: int, autojump_clock: MockClock
) -> None:
    after = Recording(event_type=AFTER)

    async def run_away(event: Event) -> None:
        for one in range(number):
            await bus.publish(event_of(one, AFTER))

    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(run_away, name="cause"))
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await bus.wait_idle()
        letters = bus.error_policy.dead_letter_queue.get_entries()
    if number == 1000:
        assert receipt.outcomes == {"cause": Outcome.HANDLED}
        assert after.numbers == list(range(1000))
        assert letters == []
    else:
        assert receipt.outcomes == {"cause": Outcome.DEAD_LETTERED}
        assert after.numbers == []
        assert isinstance(letters[0].error, OutboxOverflow)
        assert "'cause' published more than 1000 events" in str(letters[0].error)
        assert "now=True" in str(letters[0].error)


async def test_an_event_settles_only_when_all_that_it_caused_down_the_line_is_settled(
    autojump_clock: MockClock,
) -> None:
    async def fan_out(event: Event) -> None:
        number = event.payload["number"]
        for _ in range(number):
            await bus.publish(event_of(number - 1, event.event_type))
        await trio.sleep(1)

    async with running_async_bus(grace=60) as bus:
        handler = Recording(fan_out)
        bus.subscribe(handler, concurrency=100)
        receipt = await bus.publish(event_of(3))
        await receipt.wait_settled()
        assert trio.current_time() == 4
        assert len(handler.handled) == 1 + 3 + 3 * 2 + 3 * 2
        assert bus.queue_size == 0


async def test_a_caused_event_that_becomes_a_dead_letter_settles_its_cause_as_handled(
    autojump_clock: MockClock,
) -> None:
    async def publish(event: Event) -> None:
        await bus.publish(event_of(1, AFTER))

    async def fail(event: Event) -> None:
        raise ValueError

    async with running_async_bus(retry_policy=RETRIES, grace=60) as bus:
        bus.subscribe(Recording(publish, name="cause"))
        bus.subscribe(Recording(fail, AFTER, name="after"))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        assert trio.current_time() == 3  # two retries later
        assert receipt.outcomes == {"cause": Outcome.HANDLED}
        assert len(bus.error_policy.dead_letter_queue) == 1


async def test_a_cause_whose_effect_is_handed_back_is_handed_back_itself(autojump_clock: MockClock) -> None:
    async def publish(event: Event) -> None:
        await bus.publish(event_of(1, AFTER))

    async with AsyncEventBus() as bus:
        bus.subscribe(Recording(publish))
        bus.subscribe(Recording(lambda event: trio.sleep_forever(), AFTER), shutdown=0)
        receipt = await bus.publish(event_of())
        await trio.sleep(1)
        await bus.stop(timeout=1)
    assert receipt.settled
    assert receipt.handed_back


async def test_to_wait_in_a_handler_for_what_it_keeps_would_deadlock_and_says_so(
    autojump_clock: MockClock,
) -> None:
    told: list[str] = []

    async def publish_and_wait(event: Event) -> None:
        receipt = await bus.publish(event_of(1, AFTER))
        for wait in (receipt.wait_settled, bus.wait_idle):
            with pytest.raises(WouldDeadlock) as refused:
                await wait()
            told.append(str(refused.value))

    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(publish_and_wait))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
    assert "publish(..., now=True) lets it in" in told[0]
    assert "cannot wait until no event is in hand" in told[1]


async def test_to_wait_in_a_handler_for_its_own_event_or_what_caused_that_would_deadlock_and_says_so(
    autojump_clock: MockClock,
) -> None:
    receipts: list[Receipt] = []
    told: list[str] = []

    async def wait(event: Event) -> None:
        with trio.fail_after(60), pytest.raises(WouldDeadlock) as refused:
            await receipts[0].wait_settled()
        told.append(str(refused.value))

    async def wait_and_cause(event: Event) -> None:
        await trio.sleep(1)
        await wait(event)
        await receipts[1].wait_settled()  # another's, which another handler settles
        await bus.publish(event_of(1, AFTER))

    async with running_async_bus(grace=60) as bus:
        bus.subscribe(Recording(wait_and_cause))
        bus.subscribe(Recording(wait, AFTER, "after"))
        receipts.append(await bus.publish(event_of()))
        receipts.append(await bus.publish(event_of(2, EventType.ASSET_FAULT)))
        await receipts[0].wait_settled()
        outcomes = receipts[0].outcomes
    assert outcomes == {"Recording": Outcome.HANDLED}
    assert len(told) == 2
    assert f"event {receipts[0].event.id} is settled only when the handler that waits" in told[0]


class PublishesInHooks(Recording):
    """Publishes in each hook, to its own full subscription."""

    bus: AsyncEventBus

    async def on_start(self) -> None:
        await self.bus.publish(event_of(100))

    async def on_error(self, event: Event, error: Exception) -> None:
        await self.bus.publish(event_of(101))


async def test_publishing_in_a_hook_never_waits_for_the_handler_itself(autojump_clock: MockClock) -> None:
    async def fail(event: Event) -> None:
        if event.payload["number"] == 0:
            raise ValueError

    handler = PublishesInHooks(fail)
    async with running_async_bus(capacity=1, grace=60) as bus, trio.open_nursery() as nursery:
        handler.bus = bus
        bus.subscribe(handler)
        for _ in range(3):
            nursery.start_soon(bus.publish, event_of(0))
        await trio.sleep(1)
        await bus.wait_idle()
    # A failure ends a life: there were four, and an error for each of three.
    assert sorted(handler.numbers) == [100] * 4 + [101] * 3


async def test_a_task_that_a_handler_left_elsewhere_publishes_from_outside(autojump_clock: MockClock) -> None:
    receipts: list[Receipt] = []

    async def later() -> None:
        await trio.sleep(5)
        receipts.append(await bus.publish(event_of(1, AFTER)))

    async def leave_a_task(event: Event) -> None:
        nursery.start_soon(later)

    after = Recording(event_type=AFTER)
    async with running_async_bus(grace=60) as bus, trio.open_nursery() as nursery:
        bus.subscribe(Recording(leave_a_task))
        bus.subscribe(after)
        await (await bus.publish(event_of())).wait_settled()
        await trio.sleep(10)
        assert receipts[0].accepted
        assert after.numbers == [1]


async def test_a_task_that_a_handler_left_elsewhere_publishes_nothing_with_the_next_event(
    autojump_clock: MockClock,
) -> None:
    """That event fails while the task publishes; what the task publishes is none of its business."""
    receipts: list[Receipt] = []

    async def later() -> None:
        await trio.sleep(1.5)
        receipts.append(await bus.publish(event_of(1, AFTER)))
        receipts.append(bus.publish_nowait(event_of(2, AFTER)))

    async def leave_a_task_then_fail(event: Event) -> None:
        if event.payload["number"] == 0:
            nursery.start_soon(later)
        await trio.sleep(1)
        if event.payload["number"] == 1:
            raise ValueError

    after = Recording(event_type=AFTER)
    async with running_async_bus(grace=60) as bus, trio.open_nursery() as nursery:
        bus.subscribe(Recording(leave_a_task_then_fail))
        bus.subscribe(after)
        for number in range(2):
            await bus.publish(event_of(number))
        await trio.sleep(10)
        assert [set(receipt.outcomes.values()) for receipt in receipts] == [{Outcome.HANDLED}] * 2
    assert after.numbers == [1, 2]


async def test_tasks_of_a_handler_s_own_nursery_and_its_threads_publish_with_its_event() -> None:
    receipts: list[Receipt] = []

    async def publish(number: int) -> None:
        receipts.append(await bus.publish(event_of(number, AFTER)))

    async def many(event: Event) -> None:
        async with trio.open_nursery() as own:
            own.start_soon(publish, 1)
        await trio.to_thread.run_sync(trio.from_thread.run, publish, 2)
        assert [receipt.accepted for receipt in receipts] == [False, False]

    after = Recording(event_type=AFTER)
    async with running_async_bus() as bus:
        bus.subscribe(Recording(many))
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert sorted(after.numbers) == [1, 2]


async def test_a_callback_that_publishes_when_the_handler_is_done_publishes_from_outside(
    autojump_clock: MockClock,
) -> None:
    """It runs in the handler's task, but what it publishes must not wait for that handler's next event."""
    after = Recording(event_type=AFTER)

    async def publish(event: Event) -> None:
        await bus.publish(event_of(1, EventType.ASSET_FAULT))

    def on_event(event: Event) -> None:
        if event.event_type is EventType.ASSET_FAULT:
            bus.publish_nowait(event_of(1, AFTER))

    async with running_async_bus(grace=60) as bus:
        bus.on_event(on_event)
        bus.subscribe(Recording(publish))
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        receipt.add_done_callback(lambda _: bus.publish_nowait(event_of(2, AFTER)))
        await trio.sleep(1)
        assert after.numbers == [1, 2]
