"""Whatever is admitted, done, failed, withdrawn: no breaker blocks for ever or lets too many go."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pywats_supervision.policies import (
    Admission,
    BreakerState,
    CircuitBreaker,
    CircuitState,
    Composed,
    Failure,
    RestartPolicy,
    RetryPolicy,
    compose,
)

breakers = st.builds(
    CircuitBreaker,
    st.integers(1, 4),
    reset_timeout=st.floats(0.5, 50.0),
    success_threshold=st.integers(1, 4),
    half_open_max_calls=st.integers(1, 3),
    healthy_after=st.floats(0.5, 50.0),
)
errors = st.sampled_from(["plain", "outage", "suspend", "blames_item"])


def error_of(kind: str) -> Exception:
    error = OSError(kind)
    if kind != "plain":
        setattr(error, kind, True)
    return error


class Sequences(RuleBasedStateMachine):
    """Users of one state, who remember on whose terms each item in flight was granted."""

    @initialize(parts=st.lists(breakers, min_size=1, max_size=2), retry=st.booleans())
    def begin(self, parts: list[CircuitBreaker], retry: bool) -> None:
        extra = [RetryPolicy(max_retries=1)] if retry else []
        self.policy: RestartPolicy[Any] = compose(*parts, *extra)
        self.state = self.policy.new_state(lambda: 0.5)
        self.parts = parts
        self.part_states: list[BreakerState] = (
            self.state.states[: len(parts)] if isinstance(self.policy, Composed) else [self.state]
        )
        self.now = 0.0
        # For each item: when it was begun, whether it is a probe, and which half-open breakers granted it.
        self.in_flight: list[tuple[float, bool, list[bool]]] = []

    def ask(self, wanted: int) -> Admission:
        admission = self.policy.admit(self.state, wanted, self.now)
        assert 0 <= admission.count <= wanted
        owners = [state.circuit is CircuitState.HALF_OPEN for state in self.part_states]
        if admission.count:
            assert all(state.circuit is not CircuitState.OPEN for state in self.part_states)
            assert admission.limited is any(owners)
            self.in_flight += [(self.now, admission.limited, owners)] * admission.count
        elif admission.at == inf:
            assert self.refused() or any(probe for _, probe, _ in self.in_flight), (
                "nobody is left to change the answer"
            )
        else:
            assert admission.at > self.now
        return admission

    def refused(self) -> bool:
        """Whether only a person can change the answer."""
        return any(state.circuit is CircuitState.OPEN and state.until == inf for state in self.part_states)

    def take(self, data: Any) -> tuple[float, bool]:
        begun, probe, _ = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        return begun, probe

    @rule(seconds=st.floats(0.0, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(wanted=st.integers(1, 4))
    def some_are_asked_for(self, wanted: int) -> None:
        self.ask(wanted)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def one_is_done(self, data: Any) -> None:
        _, probe = self.take(data)
        self.policy.progressed(self.state, 1, int(probe), self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def one_is_withdrawn(self, data: Any) -> None:
        _, probe = self.take(data)
        self.policy.withdrawn(self.state, int(probe), self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), kind=errors, attempt=st.integers(1, 3), older=st.floats(0.0, 100.0))
    def one_fails(self, data: Any, kind: str, attempt: int, older: float) -> None:
        begun, probe = self.take(data)
        uptime = self.now - begun + older
        self.fail(Failure(error_of(kind), "item", attempt, uptime=uptime, probe=probe))

    @rule(kind=errors, uptime=st.floats(0.0, 100.0))
    def a_child_without_items_fails(self, kind: str, uptime: float) -> None:
        self.fail(Failure(error_of(kind), uptime=uptime))

    def fail(self, failure: Failure) -> None:
        verdict = self.policy.judge(self.state, failure, self.now)
        self.policy.failed(self.state, replace(failure, verdict=verdict), self.now)

    @rule(which=st.integers(0, 1))
    def one_is_reset(self, which: int) -> None:
        part = self.parts[which % len(self.parts)]
        part.reset()
        assert self.part_states[which % len(self.parts)].circuit is CircuitState.CLOSED

    @rule()
    def a_person_resumes(self) -> None:
        refused = self.refused()
        assert self.policy.resumed(self.state, self.now) is refused
        assert not self.refused()

    @invariant()
    def no_breaker_has_more_probes_in_flight_than_it_allows(self) -> None:
        for index, (part, state) in enumerate(zip(self.parts, self.part_states, strict=True)):
            truly = sum(owners[index] for _, _, owners in self.in_flight)
            assert truly <= state.probes <= part.half_open_max_calls

    @invariant()
    def all_is_unlimited_exactly_when_every_circuit_is_closed(self) -> None:
        closed = all(state.circuit is CircuitState.CLOSED for state in self.part_states)
        assert self.policy.unlimited(self.state) is closed

    def teardown(self) -> None:
        """Once all in flight came back, and every item succeeds, all is soon closed."""
        if not hasattr(self, "policy"):
            return
        while self.in_flight:
            _, probe, _ = self.in_flight.pop()
            self.policy.withdrawn(self.state, int(probe), self.now)
        self.policy.resumed(self.state, self.now)
        for _ in range(20):
            if self.policy.unlimited(self.state):
                break
            admission = self.ask(1)
            if admission.count:
                self.in_flight.clear()
                self.policy.progressed(self.state, 1, int(admission.limited), self.now)
            else:
                assert admission.at < inf
                self.now = max(self.now, admission.at)
        assert self.policy.unlimited(self.state)
        assert all(state.probes == 0 for state in self.part_states)


TestAnySequence = Sequences.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=60)


@given(st.data())
def test_the_same_seed_and_the_same_failures_give_the_same_answers(data: Any) -> None:
    retry = RetryPolicy(max_retries=2)
    answers = []
    numbers = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=30, max_size=30))
    failures = data.draw(st.lists(st.tuples(errors, st.integers(1, 4), st.floats(0, 20)), max_size=15))
    for _ in range(2):
        policy = compose(retry, CircuitBreaker(2, reset_timeout=5.0))
        drawn = iter(numbers)
        state, now = policy.new_state(lambda drawn=drawn: next(drawn)), 0.0  # type: ignore[misc]
        found = []
        for kind, attempt, pause in failures:
            now += pause
            failure = Failure(error_of(kind), "item", attempt)
            failure = replace(failure, verdict=policy.judge(state, failure, now))
            found.append((policy.failed(state, failure, now), policy.admit(state, 1, now)))
        answers.append(found)
    assert answers[0] == answers[1]
