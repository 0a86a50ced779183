"""W3C trace context: read, make and hand on a `traceparent` (pure).

The rules are those of the W3C recommendation "Trace Context", section 3.2.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Trace", "child_trace", "make_trace", "read_trace"]

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_UNKNOWN_VERSION: Final = "ff"


class Trace(NamedTuple):
    """The parts of a traceparent, in lower-case hexadecimal.

    Attributes:
        trace_id: 32 digits, the same for all that belongs together.
        span_id: 16 digits, of the one who handed it on.
        flags: 2 digits; the last bit says that it is recorded.
    """

    trace_id: str
    span_id: str
    flags: str = "01"


def read_trace(traceparent: str | None) -> Trace | None:
    """Read a traceparent; None if it is missing or invalid, which means to start a new trace."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == _UNKNOWN_VERSION or (version == "00" and rest):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id, span_id, flags)


def make_trace(trace_id: str | None, span_id: str | None, flags: str = "01") -> str | None:
    """Write a traceparent; None if its parts do not make a valid one.

    Args:
        trace_id: 32 hexadecimal digits; dashes, as in a UUID, are left out.
        span_id: 16 hexadecimal digits.
        flags: 2 hexadecimal digits.
    """
    text = f"00-{(trace_id or '').replace('-', '').lower()}-{(span_id or '').lower()}-{flags}"
    return text if read_trace(text) is not None else None


def child_trace(traceparent: str | None, span_id: str) -> str | None:
    """The traceparent to hand on: the same trace, from the span `span_id`; None without a trace."""
    trace = read_trace(traceparent)
    return None if trace is None else make_trace(trace.trace_id, span_id, trace.flags)
