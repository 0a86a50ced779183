"""Blocking code on worker threads: bounded, never abandoned for a restart, left behind at the end.

A thread cannot be stopped. So a life that is cancelled while its thread works waits for it (the
supervisor reports it as straggling, siblings go on), and the next life finds the thread free.
Only at the final stop, after the grace, its owner calls `abandon`: then the life ends, and what
the thread still returns is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

from pywats_supervision._system import current_runtime

__all__ = ["Blocking"]

T = TypeVar("T")


class Blocking:
    """Runs plain functions in threads of its own limit.

    Its limiter is never trio's default one, which a journal would starve behind.

    Args:
        concurrency: how many threads at once, at least 1.
    """

    def __init__(self, concurrency: int) -> None:
        self._limiter = trio.CapacityLimiter(concurrency)
        self._guards: set[trio.CancelScope] = set()
        self.abandoned: int = 0

    @property
    def running(self) -> int:
        """How many calls are in a thread now."""
        return len(self._guards)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function(*args)` in a thread and wait for it.

        Cancelled: it is waited for all the same, unless `abandon` is called; then what it does is
        done, and what it returns is dropped.
        """
        guard = trio.CancelScope(shield=True)
        self._guards.add(guard)
        try:
            with guard:
                return await current_runtime().run_blocking(
                    function, *args, abandon_on_cancel=True, limiter=self._limiter
                )
        finally:
            self._guards.discard(guard)
        self.abandoned += 1
        await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")

    def abandon(self) -> None:
        """Leave the calls that run now behind: for the final stop, when the grace is over."""
        for guard in tuple(self._guards):
            guard.cancel()
