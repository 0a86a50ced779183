"""The agenda of a supervisor: what is due when.

Ties are broken by the order of entry, so a run with the same seed repeats. What is cancelled is
forgotten at once; the places it leaves are swept out when they are the majority, so 10,000
restarts, each with a start timeout that never comes due, hold no memory.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

__all__ = ["Agenda", "Entry"]

T = TypeVar("T")

SWEEP_AT: Final = 64
"""Fewer dead entries than this are not worth sweeping out."""


class Entry(NamedTuple):
    """The place of one thing in the agenda; it holds neither what is due nor anything else alive."""

    due: float
    number: int


class Agenda(Generic[T]):
    """A heap of entries that can be cancelled."""

    __slots__ = ("_heap", "_sequence", "_what")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._what: dict[int, T] = {}
        """What the living entries are about, by their numbers."""
        self._sequence = 0

    def enter(self, due: float, what: T) -> Entry:
        """Note that `what` is due at the time `due`."""
        self._sequence = number = self._sequence + 1
        entry = Entry(due, number)
        heapq.heappush(self._heap, entry)
        self._what[number] = what
        return entry

    def cancel(self, entry: Entry) -> None:
        """Strike an entry; nothing happens if it was taken or struck before."""
        alive = self._what
        if alive.pop(entry.number, None) is not None and len(self._heap) > 2 * len(alive) + SWEEP_AT:
            self._heap = [kept for kept in self._heap if kept.number in alive]
            heapq.heapify(self._heap)

    @property
    def quiet_until(self) -> float:
        """A time before which nothing is due; `next_due` may be later, and costs more to find."""
        return self._heap[0].due if self._heap else inf

    @property
    def next_due(self) -> float:
        """The earliest time at which something is due; inf if nothing is."""
        heap = self._heap
        while heap and heap[0].number not in self._what:
            heapq.heappop(heap)
        return heap[0].due if heap else inf

    def take_due(self, now: float) -> T | None:
        """Take the first thing that is due by now, or None."""
        if self.next_due > now:
            return None
        return self._what.pop(heapq.heappop(self._heap).number)

    def __len__(self) -> int:
        """How many entries are alive."""
        return len(self._what)
