"""ErrorPolicy: which dead letters and which breaker a failing handler gets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, Self

from pywats_events.models.event import Event
from pywats_events.policies.circuit_breaker import CircuitBreaker, CircuitState
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue
from pywats_supervision.logs import GuardedLogger

__all__ = ["CircuitBreaker", "CircuitState", "DeadLetterEntry", "DeadLetterQueue", "ErrorPolicy"]

logger: Final = GuardedLogger("pywats_events")

CALLBACK_RAISED: Final = "a failure callback raised for event %s"


class ErrorPolicy:
    """What a bus does with events that cannot be handled.

    Args:
        dead_letter_queue: where they are kept; default one in memory.
        circuit_breaker: the breaker of subscriptions without one of their own; each has its own count.
        dead_letter_unrouted: whether an event that no subscription takes becomes a dead letter; else it
            is only counted (`unrouted_count` of the bus).

    Raises:
        TypeError: if an argument is of the wrong type.
    """

    def __init__(
        self,
        dead_letter_queue: DeadLetterQueue | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        *,
        dead_letter_unrouted: bool = False,
    ) -> None:
        if dead_letter_queue is not None and not callable(getattr(dead_letter_queue, "add", None)):
            raise TypeError(f"dead_letter_queue must be a DeadLetterQueue or None, not {dead_letter_queue!r}")
        if circuit_breaker is not None and not isinstance(circuit_breaker, CircuitBreaker):
            raise TypeError(f"circuit_breaker must be a CircuitBreaker or None, not {circuit_breaker!r}")
        if not isinstance(dead_letter_unrouted, bool):
            raise TypeError(f"dead_letter_unrouted must be True or False, not {dead_letter_unrouted!r}")
        self._dead_letter_unrouted = dead_letter_unrouted
        self._queue = DeadLetterQueue() if dead_letter_queue is None else dead_letter_queue
        self._queue_given = dead_letter_queue is not None
        self._breaker = circuit_breaker
        self._callbacks: list[Callable[[Event, Exception], object]] = []

    @property
    def dead_letter_queue(self) -> DeadLetterQueue:
        """The dead letters."""
        return self._queue

    def keep_in(self, queue: DeadLetterQueue) -> None:
        """Keep dead letters in a bus's store, unless a queue was given."""
        if not self._queue_given:
            self._queue = queue

    @property
    def circuit_breaker(self) -> CircuitBreaker | None:
        """The breaker; None without one."""
        return self._breaker

    @property
    def dead_letter_unrouted(self) -> bool:
        """Whether an event that no subscription takes becomes a dead letter."""
        return self._dead_letter_unrouted

    def on_failure(self, callback: Callable[[Event, Exception], object]) -> Self:
        """Have `callback(event, error)` called for each event that is given up.

        A bus calls it on its own thread; what it raises is logged. One that is async is for
        `handle_failure_async` alone.

        Returns:
            The policy itself.

        Raises:
            TypeError: if it cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"callback must be a callable that takes an event and an error, not {callback!r}")
        self._callbacks.append(callback)
        return self

    def dead_letter(
        self, event: Event, error: Exception, handler_name: str | None = None, attempts: int | None = None
    ) -> DeadLetterEntry:
        """Keep an event that was given up, and tell the callbacks.

        Args:
            event: as it was handled.
            error: what the last attempt raised.
            handler_name: the subscription that gave up.
            attempts: how many attempts were made; default the event's own count.
        """
        entry = self._queue.add(event, error, handler_name, attempts)
        for callback in tuple(self._callbacks):
            result = self._tell(callback, event, error)
            if inspect.iscoroutine(result):
                result.close()
                text = "the failure callback %r is async and cannot be called here"
                logger.error(text, callback, extra={"event_id": event.id})
        return entry

    def _tell(self, callback: Callable[[Event, Exception], object], event: Event, error: Exception) -> object:
        try:
            return callback(event, error)
        except Exception:  # a user's callback; the dead letter is kept
            logger.exception(CALLBACK_RAISED, event.id, extra={"event_id": event.id})
            return None

    def handle_failure(self, event: Event, error: Exception, handler_name: str | None = None) -> None:
        """Deal with a failure by hand, in plain code: a dead letter, and a failure of the breaker.

        Args:
            event: as it was handled.
            error: what its handler raised.
            handler_name: of the handler.
        """
        self.dead_letter(event, error, handler_name)
        self._record_failure()

    async def handle_failure_async(
        self, event: Event, error: Exception, handler_name: str | None = None
    ) -> None:
        """The same as `handle_failure`, in async code: async callbacks are awaited, one after the other.

        Cancelled: the dead letter is kept and the breaker told; callbacks may have been left out.
        """
        self._queue.add(event, error, handler_name)
        self._record_failure()
        for callback in tuple(self._callbacks):
            try:
                result = callback(event, error)
                if inspect.isawaitable(result):
                    await result
            except Exception:  # a user's callback; the dead letter is kept
                logger.exception(CALLBACK_RAISED, event.id, extra={"event_id": event.id})

    def _record_failure(self) -> None:
        if self._breaker is not None:
            self._breaker.record_failure()

    def can_process(self) -> bool:
        """Whether the breaker lets a call through; by hand, in plain code."""
        return self._breaker is None or self._breaker.can_proceed()

    def record_success(self) -> None:
        """Tell the breaker of a success; by hand, in plain code."""
        if self._breaker is not None:
            self._breaker.record_success()

    def __repr__(self) -> str:
        return f"ErrorPolicy({len(self._queue)} dead letters, {self._breaker!r})"
