"""What a child's policy is told of a failure, and what it answers.

A policy that raises, or answers with what no supervisor can carry out, escalates with both errors.
"""

from __future__ import annotations

from typing import NamedTuple

from pywats_supervision.core.children import Child
from pywats_supervision.errors import PolicyEscalated
from pywats_supervision.policies.decision import Decision, Escalate, Failure, Phase

__all__ = ["Answer", "answer_to", "failure_of"]


class Answer(NamedTuple):
    """The answer to one failure.

    Attributes:
        decision: what is to be done; None if the supervisor's own rules decide.
        escalation: what the supervisor gives up with, if it is to escalate.
    """

    decision: Decision | None
    escalation: PolicyEscalated | None


def failure_of(child: Child, error: Exception, phase: Phase, now: float) -> Failure:
    """Describe the failure of a child's life, with the item in its hand."""
    uptime = 0.0 if child.up_since is None else now - child.up_since
    held = child.in_hand
    if held is None or held.item is None:
        return Failure(error, phase=phase, uptime=uptime)
    return Failure(
        error, held.item, held.attempt, phase, uptime=uptime, overtaken=held.overtaken, probe=held.probe
    )


def answer_to(failure: Failure, child: Child, supervisor: str, now: float) -> Answer:
    """Ask the child's policy, if it has one, and tell the holder of its item, if it holds one."""
    decision = escalation = None
    if child.policy is not None:
        does, errors = "escalated", [failure.error]
        try:
            decision = child.policy.failed(failure, now)
        except Exception as broken:  # noqa: BLE001 - a user's policy; both errors are raised by run()
            decision = Decision(child=Escalate())
            does, errors = "raised", [failure.error, broken]
        if decision is not None and isinstance(decision.child, Escalate):
            text = f"the restart policy of child {child.spec.name!r} of {supervisor!r} {does}"
            escalation = PolicyEscalated(text, errors, supervisor=supervisor)
    child.last = decision
    if failure.item is not None and child.in_hand is not None:
        child.in_hand.decided(failure, decision)
    return Answer(decision, escalation)
