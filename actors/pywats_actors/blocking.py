"""Blocking code on worker threads: bounded, never abandoned for a restart, left behind at the end.

A thread cannot be stopped. So a life that is cancelled while its thread works waits for it: it is
stuck, its snapshot says so (`Stuck`), the supervisor reports it as straggling, siblings go on, and
the next life finds the thread free. Only at the final stop, after the grace, its owner calls
`abandon`: then the life ends, and what the thread still returns is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from pywats_supervision import ChildContext
from pywats_supervision.context import CURRENT_LIFE
from pywats_supervision.system import current_runtime

__all__ = ["Blocking", "Stuck"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stuck:
    """What a snapshot shows as the detail of a child that was cancelled and waits for threads.

    Attributes:
        calls: how many of its calls are still in a thread.
        detail: what the child says of itself otherwise.
        state: "stuck".
    """

    calls: int
    detail: Any = None
    state: str = "stuck"


class Blocking:
    """Runs plain functions in threads of its own limit.

    Its limiter is never trio's default one, which a journal would starve behind.

    Example:
        ```python
        class Printer(Actor[Label]):
            threads = Blocking(1)

            async def receive(self, label):
                await self.threads.run(print_label, label)
        ```

    Args:
        concurrency: how many threads at once, at least 1.

    Attributes:
        concurrency: the same.
        abandoned: how many calls were left behind.

    Raises:
        TypeError: if `concurrency` is not an int.
        ValueError: if it is less than 1.
    """

    def __init__(self, concurrency: int) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int):
            raise TypeError(f"concurrency must be a number of threads, an int, not {concurrency!r}")
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1 thread, not {concurrency}")
        self.concurrency: int = concurrency
        self.abandoned: int = 0
        self._places = trio.Semaphore(concurrency)
        self._limiter = trio.CapacityLimiter(concurrency)
        self._guards: dict[trio.CancelScope, None] = {}
        self._final = False

    @property
    def running(self) -> int:
        """How many calls are in a thread now, those left behind not counted."""
        return len(self._guards)

    async def run(self, function: Callable[..., T], *args: Any, although_cancelled: bool = False) -> T:
        """Call `function(*args)` in a thread and wait for it.

        Cancelled before a thread is free: nothing has happened. Cancelled later: it is waited for
        all the same and its result returned, unless `abandon` is called; then what it does is
        done, and what it returns is dropped.

        Args:
            function: any callable that may block.
            args: what it is called with.
            although_cancelled: it is called in a scope that is cancelled too, to end what was begun;
                not any more after `abandon`.
        """
        if although_cancelled:
            with trio.CancelScope(shield=True):
                await self._enter()
        else:
            await self._enter()
        said = _said()
        guard = trio.CancelScope(shield=not self._final)
        self._guards[guard] = None
        if said is not None:
            said.calls += 1
        try:
            with guard:
                return await current_runtime().run_blocking(
                    function, *args, abandon_on_cancel=True, limiter=self._limiter
                )
        finally:
            del self._guards[guard]
            self._places.release()
            if said is not None:
                said.calls -= 1
        self.abandoned += 1
        await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")

    async def _enter(self) -> None:
        """Wait for a free thread here, where a cancellation still ends the wait."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            await self._places.acquire()

    def abandon(self) -> None:
        """Leave the calls that run now behind, and later ones as soon as they are cancelled.

        For the final stop, when the grace is over.
        """
        self._final = True
        for guard in tuple(self._guards):
            guard.cancel()


class _Said:
    """What a life says of itself, with the calls that it has in threads."""

    __slots__ = ("_life", "_otherwise", "calls")

    def __init__(self, life: ChildContext) -> None:
        self._life = life
        self._otherwise = life.describe
        self.calls = 0

    def __call__(self) -> Any:
        detail = None if self._otherwise is None else self._otherwise()
        stuck = self.calls > 0 and self._life.scope.cancel_called
        return Stuck(self.calls, detail) if stuck else detail


def _said() -> _Said | None:
    """What the life of the current task says of itself; None outside of any tree."""
    life = CURRENT_LIFE.get()
    if life is None or life.over:
        return None
    if not isinstance(life.describe, _Said):
        life.describe = _Said(life)
    return life.describe
