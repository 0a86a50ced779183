"""What users hand to a bus: when to try again, when to pause, what to do with what cannot be handled."""

from pywats_events.policies.circuit_breaker import CircuitBreaker, CircuitState
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.policies.retry_policy import ImmediateRetryPolicy, NoRetryPolicy, RetryPolicy

__all__ = [
    "CircuitBreaker",
    "CircuitState",
    "DeadLetterEntry",
    "DeadLetterQueue",
    "ErrorPolicy",
    "ImmediateRetryPolicy",
    "NoRetryPolicy",
    "RetryPolicy",
]
