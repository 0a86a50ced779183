"""Can the parts of a station be made, and is there what they take? Makes them, and starts none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pywats_events import EventType
from pywats_events.checks import Finding
from pywats_events.handlers import takes_of
from pywats_events.transports import BaseTransport
from pywats_station.config import HandlerSpec, StationConfig

if TYPE_CHECKING:
    from pywats_events.durability import Store

__all__ = ["parts_of", "store_of"]


def store_of(config: StationConfig) -> Store | None:
    """What survives the process, as it was given or in the folder that was given; None if nothing does."""
    if config.data is None:
        return None
    from pywats_events.durability import Store  # a station without one needs no SQLite

    return config.data if isinstance(config.data, Store) else Store(config.data)


def parts_of(config: StationConfig) -> tuple[list[object], list[Finding]]:
    """All transports and handlers, those of factories made once, and what was found in doing so."""
    parts: list[object] = []
    found: list[Finding] = []
    for transport in config.transports:
        _add(parts, found, f"transport {transport.title}", transport.make)
    found += _namesakes(parts)
    for handler in config.handlers:
        _add(parts, found, f"handler {handler.title}", partial(_handler, handler, found))
    return parts, found


def _add(parts: list[object], found: list[Finding], what: str, make: Callable[[], object]) -> None:
    try:
        parts.append(make())
    except Exception as error:  # noqa: BLE001 - a user's factory; what it raises is what is looked for
        found.append(Finding("error", what, f"it cannot be made: {type(error).__name__}: {error}"))


def _namesakes(parts: list[object]) -> Iterator[Finding]:
    names = [part.name for part in parts if isinstance(part, BaseTransport)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding("error", f"transport {name}", "there are two of that name; give one another")


def _handler(spec: HandlerSpec, found: list[Finding]) -> object:
    handler = spec.handler() if spec.is_factory else spec.handler
    if not hasattr(handler, "handle"):
        raise TypeError(f"it has no `handle` method: {handler!r}")
    types = takes_of(handler)
    what = f"event types of {spec.title}"
    unknown = [name for name in types if name.endswith("*") and not any(map(_begins(name), EventType))]
    if unknown:
        text = f"no known event type begins as {', '.join(unknown)} says; it will take none of these"
        found.append(Finding("warning", what, text))
    else:
        found.append(Finding("ok", what, ", ".join(types) or "all"))
    return handler


def _begins(pattern: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(pattern[:-1])
