"""RetryPolicy in plain code: what it says by hand is what a supervisor would be told."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.policies.retry_policy import ImmediateRetryPolicy, NoRetryPolicy, RetryPolicy
from pywats_supervision.policies import Failure, Retry, Skip, Verdict
from pywats_supervision.runtime import CURRENT_RUNTIME
from pywats_supervision.system import system_runtime


@dataclass
class Event:
    """As much of an event as a policy asks for."""

    attempt: int = 1
    name: str = "test.result"


@dataclass
class Delivery:
    """What a bus has in hand."""

    event: Event


class ValidationFailed(Exception):
    blames_item = True


def test_the_policy_of_the_manual_is_built_as_written() -> None:
    policy = RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=60.0, exponential_base=2.0, jitter=True)
    policy.retry_on(ConnectionError, TimeoutError)
    assert policy.no_retry_on(ValueError) is policy
    assert policy.should_retry(Event(), ConnectionError())
    assert not policy.should_retry(Event(), ValueError())
    assert not policy.should_retry(Event(), KeyError())


def test_an_event_is_retried_as_often_as_max_retries_says() -> None:
    policy = RetryPolicy(max_retries=2)
    assert [policy.should_retry(Event(attempt), OSError()) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("error", [msgspec.ValidationError("of another kind"), ValidationFailed()])
def test_validation_errors_blame_the_event(error: Exception) -> None:
    policy = RetryPolicy()
    state = policy.new_state(lambda: 0.5)
    assert policy.judge(state, Failure(error, Event()), 0.0) is Verdict.BLAMED
    assert not policy.should_retry(Event(), error)


def test_what_the_user_says_of_validation_errors_holds() -> None:
    policy = RetryPolicy().retry_on(msgspec.ValidationError)
    assert policy.should_retry(Event(), msgspec.ValidationError())
    assert not policy.should_retry(Event(), OSError())


def test_validation_errors_alone_do_not_restrict_what_is_retried() -> None:
    assert RetryPolicy().should_retry(Event(), OSError())


@given(st.integers(1, 6), st.sampled_from([OSError(), KeyError(), ConnectionError()]), st.integers(0, 4))
def test_by_hand_and_by_a_supervisor_it_decides_the_same(
    attempt: int, error: Exception, retries: int
) -> None:
    policy = RetryPolicy(max_retries=retries).retry_on(OSError).no_retry_on(ConnectionError)
    by_hand = policy.should_retry(Event(attempt), error)
    state = policy.new_state(lambda: 0.5)
    failure = Failure(error, Delivery(Event(attempt)), attempt)
    decision = policy.failed(state, replace(failure, verdict=policy.judge(state, failure, 0.0)), 0.0)
    assert decision is not None
    assert isinstance(decision.item, Retry if by_hand else Skip)


def test_delays_grow_with_the_attempt_and_are_capped() -> None:
    policy = RetryPolicy(initial_delay=1.0, max_delay=3.0, jitter=False)
    assert [policy.get_delay(Event(attempt)) for attempt in (1, 2, 3, 900)] == [1.0, 2.0, 3.0, 3.0]


def test_the_jitter_by_hand_comes_from_the_runtime_of_the_tree() -> None:
    policy, found = RetryPolicy(), []
    for _ in range(2):
        token = CURRENT_RUNTIME.set(replace(system_runtime(), random=random.Random(5)))
        found.append([policy.get_delay(Event()) for _ in range(5)])
        CURRENT_RUNTIME.reset(token)
    assert found[0] == found[1]
    assert len(set(found[0])) == 5


def test_asking_by_hand_does_not_put_it_in_use() -> None:
    policy = RetryPolicy()
    assert policy.should_retry(Event(), KeyError())
    policy.no_retry_on(KeyError)
    assert not policy.should_retry(Event(), KeyError())


def test_predicates_must_all_agree_by_hand_and_on_a_bus() -> None:
    policy = RetryPolicy()
    assert policy.add_predicate(lambda event, error: event.name == "test.result") is policy
    policy.add_predicate(lambda event, error: "busy" in str(error))
    assert policy.should_retry(Event(), OSError("busy"))
    assert not policy.should_retry(Event(), OSError("gone"))
    assert not policy.should_retry(Event(name="other"), OSError("busy"))
    state = policy.new_state(lambda: 0.5)
    for name, kind in (("test.result", Retry), ("other", Skip)):
        decision = policy.failed(state, Failure(OSError("busy"), Delivery(Event(name=name))), 0.0)
        assert decision is not None
        assert isinstance(decision.item, kind)


def test_a_predicate_that_raises_refuses_and_leaves_a_note_on_the_error() -> None:
    policy = RetryPolicy().add_predicate(lambda event, error: bool(event.missing))
    error = OSError()
    assert not policy.should_retry(Event(), error)
    (note,) = error.__notes__
    assert "AttributeError" in note
    assert "missing" in note


def test_predicates_count_for_equality_and_cannot_be_added_in_use() -> None:
    policy = RetryPolicy()
    assert policy == RetryPolicy()
    policy.add_predicate(lambda event, error: True)
    assert policy != RetryPolicy()
    policy.new_state(lambda: 0.5)
    with pytest.raises(RuntimeError, match=r"^add_predicate was called on .* in use"):
        policy.add_predicate(lambda event, error: True)
    with pytest.raises(TypeError, match="predicate must be callable, not 3"):
        RetryPolicy().add_predicate(3)  # type: ignore[arg-type]


def test_the_two_ready_made_ones() -> None:
    assert not NoRetryPolicy().should_retry(Event(), OSError())
    immediate = ImmediateRetryPolicy(max_retries=1)
    assert immediate.should_retry(Event(), OSError())
    assert not immediate.should_retry(Event(2), OSError())
    assert immediate.get_delay(Event()) == 0.0
