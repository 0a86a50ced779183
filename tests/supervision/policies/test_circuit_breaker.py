"""Promise 18, as far as it is a decision: what a circuit admits, and what it makes of failures."""

from __future__ import annotations

import gc
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from pywats_supervision.policies import (
    TRANSITIONS,
    Admission,
    BreakerState,
    CircuitBreaker,
    CircuitNews,
    CircuitState,
    Decision,
    Failure,
    Restart,
    Retry,
    Suspend,
    Verdict,
)

CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


def chance() -> float:
    return 0.5


def outage(**attributes: object) -> Exception:
    error = ConnectionError("away")
    for name, value in ({"outage": True} | attributes).items():
        setattr(error, name, value)
    return error


def failed_item(**more: Any) -> Failure:
    """Of a call that began just before the child came up the last time, as long ago as can be."""
    return Failure(OSError(), "item", **{"uptime": 1e9} | more)


def opened(policy: CircuitBreaker, now: float = 0.0) -> BreakerState:
    state = policy.new_state(chance)
    for _ in range(policy.failure_threshold):
        policy.failed(state, failed_item(), now)
    assert state.circuit is OPEN
    return state


def half_open(policy: CircuitBreaker) -> BreakerState:
    """A state that is half-open at the time `reset_timeout`, with one probe in flight."""
    state = opened(policy)
    assert policy.admit(state, 1, policy.reset_timeout) == Admission(1, limited=True)
    return state


def test_closed_admits_all_without_being_asked() -> None:
    policy = CircuitBreaker()
    state = policy.new_state(chance)
    assert policy.unlimited(state)
    assert policy.admit(state, 1000, 0.0) == Admission(1000)
    assert not policy.skips


def test_it_opens_at_the_failure_that_reaches_the_threshold() -> None:
    policy = CircuitBreaker(3, reset_timeout=30.0)
    state = policy.new_state(chance)
    assert [policy.failed(state, failed_item(), 7.0) for _ in range(3)] == [
        Decision(Retry(), Restart(0.0)),
        Decision(Retry(), Restart(0.0)),
        Decision(Retry(), Suspend(37.0)),
    ]
    assert not policy.unlimited(state)


def test_a_success_between_failures_begins_the_count_anew() -> None:
    policy = CircuitBreaker(2)
    state = policy.new_state(chance)
    for _ in range(10):
        policy.failed(state, failed_item(), 0.0)
        policy.progressed(state, 1, 0, 0.0)
    assert state.circuit is CLOSED
    policy.failed(state, failed_item(), 0.0)
    policy.progressed(state, 0, 0, 0.0)
    policy.failed(state, failed_item(), 0.0)
    assert state.circuit is OPEN


def test_all_users_of_a_state_count_together_and_each_failure_once() -> None:
    policy = CircuitBreaker(4)
    state = policy.new_state(chance)
    for verdict in (Verdict.CHARGED, Verdict.EXCUSED, Verdict.CHARGED):
        policy.failed(state, failed_item(verdict=verdict), 0.0)
    assert state.failures == 3
    policy.failed(state, failed_item(verdict=Verdict.EXCUSED), 0.0)
    assert state.circuit is OPEN


def test_nothing_is_admitted_until_the_reset_timeout_is_over() -> None:
    policy = CircuitBreaker(reset_timeout=30.0)
    state = opened(policy, 100.0)
    assert policy.admit(state, 5, 100.0) == Admission(0, at=130.0)
    assert policy.admit(state, 5, 129.999) == Admission(0, at=130.0)
    assert policy.admit(state, 5, 130.0) == Admission(3, limited=True)


def test_it_works_when_time_starts_at_zero() -> None:
    policy = CircuitBreaker(1, reset_timeout=5.0)
    state = opened(policy, 0.0)
    assert policy.admit(state, 1, 0.0) == Admission(0, at=5.0)
    assert policy.admit(state, 1, 5.0) == Admission(1, limited=True)


def test_failures_that_arrive_while_it_is_open_neither_prolong_nor_count() -> None:
    policy = CircuitBreaker(2, reset_timeout=30.0)
    state = opened(policy, 0.0)
    assert policy.failed(state, failed_item(), 20.0) == Decision(Retry(), Suspend(30.0))
    assert policy.admit(state, 1, 30.0).count == 1


def test_half_open_lets_no_more_probes_go_than_allowed_over_all_who_ask() -> None:
    policy = CircuitBreaker(half_open_max_calls=3, success_threshold=9)
    state = opened(policy)
    assert policy.admit(state, 2, 30.0) == Admission(2, limited=True)
    assert policy.admit(state, 2, 30.0) == Admission(1, limited=True)
    assert policy.admit(state, 2, 30.0) == Admission(0, limited=True, at=inf)
    policy.progressed(state, 1, 1, 30.0)
    assert policy.admit(state, 2, 30.0) == Admission(1, limited=True)


def test_enough_successes_close_it() -> None:
    policy = CircuitBreaker(success_threshold=2)
    state = half_open(policy)
    policy.progressed(state, 1, 1, 31.0)
    assert state.circuit is HALF_OPEN
    assert policy.admit(state, 1, 31.0).count == 1
    policy.progressed(state, 1, 1, 32.0)
    assert state.circuit is CLOSED
    assert policy.unlimited(state)
    assert policy.describe(state) == {"circuit": "closed", "failures": 0, "successes": 0, "probes": 0}


def test_one_probe_at_a_time_reaches_any_number_of_successes() -> None:
    policy = CircuitBreaker(half_open_max_calls=1, success_threshold=3)
    state = half_open(policy)
    for _ in range(2):
        policy.progressed(state, 1, 1, 31.0)
        assert policy.admit(state, 5, 31.0) == Admission(1, limited=True)
    policy.progressed(state, 1, 1, 31.0)
    assert state.circuit is CLOSED


def test_a_failed_probe_opens_it_again_for_the_whole_timeout() -> None:
    policy = CircuitBreaker(5, reset_timeout=30.0)
    state = half_open(policy)
    policy.progressed(state, 1, 0, 31.0)
    assert policy.failed(state, failed_item(probe=True), 40.0) == Decision(Retry(), Suspend(70.0))
    assert policy.describe(state) == {
        "circuit": "open", "failures": 0, "successes": 0, "probes": 0, "until": 70.0,
    }  # fmt: skip


def test_a_probe_still_in_flight_takes_its_place_in_the_next_half_open_time() -> None:
    policy = CircuitBreaker(half_open_max_calls=2, reset_timeout=30.0)
    state = opened(policy)
    assert policy.admit(state, 9, 30.0).count == 2
    policy.failed(state, failed_item(probe=True), 30.0)
    assert policy.admit(state, 9, 60.0).count == 1
    policy.progressed(state, 1, 1, 60.0)
    assert policy.admit(state, 9, 60.0).count == 1


def test_a_withdrawn_probe_gives_its_place_to_the_next() -> None:
    policy = CircuitBreaker(half_open_max_calls=1)
    state = half_open(policy)
    assert policy.admit(state, 1, 30.0).count == 0
    policy.withdrawn(state, 1, 30.0)
    assert policy.admit(state, 1, 30.0) == Admission(1, limited=True)
    assert state.circuit is HALF_OPEN


def test_a_probe_that_blames_the_item_only_gives_back_its_place() -> None:
    policy = CircuitBreaker(half_open_max_calls=1)
    state = half_open(policy)
    policy.failed(state, failed_item(probe=True, verdict=Verdict.BLAMED), 30.0)
    assert (state.circuit, state.probes, state.successes) == (HALF_OPEN, 0, 0)


def test_errors_that_blame_the_item_do_not_trip_it() -> None:
    policy = CircuitBreaker(1)
    state = policy.new_state(chance)
    for _ in range(100):
        assert policy.failed(state, failed_item(verdict=Verdict.BLAMED), 0.0) == Decision()
    assert (state.circuit, state.failures) == (CLOSED, 0)


def test_a_stale_failure_in_half_open_does_not_open_it_again() -> None:
    policy = CircuitBreaker()
    state = half_open(policy)
    assert policy.failed(state, failed_item(uptime=30.1), 60.0) == Decision(Retry(), Restart())
    assert state.circuit is HALF_OPEN


def test_a_stale_success_counts_but_releases_no_probe() -> None:
    policy = CircuitBreaker(half_open_max_calls=1, success_threshold=2)
    state = half_open(policy)
    policy.progressed(state, 1, 0, 31.0)
    assert (state.successes, state.probes) == (1, 1)
    assert policy.admit(state, 1, 31.0).count == 0
    policy.progressed(state, 1, 0, 31.0)
    assert state.circuit is CLOSED


def test_a_success_while_it_is_open_closes_nothing() -> None:
    policy = CircuitBreaker(success_threshold=1)
    state = opened(policy)
    policy.progressed(state, 10, 0, 1.0)
    assert state.circuit is OPEN


def test_a_start_that_fails_after_the_timeout_opens_it_again() -> None:
    policy = CircuitBreaker(reset_timeout=30.0)
    state = opened(policy)
    assert policy.failed(state, Failure(OSError()), 30.0) == Decision(Retry(), Suspend(60.0))


def test_for_a_child_without_items_each_healthy_time_is_a_success() -> None:
    policy = CircuitBreaker(2, reset_timeout=30.0, success_threshold=2, healthy_after=10.0)
    state = policy.new_state(chance)
    for _ in range(5):
        policy.failed(state, Failure(OSError(), uptime=10.0), 1000.0)
    assert (state.circuit, state.failures) == (CLOSED, 1)

    state = opened(policy, 0.0)
    decision = policy.failed(state, Failure(OSError(), uptime=15.0), 45.0)
    assert decision.child == Suspend(75.0)  # one success is not enough, and then it failed
    decision = policy.failed(state, Failure(OSError(), uptime=20.0), 95.0)
    assert (decision.child, state.circuit, state.failures) == (Restart(), CLOSED, 1)


def test_healthy_time_before_the_circuit_opened_is_no_success() -> None:
    policy = CircuitBreaker(reset_timeout=30.0, success_threshold=1, healthy_after=10.0)
    state = opened(policy, 1000.0)
    policy.failed(state, Failure(OSError(), uptime=500.0), 1035.0)
    assert state.circuit is HALF_OPEN


@pytest.mark.parametrize(
    ("circuit", "failure", "verdict"),
    [
        (CLOSED, failed_item(), Verdict.CHARGED),
        (OPEN, failed_item(), Verdict.EXCUSED),
        (HALF_OPEN, failed_item(), Verdict.EXCUSED),
        (HALF_OPEN, Failure(OSError(), "item", come_round=True), Verdict.CHARGED),
        (OPEN, Failure(OSError(), "item", come_round=True), Verdict.CHARGED),
        (HALF_OPEN, Failure(outage(), "item", overtaken=True, come_round=True), Verdict.EXCUSED),
        (HALF_OPEN, Failure(outage(suspend=True), "item", come_round=True), Verdict.EXCUSED),
        (CLOSED, Failure(outage(), "item"), Verdict.EXCUSED),
        (CLOSED, Failure(outage(), "item", overtaken=True), Verdict.CHARGED),
        (OPEN, Failure(outage(), "item", overtaken=True), Verdict.EXCUSED),
        (CLOSED, Failure(outage(outage=False), "item"), Verdict.CHARGED),
        (CLOSED, Failure(outage(outage=False, suspend=True), "item", overtaken=True), Verdict.EXCUSED),
        (CLOSED, Failure(outage(outage=print, suspend=print), "item"), Verdict.CHARGED),
    ],
)
def test_whose_fault_a_failure_is(circuit: CircuitState, failure: Failure, verdict: Verdict) -> None:
    policy = CircuitBreaker()
    assert policy.judge(BreakerState(circuit=circuit), failure, 0.0) is verdict


def test_the_failure_that_opens_it_is_judged_as_one_of_a_closed_circuit() -> None:
    policy = CircuitBreaker(1)
    assert policy.judge(policy.new_state(chance), failed_item(), 0.0) is Verdict.CHARGED


def test_an_error_that_only_a_person_can_help_opens_the_circuit_until_somebody_resets_or_resumes() -> None:
    policy = CircuitBreaker(2, reset_timeout=10.0)
    state = policy.new_state(chance)
    refused = Failure(outage(suspend=True), "item", verdict=Verdict.EXCUSED)
    assert policy.failed(state, refused, 0.0) == Decision(Retry(), Suspend(inf))
    assert state.circuit is OPEN
    assert policy.failed(state, failed_item(), 1.0) == Decision(Retry(), Suspend(inf))
    assert policy.admit(state, 4, 1e9) == Admission(0, at=inf)
    assert policy.resumed(state, 1e9)
    assert not policy.resumed(state, 1e9)
    assert policy.admit(state, 1, 1e9) == Admission(1, limited=True)
    assert policy.failed(state, replace(refused, probe=True), 1e9) == Decision(Retry(), Suspend(inf))
    policy.reset()
    assert policy.admit(state, 4, 1e9) == Admission(4)


def test_the_state_of_a_shared_policy_is_the_worst_of_those_who_use_it_now() -> None:
    policy = CircuitBreaker(1, reset_timeout=10.0)
    assert policy.state is CLOSED
    fine = policy.new_state(chance)
    probing = half_open(policy)
    assert policy.state is HALF_OPEN
    away = opened(policy)
    assert policy.state is OPEN
    del away
    gc.collect()
    assert policy.state is HALF_OPEN
    del probing
    gc.collect()
    assert policy.state is CLOSED
    assert policy.unlimited(fine)


def test_reset_closes_all_forgets_failures_and_tells_those_who_watch() -> None:
    policy = CircuitBreaker(2)
    told: list[str] = []
    away, probing, failing = opened(policy), half_open(policy), policy.new_state(chance)
    policy.failed(failing, failed_item(), 0.0)
    for name, state in (("away", away), ("probing", probing), ("failing", failing)):
        policy.watch(state, lambda name=name: told.append(name))  # type: ignore[misc]
    policy.reset()
    assert told == ["away", "probing"]
    assert policy.state is CLOSED
    assert failing.failures == 0
    assert probing.probes == 1
    policy.withdrawn(probing, 1, 0.0)
    assert probing.probes == 0


def test_every_change_of_a_circuit_is_told_once() -> None:
    policy = CircuitBreaker(1, reset_timeout=10.0, success_threshold=1)
    state = policy.new_state(chance)
    seen: list[CircuitState] = []
    state.on_change = lambda: seen.append(state.circuit)
    policy.failed(state, failed_item(), 0.0)
    policy.failed(state, failed_item(), 1.0)
    policy.admit(state, 1, 10.0)
    policy.failed(state, failed_item(probe=True), 10.0)
    policy.admit(state, 1, 20.0)
    policy.progressed(state, 1, 1, 20.0)
    policy.progressed(state, 1, 0, 20.0)
    policy.reset()
    assert seen == [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]


def test_from_every_state_there_is_a_way_to_closed_and_only_real_changes_are_in_the_table() -> None:
    assert all(before is not after for (before, _), after in TRANSITIONS.items())
    assert {before for before, _ in TRANSITIONS} == set(CircuitState)
    assert {news for _, news in TRANSITIONS} == set(CircuitNews)
    assert all(TRANSITIONS[before, CircuitNews.RESET] is CLOSED for before in (OPEN, HALF_OPEN))


@pytest.mark.parametrize("name", ["failure_threshold", "success_threshold", "half_open_max_calls"])
@pytest.mark.parametrize(
    ("value", "kind"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_a_threshold_that_could_block_for_ever_is_refused(
    name: str, value: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"^{name} must be .*at least 1"):
        CircuitBreaker(**{name: value})


@pytest.mark.parametrize("name", ["reset_timeout", "healthy_after"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        (inf, ValueError),
        (nan, ValueError),
        (False, TypeError),
        ("1", TypeError),
    ],
)
def test_a_time_that_could_block_for_ever_is_refused(name: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"^{name} must be .*more than 0 and finite"):
        CircuitBreaker(**{name: value})


def test_a_policy_is_a_value_that_cannot_be_changed() -> None:
    policy = CircuitBreaker(reset_timeout=30)
    opened(policy)
    assert policy == CircuitBreaker()
    assert policy != CircuitBreaker(4)
    with pytest.raises(AttributeError, match="reset_timeout"):
        policy.reset_timeout = 1.0  # type: ignore[misc]
    assert repr(policy) == (
        "CircuitBreaker(failure_threshold=5, reset_timeout=30, success_threshold=2, half_open_max_calls=3, "
        "healthy_after=60.0)"
    )
