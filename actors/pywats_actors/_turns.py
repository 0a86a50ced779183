"""Turns, so that there are never more calls at once than workers, and changes to wait for.

A worker holds its turn while it works, gives it back while it waits, and passes it on between
two messages when somebody else is in line. First come, first served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

__all__ = ["Changing", "Turns"]


class Changing:
    """Wakes all who wait for it to change: its policy, its queue, a retry that is over."""

    __slots__ = ("awaited",)

    def __init__(self) -> None:
        self.awaited: trio.Event | None = None
        """What they wait on; None while nobody does."""

    def changed(self) -> None:
        """Wake all who wait now."""
        if self.awaited is not None:
            self.awaited.set()
            self.awaited = None

    async def wait_change(self, until: float) -> None:
        """Wait for a change, at the latest until a time on trio's clock.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        if self.awaited is None:
            self.awaited = trio.Event()
        with trio.move_on_at(until):
            await self.awaited.wait()


class Turns:
    """As many turns as workers are up, and a line of those who want one.

    Args:
        contested: called when somebody has to stand in line, so that workers look up.
    """

    __slots__ = ("_contested", "_free", "in_line")

    def __init__(self, contested: Callable[[], None]) -> None:
        self._contested = contested
        self._free = 0
        self.in_line: deque[trio.Event] | None = None
        """Those who wait for a turn, first come first; None while nobody does."""

    def give(self) -> None:
        """Give a turn (back): to the first in line, or to whoever asks next."""
        self._free += 1
        if self._free > 0 and self.in_line:
            self._free -= 1
            first = self.in_line.popleft()
            if not self.in_line:
                self.in_line = None
            first.set()

    def withdraw(self) -> None:
        """Take a turn out of the game: a worker that held none is down."""
        self._free -= 1

    def take_nowait(self) -> bool:
        """Take a turn, if one is free and nobody is in line."""
        if self._free > 0 and not self.in_line:
            self._free -= 1
            return True
        return False

    async def take(self) -> None:
        """Wait for a turn, in line.

        Cancelled: no turn was taken.
        """
        if self.take_nowait():
            return
        mine = trio.Event()
        if self.in_line is None:
            self.in_line = deque()
        self.in_line.append(mine)
        self._contested()
        try:
            await mine.wait()
        except BaseException:  # whatever ends the wait, the place in line, or the turn, is passed on
            if mine.is_set():
                self.give()
            elif self.in_line is not None:
                self.in_line.remove(mine)
            raise
