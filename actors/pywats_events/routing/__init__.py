"""To whom an event goes (pure)."""

from __future__ import annotations

from pywats_events.routing.filter import EventFilter
from pywats_events.routing.router import EventRouter, RoutingRule

__all__ = ["EventFilter", "EventRouter", "RoutingRule"]
