"""How does the writing thread get the interpreter from a trio thread that never rests?

A thread that waits for the interpreter asks its holder to give it up after 5 ms. But a busy trio thread
gives it up by itself for a microsecond in each pass, looking for I/O, and each time the 5 ms begin anew:
measured, one small commit took from 7 to 40 seconds. So a trio thread whose call in the thread is late
stands still for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

__all__ = ["Lender"]

_LATE: Final = 0.005
_TURN: Final = 0.001
_SHORT_TURN: Final = 0.000_1


class Lender:
    """Watches the calls in one thread, and lends the interpreter to those that are late.

    Args:
        waits_for_disk: whether the thread is at the disk, and needs the interpreter only to come back.
    """

    def __init__(self, waits_for_disk: Callable[[], bool]) -> None:
        self._waits_for_disk = waits_for_disk
        self._calls = 0
        self._number = 0
        self._busy = trio.Event()

    def entered(self) -> None:
        """A call goes to the thread."""
        self._calls += 1
        self._number += 1
        self._busy.set()

    def left(self) -> None:
        """A call has come back."""
        self._calls -= 1
        if not self._calls:
            self._busy = trio.Event()

    async def run(self, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Lend until the scope is cancelled that `started` is given.

        Cancelled: nothing happens, as those who close have calls to wait for.
        """
        with trio.CancelScope(shield=True) as scope:
            task_status.started(scope)
            await self._lend()

    async def _lend(self) -> None:
        while True:
            await self._busy.wait()
            number = self._number
            await trio.sleep(_LATE)
            while self._calls and self._number == number:
                time.sleep(_SHORT_TURN if self._waits_for_disk() else _TURN)  # noqa: ASYNC251 - that is its purpose
                await trio.sleep(_LATE)
