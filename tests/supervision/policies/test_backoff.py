"""Promise 17, as far as it is a decision: delays grow, are capped, jittered reproducibly, and begin again."""

from __future__ import annotations

import random
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_supervision.policies import (
    Backoff,
    Decision,
    Failure,
    Restart,
    Retry,
    Verdict,
    growing_delay,
)


def middle() -> float:
    return 0.5


def delays(policy: Backoff, count: int, *, seed: int | None = None, uptime: float = 0.0) -> list[float]:
    state = policy.new_state(middle if seed is None else random.Random(seed).random)
    found = []
    for _ in range(count):
        decision = policy.failed(state, Failure(OSError(), uptime=uptime), 0.0)
        assert isinstance(decision.child, Restart)
        found.append(decision.child.delay)
    return found


def test_delays_double_until_the_maximum() -> None:
    policy = Backoff(initial=0.5, maximum=5.0, factor=2.0, jitter=0.0)
    assert delays(policy, 6) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_million_failures_in_a_row_still_have_the_longest_delay() -> None:
    policy = Backoff(initial=0.5, maximum=60.0, factor=10, jitter=0.0)
    assert policy.delay_for(1_000_000, 0.5) == 60.0


def test_the_same_seed_gives_the_same_delays_and_another_seed_others() -> None:
    policy = Backoff(jitter=0.5)
    assert delays(policy, 20, seed=1) == delays(policy, 20, seed=1)
    assert delays(policy, 20, seed=1) != delays(policy, 20, seed=2)


def test_those_who_failed_together_do_not_come_back_together_even_at_the_maximum() -> None:
    policy = Backoff(initial=1.0, maximum=1.0, jitter=0.2)
    found = {delays(policy, 1, seed=seed)[0] for seed in range(50)}
    assert len(found) == 50
    assert max(found) < 1.0
    assert min(found) > 0.8


def test_a_child_that_was_up_for_healthy_after_seconds_begins_again() -> None:
    policy = Backoff(initial=1.0, maximum=60.0, jitter=0.0, healthy_after=10.0)
    state = policy.new_state(middle)
    found = [
        policy.failed(state, Failure(OSError(), uptime=uptime), 0.0).child
        for uptime in (0.0, 0.0, 9.9, 10.0, 0.0)
    ]
    assert found == [Restart(1.0), Restart(2.0), Restart(4.0), Restart(1.0), Restart(2.0)]


def test_two_users_of_one_policy_count_apart() -> None:
    policy = Backoff(initial=1.0, jitter=0.0)
    one, other = policy.new_state(middle), policy.new_state(middle)
    policy.failed(one, Failure(OSError()), 0.0)
    assert policy.failed(one, Failure(OSError()), 0.0).child == Restart(2.0)
    assert policy.failed(other, Failure(OSError()), 0.0).child == Restart(1.0)


def test_an_item_stays_with_the_child_whatever_its_attempt() -> None:
    policy = Backoff()
    assert not policy.skips
    decision = policy.failed(policy.new_state(middle), Failure(OSError(), "item", attempt=1000), 0.0)
    assert decision.item == Retry(0.0)


def test_retry_after_lengthens_the_delay_beyond_the_maximum() -> None:
    error = OSError()
    error.retry_after = 90  # type: ignore[attr-defined]
    policy = Backoff(initial=1.0, maximum=2.0)
    assert policy.failed(policy.new_state(middle), Failure(error), 0.0).child == Restart(90.0)


def test_a_failure_that_blames_the_item_is_not_counted() -> None:
    policy = Backoff(initial=1.0, jitter=0.0)
    state = policy.new_state(middle)
    blamed = Failure(ValueError(), "item", verdict=Verdict.BLAMED)
    assert policy.failed(state, blamed, 0.0) == Decision()
    assert policy.describe(state) == {"failures": 0}
    assert policy.failed(state, Failure(OSError()), 0.0).child == Restart(1.0)


@given(
    count=st.integers(1, 10_000),
    initial=st.floats(0, 1e6),
    span=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    jitter=st.floats(0, 1),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_delay_is_within_its_bounds(
    count: int, initial: float, span: float, factor: float, jitter: float, chance: float
) -> None:
    maximum = initial + span
    delay = growing_delay(
        count, initial=initial, maximum=maximum, factor=factor, jitter=jitter, chance=chance
    )
    assert initial * (1 - jitter) <= delay * (1 + 1e-9) + 1e-300
    assert 0.0 <= delay <= maximum


@given(initial=st.floats(0.001, 10), factor=st.floats(1, 10), count=st.integers(1, 400))
def test_without_jitter_no_delay_is_shorter_than_the_one_before(
    initial: float, factor: float, count: int
) -> None:
    policy = Backoff(initial=initial, maximum=100.0, factor=factor, jitter=0.0)
    assert policy.delay_for(count, 0.0) <= policy.delay_for(count + 1, 0.0)


@pytest.mark.parametrize("name", ["initial", "maximum", "factor", "jitter", "healthy_after"])
@pytest.mark.parametrize("value", [nan, inf, -1.0, 10**400])
def test_a_number_out_of_range_is_refused_with_its_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .* not "):
        Backoff(**{name: value})


@pytest.mark.parametrize("name", ["initial", "maximum", "factor", "jitter", "healthy_after"])
@pytest.mark.parametrize("value", [True, "1", None])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a number"):
        Backoff(**{name: value})


@pytest.mark.parametrize(
    "arguments",
    [{"initial": 0}, {"healthy_after": 0}, {"initial": 5, "maximum": 4}, {"factor": 0.9}, {"jitter": 1.1}],
)
def test_zero_and_contradictions_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Backoff(**arguments)


def test_a_policy_is_a_value_that_cannot_be_changed() -> None:
    policy = Backoff(initial=1)
    assert policy == Backoff(initial=1.0)
    assert policy != Backoff()
    with pytest.raises(AttributeError, match="initial"):
        policy.initial = 2.0  # type: ignore[misc]
