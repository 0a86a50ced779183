"""EventMetadata: what surrounds the payload, in the shape of pywats-api 0.6 (read only)."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["EventMetadata"]


class EventMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A view of an event's fields.

    Attributes:
        event_id: the id.
        timestamp: when it happened.
        source: who sent it.
        correlation_id: what belongs to one undertaking has the same.
        causation_id: the id of the event that caused it.
        source_topic: the topic or channel it came by.
        trace: W3C traceparent.
        retry_count: attempts before this one.
    """

    event_id: str
    timestamp: datetime
    source: str = ""
    correlation_id: str | None = None
    causation_id: str | None = None
    source_topic: str | None = None
    trace: str | None = None
    retry_count: int = 0

    @property
    def trace_id(self) -> str | None:
        """The traceparent, by 0.6's name."""
        return self.trace
