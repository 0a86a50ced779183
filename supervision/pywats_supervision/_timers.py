"""One alarm for everything that is due in a supervisor.

A task sleeps under one scope whose deadline is moved when something becomes due earlier; there
is no scope and no task per timer.
"""

from __future__ import annotations

from math import inf

import trio

__all__ = ["Alarm"]


class Alarm:
    """Wakes the one task that waits on it at a time, or when it is rung."""

    __slots__ = ("_rung", "_scope", "due")

    def __init__(self) -> None:
        self.due = inf
        self._rung = False
        self._scope: trio.CancelScope | None = None

    def set(self, due: float) -> None:
        """Wake the waiter at `due` on trio's clock, unless it is to wake earlier anyway."""
        if due < self.due:
            self.due = due
            if self._scope is not None:
                self._scope.deadline = due

    def ring(self) -> None:
        """Wake the waiter now."""
        self._rung = True
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self, due: float) -> None:
        """Wait until `due`, an earlier time that is set meanwhile, or the ring.

        Cancelled: nothing has happened. One task at a time.
        """
        self.due = due
        if self._rung:
            self._rung = False
            await trio.lowlevel.checkpoint()
            return
        with trio.CancelScope(deadline=due) as self._scope:
            try:
                await trio.sleep_forever()
            finally:
                self._scope = None
                self.due = inf
        self._rung = False
