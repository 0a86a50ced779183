"""The policy of a subscription, watched by its bus: what it goes through is logged, and makes system events.

It decides nothing: every call is the policy's own. A breaker may be reset by hand on any thread,
so all that is told from here crosses to the bus's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

from pywats_events.models.event_types import EventType
from pywats_events.settlement import Receipt
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import Admission, BreakerState, CircuitState, Failure, RestartPolicy, Verdict
from pywats_supervision.policies.compose import ComposedState
from pywats_supervision.policies.decision import Decision

__all__ = ["WatchedPolicy"]

logger: Final = GuardedLogger("pywats_events")


@dataclass(eq=False, slots=True)
class _WatchedState:
    """What one user keeps: the policy's own state, and what was told of it.

    Attributes:
        own: what the policy made.
        failing: an event failed, and none has been handled since.
        opened: a circuit was said to be open, and not yet to be closed.
        quiet: what fails just now is a system event, which makes no other.
    """

    own: Any
    failing: bool = False
    opened: bool = False
    quiet: bool = False


@final
class WatchedPolicy(RestartPolicy[_WatchedState]):
    """A policy whose circuit, failures and recovery are announced.

    Args:
        policy: who decides.
        name: of the subscription.
        call_soon: calls a function on the bus's thread: at once there, soon from any other.
        announce: makes a system event; to be called on the bus's thread.
    """

    def __init__(
        self,
        policy: RestartPolicy[Any],
        name: str,
        *,
        call_soon: Callable[..., None],
        announce: Callable[[EventType, dict[str, Any]], None],
    ) -> None:
        self._policy = policy
        self._name = name
        self._call_soon = call_soon
        self._announce = announce

    @property
    def skips(self) -> bool:
        """Whether the policy may answer Skip."""
        return self._policy.skips

    def new_state(self, chance: Callable[[], float]) -> _WatchedState:
        """Make the policy's state, and listen to the circuits in it."""
        state = _WatchedState(self._policy.new_state(chance))
        parts = state.own.states if isinstance(state.own, ComposedState) else [state.own]
        for part in parts:
            if isinstance(part, BreakerState):
                part.on_change = partial(self._circuit_changed, state, part)
        return state

    def judge(self, state: _WatchedState, failure: Failure, now: float) -> Verdict:
        """Ask the policy."""
        return self._policy.judge(state.own, failure, now)

    def failed(self, state: _WatchedState, failure: Failure, now: float) -> Decision | None:
        """Ask the policy; from now on the handler is failing."""
        state.quiet = isinstance(failure.item, Receipt) and failure.item.event.event_type.is_system
        try:
            if not state.quiet:
                state.failing = True
            return self._policy.failed(state.own, failure, now)
        finally:
            state.quiet = False

    def progressed(self, state: _WatchedState, count: int, probes: int, now: float) -> None:
        """Tell the policy; a handler that was failing has recovered."""
        self._policy.progressed(state.own, count, probes, now)
        if state.failing and count:
            state.failing = False
            self._tell(EventType.HANDLER_RECOVERED)

    def admit(self, state: _WatchedState, wanted: int, now: float) -> Admission:
        """Ask the policy."""
        return self._policy.admit(state.own, wanted, now)

    def unlimited(self, state: _WatchedState) -> bool:
        """Ask the policy."""
        return self._policy.unlimited(state.own)

    def withdrawn(self, state: _WatchedState, probes: int, now: float) -> None:
        """Tell the policy."""
        self._policy.withdrawn(state.own, probes, now)

    def resumed(self, state: _WatchedState, now: float) -> bool:
        """Tell the policy."""
        return self._policy.resumed(state.own, now)

    def watch(self, state: _WatchedState, changed: Callable[[], None]) -> None:
        """Have `changed` called when a breaker is reset by hand."""
        self._policy.watch(state.own, changed)

    def describe(self, state: _WatchedState) -> dict[str, Any]:
        """Ask the policy."""
        return self._policy.describe(state.own)

    def _circuit_changed(self, state: _WatchedState, breaker: BreakerState) -> None:
        """Tell of opening and closing, once each; the probes in between are no news."""
        if breaker.circuit is CircuitState.OPEN and not state.opened and not state.quiet:
            state.opened = True
            extra = {"actor": self._name}
            logger.warning("the circuit of %r is open: its events wait", self._name, extra=extra)
            self._tell(EventType.CIRCUIT_OPENED)
        elif breaker.circuit is CircuitState.CLOSED and state.opened:
            state.opened = False
            extra = {"actor": self._name}
            logger.info("the circuit of %r is closed: its events go on", self._name, extra=extra)
            self._tell(EventType.CIRCUIT_CLOSED)

    def _tell(self, event_type: EventType) -> None:
        self._call_soon(self._announce, event_type, {"handler": self._name})
