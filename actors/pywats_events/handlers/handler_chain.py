"""HandlerChain: middleware around handlers.

Each middleware is given the event and what comes next; it may look, change the event, or stop it
there. The chain is put together when it changes, not per event.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeAlias

from pywats_events.errors import EventValidationError, NotAnEvent
from pywats_events.models.event import Event
from pywats_supervision.logs import GuardedLogger

__all__ = [
    "ChainMiddleware",
    "EnrichmentMiddleware",
    "HandlerChain",
    "LoggingMiddleware",
    "Next",
    "ValidationMiddleware",
]

Next: TypeAlias = Callable[[Event], Awaitable[Any]]
"""What comes next: another middleware, or the handler."""

logger: Final = GuardedLogger("pywats_events")


class ChainMiddleware:
    """Base of middleware; this one lets everything through."""

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Deal with one event.

        Args:
            event: the event.
            next_handler: to be awaited with the event, or another, to go on; not calling it stops
                the event here, as handled.

        Returns:
            What the handler returned, as a rule.
        """
        return await next_handler(event)


class HandlerChain:
    """Several middlewares, the first outermost."""

    def __init__(self) -> None:
        self._middlewares: list[ChainMiddleware] = []
        self._run: Next = _nothing

    def add(self, middleware: ChainMiddleware) -> Self:
        """Add a middleware inside those that are there.

        Returns:
            The chain itself.

        Raises:
            TypeError: if it has no `process`, or is a class.
        """
        if isinstance(middleware, type):
            raise TypeError(f"a middleware must be an instance, not the class {middleware.__name__}; call it")
        if not callable(getattr(middleware, "process", None)):
            raise TypeError(
                f"a middleware needs `async def process(self, event, next_handler)`, not {middleware!r}"
            )
        self._middlewares.append(middleware)
        self._run = self.wrap(_nothing)
        return self

    def wrap(self, handle: Next) -> Next:
        """A handler's call inside the middlewares that are there now."""
        for middleware in reversed(self._middlewares):
            handle = _wrapped(middleware, handle)
        return handle

    async def execute(self, event: Event) -> Any:
        """Run an event through the chain alone, with nothing behind it.

        Returns:
            What the last middleware returned; None if there is none.
        """
        return await self._run(event)

    def clear(self) -> None:
        """Take all middlewares out."""
        self._middlewares.clear()
        self._run = _nothing

    def __len__(self) -> int:
        return len(self._middlewares)


async def _nothing(event: Event) -> None:  # noqa: ASYNC124 - stands where a handler does
    del event


def _wrapped(middleware: ChainMiddleware, handle: Next) -> Next:
    process = middleware.process

    def call(event: Event) -> Awaitable[Any]:
        return process(event, handle)

    return call


class LoggingMiddleware(ChainMiddleware):
    """Logs each event before and after it is handled.

    Args:
        log_level: of the log lines; a failure is logged as an error.

    Raises:
        TypeError: if it is no number.
    """

    def __init__(self, log_level: int = logging.DEBUG) -> None:
        if isinstance(log_level, bool) or not isinstance(log_level, int):
            raise TypeError(f"log_level must be a number such as logging.INFO, not {log_level!r}")
        self.log_level = log_level

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Log, go on, log."""
        self._log(event, "is being handled")
        try:
            result = await next_handler(event)
        except Exception:
            logger.exception("event %s (%s) failed", event.id, event.event_type, extra=_extra(event))
            raise
        self._log(event, "was handled")
        return result

    def _log(self, event: Event, what: str) -> None:
        # Asked first, as reading the id of an event for the first time builds it.
        if logger.isEnabledFor(self.log_level):
            text = "event %s (%s) %s"
            logger.log(self.log_level, text, event.id, event.event_type, what, extra=_extra(event))


def _extra(event: Event) -> dict[str, Any]:
    return {"event_id": event.id, "attempt": event.attempt}


class ValidationMiddleware(ChainMiddleware):
    """Refuses events that a validator does not like, so that they become dead letters at once.

    Args:
        validator: given an event, says whether it is valid; what it raises is the handler's failure.

    Raises:
        TypeError: if the validator cannot be called.
    """

    def __init__(self, validator: Callable[[Event], object]) -> None:
        if not callable(validator):
            raise TypeError(f"validator must be a callable that takes an event, not {validator!r}")
        self.validator = validator

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Go on with a valid event.

        Raises:
            EventValidationError: if it is not valid; no retry can mend that.
        """
        if not self.validator(event):
            raise EventValidationError(
                f"event {event.id} ({event.event_type}) is not valid to {self.validator!r}"
            )
        return await next_handler(event)


class EnrichmentMiddleware(ChainMiddleware):
    """Hands on what an enricher makes of the event.

    Args:
        enricher: given an event, returns the one to hand on.

    Raises:
        TypeError: if the enricher cannot be called.
    """

    def __init__(self, enricher: Callable[[Event], Event]) -> None:
        if not callable(enricher):
            raise TypeError(f"enricher must be a callable that takes an event, not {enricher!r}")
        self.enricher = enricher

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Go on with the enriched event.

        Raises:
            NotAnEvent: if the enricher returned none.
        """
        enriched = self.enricher(event)
        if not isinstance(enriched, Event):
            raise NotAnEvent(f"the enricher {self.enricher!r} must return an Event, not {enriched!r}")
        return await next_handler(enriched)
