"""BaseHandler: what a user derives a handler from.

A handler says which event types it takes and does its work in `handle`; retries, breakers and
dead letters are its supervisor's business, so it raises what goes wrong. Subclasses need not
call `super().__init__()`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Self

from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType

__all__ = ["BaseHandler", "FilteringHandler", "SyncHandler"]


class BaseHandler(abc.ABC):
    """Base of handlers.

    Args:
        name: for logs, dead letters and snapshots; default the name of the class.
        priority: lower is dispatched to first.
        enabled: whether it takes events at present.
    """

    _name: str | None = None
    _priority: int = 100
    _enabled: bool = True

    def __init__(self, name: str | None = None, priority: int = 100, enabled: bool = True) -> None:
        self._name = name
        self._priority = priority
        self._enabled = enabled

    @property
    def name(self) -> str:
        """Its name."""
        return self._name or type(self).__name__

    @property
    def priority(self) -> int:
        """Lower is dispatched to first."""
        return self._priority

    @property
    def enabled(self) -> bool:
        """Whether it takes events; set it to change that while the bus runs."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = value

    @property
    @abc.abstractmethod
    def event_types(self) -> list[EventType]:
        """The types it takes, as a property or a plain method; empty takes all but system events."""

    @abc.abstractmethod
    def handle(self, event: Event) -> Any:
        """Handle one event; sync (run in a worker thread) or async.

        What it raises is judged by the subscription's policies: the event is tried again, or
        becomes a dead letter.
        """

    def can_handle(self, event: Event) -> bool:
        """Whether it takes this event; override it to look closer than the type."""
        if not self._enabled:
            return False
        types: Any = self.event_types
        if callable(types):
            types = types()
        return not types or event.event_type in types

    async def on_start(self) -> None:
        """Called at the begin of each life of its worker, before the first event."""

    async def on_stop(self) -> None:
        """Called at the end of each life of its worker."""

    async def on_error(self, event: Event, error: Exception) -> None:
        """Called with each failure of `handle`, before the policies decide."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, enabled={self._enabled})"


class SyncHandler(BaseHandler):
    """A handler whose work is a plain function: implement `handle_sync`; it runs in a worker thread."""

    @abc.abstractmethod
    def handle_sync(self, event: Event) -> Any:
        """Handle one event."""

    def handle(self, event: Event) -> Any:
        """Handle one event."""
        return self.handle_sync(event)


class FilteringHandler(BaseHandler):
    """A handler that takes an event only if all its filters agree."""

    _filters: tuple[Callable[[Event], bool], ...] = ()

    def add_filter(self, filter_func: Callable[[Event], bool]) -> Self:
        """Add a filter.

        Args:
            filter_func: given an event, says whether to take it.

        Returns:
            The handler itself.
        """
        self._filters = (*self._filters, filter_func)
        return self

    def can_handle(self, event: Event) -> bool:
        """Whether it takes this event."""
        return super().can_handle(event) and all(agrees(event) for agrees in self._filters)
