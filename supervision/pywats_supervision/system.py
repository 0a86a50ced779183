"""The real clock, chance and threads: the one file that takes them from the operating system."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable

import trio

from pywats_supervision.runtime import CURRENT_RUNTIME, Runtime

__all__ = ["current_runtime", "monotonic", "new_lock", "system_runtime", "uuid7"]


def uuid7(wall_clock: Callable[[], int], bits: Callable[[int], int]) -> str:
    """The text of a time-ordered UUID (RFC 9562, version 7)."""
    milliseconds = wall_clock() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | 0x2 << 62
    return str(uuid.UUID(int=value | bits(12) << 64 | bits(62)))


def system_runtime(*, seed: int | None = None, ids: Callable[[], str] | None = None) -> Runtime:
    """Make the runtime of the real machine.

    Args:
        seed: makes chance (jitter) repeatable; None takes it from the operating system.
        ids: makes the text of a new id; default UUIDs of version 7.
    """
    chance = random.Random(seed)  # noqa: S311 - jitter and ids, nothing secret
    return Runtime(
        clock=trio.current_time,
        wall_clock=time.time_ns,
        ids=ids or (lambda: uuid7(time.time_ns, chance.getrandbits)),
        random=chance,
        ticks=time.perf_counter,
        run_blocking=trio.to_thread.run_sync,
    )


def current_runtime() -> Runtime:
    """The runtime of the tree that the current task belongs to, or a new one of the real machine."""
    return CURRENT_RUNTIME.get() or system_runtime()


def monotonic() -> float:
    """Seconds on the machine's monotonic clock, for what plain code uses outside of any tree."""
    return time.monotonic()


def new_lock() -> threading.RLock:
    """Make a lock between plain threads; the thread that holds it may take it again."""
    return threading.RLock()
