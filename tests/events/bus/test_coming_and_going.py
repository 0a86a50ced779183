"""Subscriptions come and go while the bus runs: nothing is lost, and nothing comes after the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, BaseHandler, Event, EventBus, EventType, HandlerRegistry
from pywats_events.errors import BusStopped
from pywats_events.handlers import FilteringHandler
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import running_async_bus, running_bus
from support.handlers import Recording, event_of

DEADLINE = 10
"""Seconds that a test with real threads waits at most."""


async def test_what_was_published_before_is_handled_and_nothing_comes_after(
    autojump_clock: MockClock,
) -> None:
    handler = Recording(lambda event: trio.sleep(1), name="handler")
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        before = [await bus.publish(event_of(number)) for number in range(5)]
        assert await bus.unsubscribe(handler)
        assert handler.numbers == [0, 1, 2, 3, 4]
        assert [one.outcomes for one in before] == [{"handler": Outcome.HANDLED}] * 5
        after = await bus.publish(event_of(5))
        await after.wait_settled()
        assert after.outcomes == {"": Outcome.UNROUTED}
        assert bus.snapshot().child("handlers").detail.children == ()
    assert handler.numbers == [0, 1, 2, 3, 4]


async def test_one_that_goes_before_its_first_step_handles_what_it_was_given(
    autojump_clock: MockClock,
) -> None:
    """Its workers have not begun to live, and the router has not seen the event, when it goes."""
    handler = Recording(name="handler")
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        receipt = bus.publish_nowait(event_of(1))
        await bus.unsubscribe(handler)
        assert receipt.outcomes == {"handler": Outcome.HANDLED}


async def test_retries_that_wait_are_waited_for(autojump_clock: MockClock) -> None:
    async def fail_once(event: Event) -> None:
        if event.attempt == 1:
            raise ConnectionError

    handler = Recording(fail_once)
    async with running_async_bus(retry_policy=RetryPolicy(initial_delay=30, jitter=False)) as bus:
        bus.subscribe(handler)
        await bus.publish(event_of(1))
        await bus.unsubscribe(handler)
        assert (handler.numbers, trio.current_time()) == ([1], 30)


async def test_under_load_every_event_goes_to_all_who_were_there_when_it_was_accepted(
    autojump_clock: MockClock,
) -> None:
    """One handler stays, others come and go all the time; a publisher never stops."""
    stays = Recording(lambda event: trio.sleep(0.01), name="stays")
    receipts: list[Receipt] = []

    async def publish() -> None:
        for number in range(2000):
            receipts.append(await bus.publish(event_of(number)))
            if number % 7 == 0:
                await trio.sleep(0.03)

    guests = [Recording(lambda event: trio.sleep(0.02), name=f"guest {number}") for number in range(30)]
    async with running_async_bus(capacity=8, grace=600) as bus, trio.open_nursery() as nursery:
        bus.subscribe(stays)
        nursery.start_soon(publish)
        ends = []
        for guest in guests:
            bus.subscribe(guest)
            await trio.sleep(0.3)
            await bus.unsubscribe(guest)
            ends.append(len(guest.handled))
    assert stays.numbers == list(range(2000))
    assert all(set(receipt.outcomes.values()) == {Outcome.HANDLED} for receipt in receipts)
    for guest, end in zip(guests, ends, strict=True):
        given = [number for number, receipt in enumerate(receipts) if guest.name in receipt.outcomes]
        assert guest.numbers == given == list(range(given[0], given[0] + end))


async def test_publishers_that_wait_for_one_that_goes_are_let_in(autojump_clock: MockClock) -> None:
    """The full subscription leaves, and those who waited for its space must not wait for its end."""
    stuck, new = Recording(lambda event: trio.sleep(1000), name="stuck"), Recording(name="new")
    receipts: list[Receipt] = []

    async def publish(number: int) -> None:
        receipts.append(await bus.publish(event_of(number)))

    async with running_async_bus(grace=9999) as bus, trio.open_nursery() as nursery:
        bus.subscribe(stuck, capacity=1)
        for number in range(2):
            await bus.publish(event_of(number))
            await wait_all_tasks_blocked()
        for number in range(2, 5):
            nursery.start_soon(publish, number)
        await wait_all_tasks_blocked()
        assert receipts == []
        nursery.start_soon(bus.unsubscribe, stuck)
        bus.subscribe(new)
        await wait_all_tasks_blocked()
        assert trio.current_time() == 0
        assert [receipt.outcomes for receipt in receipts] == [{"new": Outcome.HANDLED}] * 3
    assert sorted(new.numbers) == [2, 3, 4]
    assert stuck.numbers == [0, 1]


class Choosy(Recording):
    """Looks closer than the type."""

    def can_handle(self, event: Event) -> bool:
        return super().can_handle(event) and event.payload["number"] > 0


class Filtering(Recording, FilteringHandler):
    """Has a filter."""


@pytest.mark.parametrize(
    "named", [["production.*"], [EventType.WORK_STARTED], []], ids=["pattern", "type", "all"]
)
async def test_types_named_by_the_subscription_hold_whatever_the_handler_asks_about_an_event(
    named: list[Any], autojump_clock: MockClock
) -> None:
    choosy, filtering = Choosy(name="choosy"), Filtering(name="filtering")
    filtering.add_filter(lambda event: event.payload["number"] > 0)
    async with running_async_bus() as bus:
        for handler in (choosy, filtering):
            bus.subscribe(handler, event_types=named)
        for number in range(3):
            await bus.publish(event_of(number, EventType.WORK_STARTED))
        await bus.wait_idle()
    assert (choosy.numbers, filtering.numbers) == ([1, 2], [1, 2])


async def test_a_pattern_of_a_handler_with_a_filter_finds_its_events(autojump_clock: MockClock) -> None:
    class Tests(FilteringHandler):
        event_types = ["test.*"]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it
        count = 0

        async def handle(self, event: Event) -> None:
            self.count += 1

    handler = Tests().add_filter(lambda event: event.payload["number"] > 0)
    registry = HandlerRegistry()
    registry.register(handler)
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        for number in range(3):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert handler.count == 2
    assert registry.get_handlers_for_event(event_of(1)) == [handler]


async def test_a_name_that_is_given_is_refused_while_another_has_it(autojump_clock: MockClock) -> None:
    """With a store it is what the backlog is kept under: a number behind it would be another's."""
    old = Recording(lambda event: trio.sleep(5), name="old")
    async with running_async_bus(grace=60) as bus, trio.open_nursery() as nursery:
        bus.subscribe(old, name="line 1")
        for _ in range(2):
            with pytest.raises(ValueError, match="name 'line 1' is taken by a subscription of bus 'default'"):
                bus.subscribe(Recording(), name="line 1")
            await bus.publish(event_of())
            nursery.start_soon(bus.unsubscribe, old)
            await trio.sleep(1)  # the second time it is still leaving
        await trio.sleep(60)
        assert bus.subscribe(Recording(), name="line 1").name == "line 1"


async def test_its_name_is_taken_until_it_has_ended(autojump_clock: MockClock) -> None:
    old, new = Recording(lambda event: trio.sleep(5), name="handler"), Recording(name="handler")
    async with running_async_bus() as bus, trio.open_nursery() as nursery:
        bus.subscribe(old)
        await bus.publish(event_of(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(bus.unsubscribe, old)
        await wait_all_tasks_blocked()
        assert bus.subscribe(new).name == "handler-2"
        await (await bus.publish(event_of(2))).wait_settled()
        await trio.sleep(10)
        assert bus.subscribe(Recording(name="handler")).name == "handler"
    assert (old.numbers, new.numbers) == ([1], [2])


async def test_a_handler_may_take_itself_away(autojump_clock: MockClock) -> None:
    async def once(event: Event) -> None:
        answers.append(await bus.unsubscribe(handler))
        answers.append(await bus.unsubscribe(handler))

    answers: list[bool] = []
    handler = Recording(once, name="once")
    async with running_async_bus() as bus:
        bus.subscribe(handler)
        receipt = await bus.publish(event_of(1))
        await receipt.wait_settled()
        assert receipt.outcomes == {"once": Outcome.HANDLED}
        await wait_all_tasks_blocked()
        assert bus.snapshot().child("handlers").detail.children == ()
        await (await bus.publish(event_of(2))).wait_settled()
    assert (handler.numbers, answers) == ([1], [True, False])


async def test_two_handlers_may_take_each_other_away(autojump_clock: MockClock) -> None:
    async def away_with(other: str) -> None:
        await trio.sleep(1)
        assert await bus.unsubscribe(other)

    one = Recording(lambda event: away_with("two"), name="one")
    two = Recording(lambda event: away_with("one"), name="two")
    async with running_async_bus() as bus:
        bus.subscribe(one)
        bus.subscribe(two)
        await (await bus.publish(event_of(1))).wait_settled()
        assert (one.numbers, two.numbers, bus.handler_count) == ([1], [1], 0)


@pytest.mark.parametrize("blocking", [False, True])
def test_in_plain_code_too_a_handler_may_take_itself_away(blocking: bool) -> None:
    handled: list[int] = []
    answers: list[bool] = []

    class Once(Recording):
        async def handle(self, event: Event) -> None:
            self.do(event)

        def do(self, event: Event) -> None:
            handled.append(event.payload["number"])
            answers.append(bus.unsubscribe(self.name))

    once = Once(name="once")
    with running_bus() as bus:
        if blocking:
            bus.subscribe(once.do, event_types=once.event_types, name="once")
        else:
            bus.subscribe(once)
        bus.publish(event_of(1)).wait(timeout=DEADLINE)
        bus.publish(event_of(2)).wait(timeout=DEADLINE)
    assert (handled, answers) == ([1], [True])


@pytest.mark.parametrize("kill", [False, True])
async def test_who_waits_for_its_end_is_let_go_when_the_bus_ends(
    kill: bool, autojump_clock: MockClock
) -> None:
    handler = Recording(lambda event: trio.sleep_forever(), name="handler")
    bus = AsyncEventBus()
    ended: list[bool] = []

    async def unsubscribe() -> None:
        ended.append(await bus.unsubscribe(handler))

    async with trio.open_nursery() as waiters:
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            bus.subscribe(handler)
            receipt = await bus.publish(event_of(1))
            await wait_all_tasks_blocked()
            waiters.start_soon(unsubscribe)
            await wait_all_tasks_blocked()
            if kill:
                nursery.cancel_scope.cancel()
            else:
                await bus.stop(timeout=1)
        with trio.fail_after(60):
            while not ended:
                await trio.sleep(1)
    assert receipt.outcomes == {"handler": Outcome.DROPPED}


async def test_a_cancelled_unsubscribe_is_out_of_the_table_and_what_it_has_is_dropped_at_the_end(
    autojump_clock: MockClock,
) -> None:
    handler = Recording(lambda event: trio.sleep_forever(), name="handler")
    async with AsyncEventBus() as bus:
        bus.subscribe(handler, shutdown=0)
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        with trio.move_on_after(1):
            await bus.unsubscribe(handler)
        late = await bus.publish(event_of(3))
        await wait_all_tasks_blocked()
        assert late.outcomes == {"": Outcome.UNROUTED}
        await bus.stop(timeout=1)
    assert [one.outcomes for one in receipts] == [{"handler": Outcome.DROPPED}] * 3


async def test_unsubscribing_who_is_not_there_says_so(autojump_clock: MockClock) -> None:
    handler = Recording(name="handler")
    bus = AsyncEventBus()
    bus.subscribe(handler)
    assert await bus.unsubscribe("handler")
    assert not await bus.unsubscribe(handler)
    async with bus:
        assert not await bus.unsubscribe(handler)


def test_while_the_bus_stops_there_is_nothing_to_take_away_in_plain_code() -> None:
    handler = Recording(lambda event: trio.sleep_forever(), name="handler")
    bus = EventBus()
    bus.subscribe(handler)
    bus.start()
    receipt = bus.publish(event_of())
    bus.request_stop(0.3)
    with pytest.raises(BusStopped):
        while True:
            bus.publish(event_of(1, EventType.WORK_STARTED)).wait(timeout=DEADLINE)
    with pytest.raises(BusStopped):
        bus.unsubscribe(handler)
    bus.stop()
    assert receipt.handed_back


async def test_a_handler_that_comes_while_a_breaker_holds_publishers_up_hears_of_what_waits(
    autojump_clock: MockClock,
) -> None:
    async def away(event: Event) -> None:
        if trio.current_time() < 3600:
            raise ConnectionError

    new = Recording(name="new")
    breaker = CircuitBreaker(failure_threshold=1, reset_timeout=3600)
    policy = RetryPolicy(max_retries=0)
    async with running_async_bus(retry_policy=policy, grace=9999) as bus, trio.open_nursery() as nursery:
        bus.subscribe(Recording(away, name="away"), breaker=breaker, capacity=1)
        await bus.publish(event_of(0))
        await trio.sleep(1)
        await bus.publish(event_of(1))
        await trio.sleep(1)
        nursery.start_soon(bus.publish, event_of(2))  # waits: "away" is full
        await trio.sleep(1)
        bus.subscribe(new)
        await bus.unsubscribe("away")
        await bus.wait_idle()
    assert new.numbers == [2]


async def test_of_two_equal_handlers_the_one_that_was_given_goes(autojump_clock: MockClock) -> None:
    @dataclass
    class Equal(BaseHandler):
        limit: int = 1

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None: ...

    first, second = Equal(), Equal()
    async with running_async_bus() as bus:
        bus.subscribe(first, name="first")
        bus.subscribe(second, name="second")
        assert await bus.unsubscribe(second)
        assert bus.get_handlers(EventType.TEST_RESULT)[0] is first


async def test_a_method_is_found_again_though_it_is_another_object_each_time(
    autojump_clock: MockClock,
) -> None:
    class Station:
        async def note(self, event: Event) -> None: ...

    station = Station()
    async with running_async_bus() as bus:
        bus.subscribe(station.note, event_types=[EventType.TEST_RESULT])
        assert await bus.unsubscribe(station.note)
