"""Restart policies: when to run again. Pure; see `decision` for the vocabulary."""

from pywats_supervision.policies.backoff import Backoff, BackoffState, growing_delay
from pywats_supervision.policies.breaker import (
    TRANSITIONS,
    BreakerState,
    CircuitBreaker,
    CircuitNews,
    CircuitState,
)
from pywats_supervision.policies.compose import Composed, ComposedState, compose
from pywats_supervision.policies.decision import (
    CHILD_SEVERITY,
    Admission,
    ChildDecision,
    Decision,
    Escalate,
    Failure,
    ItemDecision,
    Phase,
    Restart,
    RestartPolicy,
    Retry,
    Skip,
    Stop,
    Suspend,
    Verdict,
)
from pywats_supervision.policies.retry import RetryPolicy, RetryState

__all__ = [
    "CHILD_SEVERITY",
    "TRANSITIONS",
    "Admission",
    "Backoff",
    "BackoffState",
    "BreakerState",
    "ChildDecision",
    "CircuitBreaker",
    "CircuitNews",
    "CircuitState",
    "Composed",
    "ComposedState",
    "Decision",
    "Escalate",
    "Failure",
    "ItemDecision",
    "Phase",
    "Restart",
    "RestartPolicy",
    "Retry",
    "RetryPolicy",
    "RetryState",
    "Skip",
    "Stop",
    "Suspend",
    "Verdict",
    "compose",
    "growing_delay",
]
