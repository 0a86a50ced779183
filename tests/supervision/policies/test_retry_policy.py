"""Promise 19: an item is tried again by the type of its error, max_retries times, then skipped."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_supervision.policies import Decision, Failure, Phase, Restart, Retry, RetryPolicy, Skip, Verdict


def middle() -> float:
    return 0.5


def decide(policy: RetryPolicy, error: Exception, **more: Any) -> Decision | None:
    state = policy.new_state(middle)
    failure = Failure(error, **{"item": "item", **more})
    if "verdict" not in more:
        failure = replace(failure, verdict=policy.judge(state, failure, 0.0))
    return policy.failed(state, failure, 0.0)


def skipped(policy: RetryPolicy, error: Exception, **more: Any) -> bool:
    decision = decide(policy, error, **more)
    assert decision is not None
    return decision.item == Skip()


def with_attributes(**attributes: object) -> Exception:
    error = OSError("made for the test")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def test_three_retries_are_four_attempts_in_all() -> None:
    policy = RetryPolicy(max_retries=3)
    assert [skipped(policy, OSError(), attempt=attempt) for attempt in (1, 2, 3, 4, 5)] == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_without_retries_the_first_failure_skips() -> None:
    assert skipped(RetryPolicy(max_retries=0), OSError())


def test_the_item_waits_and_the_child_does_not() -> None:
    policy = RetryPolicy(initial_delay=1.0, max_delay=3.0, exponential_base=2.0, jitter=False)
    assert [decide(policy, OSError(), attempt=attempt) for attempt in (1, 2, 3)] == [
        Decision(Retry(1.0), Restart(0.0)),
        Decision(Retry(2.0), Restart(0.0)),
        Decision(Retry(3.0), Restart(0.0)),
    ]
    assert decide(policy, OSError(), attempt=4) == Decision(Skip(), Restart(0.0))


def test_only_types_named_in_retry_on_are_retried_once_it_was_called() -> None:
    policy = RetryPolicy().retry_on(ConnectionError, TimeoutError)
    assert not skipped(policy, ConnectionResetError())
    assert not skipped(policy, TimeoutError())
    assert skipped(policy, KeyError())


def test_no_retry_on_alone_leaves_all_other_types_retried() -> None:
    policy = RetryPolicy().no_retry_on(KeyError)
    assert skipped(policy, KeyError())
    assert not skipped(policy, LookupError())


@pytest.mark.parametrize("no_first", [True, False])
def test_the_most_specific_type_wins_in_whatever_order_they_were_named(no_first: bool) -> None:
    policy = RetryPolicy()
    if no_first:
        policy.no_retry_on(OSError, BrokenPipeError).retry_on(Exception, ConnectionError)
    else:
        policy.retry_on(Exception, ConnectionError).no_retry_on(OSError, BrokenPipeError)
    assert skipped(policy, FileNotFoundError())
    assert not skipped(policy, ConnectionResetError())
    assert skipped(policy, BrokenPipeError())
    assert not skipped(policy, KeyError())


def test_a_type_of_no_retry_on_is_skipped_even_when_nobody_judged() -> None:
    assert skipped(
        RetryPolicy().no_retry_on(KeyError).retry_on(LookupError), KeyError(), verdict=Verdict.CHARGED
    )


def test_of_two_parents_the_nearer_in_the_order_of_resolution_wins() -> None:
    class Both(KeyError, OSError):
        pass

    assert skipped(RetryPolicy().no_retry_on(KeyError).retry_on(OSError), Both())
    assert not skipped(RetryPolicy().no_retry_on(OSError).retry_on(KeyError), Both())


def test_of_a_type_named_twice_the_later_call_holds() -> None:
    assert skipped(RetryPolicy().retry_on(OSError).no_retry_on(OSError), OSError())
    assert not skipped(RetryPolicy().no_retry_on(OSError).retry_on(OSError), OSError())


@pytest.mark.parametrize("error", [KeyError(), with_attributes(blames_item=True)])
def test_an_error_that_blames_the_item_is_judged_so_and_skipped_at_its_first_attempt(
    error: Exception,
) -> None:
    policy = RetryPolicy(max_retries=10).no_retry_on(KeyError)
    state = policy.new_state(middle)
    assert policy.judge(state, Failure(error, "item"), 0.0) is Verdict.BLAMED
    assert skipped(policy, error)


def test_an_error_that_no_rule_retries_is_skipped_but_blames_nobody() -> None:
    policy = RetryPolicy().retry_on(OSError)
    failure = Failure(KeyError(), "item")
    assert policy.judge(policy.new_state(middle), failure, 0.0) is Verdict.CHARGED
    assert skipped(policy, KeyError())


@pytest.mark.parametrize("attempt", [1, 4, 1000])
def test_an_excused_attempt_is_never_the_last(attempt: int) -> None:
    policy = RetryPolicy(max_retries=3, jitter=False).retry_on(KeyError)
    decision = decide(policy, OSError(), attempt=attempt, verdict=Verdict.EXCUSED)
    assert decision == Decision(Retry(policy.delay_for(attempt, 0.5)), Restart())


def test_with_nothing_in_hand_it_decides_nothing_and_blames_nobody() -> None:
    policy = RetryPolicy(max_retries=0).no_retry_on(OSError)
    failure = Failure(OSError(), phase=Phase.START)
    assert policy.judge(policy.new_state(middle), failure, 0.0) is Verdict.CHARGED
    assert decide(policy, OSError(), item=None) is None


def test_retry_after_is_a_lower_bound_of_the_delay() -> None:
    policy = RetryPolicy(initial_delay=5.0, max_delay=10.0, jitter=False)
    assert decide(policy, with_attributes(retry_after=120)) == Decision(Retry(120.0))
    assert decide(policy, with_attributes(retry_after=1.0)) == Decision(Retry(5.0))


@pytest.mark.parametrize("senseless", [nan, inf, -inf, -1, "60", None, True, 10**400, [1]])
def test_a_senseless_retry_after_is_ignored(senseless: object) -> None:
    policy = RetryPolicy(initial_delay=0.25, jitter=False)
    assert decide(policy, with_attributes(retry_after=senseless)) == Decision(Retry(0.25))


def test_the_same_seed_gives_the_same_delays() -> None:
    policy = RetryPolicy(max_retries=100, initial_delay=1.0)

    def delays(seed: int) -> list[Decision | None]:
        state = policy.new_state(random.Random(seed).random)
        return [policy.failed(state, Failure(OSError(), "item", attempt), 0.0) for attempt in range(1, 20)]

    assert delays(7) == delays(7)
    assert delays(7) != delays(8)


@given(
    attempt=st.integers(1, 5000),
    chance=st.floats(0, 1, exclude_max=True),
    initial=st.floats(0, 100),
    base=st.floats(1, 100),
)
def test_a_jittered_delay_is_within_a_tenth_of_the_plain_one_and_never_above_the_maximum(
    attempt: int, chance: float, initial: float, base: float
) -> None:
    plain = RetryPolicy(initial_delay=initial, max_delay=100.0, exponential_base=base, jitter=False)
    spread = RetryPolicy(initial_delay=initial, max_delay=100.0, exponential_base=base)
    delay = plain.delay_for(attempt, chance)
    assert plain.delay_for(attempt, 0.0) == delay
    assert 0.9 * delay <= spread.delay_for(attempt, chance) * (1 + 1e-12)
    assert spread.delay_for(attempt, chance) <= min(1.1 * delay, 100.0)


def test_the_rules_cannot_be_changed_once_the_policy_is_in_use() -> None:
    policy = RetryPolicy().retry_on(OSError)
    policy.new_state(middle)
    with pytest.raises(RuntimeError, match=r"^retry_on was called on .* in use"):
        policy.retry_on(KeyError)
    with pytest.raises(RuntimeError, match=r"^no_retry_on was called on .* in use"):
        policy.no_retry_on(KeyError)
    with pytest.raises(AttributeError, match="max_retries"):
        policy.max_retries = 5  # type: ignore[misc]


def test_a_refused_type_changes_no_rule() -> None:
    policy = RetryPolicy()
    with pytest.raises(TypeError, match="retry_on takes types of exceptions, not 'OSError'"):
        policy.retry_on(KeyError, "OSError")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no_retry_on takes types"):
        policy.no_retry_on(KeyboardInterrupt)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        policy.retry_on()
    assert policy == RetryPolicy()


def test_policies_of_equal_configuration_are_equal() -> None:
    one = RetryPolicy(max_retries=2).retry_on(OSError).no_retry_on(KeyError)
    other = RetryPolicy(max_retries=2).no_retry_on(KeyError).retry_on(OSError)
    assert one == other
    assert hash(one) == hash(other)
    one.new_state(middle)
    assert one == other
    assert one != RetryPolicy(max_retries=2).retry_on(OSError)


def test_its_text_shows_the_numbers_and_the_rules() -> None:
    assert repr(RetryPolicy(max_retries=2).retry_on(OSError).no_retry_on(KeyError)) == (
        "RetryPolicy(max_retries=2, initial_delay=1, max_delay=60, exponential_base=2, jitter=True, "
        "jitter_factor=0.1).retry_on(OSError).no_retry_on(KeyError)"
    )


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": 1.5}, TypeError),
        ({"max_retries": True}, TypeError),
        ({"initial_delay": -0.1}, ValueError),
        ({"initial_delay": nan}, ValueError),
        ({"initial_delay": 61.0}, ValueError),
        ({"max_delay": inf}, ValueError),
        ({"max_delay": "60"}, TypeError),
        ({"exponential_base": 0.5}, ValueError),
        ({"exponential_base": 0}, ValueError),
        ({"jitter": 0.1}, TypeError),
        ({"jitter_factor": 2}, ValueError),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], kind: type[Exception]) -> None:
    name = "max_delay" if arguments.get("initial_delay") == 61.0 else next(iter(arguments))
    with pytest.raises(kind, match=f"^{name} must be"):
        RetryPolicy(**arguments)


def test_it_may_skip_and_says_so() -> None:
    assert RetryPolicy().skips
