"""Promise 20: policies compose, half by half, after all have judged."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_supervision.policies import (
    Admission,
    Backoff,
    CircuitBreaker,
    CircuitState,
    Composed,
    Decision,
    Escalate,
    Failure,
    Restart,
    RestartPolicy,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    Suspend,
    Verdict,
    compose,
)


def chance() -> float:
    return 0.5


@dataclass(frozen=True)
class Scripted(RestartPolicy[list[Any]]):
    """Answers what it was made with, and writes down what it heard."""

    answer: Decision | None = None
    verdict: Verdict = Verdict.CHARGED
    admission: Admission | None = None
    may_skip: bool = field(default=False, kw_only=True)

    @property
    def skips(self) -> bool:
        return self.may_skip

    def new_state(self, chance: Callable[[], float]) -> list[Any]:
        return []

    def judge(self, state: list[Any], failure: Failure, now: float) -> Verdict:
        return self.verdict

    def failed(self, state: list[Any], failure: Failure, now: float) -> Decision | None:
        state.append(("failed", failure.verdict, failure.probe))
        return self.answer

    def admit(self, state: list[Any], wanted: int, now: float) -> Admission:
        if self.admission is None:
            return Admission(wanted)
        return replace(self.admission, count=min(wanted, self.admission.count))

    def unlimited(self, state: list[Any]) -> bool:
        return self.admission is None

    def progressed(self, state: list[Any], count: int, probes: int, now: float) -> None:
        state.append(("progressed", count, probes))

    def withdrawn(self, state: list[Any], probes: int, now: float) -> None:
        state.append(("withdrawn", probes))

    def watch(self, state: list[Any], changed: Callable[[], None]) -> None:
        changed()


@dataclass(frozen=True)
class Opaque(RestartPolicy[Any]):
    """Another policy in disguise, which `compose` cannot take apart."""

    inner: RestartPolicy[Any]

    def new_state(self, chance: Callable[[], float]) -> Any:
        return self.inner.new_state(chance)

    def judge(self, state: Any, failure: Failure, now: float) -> Verdict:
        return self.inner.judge(state, failure, now)

    def failed(self, state: Any, failure: Failure, now: float) -> Decision | None:
        return self.inner.failed(state, failure, now)

    def admit(self, state: Any, wanted: int, now: float) -> Admission:
        return self.inner.admit(state, wanted, now)

    def withdrawn(self, state: Any, probes: int, now: float) -> None:
        self.inner.withdrawn(state, probes, now)


def decide(policy: RestartPolicy[Any], state: Any, failure: Failure, now: float = 0.0) -> Decision | None:
    """As a supervisor asks."""
    return policy.failed(state, replace(failure, verdict=policy.judge(state, failure, now)), now)


def answer_of(*policies: RestartPolicy[Any]) -> Decision | None:
    policy = compose(*policies)
    return decide(policy, policy.new_state(chance), Failure(OSError(), "item"))


def error_with(**attributes: object) -> Exception:
    error = OSError("made for the test")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


seconds = st.floats(0, 1000)
decisions = st.none() | st.builds(
    Decision,
    st.builds(Retry, seconds) | st.just(Skip()),
    st.builds(Restart, seconds)
    | st.builds(Suspend, seconds | st.just(inf))
    | st.sampled_from([Stop(), Escalate()]),
)
admissions = st.none() | st.builds(
    lambda count, limited, at: Admission(count, limited, inf if count else at),
    st.integers(0, 4),
    st.booleans(),
    seconds | st.just(inf),
)
policies = st.builds(Scripted, decisions, st.sampled_from(Verdict), admissions)


@given(st.lists(policies, min_size=3, max_size=3), st.integers(1, 5))
def test_composition_is_associative(three: list[Scripted], wanted: int) -> None:
    first, second, third = three
    flat = compose(first, second, third)
    assert compose(compose(first, second), third) == flat == compose(first, compose(second, third))
    left = compose(Opaque(compose(first, second)), third)
    right = compose(first, Opaque(compose(second, third)))
    failure = Failure(OSError(), "item")
    states = [policy.new_state(chance) for policy in (flat, left, right)]
    answers = [
        decide(policy, state, failure) for policy, state in zip((flat, left, right), states, strict=True)
    ]
    assert answers[0] == answers[1] == answers[2]
    granted = [
        policy.admit(state, wanted, 0.0) for policy, state in zip((flat, left, right), states, strict=True)
    ]
    assert granted[0] == granted[1] == granted[2]


@given(st.lists(policies, min_size=1, max_size=4), st.integers(1, 5))
def test_the_order_of_policies_makes_no_difference_to_the_answers(
    several: list[Scripted], wanted: int
) -> None:
    there, back = compose(*several), compose(*reversed(several))
    failure = Failure(OSError(), "item")
    one, other = there.new_state(chance), back.new_state(chance)
    assert decide(there, one, failure) == decide(back, other, failure)
    assert there.admit(one, wanted, 0.0) == back.admit(other, wanted, 0.0)
    assert there.unlimited(one) == back.unlimited(other)


def test_one_alone_is_returned_as_it_is_and_none_is_refused() -> None:
    policy = Backoff()
    assert compose(policy) is policy
    assert compose(compose(policy)) is policy
    with pytest.raises(ValueError, match="at least one"):
        compose()
    with pytest.raises(TypeError, match="takes restart policies, not 3"):
        compose(policy, 3)  # type: ignore[arg-type]


def test_nested_compositions_are_one_list() -> None:
    retry, breaker, backoff = RetryPolicy(), CircuitBreaker(), Backoff()
    nested = compose(compose(retry, breaker), backoff)
    assert nested == Composed((retry, breaker, backoff))


def test_skip_beats_retry_and_delays_combine_by_maximum() -> None:
    assert answer_of(Scripted(Decision(Retry(3.0))), Scripted(Decision(Retry(5.0)))) == Decision(Retry(5.0))
    assert answer_of(Scripted(Decision(Skip())), Scripted(Decision(Retry(5.0)))) == Decision(Skip())


@pytest.mark.parametrize(
    ("mild", "grave"),
    [
        (Restart(1.0), Restart(2.0)),
        (Restart(99.0), Suspend(5.0)),
        (Suspend(5.0), Suspend(inf)),
        (Suspend(inf), Stop()),
        (Stop(), Escalate()),
    ],
)
def test_of_two_decisions_about_the_child_the_graver_stands(mild: Any, grave: Any) -> None:
    assert answer_of(Scripted(Decision(child=mild)), Scripted(Decision(child=grave))) == Decision(child=grave)


def test_who_leaves_it_undecided_is_not_heard_and_all_undecided_stays_so() -> None:
    assert answer_of(Scripted(None), Scripted(Decision(Retry(1.0)))) == Decision(Retry(1.0))
    assert answer_of(Scripted(None), Scripted(None)) is None


def test_all_hear_the_gravest_verdict_of_any() -> None:
    policy = compose(Scripted(), Scripted(verdict=Verdict.EXCUSED), Scripted())
    state = policy.new_state(chance)
    decide(policy, state, Failure(OSError(), "item"))
    assert [heard[0][1] for heard in state.states] == [Verdict.EXCUSED] * 3


def test_an_item_to_blame_is_skipped_and_the_child_goes_on_whatever_the_answers_are() -> None:
    blaming = Scripted(verdict=Verdict.BLAMED)
    grave = Scripted(Decision(Retry(9.0), Escalate()), Verdict.EXCUSED)
    assert answer_of(blaming, grave) == Decision(Skip(), Restart(0.0))


def test_it_skips_if_one_of_them_does() -> None:
    assert not compose(Scripted(), Scripted()).skips
    assert compose(Scripted(), Scripted(may_skip=True)).skips


def test_the_least_is_granted_and_probes_granted_beyond_that_are_withdrawn() -> None:
    policy = compose(
        Scripted(admission=Admission(3, limited=True)),
        Scripted(admission=Admission(1, limited=True)),
        Scripted(),
    )
    state = policy.new_state(chance)
    assert policy.admit(state, 5, 0.0) == Admission(1, limited=True)
    assert state.states == [[("withdrawn", 2)], [], []]


def test_when_some_refuse_the_latest_of_their_times_is_when_to_ask_again() -> None:
    policy = compose(
        Scripted(admission=Admission(0, at=5.0)),
        Scripted(admission=Admission(2, limited=True)),
        Scripted(admission=Admission(0, at=9.0)),
    )
    state = policy.new_state(chance)
    assert policy.admit(state, 5, 0.0) == Admission(0, limited=True, at=9.0)
    assert state.states[1] == [("withdrawn", 2)]


def test_progress_is_told_to_all_but_a_probe_only_to_whose_it_was() -> None:
    policy = compose(Scripted(admission=Admission(2, limited=True)), Scripted())
    state = policy.new_state(chance)
    policy.admit(state, 2, 0.0)
    policy.progressed(state, 7, 1, 0.0)
    assert state.states == [[("progressed", 7, 1)], [("progressed", 7, 0)]]
    decide(policy, state, Failure(OSError(), "item", probe=True))
    assert [heard[-1][2] for heard in state.states] == [True, False]


def test_a_breaker_is_not_given_back_the_probe_of_another() -> None:
    one = CircuitBreaker(1, reset_timeout=10.0, half_open_max_calls=2, success_threshold=9)
    other = CircuitBreaker(1, reset_timeout=10.0, half_open_max_calls=1, success_threshold=9)
    policy = compose(one, other)
    state = policy.new_state(chance)
    first, second = state.states
    one.failed(first, Failure(OSError(), "item"), 0.0)
    assert policy.admit(state, 1, 10.0) == Admission(1, limited=True)  # of one alone
    other.failed(second, Failure(OSError(), "item"), 10.0)
    assert policy.admit(state, 1, 20.0) == Admission(1, limited=True)  # of both
    policy.progressed(state, 1, 1, 20.0)
    assert (first.probes, second.probes) == (1, 1)
    assert policy.admit(state, 1, 20.0).count == 0
    policy.progressed(state, 1, 1, 20.0)
    assert (first.probes, second.probes) == (0, 0)
    assert policy.admit(state, 1, 20.0).count == 1


def test_watching_it_watches_all() -> None:
    policy = compose(Scripted(), Scripted())
    told: list[int] = []
    policy.watch(policy.new_state(chance), lambda: told.append(1))
    assert told == [1, 1]


def test_a_person_sees_the_state_of_each() -> None:
    policy = compose(RetryPolicy(), CircuitBreaker(), CircuitBreaker(1), Backoff())
    closed = {"circuit": "closed", "failures": 0, "successes": 0, "probes": 0}
    assert policy.describe(policy.new_state(chance)) == {
        "RetryPolicy": {"max_retries": 3},
        "CircuitBreaker": closed,
        "CircuitBreaker 2": closed,
        "Backoff": {"failures": 0},
    }


def test_the_last_retry_and_the_threshold_in_one_failure_both_take_effect() -> None:
    retry, breaker = RetryPolicy(max_retries=2), CircuitBreaker(3, reset_timeout=30.0)
    policy = compose(retry, breaker)
    state = policy.new_state(chance)
    answers = [decide(policy, state, Failure(OSError(), "item", attempt), 10.0) for attempt in (1, 2, 3)]
    assert answers[-1] == Decision(Skip(), Suspend(40.0))
    assert breaker.state is CircuitState.OPEN


def test_errors_that_blame_the_item_do_not_trip_the_breaker_and_give_back_its_probe() -> None:
    breaker = CircuitBreaker(1, half_open_max_calls=1, reset_timeout=30.0)
    policy = compose(RetryPolicy().no_retry_on(ValueError), breaker)
    state = policy.new_state(chance)
    blaming = Failure(ValueError(), "item")
    for _ in range(10):
        assert decide(policy, state, blaming) == Decision(Skip(), Restart())
    assert breaker.state is CircuitState.CLOSED
    decide(policy, state, Failure(OSError(), "item"))
    assert policy.admit(state, 1, 30.0) == Admission(1, limited=True)
    assert decide(policy, state, replace(blaming, probe=True), 30.0) == Decision(Skip(), Restart())
    assert policy.admit(state, 1, 30.0) == Admission(1, limited=True)


def test_a_poison_item_as_probe_keeps_its_attempts_and_does_not_keep_the_circuit_from_closing() -> None:
    breaker = CircuitBreaker(2, half_open_max_calls=1, success_threshold=1, reset_timeout=30.0)
    policy = compose(RetryPolicy(max_retries=0), breaker)
    state = policy.new_state(chance)
    for _ in range(2):
        assert decide(policy, state, Failure(OSError(), "other")) is not None
    for now in (30.0, 60.0, 90.0):
        assert policy.admit(state, 1, now).limited
        answer = decide(policy, state, Failure(KeyError(), "poison", 1, probe=True), now)
        assert answer is not None
        assert isinstance(answer.item, Retry)
        assert answer.child == Suspend(now + 30.0)
    assert policy.admit(state, 1, 120.0).limited
    policy.progressed(state, 1, 1, 120.0)
    assert policy.unlimited(state)
    answer = decide(policy, state, Failure(KeyError(), "poison", 1), 121.0)
    assert answer == Decision(Skip(), Restart())


@given(items=st.integers(1, 12), rejecting=st.floats(0.0, 20.0))
def test_an_outage_of_an_hour_skips_nothing_and_all_is_done_after_it(items: int, rejecting: float) -> None:
    policy = compose(RetryPolicy(max_retries=3), CircuitBreaker(5, reset_timeout=30.0))
    state = policy.new_state(chance)
    due = [(0.0, number) for number in range(items)]
    now, attempts, asked = 0.0, [1] * items, 0
    while due:
        at, number = heapq.heappop(due)
        now = max(now, at)
        admission = policy.admit(state, 1, now)
        asked += 1
        if not admission.count:
            heapq.heappush(due, (max(now, admission.at), number))
            continue
        if now >= 3600.0:
            policy.progressed(state, 1, int(admission.limited), now)
            continue
        now += rejecting
        failure = Failure(error_with(outage=True), number, attempts[number], probe=admission.limited)
        verdict = policy.judge(state, failure, now)
        answer = policy.failed(state, replace(failure, verdict=verdict), now)
        assert answer is not None
        assert isinstance(answer.item, Retry)
        attempts[number] += verdict is Verdict.CHARGED
        heapq.heappush(due, (now + answer.item.delay, number))
    assert attempts == [1] * items
    assert policy.unlimited(state) or items == 1
    assert asked < 3000 * items


def test_an_error_that_only_a_person_can_help_suspends_the_child_and_keeps_the_item() -> None:
    policy = compose(RetryPolicy(max_retries=0, jitter=False), CircuitBreaker(), Backoff())
    answer = decide(policy, policy.new_state(chance), Failure(error_with(suspend=True), "item", 5))
    assert answer is not None
    assert isinstance(answer.item, Retry)
    assert answer.child == Suspend(inf)


def test_an_outage_is_charged_once_another_item_has_overtaken_it() -> None:
    policy = compose(RetryPolicy(max_retries=0), CircuitBreaker())
    state = policy.new_state(chance)
    failure = Failure(error_with(outage=True), "item")
    kept = decide(policy, state, failure)
    assert kept is not None
    assert isinstance(kept.item, Retry)
    assert decide(policy, state, replace(failure, overtaken=True)) == Decision(Skip(), Restart())
