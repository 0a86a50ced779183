"""Events of a test station: publish and subscribe with supervised handlers and transports.

`EventBus` is for plain code, `AsyncEventBus` for trio; both are faces of one routing actor.
"""

import pywats_supervision  # noqa: F401 - first: it tells when another distribution lies over this one
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus
from pywats_events.handlers.base_handler import BaseHandler
from pywats_events.handlers.handler_registry import HandlerRegistry
from pywats_events.models.event import Event, EventMetadata
from pywats_events.models.event_types import EventType

__all__ = [
    "AsyncEventBus",
    "BaseHandler",
    "Event",
    "EventBus",
    "EventMetadata",
    "EventType",
    "HandlerRegistry",
]
