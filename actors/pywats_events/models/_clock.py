"""Where an event's id and time come from: the current Runtime, or the real clock when there is none.

Making an event reads the clock and a counter, nothing more; the text of the id and the datetime
are built when somebody first asks (see `event`). The one file of this room that knows `time`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from pywats_supervision.runtime import CURRENT_RUNTIME

__all__ = ["id_of", "new_id", "next_sequence", "now", "time_of", "wall_clock"]

wall_clock: Final[Callable[[], int]] = time.time_ns
"""Nanoseconds since 1970, UTC, on the real clock.

A runtime with this clock is the real machine's: its ids and times can be built later than they are taken.
"""

next_sequence: Final[Callable[[], int]] = count(int.from_bytes(os.urandom(3), "big")).__next__
"""The number of an event in this process, from a random start."""


class _Process:
    """30 random bits that tell this process's ids from those of others."""

    bits: int

    def __init__(self) -> None:
        self.draw()
        if hasattr(os, "register_at_fork"):
            # A forked child goes on with the same numbers.
            os.register_at_fork(after_in_child=self.draw)

    def draw(self) -> None:
        self.bits = int.from_bytes(os.urandom(4), "big") >> 2


_PROCESS: Final = _Process()
_VARIANT: Final = 0x2 << 62
_FORMAT: Final = "%012x7%03x%016x"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def id_of(at: int, sequence: int) -> str:
    """The text of a time-ordered UUID (RFC 9562, version 7) for an event made at a time.

    Its parts are the millisecond, the 4,096th of it (method 3 of the RFC), the event's number, and
    bits of this process. So ids sort by creation within a process, as far as its clock does.

    Args:
        at: nanoseconds since 1970, UTC.
        sequence: what `next_sequence` gave.
    """
    milliseconds, rest = divmod(at, 1_000_000)
    low = _VARIANT | (sequence & 0xFFFF_FFFF) << 30 | _PROCESS.bits
    text = _FORMAT % (milliseconds & 0xFFFF_FFFF_FFFF, (rest << 12) // 1_000_000, low)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_id() -> str:
    """The text of a new time-ordered UUID."""
    runtime = CURRENT_RUNTIME.get()
    if runtime is None or runtime.wall_clock is wall_clock:
        return id_of(wall_clock(), next_sequence())
    return runtime.ids()


def time_of(at: int) -> datetime:
    """The datetime, aware and in UTC, of a reading of the wall clock in nanoseconds."""
    return _EPOCH + timedelta(0, 0, at // 1000)


def now() -> datetime:
    """The present time, aware and in UTC."""
    runtime = CURRENT_RUNTIME.get()
    return time_of(wall_clock() if runtime is None else runtime.wall_clock())
