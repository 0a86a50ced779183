"""CircuitBreaker of a bus: the supervisors' own, with the calls that plain code makes by hand.

By hand it has a state of its own, on the same table as all others, and a lock, as plain code has
threads. Plain code names no call when it reports how one ended, so here a report gives back a
probe as long as any is in flight; and as it may never report, a probe counts as lost once
`reset_timeout` has passed since the last was granted. That way nothing blocks for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from pywats_supervision import policies
from pywats_supervision.policies import BreakerState, CircuitState, Failure
from pywats_supervision.system import monotonic, new_lock

__all__ = ["CircuitBreaker", "CircuitState"]


class CircuitBreaker(policies.CircuitBreaker):
    """Keep events from a handler that fails, and find out by a few probes when it works again.

    Handed to a bus it is asked by the handler's supervisor, and needs no calls. By hand, from any
    thread::

        if breaker.can_proceed():
            try:
                send(report)
            except ConnectionError:
                breaker.record_failure()
            else:
                breaker.record_success()

    Args:
        failure_threshold: so many failures in a row open the circuit, 1 or more.
        success_threshold: so many successes of a half-open circuit close it, 1 or more.
        reset_timeout: seconds from opening to the first probe, more than 0 and finite.
        half_open_max_calls: so many probes at once are let through, 1 or more.
        healthy_after: seconds, more than 0; being up as long is a success of a child without events.
        clock: gives seconds that never go back, for the calls by hand.

    Raises:
        TypeError: for what is not a number, or a clock that cannot be called.
        ValueError: for a number out of its range.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        success_threshold: int = 2,
        reset_timeout: float = 30.0,
        half_open_max_calls: int = 3,
        *,
        healthy_after: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(
            failure_threshold,
            reset_timeout=reset_timeout,
            success_threshold=success_threshold,
            half_open_max_calls=half_open_max_calls,
            healthy_after=healthy_after,
        )
        if not callable(clock):
            raise TypeError(f"clock must be callable, not {clock!r}")
        self._clock = clock
        self._by_hand = self._known(BreakerState(guard=new_lock()))
        self._granted_at = -inf

    def new_state(self, chance: Callable[[], float]) -> BreakerState:
        """Make the state for one user, closed; `reset` may be called from any thread."""
        del chance
        return self._known(BreakerState(guard=new_lock()))

    @property
    def state(self) -> CircuitState:
        """The worst of all who use this breaker now, the calls by hand among them."""
        with self._by_hand.guard:
            self._let_time_pass(self._by_hand, self._clock())
        return super().state

    @property
    def is_closed(self) -> bool:
        """Whether all work goes on."""
        return self.state is CircuitState.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether somewhere nothing goes on; a half-open circuit is neither open nor closed."""
        return self.state is CircuitState.OPEN

    def can_proceed(self) -> bool:
        """Whether one more call may be made now; then report how it ended."""
        state = self._by_hand
        with state.guard:
            now = self._clock()
            admission = self.admit(state, 1, now)
            if admission.count == 0 and admission.limited and now >= self._granted_at + self.reset_timeout:
                self.withdrawn(state, state.probes, now)
                admission = self.admit(state, 1, now)
            if admission.count:
                self._granted_at = now
            return admission.count > 0

    def record_success(self) -> None:
        """Report that a call succeeded."""
        state = self._by_hand
        with state.guard:
            self.progressed(state, 1, min(1, state.probes), self._clock())

    def record_failure(self) -> None:
        """Report that a call failed; one that was begun before the circuit opened changes nothing."""
        state = self._by_hand
        with state.guard:
            # Everybody asks here, so if no probe is in flight this call was begun before.
            failure = Failure(
                _CallFailed(), item=self, uptime=0.0 if state.probes else inf, probe=state.probes > 0
            )
            self.failed(state, failure, self._clock())


class _CallFailed(Exception):
    """Stands for the error of a call by hand, which only its caller has seen."""
