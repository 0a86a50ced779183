"""Events as data, and how they are written."""

from pywats_events.models.event import Event, EventMetadata
from pywats_events.models.event_types import EventType

__all__ = ["Event", "EventMetadata", "EventType"]
