"""CircuitBreaker in plain code: the same circuit, driven by calls, from any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.policies.circuit_breaker import CircuitBreaker
from pywats_supervision import policies
from pywats_supervision.policies import Admission, Failure


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(**more: Any) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    arguments: dict[str, Any] = {"failure_threshold": 2, "reset_timeout": 30.0, "clock": clock} | more
    return CircuitBreaker(**arguments), clock


def test_the_breaker_of_the_manual_is_built_as_written() -> None:
    policy = CircuitBreaker(failure_threshold=5, reset_timeout=30.0)
    assert policy.can_proceed()
    assert policy == CircuitBreaker(5, 2, 30.0, 3)
    assert (policy.success_threshold, policy.half_open_max_calls) == (2, 3)


def test_it_goes_round_from_closed_to_closed() -> None:
    policy, clock = breaker(half_open_max_calls=3)
    states = [policy.state]
    policy.record_failure()
    policy.record_failure()
    states.append(policy.state)
    assert not policy.can_proceed()
    clock.now = 29.9
    assert not policy.can_proceed()
    clock.now = 30.0
    states.append(policy.state)
    assert [policy.can_proceed() for _ in range(4)] == [True, True, True, False]
    policy.record_success()
    states.append(policy.state)
    policy.record_success()
    states.append(policy.state)
    assert [state.value for state in states] == ["closed", "open", "half_open", "half_open", "closed"]


def test_half_open_is_neither_open_nor_closed() -> None:
    policy, clock = breaker(failure_threshold=1)
    assert (policy.is_closed, policy.is_open) == (True, False)
    policy.record_failure()
    assert (policy.is_closed, policy.is_open) == (False, True)
    clock.now = 30.0
    assert (policy.is_closed, policy.is_open) == (False, False)


def test_the_pair_that_once_blocked_for_ever_closes() -> None:
    policy, clock = breaker(half_open_max_calls=1, success_threshold=2)
    policy.record_failure()
    policy.record_failure()
    clock.now = 30.0
    for _ in range(2):
        assert policy.can_proceed()
        assert not policy.can_proceed()
        policy.record_success()
    assert policy.is_closed


def test_a_success_between_failures_begins_the_count_anew() -> None:
    policy, _ = breaker()
    for _ in range(5):
        policy.record_failure()
        policy.record_success()
    assert policy.is_closed


def test_a_failed_probe_opens_it_again() -> None:
    policy, clock = breaker()
    policy.record_failure()
    policy.record_failure()
    clock.now = 30.0
    assert policy.can_proceed()
    policy.record_failure()
    assert policy.is_open
    clock.now = 59.9
    assert not policy.can_proceed()
    clock.now = 60.0
    assert policy.can_proceed()


def test_failures_of_calls_begun_before_it_opened_do_not_prolong() -> None:
    policy, clock = breaker()
    for _ in range(5):
        policy.record_failure()
    clock.now = 30.0
    policy.record_failure()
    assert policy.can_proceed()


def test_a_probe_that_nobody_reports_on_is_lost_after_another_timeout() -> None:
    policy, clock = breaker(half_open_max_calls=1)
    policy.record_failure()
    policy.record_failure()
    clock.now = 30.0
    assert policy.can_proceed()
    clock.now = 59.9
    assert not policy.can_proceed()
    clock.now = 60.0
    assert policy.can_proceed()
    assert not policy.can_proceed()


def test_reset_closes_it() -> None:
    policy, _ = breaker()
    policy.record_failure()
    policy.record_failure()
    policy.reset()
    assert policy.can_proceed()
    policy.record_failure()
    assert policy.is_closed


def test_its_state_is_the_worst_of_by_hand_and_of_those_who_supervise_with_it() -> None:
    policy, _ = breaker(failure_threshold=1)
    state = policy.new_state(lambda: 0.5)
    assert policy.is_closed
    policy.failed(state, Failure(OSError(), "item"), 1000.0)
    assert policy.is_open
    assert policy.can_proceed()
    policy.reset()
    assert policy.unlimited(state)
    assert policy.is_closed


@given(st.lists(st.sampled_from(["ask", "success", "failure", "second", "timeout", "reset"]), max_size=60))
def test_by_hand_and_supervised_it_is_one_circuit(steps: list[str]) -> None:
    by_hand, clock = breaker(half_open_max_calls=2, reset_timeout=1000.0)
    other = policies.CircuitBreaker(2, reset_timeout=1000.0, half_open_max_calls=2)
    state = other.new_state(lambda: 0.5)
    granted_at = 0.0
    for step in steps:
        if step == "ask":
            if state.probes and clock.now >= granted_at + 1000.0:
                continue  # by hand a probe would count as lost; nobody loses one here
            admission = other.admit(state, 1, clock.now)
            granted_at = clock.now if admission.count else granted_at
            assert by_hand.can_proceed() is (admission != Admission(0, admission.limited, admission.at))
        elif step == "success":
            other.progressed(state, 1, min(1, state.probes), clock.now)
            by_hand.record_success()
        elif step == "failure":
            failure = Failure(OSError(), "item", uptime=0.0 if state.probes else 1e9, probe=state.probes > 0)
            verdict = other.judge(state, failure, clock.now)
            other.failed(state, replace(failure, verdict=verdict), clock.now)
            by_hand.record_failure()
        elif step == "reset":
            other.reset()
            by_hand.reset()
        else:
            clock.now += 1.0 if step == "second" else 1000.0
        other.admit(state, 0, clock.now)
        assert by_hand.state is state.circuit


def test_threads_together_get_no_more_probes_than_allowed() -> None:
    policy, clock = breaker(half_open_max_calls=3)
    policy.record_failure()
    policy.record_failure()
    clock.now = 30.0
    together = Barrier(8)

    def ask() -> int:
        together.wait()
        return sum(policy.can_proceed() for _ in range(200))

    with ThreadPoolExecutor(8) as threads:
        granted = [threads.submit(ask) for _ in range(8)]
        assert sum(future.result() for future in granted) == 3


def test_no_other_thread_comes_between_while_a_circuit_changes() -> None:
    policy, clock = breaker(failure_threshold=1)
    supervised = policy.new_state(lambda: 0.5)
    taken: list[bool] = []
    with ThreadPoolExecutor(1) as another:
        for state in (policy._by_hand, supervised):
            # A real lock, which another thread would get if nobody held it.
            take = partial(cast("Any", state.guard).acquire, blocking=False)
            state.on_change = lambda take=take: taken.append(another.submit(take).result())
        policy.record_failure()
        policy.failed(supervised, Failure(OSError(), "item"), 0.0)
        clock.now = 30.0
        assert policy.can_proceed()
        assert policy.admit(supervised, 1, 30.0).count == 1
        policy.record_success()
        policy.record_success()
        policy.progressed(supervised, 2, 1, 30.0)
        policy.record_failure()
        policy.reset()
    assert taken == [False] * 8


def test_a_clock_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="clock must be callable, not 5"):
        CircuitBreaker(clock=5)  # type: ignore[arg-type]


def test_on_the_machines_own_clock_it_begins_closed() -> None:
    policy = CircuitBreaker(failure_threshold=1)
    assert policy.can_proceed()
    policy.record_failure()
    assert policy.is_open
