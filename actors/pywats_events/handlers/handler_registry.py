"""HandlerRegistry: which handlers take which type of event, for plain code.

A bus keeps its own subscriptions; this is for those who call handlers by hand, as with pywats-api
0.6. It routes with the same table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

from pywats_events.handlers._binding import bound, takes_of
from pywats_events.handlers.base_handler import BaseHandler
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.routing._table import RoutingTable

__all__ = ["HandlerRegistry"]


class _Entry(NamedTuple):
    handler: BaseHandler
    event_types: tuple[str, ...]
    priority: int


@final
class HandlerRegistry:
    """Handlers by event type, in the order of their priority, lower first, then of registering.

    Example:
        ```python
        registry = HandlerRegistry()
        registry.register(MyHandler())
        for handler in registry.get_handlers_for_event(event):
            await handler.handle(event)
        ```
    """

    __slots__ = ("_entries", "_table")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._compile()

    def register(self, handler: BaseHandler) -> None:
        """Add a handler; one that is there already stays where it is.

        Raises:
            TypeError: if it is a class, has no `handle`, or names no event types.
        """
        if isinstance(handler, type):
            raise TypeError(f"handler must be an instance, not the class {handler.__name__}")
        bound(handler)
        if handler not in self:
            self._entries.append(_Entry(handler, takes_of(handler), handler.priority))
            self._compile()

    def unregister(self, handler: BaseHandler) -> bool:
        """Remove a handler; says whether it was there."""
        kept = [entry for entry in self._entries if entry.handler is not handler]
        found = len(kept) < len(self._entries)
        self._entries = kept
        self._compile()
        return found

    def _compile(self) -> None:
        self._entries.sort(key=lambda entry: entry.priority)
        self._table: RoutingTable[_Entry] = RoutingTable.compile(self._entries)

    def get_handlers(self, event_type: EventType) -> list[BaseHandler]:
        """The handlers that take events of a type."""
        return [entry.handler for entry in self._table.lookup(event_type)]

    def get_handlers_for_event(self, event: Event) -> list[BaseHandler]:
        """The handlers that take this event, as far as their `can_handle` agrees."""
        return [handler for handler in self.get_handlers(event.event_type) if handler.can_handle(event)]

    def get_all_handlers(self) -> list[BaseHandler]:
        """All handlers."""
        return list(self)

    def get_event_types(self) -> set[str]:
        """The event types that handlers name."""
        return {event_type for entry in self._entries for event_type in entry.event_types}

    def clear(self) -> None:
        """Remove all handlers."""
        self._entries.clear()
        self._compile()

    @property
    def handler_count(self) -> int:
        """How many handlers there are."""
        return len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[BaseHandler]:
        return iter([entry.handler for entry in self._entries])

    def __contains__(self, handler: object) -> bool:
        return any(entry.handler is handler for entry in self._entries)

    def __repr__(self) -> str:
        return f"HandlerRegistry({[handler.name for handler in self]})"
