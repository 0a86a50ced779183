"""Who comes when: keys, order, turns, and retries that wait beside the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus
from support.handlers import Recording, event_of


class Busy:
    """Counts how many calls are in it at once, in all and per key."""

    def __init__(self, takes: float = 1.0, fails: Callable[[Event], bool] = lambda event: False) -> None:
        self._takes = takes
        self._fails = fails
        self._now: Counter[int] = Counter()
        self.most = 0
        self.most_of_a_key = 0
        self.begun: list[tuple[float, int, int]] = []
        """(time, number, attempt) of each call."""

    async def __call__(self, event: Event) -> None:
        number = event.payload["number"]
        self.begun.append((trio.current_time(), number, event.attempt))
        self._now[number % 3] += 1
        self.most = max(self.most, self._now.total())
        self.most_of_a_key = max(self.most_of_a_key, *self._now.values())
        try:
            await trio.sleep(self._takes)
            if self._fails(event):
                raise ConnectionError
        finally:
            self._now[number % 3] -= 1


def key(event: Event) -> int:
    return int(event.payload["number"]) % 3


RETRIES = RetryPolicy(max_retries=3, initial_delay=2, exponential_base=1, jitter=False)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_there_are_never_more_calls_at_once_than_concurrency_retries_included(
    concurrency: int, autojump_clock: MockClock
) -> None:
    busy = Busy(fails=lambda event: event.payload["number"] % 2 == 0 and event.attempt < 4)
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(Recording(busy), concurrency=concurrency)
        for number in range(30):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert busy.most == concurrency
    assert len(busy.begun) == 15 + 4 * 15


async def test_keys_go_side_by_side_and_each_key_in_its_order(autojump_clock: MockClock) -> None:
    busy = Busy()
    handler = Recording(busy)
    async with running_async_bus(grace=600) as bus:
        bus.subscribe(handler, concurrency=4, order_by=key)
        for number in range(30):
            await bus.publish(event_of(number))
        await bus.wait_idle()
        assert trio.current_time() == pytest.approx(10)  # three keys at once, ten events each
    assert (busy.most, busy.most_of_a_key) == (3, 1)
    for one in range(3):
        assert [n for n in handler.numbers if n % 3 == one] == list(range(one, 30, 3))


async def test_while_a_retry_waits_only_its_key_waits(autojump_clock: MockClock) -> None:
    busy = Busy(takes=0.1, fails=lambda event: event.payload["number"] == 0 and event.attempt < 4)
    handler = Recording(busy)
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(handler, concurrency=2, order_by=key)
        for number in range(9):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    # Attempts of the event 0 begin at 0, 2.1, 4.2 and 6.3; 3 and 6 have its key and wait for its end.
    begun = {number: time for time, number, attempt in busy.begun if attempt == 1}
    assert max(begun[number] for number in (1, 2, 4, 5, 7, 8)) < 1
    assert begun[3] == pytest.approx(6.4)
    assert begun[6] == pytest.approx(6.5)
    assert handler.numbers[-3:] == [0, 3, 6]


async def test_after_a_dead_letter_its_key_goes_on(autojump_clock: MockClock) -> None:
    handler = Recording(Busy(takes=0.1, fails=lambda event: event.payload["number"] == 0))
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(handler, name="keyed", order_by=key)
        bad, good = await bus.publish(event_of(0)), await bus.publish(event_of(3))
        await good.wait_settled()
        assert bad.outcomes == {"keyed": Outcome.DEAD_LETTERED}
    assert handler.numbers == [3]


async def test_ordered_holds_up_everything_behind_an_event_that_fails(autojump_clock: MockClock) -> None:
    busy = Busy(takes=0.1, fails=lambda event: event.payload["number"] == 1 and event.attempt < 4)
    handler = Recording(busy)
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(handler, ordered=True)
        for number in range(4):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert handler.numbers == [0, 1, 2, 3]
    assert [(number, attempt) for _, number, attempt in busy.begun] == [
        (0, 1), (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (3, 1)
    ]  # fmt: skip
    assert trio.current_time() == pytest.approx(0.7 + 3 * 2)


async def test_ordered_wins_over_what_a_handler_says_of_itself(autojump_clock: MockClock) -> None:
    class Parallel(Recording):
        concurrency = 4

        def order_by(self, event: Event) -> int:
            return key(event)

    busy = Busy(fails=lambda event: event.payload["number"] == 1 and event.attempt < 3)
    handler = Parallel(busy)
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(handler, ordered=True)
        for number in range(6):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert busy.most == 1
    assert handler.numbers == [0, 1, 2, 3, 4, 5]


async def test_ordered_goes_on_after_a_dead_letter(autojump_clock: MockClock) -> None:
    handler = Recording(Busy(fails=lambda event: event.payload["number"] == 1))
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(handler, ordered=True)
        for number in range(4):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert handler.numbers == [0, 2, 3]


async def test_with_256_retries_waiting_a_handler_pauses_until_one_is_through(
    autojump_clock: MockClock,
) -> None:
    busy = Busy(takes=0, fails=lambda event: event.attempt == 1)
    policy = RetryPolicy(max_retries=1, initial_delay=60, jitter=False)
    async with running_async_bus(retry_policy=policy, grace=600) as bus:
        subscription = bus.subscribe(Recording(busy))
        for number in range(400):
            await bus.publish(event_of(number))
        await trio.sleep(30)
        assert len(busy.begun) == 256
        assert subscription.mailbox.statistics().retrying == 256
        assert subscription.mailbox.statistics().queued == 400 - 256
        await bus.wait_idle()
        assert trio.current_time() == pytest.approx(120)
    assert Counter(attempt for _, _, attempt in busy.begun) == {1: 400, 2: 400}


async def test_a_lower_priority_number_is_dispatched_to_first(autojump_clock: MockClock) -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[Event], Any]:
        async def note(event: Event) -> None:
            order.append(name)

        return note

    async with running_async_bus() as bus:
        for name, priority in (("late", 200), ("early", 1), ("middle", 100), ("also middle", None)):
            bus.subscribe(noting(name), event_types=[EventType.TEST_RESULT], name=name, priority=priority)
        assert [subscription.name for subscription in bus._core.routes[EventType.TEST_RESULT].takers] == [
            "early", "middle", "also middle", "late"
        ]  # fmt: skip
        await (await bus.publish(event_of())).wait_settled()
    assert sorted(order) == ["also middle", "early", "late", "middle"]


def no_key(event: Event) -> Any:
    if event.payload["number"] == 1:
        raise ValueError("no key")
    return key(event)


def no_hash(event: Event) -> Any:
    return ["a list"] if event.payload["number"] == 1 else key(event)


@pytest.mark.parametrize("order_by", [no_key, no_hash])
@pytest.mark.parametrize("retries", [0, 2])
async def test_a_key_function_that_raises_fails_that_event_and_nothing_else(
    order_by: Callable[[Event], Any], retries: int, autojump_clock: MockClock
) -> None:
    handler, other = Recording(name="keyed"), Recording(name="other")
    policy = RetryPolicy(max_retries=retries, jitter=False)
    async with running_async_bus(retry_policy=policy, grace=600) as bus:
        subscription = bus.subscribe(handler, order_by=order_by, concurrency=2)
        bus.subscribe(other)
        receipts = [await bus.publish(event_of(number)) for number in range(6)]
        await bus.wait_idle()
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
        statistics = subscription.mailbox.statistics()
    assert (letter.handler_name, letter.attempts) == ("keyed", retries + 1)
    assert receipts[1].outcomes == {"keyed": Outcome.DEAD_LETTERED, "other": Outcome.HANDLED}
    assert sorted(handler.numbers) == [0, 2, 3, 4, 5]
    assert other.numbers == [0, 1, 2, 3, 4, 5]
    assert (statistics.queued, statistics.in_hand, statistics.keys_held) == (0, 0, 0)
