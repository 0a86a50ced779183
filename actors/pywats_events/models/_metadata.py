"""EventMetadata: what surrounds the payload, in the shape of pywats-api 0.6 (read only)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from pywats_events.models._trace import read_trace

__all__ = ["EventMetadata"]


class EventMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A view of an event's fields.

    Attributes:
        event_id: the id.
        timestamp: when it happened, aware.
        source: who sent it.
        correlation_id: what belongs to one undertaking has the same.
        causation_id: the id of the event that caused it.
        source_topic: the topic or channel it came by.
        trace: W3C traceparent.
        retry_count: attempts before this one.
        custom: whatever else its sender said of it.
    """

    event_id: str
    timestamp: datetime
    source: str
    correlation_id: str | None = None
    causation_id: str | None = None
    source_topic: str | None = None
    trace: str | None = None
    retry_count: int = 0
    custom: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def trace_id(self) -> str | None:
        """The trace's id in `trace`: 32 hexadecimal digits; else what its sender called so, in `custom`."""
        trace = read_trace(self.trace)
        return self._said("trace_id") if trace is None else trace.trace_id

    @property
    def span_id(self) -> str | None:
        """The span's id in `trace`: 16 hexadecimal digits; else what its sender called so, in `custom`."""
        trace = read_trace(self.trace)
        return self._said("span_id") if trace is None else trace.span_id

    def _said(self, name: str) -> str | None:
        """A free text of 0.6, which no traceparent can hold."""
        text = self.custom.get(name)
        return text if isinstance(text, str) else None

    def to_dict(self) -> dict[str, Any]:
        """All of it, in plain values, by 0.6's names."""
        return {
            "event_id": self.event_id,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "timestamp": self.timestamp.isoformat(),
            "source": self.source,
            "source_topic": self.source_topic,
            "retry_count": self.retry_count,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "custom": dict(self.custom),
        }
