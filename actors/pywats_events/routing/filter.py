"""EventFilter: which events a subscription wants, put together from questions (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, Self, final

from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.routing._predicates import Predicate, checked, of_source, of_type, with_key, with_value

__all__ = ["EventFilter"]


@final
class EventFilter:
    """Lets an event through if all its conditions hold; without any, every event.

    Conditions are added in place, and each call returns the filter itself. `&`, `|` and `~` make new
    filters of what their parts are then. A condition that raises is not caught: in a bus that is a
    failure of the one subscription that has the filter.

    Example:
        ```python
        failed = EventFilter().by_type(EventType.TEST_RESULT).payload_equals("result", "fail")
        bus.subscribe(handler, filter=failed & ~EventFilter().by_source("simulator"))
        ```
    """

    __slots__ = ("_predicates",)

    def __init__(self) -> None:
        self._predicates: tuple[Predicate, ...] = ()

    def where(self, predicate: Predicate) -> Self:
        """Add a condition of your own.

        Args:
            predicate: given an event, says whether to let it through.

        Raises:
            TypeError: if it cannot be called.
        """
        self._predicates = (*self._predicates, checked("predicate", predicate))
        return self

    def by_type(self, *event_types: EventType | str) -> Self:
        """Let only these types through.

        Raises:
            ValueError: for a name that is no event type.
        """
        return self.where(of_type(*event_types))

    def exclude_type(self, *event_types: EventType | str) -> Self:
        """Let these types not through.

        Raises:
            ValueError: for a name that is no event type.
        """
        return self.where(_not(of_type(*event_types)))

    def by_source(self, *sources: str) -> Self:
        """Let only events from these sources through."""
        return self.where(of_source(*sources))

    def exclude_source(self, *sources: str) -> Self:
        """Let events from these sources not through."""
        return self.where(_not(of_source(*sources)))

    def has_payload_key(self, key: str) -> Self:
        """Let only events through whose payload has a key."""
        return self.where(with_key(key))

    def payload_equals(self, key: str, value: Any) -> Self:
        """Let only events through whose payload has a value at a key; one without the key has None there."""
        return self.where(with_value(key, (value,)))

    def payload_in(self, key: str, values: Iterable[Any]) -> Self:
        """Let only events through whose payload has one of some values at a key."""
        return self.where(with_value(key, tuple(values)))

    def matches(self, event: Event) -> bool:
        """Whether an event is let through."""
        return all(predicate(event) for predicate in self._predicates)

    def __call__(self, event: Event) -> bool:
        """Whether an event is let through."""
        return self.matches(event)

    def __and__(self, other: Predicate) -> EventFilter:
        if not callable(other):
            return NotImplemented
        return copy(self).where(_frozen(other))

    def __or__(self, other: Predicate) -> EventFilter:
        if not callable(other):
            return NotImplemented
        one, two = copy(self), _frozen(other)
        return EventFilter().where(lambda event: one(event) or two(event))

    def __invert__(self) -> EventFilter:
        return EventFilter().where(_not(copy(self)))

    def __copy__(self) -> EventFilter:
        twin = EventFilter()
        twin._predicates = self._predicates
        return twin

    def __repr__(self) -> str:
        return f"EventFilter({len(self._predicates)} conditions)"


def _not(predicate: Predicate) -> Predicate:
    return lambda event: not predicate(event)


def _frozen(predicate: Predicate) -> Predicate:
    return copy(predicate) if isinstance(predicate, EventFilter) else predicate
