"""Dead letters that survive the process, with the interface of those in memory.

What `add` was given can be read at once; it is on the disk with the batch that it was appended to. So a
dead letter and the settlement appended in the same step of the trio thread are one transaction. Calls
from other threads are handed to the trio thread for writing, and read by a connection of their own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from pywats_events.durability._database import Batch, Database
from pywats_events.durability._files import Folder
from pywats_events.durability._statements import Kind, clean
from pywats_events.durability.errors import StoreUnavailable
from pywats_events.errors import EventsError
from pywats_events.models._clock import now, time_of
from pywats_events.models.event import Event
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue

__all__ = ["SQLiteDeadLetterQueue", "StoredError"]

_COLUMNS: Final = (
    "n, id, at, event_id, event_type, handler, attempts, source, error_type, error, traceback, event, raw"
)


_Rows: TypeAlias = Sequence[tuple[Kind, tuple[Any, ...]]]


class StoredError(Exception):
    """An error read back: its text, in a class with the name of the one that was raised."""


class _Writes(Protocol):
    """How a queue's changes are written."""

    def add_from_anywhere(self, rows: _Rows, written: Callable[[], object]) -> None: ...


class _AtOnce:
    """Writes each change in the call that makes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_from_anywhere(self, rows: _Rows, written: Callable[[], object]) -> None:
        batch = Batch()
        for kind, row in rows:
            batch.add(kind, row)
        try:
            self._database.write(batch)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"the store in {self._database.folder.path} cannot be written to: {error}"
            ) from error
        written()


class _Nowhere:
    """Refuses each change."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_from_anywhere(self, rows: _Rows, written: Callable[[], object]) -> None:
        raise StoreUnavailable(f"the dead letters in {self._path} were opened for reading only")


class SQLiteDeadLetterQueue(DeadLetterQueue):
    """The dead letters of a store, oldest first; for any thread.

    Made by `Store`, as `store.dead_letters`; hand it to `ErrorPolicy`. Before the store is opened it
    can be added to, and holds nothing from earlier lives.

    Args:
        path: of the database, for reading.
        writes: through which it is written.
        max_size: how many are kept, at least 1; one more pushes the oldest out, and is counted.
        on_add: called with each new dead letter, as for `DeadLetterQueue`.
    """

    def __init__(
        self,
        path: Path,
        writes: _Writes,
        max_size: int = 100_000,
        on_add: Callable[[DeadLetterEntry], object] | None = None,
    ) -> None:
        super().__init__(max_size, on_add)
        self._path = path
        self._writes = writes
        self._own: Database | None = None
        self._reader: sqlite3.Connection | None = None
        self._keeps_reader = True
        self._numbers: dict[int, None] = {}
        self._unwritten: dict[int, DeadLetterEntry] = {}
        self._last = 0

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        max_size: int = 100_000,
        on_add: Callable[[DeadLetterEntry], object] | None = None,
        *,
        read_only: bool = False,
    ) -> SQLiteDeadLetterQueue:
        """Open the dead letters of a store's folder by themselves, without a bus; `close` them in the end.

        Each change is written by the call that makes it, in the calling thread.

        Args:
            folder: of the store.
            max_size: as for the class.
            on_add: as for the class.
            read_only: also while a station has the store open; what changes something then raises.

        Raises:
            StoreUnavailable: if there is nothing to read, or the folder cannot be written to.
            StoreInUse: if a station has it open, and it is not to be read only.
        """
        place = Folder(Path(folder))
        if read_only:
            if not place.database.exists():
                raise StoreUnavailable(f"there is no store in {place.path}")
            queue = cls(place.database, _Nowhere(place.path), max_size, on_add)
        else:
            database = Database(place, lambda: str(_nanoseconds(now()) // 1_000_000))
            database.open()
            queue = cls(place.database, _AtOnce(database), max_size, on_add)
            queue._own = database
        queue.load()
        return queue

    def close(self) -> None:
        """Close what `open` opened."""
        self.release()
        if self._own is not None:
            self._own.close(self._own.meta("life", 1))

    # Writing

    def _keep(self, entry: DeadLetterEntry) -> None:
        with self._guard:
            number = max(self._last + 1, _nanoseconds(entry.timestamp))
            rows = [(Kind.LETTER, _row(number, entry))]
            oldest = next(iter(self._numbers), None) if len(self._numbers) >= self.max_size else None
            if oldest is not None:
                rows.append((Kind.LETTER_DROP, (oldest,)))
            self._last = number
            self._numbers[number] = None
            self._unwritten[number] = entry
            try:
                self._write(rows, [number])
            except BaseException:
                self._forget([number])
                raise
            if oldest is not None:
                self._forget([oldest])
                self._pushed_out += 1

    def _write(self, rows: _Rows, numbers: Sequence[int] = ()) -> None:
        self._writes.add_from_anywhere(rows, lambda: self._written(numbers))

    def _written(self, numbers: Iterable[int]) -> None:
        with self._guard:
            for number in numbers:
                self._unwritten.pop(number, None)

    def _forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._numbers.pop(number, None)
            self._unwritten.pop(number, None)

    def _drop(self, numbers: Sequence[int]) -> int:
        if numbers:
            self._write([(Kind.LETTER_DROP, (number,)) for number in numbers])
            self._forget(numbers)
        return len(numbers)

    def pop(self) -> DeadLetterEntry | None:
        """Take the oldest out; None if there is none."""
        with self._guard:
            found = next(self._found(newest_first=False), None)
            if found is None:
                return None
            self._drop([found[0]])
            return found[1]

    def clear(self) -> int:
        """Forget all; says how many there were."""
        with self._guard:
            return self._drop(list(self._numbers))

    def drop(self, *ids: str) -> int:
        """Forget some, by the ids of the dead letters; says how many there were."""
        with self._guard:
            return self._drop(self._numbers_of(ids))

    def mark_replayed(self, *ids: str) -> int:
        """Write down that some were handed out once more, now; says how many there were."""
        with self._guard:
            numbers = self._numbers_of(ids)
            if numbers:
                at = _nanoseconds(now())
                self._write([(Kind.LETTER_REPLAYED, (at, number)) for number in numbers])
            return len(numbers)

    def _numbers_of(self, ids: Iterable[str]) -> list[int]:
        wanted = set(ids)
        found = [number for number, entry in self._unwritten.items() if entry.id in wanted]
        for one in wanted:
            rows = self._rows("SELECT n FROM letters WHERE id = ?", (one,))
            found += [number for (number,) in rows if number in self._numbers]
        return list(dict.fromkeys(found))

    # Reading

    def load(self) -> None:
        """Take over what the database holds; called when the store has opened it."""
        with self._guard:
            self._keeps_reader = True
            mine = self._numbers
            self._numbers = {n: None for (n,) in self._rows("SELECT n FROM letters ORDER BY n")} | mine
            self._last = max(self._numbers, default=0)

    def release(self) -> None:
        """Close the connection for reading; who reads after that opens one for each call."""
        with self._guard:
            self._keeps_reader = False
            self._close_reader()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._reader is None:
            if not self._path.exists():
                return []
            self._reader = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, check_same_thread=False
            )
        rows = self._reader.execute(sql, values).fetchall()
        if not self._keeps_reader:
            self._close_reader()
        return rows

    def _found(
        self, where: dict[str, str] | None = None, *, newest_first: bool
    ) -> Iterator[tuple[int, DeadLetterEntry]]:
        """Number and dead letter of those that have some values, in order; read in pages."""
        where = where or {}
        unwritten = dict(self._unwritten)
        fresh = [(n, one) for n, one in unwritten.items() if _matches(one, where)]
        condition = "".join(f" AND {column} = ?" for column in where)
        order, beyond, last = ("DESC", "<", 2**63 - 1) if newest_first else ("ASC", ">", -1)
        if newest_first:
            yield from reversed(fresh)
        while True:
            page = self._rows(
                f"SELECT {_COLUMNS} FROM letters WHERE n {beyond} ?{condition} "  # noqa: S608 - names of ours
                f"ORDER BY n {order} LIMIT 100",
                (last, *where.values()),
            )
            for row in page:
                last = row[0]
                if last in self._numbers and last not in unwritten:
                    yield last, _entry(row)
            if not page:
                break
        if not newest_first:
            yield from fresh

    def peek(self) -> DeadLetterEntry | None:
        """The oldest; None if there is none."""
        with self._guard:
            found = next(self._found(newest_first=False), None)
        return None if found is None else found[1]

    def _find(self, where: dict[str, str], limit: int | None) -> list[DeadLetterEntry]:
        where = {column: clean(value) for column, value in where.items()}
        entries: list[DeadLetterEntry] = []
        with self._guard:
            for _, entry in self._found(where, newest_first=True):
                if limit is not None and len(entries) >= limit:
                    break
                entries.append(entry)
        return entries

    def replayed_at(self, letter_id: str) -> datetime | None:
        """When a dead letter was last handed out once more; None if never, or that is not written yet."""
        with self._guard:
            rows = self._rows("SELECT replayed FROM letters WHERE id = ?", (letter_id,))
        return time_of(rows[0][0]) if rows and rows[0][0] is not None else None

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._numbers)

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[DeadLetterEntry]:
        """Those that are there now, oldest first."""
        found = self._found(newest_first=False)
        while True:
            with self._guard:
                one = next(found, None)
            if one is None:
                return
            yield one[1]


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def _row(number: int, entry: DeadLetterEntry) -> tuple[Any, ...]:
    event, raw = entry.event, entry.raw
    names = (entry.event_id, entry.event_type, entry.handler)
    encoded: bytes | None = None
    if event is not None:
        try:
            encoded = event.to_msgpack()
        except EventsError:
            # That it cannot be written may be the very reason why it is here.
            raw = f"{event!r} with payload {event.payload!r}".encode("utf-8", "backslashreplace")
    return (
        number,
        clean(entry.id),
        _nanoseconds(entry.timestamp),
        *(None if text is None else clean(text) for text in names),
        entry.attempts,
        None if entry.source is None else clean(entry.source),
        clean(entry.error_type),
        clean(str(entry.error)),
        clean(entry.traceback_text),
        encoded,
        raw,
        None,
    )


def _entry(row: tuple[Any, ...]) -> DeadLetterEntry:
    _, letter_id, at, _, _, handler, attempts, source, error_type, error, trace, encoded, raw = row
    event: Event | None = None
    if encoded is not None:
        try:
            event = Event.from_msgpack(encoded)
        except EventsError:
            # Another version wrote it; as bytes it is still all there.
            raw = encoded
    return DeadLetterEntry(
        event=event,
        error=_error(error_type, error),
        traceback_text=trace,
        handler_name=handler,
        attempts=attempts,
        raw=raw,
        source=source,
        timestamp=time_of(at),
        id=letter_id,
    )


def _error(name: str, text: str) -> StoredError:
    made: StoredError = type(name, (StoredError,), {"__module__": __name__})(text)
    return made


def _matches(entry: DeadLetterEntry, where: dict[str, str]) -> bool:
    return all(getattr(entry, column) == value for column, value in where.items())
