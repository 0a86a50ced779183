"""What a child's policy is told of a failure, and what it answers.

A policy that raises, or answers with what no supervisor can carry out, escalates with both errors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from pywats_supervision.core.children import Child
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.errors import PolicyEscalated
from pywats_supervision.policies.decision import Decision, Escalate, Failure, Phase

__all__ = ["Answer", "answer_to"]


class Answer(NamedTuple):
    """The answer to one failure.

    Attributes:
        decision: what is to be done; None if the supervisor's own rules decide.
        escalation: what the supervisor gives up with, if it is to escalate.
    """

    decision: Decision | None
    escalation: PolicyEscalated | None


_START: Final = Phase.START  # looked up once, which an enum is slow at

UNDECIDED: Final = Answer(None, None)


def answer_to(error: Exception, phase: Phase, child: Child, supervisor: str, now: float) -> Answer:
    """Ask the child's policy, if it has one, and tell the holder of its item, if it holds one.

    Args:
        error: what the child's life ended with.
        phase: where in its life it was.
        child: whose life it was.
        supervisor: the name of its supervisor.
        now: the supervisor's clock, in seconds.
    """
    held = child.in_hand
    # A failed start is no attempt at what an earlier life left in hand.
    item = None if held is None or phase is _START else held.item
    if child.policy is None and item is None:
        child.last = None
        return UNDECIDED
    uptime = 0.0 if child.up_since is None else now - child.up_since
    failure = Failure(error, phase=phase, uptime=uptime)
    if held is not None and item is not None:
        failure = replace(
            failure,
            item=item,
            attempt=held.attempt,
            overtaken=held.overtaken,
            come_round=held.come_round,
            probe=held.probe,
        )
    answer = UNDECIDED if child.policy is None else _asked(child.policy, failure, child, supervisor, now)
    child.last = answer.decision
    if held is not None and item is not None:
        held.decided(failure, answer.decision)
    return answer


def _asked(policy: PolicyInUse, failure: Failure, child: Child, supervisor: str, now: float) -> Answer:
    does, errors = "escalated", [failure.error]
    try:
        decision = policy.failed(failure, now)
    except Exception as broken:  # noqa: BLE001 - a user's policy; both errors are raised by run()
        decision = Decision(child=Escalate())
        does, errors = "raised", [failure.error, broken]
    if decision is None or not isinstance(decision.child, Escalate):
        return Answer(decision, None)
    text = f"the restart policy of child {child.spec.name!r} of {supervisor!r} {does}"
    return Answer(decision, PolicyEscalated(text, errors, supervisor=supervisor))
