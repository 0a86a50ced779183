"""A trio run in virtual time that plain code takes on step by step: it stands still between two of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, final

import outcome
import trio
from trio.testing import MockClock

from support.time_limits import VIRTUAL

__all__ = ["SteppedRun"]


@final
class SteppedRun:
    """A guest run whose host only goes on while a step is being taken.

    A step in which nothing is due any more fails with `trio.TooSlowError` instead of hanging.
    """

    def __init__(self) -> None:
        self._due: Final[deque[Callable[[], object]]] = deque()
        self._steps: Final[deque[Callable[[], Awaitable[object]]]] = deque()
        self._results: Final[deque[outcome.Outcome[None]]] = deque()
        self._over = False
        self._next = trio.Event()
        self._nursery: trio.Nursery
        trio.lowlevel.start_guest_run(
            self._serve,
            run_sync_soon_threadsafe=self._due.append,
            done_callback=self._ended,
            clock=MockClock(autojump_threshold=0),
        )
        self._go_on()

    async def _serve(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._results.append(outcome.Value(None))
            while True:
                await self._next.wait()
                self._next = trio.Event()
                try:
                    with trio.fail_after(VIRTUAL):
                        await self._steps.popleft()()
                except Exception as error:  # for whoever takes the step
                    self._results.append(outcome.Error(error))
                else:
                    self._results.append(outcome.Value(None))

    def _ended(self, result: outcome.Outcome[None]) -> None:
        self._over = True
        self._results.append(result)

    def _go_on(self) -> None:
        while not self._results:
            self._due.popleft()()
        self._results.popleft().unwrap()

    def start_soon(self, function: Callable[[], Awaitable[object]]) -> None:
        """Have a task run beside the steps, from the next one on."""
        self._nursery.start_soon(function)

    def run(self, step: Callable[[], Awaitable[object]]) -> None:
        """Take a step; what it raises comes out, and so does what a task beside it died of."""
        self._steps.append(step)
        self._next.set()  # not by the token: its wake-up would be seen only after the clock has jumped
        self._go_on()

    def close(self) -> None:
        """Cancel what runs, and end the run; an error that this causes tells nothing of the steps."""
        self._nursery.cancel_scope.cancel()
        while not self._over:
            self._due.popleft()()
