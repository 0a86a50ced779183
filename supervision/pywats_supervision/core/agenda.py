"""The agenda of a supervisor: what is due when.

Ties are broken by the order of entry, so a run with the same seed repeats. Cancelling an entry
marks it; marked entries are swept out when they are the majority, so 10,000 restarts, each with
a start timeout that never comes due, hold no memory.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["Agenda", "Entry"]

T = TypeVar("T")

SWEEP_AT: Final = 64
"""Fewer dead entries than this are not worth sweeping out."""


class Entry(Generic[T]):
    """One thing due at one time; `what` is None once it was taken or cancelled."""

    __slots__ = ("due", "what")

    def __init__(self, due: float, what: T) -> None:
        self.due: float = due
        self.what: T | None = what


class Agenda(Generic[T]):
    """A heap of entries that can be cancelled."""

    __slots__ = ("_dead", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry[T]]] = []
        self._sequence = 0
        self._dead = 0

    def enter(self, due: float, what: T) -> Entry[T]:
        """Note that `what` is due at the time `due`."""
        self._sequence += 1
        entry = Entry(due, what)
        heapq.heappush(self._heap, (due, self._sequence, entry))
        return entry

    def cancel(self, entry: Entry[T]) -> None:
        """Strike an entry; nothing happens if it was taken or struck before."""
        if entry.what is None:
            return
        entry.what = None
        self._dead += 1
        if self._dead > SWEEP_AT and self._dead * 2 > len(self._heap):
            self._heap = [kept for kept in self._heap if kept[2].what is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    @property
    def next_due(self) -> float:
        """The earliest time at which something is due; inf if nothing is."""
        heap = self._heap
        while heap and heap[0][2].what is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else inf

    def take_due(self, now: float) -> T | None:
        """Take the first thing that is due by now, or None."""
        if self.next_due > now:
            return None
        entry = heapq.heappop(self._heap)[2]
        what, entry.what = entry.what, None
        return what

    def __len__(self) -> int:
        """How many entries are alive."""
        return len(self._heap) - self._dead
