"""How does virtual time go by, and wait for threads? A runtime for trees under trio's `MockClock`.

With `MockClock(autojump_threshold=0)` (under pytest-trio the fixture `autojump_clock`) time jumps to
the next deadline whenever nothing else can happen, so an hour of backoff takes milliseconds. A
thread at work is invisible to the clock, though: it would let every grace expire. Here the clock
stands still while one works.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import inf
from typing import Any, Final, TypeVar

import trio
import trio.testing

from pywats_supervision import Runtime
from pywats_supervision.system import system_runtime, uuid7
from pywats_supervision.testing import seeded_runtime

__all__ = ["virtual_runtime"]

T = TypeVar("T")

EPOCH: Final = 1_700_000_000_000_000_000
"""Nanoseconds since 1970 at which the virtual wall clock begins."""


def virtual_runtime(seed: int = 0) -> Runtime:
    """Make the runtime of a tree under a `MockClock`: call it on trio, where that clock runs.

    Chance and ids repeat from run to run, timestamps are virtual, and blocking handlers run in
    threads while the clock stands still.

    Args:
        seed: chooses one of the possible runs.

    Raises:
        RuntimeError: if no `MockClock` runs here.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock):
        raise RuntimeError(
            f"virtual_runtime needs trio.testing.MockClock (the fixture autojump_clock), not {clock!r}"
        )
    seeded = seeded_runtime(seed)

    def wall_clock() -> int:
        # The clock itself: handlers make events in threads too, where trio.current_time() cannot be asked.
        return EPOCH + round(clock.current_time() * 1e9)

    return dataclasses.replace(
        seeded,
        wall_clock=wall_clock,
        ids=lambda: uuid7(wall_clock, seeded.random.getrandbits),
        run_blocking=_Hold(clock).run,
    )


class _Hold:
    """Holds a clock while threads work."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._run_blocking = system_runtime().run_blocking
        self._working = 0
        self._threshold = inf

    async def run(
        self, fn: Callable[..., T], /, *args: Any, abandon_on_cancel: bool = False, limiter: Any = None
    ) -> T:
        """Call `fn(*args)` in a thread; no virtual time goes by meanwhile."""
        if not self._working:
            self._threshold, self._clock.autojump_threshold = self._clock.autojump_threshold, inf
        self._working += 1
        try:
            return await self._run_blocking(fn, *args, abandon_on_cancel=abandon_on_cancel, limiter=limiter)
        finally:
            self._working -= 1
            if not self._working:
                self._clock.autojump_threshold = self._threshold
