"""CircuitBreaker: nobody is tried while the other side is known to be away.

`TRANSITIONS` is the whole machine, for the children of a supervisor as for plain code that drives
it by hand (Nygard, "Release It!"): a pair that is not in it changes nothing. What leads to each
piece of news is counted in `failed`, `progressed` and `admit`, and nowhere else.

    closed      `failure_threshold` failures in a row open it; a success begins the count anew.
    open        nothing is admitted until `reset_timeout` is over. What fails now was begun
                before: it neither counts nor prolongs.
    half-open   at most `half_open_max_calls` probes are in flight, over all who share the state.
                A failed probe opens it again, `success_threshold` successes close it.

*Probes* are given back by whatever ends them, in any state, so a probe of an earlier half-open
time still takes a place in a later one and the limit holds at every moment. As every probe comes
back there is no pair of positive thresholds that can block for ever; only a `reset_timeout`
without end could, and that is refused.

*Whose fault a failure is* while the circuit is not closed cannot be told from one alone: the other
side may still be away, or the item may be what fails. So an item's failure is excused and another
is the next probe. When its turn comes round, for want of others that were not tried meanwhile, its
failure is charged: else an item that poisons its handler would be every probe, where it is alone
or where those behind it must wait for it, and the circuit would never close. An error that says
`outage` is excused however long it lasts.

*Failures in half-open that were no probe* count only if the failed life began after the circuit's
time had come (a child without items, a failed start); others were begun before it opened.
*Successes in half-open* count whoever had them, even begun before: the other side answered now.

*A child without items* succeeds by being up: each `healthy_after` seconds are one success. That
is heard when it fails, the only time it is heard of.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from math import inf
from typing import Any, Final
from weakref import WeakValueDictionary

from pywats_supervision.policies.checks import checked_count, checked_number
from pywats_supervision.policies.decision import (
    Admission,
    Decision,
    Failure,
    Restart,
    RestartPolicy,
    Retry,
    Suspend,
    Verdict,
)

__all__ = ["TRANSITIONS", "BreakerState", "CircuitBreaker", "CircuitNews", "CircuitState"]


class CircuitState(enum.Enum):
    """What a circuit breaker lets through; from best to worst."""

    CLOSED = "closed"
    """Everything."""
    HALF_OPEN = "half_open"
    """A few probes."""
    OPEN = "open"
    """Nothing."""


class CircuitNews(enum.Enum):
    """What can change a circuit."""

    TOO_MANY_FAILURES = "too_many_failures"
    """`failure_threshold` failures in a row."""
    TIMEOUT_OVER = "timeout_over"
    """`reset_timeout` has passed since it opened."""
    REFUSED = "refused"
    """A failure that only a person can mend."""
    PROBE_FAILED = "probe_failed"
    """Something that was begun after that failed."""
    ENOUGH_SUCCESSES = "enough_successes"
    """`success_threshold` successes since then."""
    RESET = "reset"
    """Somebody called `reset`."""


TRANSITIONS: Final[dict[tuple[CircuitState, CircuitNews], CircuitState]] = {
    (CircuitState.CLOSED, CircuitNews.TOO_MANY_FAILURES): CircuitState.OPEN,
    (CircuitState.CLOSED, CircuitNews.REFUSED): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, CircuitNews.REFUSED): CircuitState.OPEN,
    (CircuitState.OPEN, CircuitNews.TIMEOUT_OVER): CircuitState.HALF_OPEN,
    (CircuitState.HALF_OPEN, CircuitNews.PROBE_FAILED): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, CircuitNews.ENOUGH_SUCCESSES): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, CircuitNews.RESET): CircuitState.CLOSED,
    (CircuitState.OPEN, CircuitNews.RESET): CircuitState.CLOSED,
}
"""(where the circuit is, what happened) -> where it is then; drawings are made from this."""

FROM_BEST_TO_WORST: Final = tuple(CircuitState)

# Looked up once, which an enum is slow at; asked for each batch of work.
_CLOSED, _OPEN = CircuitState.CLOSED, CircuitState.OPEN


@dataclass(eq=False, slots=True, weakref_slot=True)
class BreakerState:
    """What one user of a `CircuitBreaker` keeps.

    Attributes:
        guard: held during every call; does nothing unless plain threads share the state.
        circuit: where the circuit is.
        failures: how many there were in a row while closed.
        successes: how many there were since it is half-open.
        probes: how many are in flight, granted by a limited admission and not given back.
        until: while it is not closed: the time at which it becomes, or became, half-open; inf if only a
            person can close it.
        on_change: called after every change of `circuit`, from within the call that changed it;
            takes nothing and must not raise nor call the policy.
        watchers: called after a change by `CircuitBreaker.reset`.
    """

    guard: AbstractContextManager[Any] = field(default_factory=nullcontext)
    circuit: CircuitState = CircuitState.CLOSED
    failures: int = 0
    successes: int = 0
    probes: int = 0
    until: float = 0.0
    on_change: Callable[[], None] | None = None
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def change(self, news: CircuitNews) -> bool:
        """Go where the table says and count anew; whether that was a change."""
        circuit = TRANSITIONS.get((self.circuit, news))
        if circuit is None:
            return False
        self.circuit = circuit
        self.failures = self.successes = 0
        if self.on_change is not None:
            self.on_change()
        return True


@dataclass(frozen=True)
class CircuitBreaker(RestartPolicy[BreakerState]):
    """Keep work from another side that fails, and find out by a few probes when it is back.

    While the circuit is not closed a failed attempt uses up none of its item's attempts, until it is
    that item's turn again because every other one has been tried since. An error whose `outage` is
    True uses up none however often; nor does it in a closed circuit, until another item of the same
    handler has succeeded that was begun after this one's first attempt had failed. An error whose
    `suspend` is True opens the circuit until a person calls `reset` or resumes a child. It decides
    every failure and never skips an item.

    Args:
        failure_threshold: so many failures in a row open the circuit, 1 or more.
        reset_timeout: seconds from opening to the first probe, more than 0 and finite.
        success_threshold: so many successes of a half-open circuit close it, 1 or more.
        half_open_max_calls: so many probes at once are let through, 1 or more; fewer than
            `success_threshold` is allowed, the next follow as the first are given back.
        healthy_after: seconds, more than 0; being up as long is a success of a child without items.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a number out of its range.
    """

    failure_threshold: int = 5
    _: KW_ONLY
    reset_timeout: float = 30.0
    success_threshold: int = 2
    half_open_max_calls: int = 3
    healthy_after: float = 60.0
    _states: WeakValueDictionary[int, BreakerState] = field(
        default_factory=WeakValueDictionary, init=False, repr=False, compare=False
    )
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked_count("failure_threshold", self.failure_threshold, least=1)
        checked_number("reset_timeout", self.reset_timeout, above_least=True)
        checked_count("success_threshold", self.success_threshold, least=1)
        checked_count("half_open_max_calls", self.half_open_max_calls, least=1)
        checked_number("healthy_after", self.healthy_after, above_least=True)

    def new_state(self, chance: Callable[[], float]) -> BreakerState:
        """Make the state for one user, closed; the policy knows it as long as that user keeps it."""
        del chance
        return self._known(BreakerState())

    def _known(self, state: BreakerState) -> BreakerState:
        self._states[next(self._numbers)] = state
        return state

    def _live_states(self) -> list[BreakerState]:
        # In the order of their making, and in one step: another thread may add one meanwhile.
        return [state for reference in self._states.valuerefs() if (state := reference()) is not None]

    @property
    def state(self) -> CircuitState:
        """The worst of all who use this policy now; closed if nobody does."""
        return max(
            (state.circuit for state in self._live_states()),
            key=FROM_BEST_TO_WORST.index,
            default=CircuitState.CLOSED,
        )

    def reset(self) -> None:
        """Close the circuit of all who use this policy, and forget their failures.

        Probes in flight stay counted until they are given back. Those who watch a state are told
        on the calling thread.
        """
        for state in self._live_states():
            with state.guard:
                state.failures = 0
                changed = state.change(CircuitNews.RESET)
            if changed:
                for watcher in tuple(state.watchers):
                    watcher()

    def judge(self, state: BreakerState, failure: Failure, now: float) -> Verdict:
        """EXCUSED in an outage, if only a person can help, and while others may be tried instead."""
        del now
        error = failure.error
        if getattr(error, "suspend", False) is True:
            return Verdict.EXCUSED
        closed = state.circuit is CircuitState.CLOSED
        if getattr(error, "outage", False) is True:
            charged = closed and failure.overtaken
        else:
            charged = closed or failure.come_round
        return Verdict.CHARGED if charged else Verdict.EXCUSED

    def failed(self, state: BreakerState, failure: Failure, now: float) -> Decision:
        """Count the failure once; the child is down while the circuit is open."""
        with state.guard:
            if failure.probe:
                self._give_back(state, 1)
            if failure.verdict is Verdict.BLAMED:
                return Decision()
            self._let_time_pass(state, now)
            if failure.item is None:
                self._was_up(state, failure.uptime, now)
            if getattr(failure.error, "suspend", False) is True:
                # For all who share the state: what others have in hand would be refused as well.
                state.until = inf
                state.change(CircuitNews.REFUSED)
            else:
                self._count_failure(state, failure, now)
            if state.circuit is CircuitState.OPEN:
                return Decision(Retry(), Suspend(state.until))
            return Decision(Retry(), Restart())

    def progressed(self, state: BreakerState, count: int, probes: int, now: float) -> None:
        """Count successes: one ends a row of failures, `success_threshold` close a half-open circuit."""
        with state.guard:
            self._give_back(state, probes)
            self._let_time_pass(state, now)
            self._count_successes(state, count)

    def admit(self, state: BreakerState, wanted: int, now: float) -> Admission:
        """Grant all while closed, probes while half-open, nothing while open."""
        with state.guard:
            self._let_time_pass(state, now)
            if state.circuit is CircuitState.CLOSED:
                return Admission(wanted)
            if state.circuit is CircuitState.OPEN:
                return Admission(0, at=state.until)
            granted = max(0, min(wanted, self.half_open_max_calls - state.probes))
            state.probes += granted
            return Admission(granted, limited=True)

    def unlimited(self, state: BreakerState) -> bool:
        """Whether the circuit is closed."""
        return state.circuit is _CLOSED

    def withdrawn(self, state: BreakerState, probes: int, now: float) -> None:
        """Take back probes that were neither done nor failed; others may have their places."""
        del now
        with state.guard:
            self._give_back(state, probes)

    def resumed(self, state: BreakerState, now: float) -> bool:
        """Let probes through a circuit that only a person could close."""
        with state.guard:
            waited = state.circuit is CircuitState.OPEN and state.until == inf
            if waited:
                state.until = now
            return waited

    def watch(self, state: BreakerState, changed: Callable[[], None]) -> None:
        """Have `changed` called after a `reset` that closed the circuit, on the thread that called it."""
        state.watchers.append(changed)

    def describe(self, state: BreakerState) -> dict[str, Any]:
        """Where the circuit is and what is counted; `until` only while it is not closed."""
        described: dict[str, Any] = {
            "circuit": state.circuit.value,
            "failures": state.failures,
            "successes": state.successes,
            "probes": state.probes,
        }
        if state.circuit is not CircuitState.CLOSED:
            described["until"] = state.until
        return described

    def _give_back(self, state: BreakerState, probes: int) -> None:
        # By hand, who gives back is not known for sure: the count never falls below none.
        state.probes = max(0, state.probes - probes)

    def _let_time_pass(self, state: BreakerState, now: float) -> None:
        if state.circuit is _OPEN and now >= state.until:
            state.change(CircuitNews.TIMEOUT_OVER)

    def _was_up(self, state: BreakerState, uptime: float, now: float) -> None:
        """Count the healthy time of a child without items; not what lies before the circuit opened."""
        if state.circuit is not CircuitState.CLOSED:
            uptime = max(0.0, min(uptime, now - state.until))
        self._count_successes(state, int(uptime // self.healthy_after))

    def _count_successes(self, state: BreakerState, count: int) -> None:
        if count < 1:
            return
        if state.circuit is _CLOSED:
            state.failures = 0
        elif state.circuit is CircuitState.HALF_OPEN:
            state.successes += count
            if state.successes >= self.success_threshold:
                state.change(CircuitNews.ENOUGH_SUCCESSES)

    def _count_failure(self, state: BreakerState, failure: Failure, now: float) -> None:
        if state.circuit is CircuitState.CLOSED:
            state.failures += 1
            if state.failures >= self.failure_threshold:
                self._open(state, CircuitNews.TOO_MANY_FAILURES, now)
        elif state.circuit is CircuitState.HALF_OPEN and (
            failure.probe or failure.uptime <= now - state.until
        ):
            self._open(state, CircuitNews.PROBE_FAILED, now)

    def _open(self, state: BreakerState, news: CircuitNews, now: float) -> None:
        state.until = now + self.reset_timeout
        state.change(news)
