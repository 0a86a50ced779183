"""Poison becomes dead letters wherever it stands; an outage, however long, makes none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_events import Event
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus
from support.handlers import Recording, event_of

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
EVENTS = 12
RESET = 600.0


class Away(ConnectionError):
    """The other side is not there."""

    outage = True


def by(keys: int) -> Callable[[Event], Hashable]:
    return lambda event: event.payload["number"] % keys


@dataclass(frozen=True)
class Plan:
    """One subscription, and what happens to it.

    Attributes:
        concurrency: of its workers.
        keys: how many there are; 0 for no order at all.
        ordered: all in order, each retry in its place.
        retries: of an event.
        threshold: failures that open the circuit.
        reset: seconds until an open circuit lets probes through.
        probes: calls at once of a half-open circuit.
        capacity: of the mailbox.
        poison: the numbers of events that nobody can handle.
        checked_first: what is poison fails also while the other side is away.
        away: from when to when the other side is away, in seconds.
    """

    concurrency: int = 1
    keys: int = 0
    ordered: bool = False
    retries: int = 3
    threshold: int = 5
    reset: float = 30.0
    probes: int = 3
    capacity: int = 1024
    poison: frozenset[int] = frozenset()
    checked_first: bool = False
    away: tuple[float, float] = (0.0, 0.0)

    async def run(self) -> tuple[dict[int, Outcome], Counter[int], float]:
        """Each event's outcome, how often it was handled, and when all was settled."""
        calls: Counter[int] = Counter()

        async def handle(event: Event) -> None:
            number, now = event.payload["number"], trio.current_time()
            await trio.sleep(0.01)
            if self.checked_first and number in self.poison:
                raise ValueError(f"{number} is poison")
            if self.away[0] <= now < self.away[1]:
                raise Away
            if number in self.poison:
                raise ValueError(f"{number} is poison")
            calls[number] += 1

        policy = RetryPolicy(max_retries=self.retries, initial_delay=1, jitter=False)
        breaker = CircuitBreaker(
            self.threshold, reset_timeout=self.reset, success_threshold=2, half_open_max_calls=self.probes
        )
        async with running_async_bus(retry_policy=policy, capacity=self.capacity, grace=WEEK) as bus:
            bus.subscribe(
                Recording(handle, name="handler"),
                breaker=breaker,
                concurrency=self.concurrency,
                order_by=by(self.keys) if self.keys else None,
                ordered=self.ordered,
            )
            receipts = [await bus.publish(event_of(number)) for number in range(EVENTS)]
            with trio.fail_after(2 * WEEK):
                await bus.wait_idle()
            over = trio.current_time()
        return {number: receipt.outcomes["handler"] for number, receipt in enumerate(receipts)}, calls, over


ORDERS = [
    Plan(),
    Plan(ordered=True),
    Plan(keys=1),
    Plan(keys=2),
    Plan(keys=EVENTS),
    Plan(keys=2, concurrency=2),
]


@pytest.mark.parametrize("threshold", [1, 3, 5])
@pytest.mark.parametrize("poison", [{0}, {0, 1}, {0, 2, 4}, {EVENTS - 1}, set(range(EVENTS))], ids=str)
@pytest.mark.parametrize(
    "order", ORDERS, ids=["unordered", "ordered", "1 key", "2 keys", "all keys", "2 workers"]
)
async def test_poison_becomes_a_dead_letter_though_nothing_else_can_be_tried(
    order: Plan, poison: set[int], threshold: int, autojump_clock: MockClock
) -> None:
    plan = Plan(
        order.concurrency,
        order.keys,
        order.ordered,
        threshold=threshold,
        poison=frozenset(poison),
    )
    outcomes, calls, over = await plan.run()
    dead = {number for number, outcome in outcomes.items() if outcome is Outcome.DEAD_LETTERED}
    assert dead == poison
    assert calls == Counter(set(range(EVENTS)) - poison)
    assert over < 15 * 60 * len(poison) + (DAY if len(poison) == EVENTS else 0)


async def test_one_poisonous_event_alone_takes_as_many_attempts_and_one_probe_more(
    autojump_clock: MockClock,
) -> None:
    attempts: list[int] = []

    async def handle(event: Event) -> None:
        attempts.append(event.attempt)
        raise ValueError

    async with running_async_bus(retry_policy=RetryPolicy(max_retries=3, jitter=False)) as bus:
        bus.subscribe(Recording(handle), breaker=CircuitBreaker(1, reset_timeout=30))
        await bus.publish(event_of(0))
        await bus.wait_idle()
        assert trio.current_time() == pytest.approx(4 * 30)
        assert [letter.attempts for letter in bus.error_policy.dead_letter_queue.get_entries()] == [4]
    assert attempts == [1, 2, 2, 3, 4]


async def test_an_outage_that_does_not_say_so_dead_letters_nothing_while_others_can_be_tried(
    autojump_clock: MockClock,
) -> None:
    """120 probes of an hour, of 200 events: none is tried twice."""
    tried: Counter[int] = Counter()

    async def handle(event: Event) -> None:
        if trio.current_time() < HOUR:
            tried[event.payload["number"]] += 1
            raise RuntimeError("away, but who knows that?")

    policy = RetryPolicy(max_retries=1, jitter=False)
    async with running_async_bus(retry_policy=policy, grace=DAY) as bus:
        bus.subscribe(Recording(handle), breaker=CircuitBreaker(5, reset_timeout=30))
        for number in range(200):
            await bus.publish(event_of(number))
        await bus.wait_idle()
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert set(tried.values()) == {1}
    assert len(tried) > 100


@pytest.mark.parametrize("_", range(8))
def test_the_last_events_of_a_burst_that_meet_an_outage_are_none_of_them_given_up(_: int) -> None:
    """They are too few to open the circuit. Whichever worker is first, which trio leaves to chance."""
    plan = Plan(concurrency=2, retries=1, threshold=4, away=(0.05, 20.0))
    outcomes, _calls, over = trio.run(plan.run, clock=MockClock(autojump_threshold=0))
    assert set(outcomes.values()) == {Outcome.HANDLED}
    assert over < 60


async def test_one_that_began_before_an_outage_and_ends_well_does_not_overtake_those_that_met_it(
    autojump_clock: MockClock,
) -> None:
    async def handle(event: Event) -> None:
        if event.payload["number"] == 0:
            await trio.sleep(5)
        elif trio.current_time() < 20:
            raise Away

    policy = RetryPolicy(max_retries=1, initial_delay=1, jitter=False)
    async with running_async_bus(retry_policy=policy, grace=DAY) as bus:
        bus.subscribe(Recording(handle, name="handler"), breaker=CircuitBreaker(50), concurrency=2)
        receipts = [await bus.publish(event_of(number)) for number in range(2)]
        await bus.wait_idle()
        assert [receipt.outcomes["handler"] for receipt in receipts] == [Outcome.HANDLED] * 2


WHAT_HAPPENS = {
    "retries": st.integers(1, 4),
    "threshold": st.integers(1, 6),
    "reset": st.just(RESET),
    "capacity": st.sampled_from([1, 4, 1024]),
    "poison": st.frozensets(st.integers(0, EVENTS - 1), max_size=5),
    "checked_first": st.booleans(),
    "away": st.tuples(st.sampled_from([0.0, 0.05, 5.0]), st.sampled_from([0.0, 20.0, HOUR, 3 * DAY])),
}
plans = st.builds(Plan, ordered=st.just(True), **WHAT_HAPPENS) | st.builds(
    Plan,
    concurrency=st.sampled_from([1, 1, 2, 4]),
    keys=st.sampled_from([0, 0, 1, 2, 3, EVENTS]),
    probes=st.integers(1, 3),
    **WHAT_HAPPENS,
)


@given(plans)
@settings(max_examples=40, deadline=None)
def test_through_any_outage_exactly_what_is_poison_becomes_a_dead_letter(plan: Plan) -> None:
    outcomes, calls, over = trio.run(plan.run, clock=MockClock(autojump_threshold=0))
    dead = {number for number, outcome in outcomes.items() if outcome is Outcome.DEAD_LETTERED}
    assert dead == plan.poison
    assert calls == Counter(set(range(EVENTS)) - plan.poison)
    # However long it was away: what is left takes so many rounds, at the most through all that is poison.
    bad = len(plan.poison)
    assert over < plan.away[1] + RESET * (plan.retries + 2) * (bad + 1) * (bad + 2)
