"""ErrorPolicy: which dead letters and which breaker a failing handler gets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Self

from pywats_events.models.event import Event
from pywats_events.policies.circuit_breaker import CircuitBreaker, CircuitState
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue

__all__ = ["CircuitBreaker", "CircuitState", "DeadLetterEntry", "DeadLetterQueue", "ErrorPolicy"]

logger = logging.getLogger("pywats_events")


class ErrorPolicy:
    """What a bus does with events that cannot be handled.

    Args:
        dead_letter_queue: where they are kept; default one in memory.
        circuit_breaker: the breaker of subscriptions without one of their own; each has its own count.

    Raises:
        TypeError: if an argument is of the wrong type.
    """

    def __init__(
        self,
        dead_letter_queue: DeadLetterQueue | None = None,
        circuit_breaker: CircuitBreaker | None = None,
    ) -> None:
        if dead_letter_queue is not None and not callable(getattr(dead_letter_queue, "add", None)):
            raise TypeError(f"dead_letter_queue must be a DeadLetterQueue or None, not {dead_letter_queue!r}")
        if circuit_breaker is not None and not isinstance(circuit_breaker, CircuitBreaker):
            raise TypeError(f"circuit_breaker must be a CircuitBreaker or None, not {circuit_breaker!r}")
        self._queue = DeadLetterQueue() if dead_letter_queue is None else dead_letter_queue
        self._breaker = circuit_breaker
        self._callbacks: list[Callable[[Event, Exception], object]] = []

    @property
    def dead_letter_queue(self) -> DeadLetterQueue:
        """The dead letters."""
        return self._queue

    @property
    def circuit_breaker(self) -> CircuitBreaker | None:
        """The breaker; None without one."""
        return self._breaker

    def on_failure(self, callback: Callable[[Event, Exception], object]) -> Self:
        """Have `callback(event, error)` called for each event that is given up.

        Returns:
            The policy itself.
        """
        self._callbacks.append(callback)
        return self

    def dead_letter(
        self, event: Event, error: Exception, handler_name: str | None = None, attempts: int = 1
    ) -> DeadLetterEntry:
        """Keep an event that was given up, and tell the callbacks."""
        entry = self._queue.add(event, error, handler_name, attempts)
        for callback in tuple(self._callbacks):
            try:
                callback(event, error)
            except Exception:  # a user's callback; the dead letter is kept
                logger.exception("a failure callback raised for event %s", event.id)
        return entry

    def handle_failure(self, event: Event, error: Exception, handler_name: str | None = None) -> None:
        """Deal with a failure by hand, in plain code: a dead letter, and a failure of the breaker."""
        self.dead_letter(event, error, handler_name, event.attempt)
        if self._breaker is not None:
            self._breaker.record_failure()

    async def handle_failure_async(
        self, event: Event, error: Exception, handler_name: str | None = None
    ) -> None:
        """The same, for code that awaits it."""
        self.handle_failure(event, error, handler_name)

    def can_process(self) -> bool:
        """Whether the breaker lets a call through; by hand, in plain code."""
        return self._breaker is None or self._breaker.can_proceed()

    def record_success(self) -> None:
        """Tell the breaker of a success; by hand, in plain code."""
        if self._breaker is not None:
            self._breaker.record_success()

    def __repr__(self) -> str:
        return f"ErrorPolicy({len(self._queue)} dead letters, {self._breaker!r})"
