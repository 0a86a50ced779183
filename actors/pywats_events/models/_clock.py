"""Where an event's id and time come from: the current Runtime, or the real clock when there is none.

Making an event reads the clock and a counter, nothing more; the text of the id and the datetime
are built when somebody first asks (see `event`). The one file of this room that knows `time`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Final

import uuid_utils
from pywats_supervision.runtime import CURRENT_RUNTIME

__all__ = ["id_of", "new_id", "next_sequence", "now", "simulated", "time_of", "wall_clock"]

wall_clock: Final[Callable[[], int]] = time.time_ns

_PROCESS: Final = int.from_bytes(os.urandom(4), "big") >> 2
"""30 random bits of this process, so that two processes make no equal ids."""

next_sequence: Final[Callable[[], int]] = count(int.from_bytes(os.urandom(3), "big")).__next__
"""The number of an event in this process, from a random start."""



def simulated() -> tuple[str, int] | None:
    """An id and a time from the current Runtime, if that has a clock of its own."""
    runtime = CURRENT_RUNTIME.get()
    if runtime is None or runtime.wall_clock is wall_clock:
        return None
    return runtime.ids(), runtime.wall_clock()


def id_of(at: int, sequence: int) -> str:
    """The text of a time-ordered UUID (RFC 9562, version 7) for an event made at a time.

    Its random part is 30 bits of this process and the event's number in it, with the part of the
    millisecond in front (method 3 of the RFC), so ids sort by creation within a process.

    Args:
        at: nanoseconds since 1970, UTC.
        sequence: what `next_sequence` gave.
    """
    milliseconds, rest = divmod(at, 1_000_000)
    value = (
        (milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (rest * 4096 // 1_000_000) << 64
        | 0x2 << 62
        | (sequence & 0xFFFF_FFFF) << 30
        | _PROCESS
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_id() -> str:
    """The text of a new time-ordered UUID."""
    given = simulated()
    return str(uuid_utils.uuid7()) if given is None else given[0]


def time_of(at: int) -> datetime:
    """The datetime, aware and in UTC, of a reading of the wall clock in nanoseconds."""
    seconds, rest = divmod(at, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def now() -> datetime:
    """The present time, aware and in UTC."""
    given = simulated()
    return time_of(wall_clock() if given is None else given[1])
