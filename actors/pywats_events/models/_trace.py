"""W3C trace context: read, make and hand on a `traceparent`.

The rules are those of the W3C recommendation "Trace Context", section 3.2.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Trace", "child_trace", "read_trace"]

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """The parts of a traceparent, in lower-case hexadecimal."""

    trace_id: str
    parent_id: str
    flags: str


def read_trace(traceparent: str | None) -> Trace | None:
    """Read a traceparent; None if it is missing or invalid, which means to start a new trace."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or set(trace_id) == {"0"} or set(parent_id) == {"0"}:
        return None
    return Trace(trace_id, parent_id, flags)


def child_trace(traceparent: str | None, span_id: str) -> str | None:
    """The traceparent to hand on: the same trace, with `span_id` (16 hexadecimal digits) as the parent."""
    trace = read_trace(traceparent)
    return None if trace is None else f"00-{trace.trace_id}-{span_id}-{trace.flags}"
