"""What sources and senders keep between lives: shelves of values by key, and spools in order.

Both are written by the store's group commit. A shelf is small and wholly in memory; a spool may be
long, and is read from the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pywats_events.durability._database import Database
from pywats_events.durability._faults import checked
from pywats_events.durability._group_commit import Commit, GroupCommit
from pywats_events.durability._statements import Kind

__all__ = ["Shelf", "Spool"]


class Shelf:
    """A bounded map of one owner, for the trio thread; made by `Store.shelf`.

    Args:
        owner: whose it is.
        commits: through which it is written.
        wall_clock: nanoseconds since 1970.
        max_count: how many keys are kept, at least 1; one more pushes the one out that was put longest ago.
        max_age: seconds after which a value that was not put again is forgotten.
    """

    def __init__(
        self,
        owner: str,
        commits: GroupCommit,
        wall_clock: Callable[[], int],
        *,
        max_count: int,
        max_age: float,
    ) -> None:
        self.owner = owner
        self._commits = commits
        self._wall_clock = wall_clock
        self._max_count = max_count
        self._max_age = max_age
        self._values: dict[str, tuple[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> bytes | None:
        """The value of a key; None if there is none, or it is too old."""
        found = self._values.get(key)
        if found is None or found[0] < self._oldest():
            return None
        return found[1]

    def _oldest(self) -> int:
        return self._wall_clock() - int(min(self._max_age, 1e9) * 1e9)

    def put(self, key: str, value: bytes) -> Commit:
        """Keep a value for a key.

        Raises:
            StoreClosed: if the store was closed.
        """
        at = self._wall_clock()
        self._values.pop(key, None)
        self._values[key] = (at, value)
        self._commits.add(Kind.SHELVE, (self.owner, key, at, value))
        self._trim()
        return self._commits.appended(len(value))

    def forget(self, key: str) -> Commit | None:
        """Forget a key; without effect, and without commit, if it is not there.

        Raises:
            StoreClosed: if the store was closed.
        """
        if self._values.pop(key, None) is None:
            return None
        # A value put again in the same batch is none that has to go.
        self._commits.add(Kind.SHELVE, (self.owner, key, 0, None))
        return self._commits.add(Kind.UNSHELVE, (self.owner, key))

    def _trim(self) -> None:
        oldest = self._oldest()
        while self._values:
            key = next(iter(self._values))
            if len(self._values) <= self._max_count and self._values[key][0] >= oldest:
                return
            self.forget(key)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Keys and values, in the order in which they were put; nothing may be put meanwhile."""
        oldest = self._oldest()
        return ((key, value) for key, (at, value) in self._values.items() if at >= oldest)

    def bound(self, *, max_count: int, max_age: float) -> None:
        """Change its bounds.

        Args:
            max_count: how many keys are kept, at least 1.
            max_age: seconds after which a value that was not put again is forgotten.

        Raises:
            StoreClosed: if the store was closed.
        """
        self._max_count, self._max_age = max_count, max_age
        self._trim()

    def load(self, values: dict[str, tuple[int, bytes]]) -> None:
        """Take over what the database holds, in order of time."""
        self._values = {**values, **self._values}
        self._trim()

    def write_again(self) -> None:
        """Write all of it into a database that has nothing of it."""
        for key, (at, value) in self._values.items():
            self._commits.add(Kind.SHELVE, (self.owner, key, at, value))


class Spool:
    """Values of one owner in order, for the trio thread; made by `Store.spool`.

    Args:
        owner: whose it is.
        commits: through which it is written.
        database: where it is.
        wall_clock: nanoseconds since 1970.
        first: the number of its first value.
        last: the number of its last one; less than `first` if there is none.
    """

    def __init__(
        self,
        owner: str,
        commits: GroupCommit,
        database: Database,
        wall_clock: Callable[[], int],
        first: int = 1,
        last: int = 0,
    ) -> None:
        self.owner = owner
        self._commits = commits
        self._database = database
        self._wall_clock = wall_clock
        self._first = first
        self._last = last

    def __len__(self) -> int:
        return self._last - self._first + 1

    def append(self, value: bytes) -> Commit:
        """Put a value at the end.

        Returns:
            The commit after which it survives.

        Raises:
            StoreClosed: if the store was closed.
        """
        self._last += 1
        self._commits.add(Kind.SPOOL, (self.owner, self._last, self._wall_clock(), value))
        return self._commits.appended(len(value))

    async def peek(self, count: int, skip: int = 0) -> list[bytes]:
        """The first values that are on the disk, in order; they stay.

        Args:
            count: at most so many.
            skip: leave out so many at the front, which were peeked at before.

        Raises:
            StoreUnavailable: if they cannot be read; StoreDamaged if the store is damaged.

        Cancelled: nothing has happened.
        """
        rows = await self._commits.reading(self._rows, self._first + skip, count)
        # Some may have been taken out while the thread was reading.
        return [value for number, value in rows if number >= self._first]

    def _rows(self, start: int, count: int) -> list[tuple[Any, ...]]:
        sql = "SELECT n, value FROM spools WHERE owner = ? AND n >= ? ORDER BY n LIMIT ?"
        return checked(self._database.rows(sql, self.owner, start, count), int, bytes)

    def pop(self, count: int = 1) -> None:
        """Take out the first values.

        Raises:
            StoreClosed: if the store was closed.
        """
        for _ in range(min(count, len(self))):
            self._commits.add(Kind.UNSPOOL, (self.owner, self._first))
            self._first += 1
