"""The bus: one routing actor, two faces."""

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus

__all__ = ["AsyncEventBus", "EventBus"]
