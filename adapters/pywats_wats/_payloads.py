"""What does a payload say in one of its fields, before anybody has checked it? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pywats_events import Event

__all__ = ["text_in", "unit_name"]


def text_in(event: Event, name: str) -> str:
    """A text in the payload, struct or mapping; empty if there is none of that name."""
    payload: Any = event.payload
    value = payload.get(name) if isinstance(payload, Mapping) else getattr(payload, name, None)
    return value if isinstance(value, str) else ""


def unit_name(event: Event) -> str:
    """The serial number of the unit that an event is about; empty if it names none."""
    return text_in(event, "unit_id")
