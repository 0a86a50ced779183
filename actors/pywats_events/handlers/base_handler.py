"""BaseHandler: what a user derives a handler from.

A handler says which event types it takes and does its work in `handle`; retries, breakers and
dead letters are its supervisor's business, so it raises what goes wrong. Subclasses need not
call `super().__init__()`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Self

from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.routing._table import takes

__all__ = ["BaseHandler", "FilteringHandler", "SyncHandler"]


class BaseHandler(abc.ABC):
    """Base of handlers.

    Args:
        name: for logs, dead letters and snapshots; default the name of the class.
        priority: lower is dispatched to first.
        enabled: whether it takes events at present.

    Attributes:
        concurrency: how many of its events may be in hand at once, unless `subscribe` says otherwise.
        drain_rate: events per second by which a backlog on the disk becomes less at the most, unless
            `subscribe` says otherwise; for handlers whose server is not to be flooded.

    Raises:
        TypeError: if the priority is no whole number, or `enabled` no bool.
        ValueError: if the name is no text, or empty.
    """

    concurrency: int = 1
    drain_rate: float = inf

    # Defaults of the class, as subclasses need not call __init__.
    _name: str | None = None
    _priority: int = 100
    _enabled: bool = True
    _subscribed_to: tuple[tuple[str, ...], ...] = ()
    _watchers: tuple[Callable[[], object], ...] = ()

    def __init__(self, name: str | None = None, priority: int = 100, enabled: bool = True) -> None:
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority must be a whole number, lower being first, not {priority!r}")
        if name is not None and (not name or not isinstance(name, str)):
            raise ValueError(f"name must be a non-empty str, or None for that of the class, not {name!r}")
        self._name = name
        self._priority = priority
        self._enabled = _checked_enabled(enabled)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name or type(self).__name__

    @property
    def priority(self) -> int:
        """Lower is dispatched to first."""
        return self._priority

    @property
    def order_by(self) -> Callable[[Event], Hashable] | None:
        """Gives the key of an event, unless `subscribe` does; those of one key are handled in order."""
        return None

    @property
    def enabled(self) -> bool:
        """Whether it takes events; may be set while the bus runs."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = _checked_enabled(value)
        self._changed()

    @property
    @abc.abstractmethod
    def event_types(self) -> list[EventType]:
        """The types it takes, and patterns such as "test.*", as a property or a plain method.

        An empty list takes all but the bus's own.
        """

    @abc.abstractmethod
    def handle(self, event: Event) -> Any:
        """Handle one event; sync (run in a worker thread) or async.

        What it raises is judged by the subscription's policies: the event is tried again, or
        becomes a dead letter. What a sync one returns is awaited if it is to be, so that a decorator
        made for plain functions does no harm.
        """

    def can_handle(self, event: Event) -> bool:
        """Whether it takes this event; override it to look closer than the type.

        In a bus it is asked about the types that the subscription takes.
        """
        if not self._enabled:
            return False
        types: Any = self.event_types
        if callable(types):
            types = types()
        own = (types,) if isinstance(types, str) else types
        return any(takes(names, event.event_type) for names in (own, *self._subscribed_to))

    # Hooks may be sync as well; those of a handler whose `handle` is sync run in its threads.

    async def on_start(self) -> None:
        """Called at the beginning of each life of its worker, before the first event."""

    async def on_stop(self) -> None:
        """Called at the end of each life of its worker."""

    async def on_error(self, event: Event, error: Exception) -> None:
        """Called with each failure of `handle`, before the policies decide; what it raises is logged."""

    # What a bus asks

    def filter_of_events(self) -> Callable[[Event], bool] | None:
        """What is to be asked about each event of its types; None if it takes them all.

        That is known as long as nobody has overridden `can_handle`; so the usual handler costs no
        question per event. A bus asks again when `watch` tells it to.
        """
        if self._enabled and type(self).can_handle is BaseHandler.can_handle:
            return None
        return self.can_handle

    def subscribed_to(self, event_types: tuple[str, ...]) -> None:
        """Take these types too, or all if there are none: a subscription names them in place of its own."""
        if event_types not in self._subscribed_to:
            self._subscribed_to = (*self._subscribed_to, event_types)

    def watch(self, changed: Callable[[], object]) -> None:
        """Have `changed()` called when `filter_of_events` may have another answer.

        It is called on the thread that made the change.
        """
        self._watchers = (*self._watchers, changed)

    def unwatch(self, changed: Callable[[], object]) -> None:
        """Call `changed` no more."""
        self._watchers = tuple(watcher for watcher in self._watchers if watcher != changed)

    def _changed(self) -> None:
        for changed in self._watchers:
            changed()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, enabled={self._enabled})"


def _checked_enabled(enabled: object) -> bool:
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be True or False, not {enabled!r}")
    return enabled


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

    _filters: tuple[Callable[[Event], object], ...] = ()

    def add_filter(self, filter_func: Callable[[Event], object]) -> Self:
        """Add a filter; also while the bus runs.

        Args:
            filter_func: given an event, says whether to take it; what it raises is a failure of
                this handler.

        Returns:
            The handler itself.

        Raises:
            TypeError: if it cannot be called.
        """
        if not callable(filter_func):
            raise TypeError(f"filter_func must be a callable that takes an event, not {filter_func!r}")
        self._filters = (*self._filters, filter_func)
        self._changed()
        return self

    def can_handle(self, event: Event) -> bool:
        """Whether it takes this event."""
        return super().can_handle(event) and all(agrees(event) for agrees in self._filters)

    def filter_of_events(self) -> Callable[[Event], bool] | None:
        """What is to be asked about each event of its types; None if it takes them all."""
        own = type(self).can_handle is FilteringHandler.can_handle
        return None if own and self._enabled and not self._filters else self.can_handle
