"""How fast may a backlog on the disk be read? Time is told; pure.

A drain rate bounds by how much the backlog shrinks, so that the end of an outage is no flood. What
comes in meanwhile is read on top of it: else a rate below that of new events would never catch up.
"""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = ["WINDOW", "Drain"]

WINDOW: Final = 60.0
"""Seconds over which the rate of new events is measured; a burst counts as if it came over so long."""


class Drain:
    """The rate at which one subscription is read for.

    Args:
        rate: events per second by which its backlog shrinks, at the most.
    """

    __slots__ = ("_count", "_inflow", "_rate", "_since")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._inflow = 0.0
        self._count = 0
        self._since = -inf

    def came_in(self, now: float) -> None:
        """One more event is left on the disk.

        Args:
            now: seconds, as in the other methods.
        """
        self._roll(now)
        self._count += 1

    def allowed(self, now: float) -> float:
        """Events per second that may be read: the rate, and as many as came in, by the last whole window."""
        self._roll(now)
        return self._rate + self._inflow

    def _roll(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed >= WINDOW:
            self._inflow = self._count / elapsed
            self._since, self._count = now, 0
