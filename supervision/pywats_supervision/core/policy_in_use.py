"""A restart policy together with the state of one user of it.

This is where the rule stands that every policy judges before any hears of the failure, and where
the answer to "may work go on?" is kept as a flag that costs one attribute to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pywats_supervision.policies.decision import (
    Admission,
    ChildDecision,
    Decision,
    Failure,
    ItemDecision,
    Restart,
    RestartPolicy,
    Retry,
    Suspend,
    Verdict,
)

__all__ = ["PolicyInUse"]


class PolicyInUse:
    """One policy, one state; shared by all children of a supervisor or owned by one child.

    Args:
        policy: the configuration.
        chance: gives numbers in [0, 1).
        on_reset: called, maybe on another thread, when a person has reset the policy; whoever
            owns this calls `changed` then.

    Attributes:
        unlimited: work may go on without asking; read once per item by whoever works.
    """

    __slots__ = ("_listeners", "_on_reset", "policy", "state", "unlimited")

    def __init__(
        self,
        policy: RestartPolicy[Any],
        chance: Callable[[], float],
        on_reset: Callable[[PolicyInUse], None],
    ) -> None:
        self.policy: RestartPolicy[Any] = policy
        self._on_reset = on_reset
        self.state: Any = policy.new_state(chance)
        self.unlimited: bool = policy.unlimited(self.state)
        self._listeners: list[Callable[[], None]] = []
        policy.watch(self.state, self._reset)

    def failed(self, failure: Failure, now: float) -> Decision | None:
        """Ask the policy about a failure; whatever it raises is raised."""
        verdict = self.policy.judge(self.state, failure, now)
        if verdict is not Verdict.CHARGED:
            failure = replace(failure, verdict=verdict)
        decision = _checked(self.policy.failed(self.state, failure, now))
        if decision is not None and verdict is not Verdict.CHARGED:
            decision = replace(decision, verdict=verdict)
        self.changed()
        return decision

    def progressed(self, count: int, probes: int, now: float) -> None:
        """Tell it that items were done, `probes` of them granted by a limited admission."""
        self.policy.progressed(self.state, count, probes, now)
        self.changed()

    def admit(self, wanted: int, now: float) -> Admission:
        """Ask how many items may be taken now."""
        admission = self.policy.admit(self.state, wanted, now)
        # Taking work never makes more possible, so nobody is called: two who wait would wake each other.
        self.unlimited = self.policy.unlimited(self.state)
        return admission

    def withdrawn(self, probes: int, now: float) -> None:
        """Tell it that granted probes were neither done nor failed."""
        self.policy.withdrawn(self.state, probes, now)
        self.changed()

    def resumed(self, now: float) -> bool:
        """Tell it that a person resumed a child that it had suspended; whether that changes its answers."""
        return self.policy.resumed(self.state, now)

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever more work may have become possible."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Undo one `subscribe`."""
        self._listeners.remove(listener)

    def _reset(self) -> None:
        self._on_reset(self)

    def changed(self) -> None:
        """Look whether more work has become possible, and tell the listeners."""
        unlimited = self.policy.unlimited(self.state)
        if unlimited and self.unlimited:
            return
        self.unlimited = unlimited
        for listener in tuple(self._listeners):
            listener()


def _checked(decision: object) -> Decision | None:
    """What a user's policy answered, if a supervisor can carry it out."""
    if decision is None:
        return None
    if not isinstance(decision, Decision):
        raise TypeError(f"a restart policy answers with a Decision or None, not {decision!r}")
    item, child = decision.item, decision.child
    if not isinstance(item, ItemDecision):
        raise TypeError(f"a Decision's item must be Retry or Skip, not {item!r}")
    if not isinstance(child, ChildDecision):
        raise TypeError(f"a Decision's child must be Restart, Suspend, Stop or Escalate, not {child!r}")
    times = [half.delay for half in (item, child) if isinstance(half, Retry | Restart)]
    times += [child.until] if isinstance(child, Suspend) else []
    if not all(time >= 0 for time in times):
        raise ValueError(f"the times of a Decision must be 0 or more seconds, not those of {decision!r}")
    return decision
