"""Which events are repeats? A window of the ids that were accepted lately, in memory and in the database.

An id enters in the same transaction as the acceptance or the settlement that it belongs to, never
earlier: a crash between the two would make the redelivery look known, and it would be lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from pywats_events.durability._group_commit import Commit, GroupCommit
from pywats_events.durability._statements import Kind, clean

__all__ = ["SeenEvents"]

_TRIM_EVERY: Final = 1024


class SeenEvents:
    """The window of known ids; for the trio thread.

    Args:
        commits: through which it is written.
        wall_clock: nanoseconds since 1970.
        max_count: how many ids are known at least, once there were so many; about 200 bytes each.
        max_age: seconds for which an id stays known at least, within `max_count`.
    """

    def __init__(
        self, commits: GroupCommit, wall_clock: Callable[[], int], *, max_count: int, max_age: float
    ) -> None:
        self._commits = commits
        self._wall_clock = wall_clock
        self._max_count = max_count
        self._max_age = max_age
        self._ids: set[str] = set()
        self._order: deque[tuple[int, str, int]] = deque()
        self._next = 1

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._ids

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of some ids that are known."""
        return self._ids.intersection(ids)

    def add(self, event_id: str) -> Commit:
        """Make an id known, in the transaction of whatever else is appended in this step."""
        self._commits.check_open()
        if event_id not in self._ids:
            number, at = self._next, self._wall_clock()
            self._next = number + 1
            self._ids.add(event_id)
            self._order.append((number, event_id, at))
            self._commits.open_batch.add(Kind.SEEN, (number, clean(event_id), at))
            if number % _TRIM_EVERY == 0:
                self._trim(at)
        return self._commits.appended(len(event_id))

    def _trim(self, at: int) -> None:
        oldest = at - int(min(self._max_age, 1e9) * 1e9)
        last = 0
        while self._order and (len(self._order) > self._max_count or self._order[0][2] < oldest):
            last, event_id, _ = self._order.popleft()
            self._ids.discard(event_id)
        if last:
            self._commits.open_batch.add(Kind.SEEN_UPTO, (last,))

    def load(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take over what the database knows: number, id and time of each, in order."""
        self._order = deque((number, event_id, at) for number, event_id, at in rows)
        self._ids = {event_id for _, event_id, _ in self._order}
        self._next = self._order[-1][0] + 1 if self._order else 1
        # What that appends goes with the first batch.
        self._trim(self._wall_clock())

    def write_again(self) -> None:
        """Write all of it into a database that has nothing of it."""
        for number, event_id, at in self._order:
            self._commits.add(Kind.SEEN, (number, clean(event_id), at))
