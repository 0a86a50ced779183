"""Questions about an event, as functions: what filters and rules are made of (pure)."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final, TypeAlias

from pywats_events.models.domain_events import Payload
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType

__all__ = ["Predicate", "checked", "of_source", "of_type", "with_key", "with_value"]

Predicate: TypeAlias = Callable[[Event], object]
"""Given an event, says yes or no."""

_MISSING: Final = object()


def checked(name: str, predicate: Predicate) -> Predicate:
    """Return what is to be a predicate.

    Raises:
        TypeError: if it cannot be called.
    """
    if not callable(predicate):
        raise TypeError(f"{name} must be a callable that takes an event, not {predicate!r}")
    return predicate


def of_type(*event_types: EventType | str) -> Predicate:
    """Whether an event is of one of these types.

    Raises:
        ValueError: for a name that is no event type, or without any.
    """
    if not event_types:
        raise ValueError("event_types must name at least one type")
    wanted = frozenset(EventType(each) for each in event_types)
    return lambda event: event.event_type in wanted


def of_source(*sources: str) -> Predicate:
    """Whether an event comes from one of these sources.

    Raises:
        TypeError: if one is no text.
        ValueError: without any.
    """
    if not sources:
        raise ValueError("sources must name at least one source")
    for source in sources:
        if not isinstance(source, str):
            raise TypeError(f"a source must be a str, not {source!r}")
    wanted = frozenset(sources)
    return lambda event: event.source in wanted


def _value(event: Event, key: str, default: Any) -> Any:
    payload = event.payload
    if isinstance(payload, Mapping | Payload):
        return payload.get(key, default)
    return getattr(payload, key, default)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"key must be a str, as those of payloads are, not {key!r}")


def with_key(key: str) -> Predicate:
    """Whether an event's payload has a key.

    Raises:
        TypeError: if the key is no text.
    """
    _check_key(key)
    return lambda event: _value(event, key, _MISSING) is not _MISSING


def with_value(key: str, values: Container[Any]) -> Predicate:
    """Whether an event's payload has one of some values at a key; one without the key has None there.

    Raises:
        TypeError: if the key is no text.
    """
    _check_key(key)
    return lambda event: _value(event, key, None) in values
