"""Which machines are productive and send no results (pure)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

__all__ = ["ResultsDue"]

MOST: Final = 10_000


class ResultsDue:
    """When the next result of each productive machine is due.

    Args:
        within: seconds in which a productive machine sends one; inf asks for none.
        on_sooner: called when `next_due` may have become earlier.
    """

    def __init__(self, within: float, on_sooner: Callable[[], object]) -> None:
        self._within = within
        self._on_sooner = on_sooner
        self._due: dict[str, float] = {}

    def heard(self, source: str, now: float, *, productive: bool, result: bool) -> None:
        """A message of a source has come.

        Args:
            source: its CFX handle.
            now: seconds.
            productive: whether it says that it produces.
            result: whether the message is a result.
        """
        if self._within == inf:
            return
        if not productive:
            self._due.pop(source, None)
        elif result or source not in self._due:
            if source not in self._due and len(self._due) >= MOST:
                del self._due[next(iter(self._due))]
            self._due[source] = now + self._within
            self._on_sooner()

    def overdue(self, now: float) -> list[str]:
        """The machines that have sent none in time since now; each is told once, until its next result."""
        late = [source for source, due in self._due.items() if due <= now]
        for source in late:
            self._due[source] = inf
        return late

    @property
    def next_due(self) -> float:
        """When the next one would be overdue; inf if none is waited for."""
        return min(self._due.values(), default=inf)
