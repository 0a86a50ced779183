"""Dead letters that survive the process, with the interface of those in memory.

What `add` was given can be read at once; it is on the disk with the batch that it was appended to. So a
dead letter and the settlement appended in the same step of the trio thread are one transaction. Calls
from other threads are handed to the trio thread for writing, and read by a connection of their own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from msgspec.structs import replace

from pywats_events.durability._database import Batch, Database
from pywats_events.durability._faults import NULL, checked, unavailable
from pywats_events.durability._files import Folder
from pywats_events.durability._schema import check_ours
from pywats_events.durability._statements import Kind, clean
from pywats_events.durability.errors import StoreUnavailable
from pywats_events.errors import EventsError
from pywats_events.models._clock import now, time_of
from pywats_events.models.event import Event
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue
from pywats_supervision.errors import said_by

__all__ = ["SQLiteDeadLetterQueue", "StoredError"]

_COLUMNS: Final = "id, at, handler, attempts, source, error_type, error, traceback, event, raw, replayed"
_KINDS: Final = (
    *(str, int, (str, NULL), int, (str, NULL), str, str, str),
    *((bytes, NULL), (bytes, NULL), (int, NULL)),
)
_LAST: Final = "\U0010ffff"
"""Follows everything that an id may go on with."""
_PAGE: Final = 1000
"""Numbers that are read at a time; the dead letters themselves are read one by one."""


_Rows: TypeAlias = Sequence[tuple[Kind, tuple[Any, ...]]]
_Row: TypeAlias = tuple[Any, ...]


class StoredError(Exception):
    """An error read back: its text, in a class with the name of the one that was raised."""


class _Writes(Protocol):
    """How a queue's changes are written, and who hears that it cannot be read."""

    def add_from_anywhere(self, rows: _Rows, written: Callable[[], object]) -> None: ...

    def cannot_read(self, error: sqlite3.Error) -> StoreUnavailable: ...


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
            raise unavailable(
                f"the store in {self._database.folder.path} cannot be written to", error
            ) from error
        written()

    def cannot_read(self, error: sqlite3.Error) -> StoreUnavailable:
        return unavailable(f"the store in {self._database.folder.path} cannot be read", error)


class _Nowhere:
    """Refuses each change."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_from_anywhere(self, rows: _Rows, written: Callable[[], object]) -> None:
        raise StoreUnavailable(f"the dead letters in {self._path} were opened for reading only")

    def cannot_read(self, error: sqlite3.Error) -> StoreUnavailable:
        return unavailable(f"the store in {self._path} cannot be read", error)


class SQLiteDeadLetterQueue(DeadLetterQueue):
    """The dead letters of a store, oldest first; for any thread.

    Made by `Store`, as `store.dead_letters`; hand it to `ErrorPolicy`. Before the store is opened it
    can be added to, and holds nothing from earlier lives. What reads raises StoreUnavailable if the
    database cannot be read, and StoreDamaged if it is damaged. Each is a row of the database, whatever
    its size.

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
        self._loaded = False
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

        Each change is written by the call that makes it, in the calling thread. That is no life of the
        store: what the end of the last one left is there for the next as it was.

        Args:
            folder: of the store.
            max_size: as for the class.
            on_add: as for the class.
            read_only: also while a station has the store open; what changes something then raises.

        Raises:
            StoreUnavailable: if there is no store, or it cannot be opened; StoreDamaged if it is damaged.
            StoreInUse: if a station has it open, and it is not to be read only.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made the database.
        """
        place = Folder(Path(folder))
        if read_only:
            if not place.database.exists():
                raise StoreUnavailable(f"there is no store in {place.path}")
            queue = cls(place.database, _Nowhere(place.path), max_size, on_add)
        else:
            database = Database(place, lambda: str(_nanoseconds(now()) // 1_000_000))
            database.open_between_lives()
            queue = cls(place.database, _AtOnce(database), max_size, on_add)
            queue._own = database
        try:
            queue._check_ours()
            queue.load()
        except BaseException:
            queue.close()
            raise
        return queue

    def _check_ours(self) -> None:
        with self._guard, self._reading() as reader:
            if check_ours(reader, str(self._path)) == 0:
                raise StoreUnavailable(f"there is no store in {self._path.parent}")

    def close(self) -> None:
        """Close what `open` opened."""
        self.release()
        if self._own is not None:
            self._own.abandon()

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
                self._count_pushed_out(entry)

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
            number = next(iter(self._numbers), None)
            if number is None:
                return None
            found = self._entry(number)
            self._drop([number])
            return found

    def clear(self) -> int:
        """Forget all; says how many there were."""
        with self._guard:
            return self._drop(list(self._numbers))

    def drop(self, *ids: str) -> int:
        """Forget some, by the ids of the dead letters; says how many there were."""
        with self._guard:
            return self._drop(self._numbers_of(ids))

    def mark_replayed(self, *ids: str) -> int:
        """Note that some were handed out once more, now; says how many there were."""
        with self._guard:
            numbers = self._numbers_of(ids)
            if numbers:
                at = now()
                for number in numbers:
                    if number in self._unwritten:
                        self._unwritten[number] = replace(self._unwritten[number], replayed_at=at)
                self._write([(Kind.LETTER_REPLAYED, (_nanoseconds(at), number)) for number in numbers])
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
            numbers = [n for (n,) in checked(self._rows("SELECT n FROM letters ORDER BY n"), int)]
            if self._loaded:  # then this is the same life, and what was dropped in it stays so
                numbers = [number for number in numbers if number in self._numbers]
            self._loaded = True
            self._numbers = dict.fromkeys([*numbers, *self._unwritten])
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

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection for reading; damage that is found with it goes the way of all damage."""
        try:
            if self._reader is None:
                self._reader = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, check_same_thread=False
                )
                self._reader.text_factory = partial(str, encoding="utf-8", errors="replace")
            yield self._reader
        except sqlite3.Error as error:
            self._close_reader()
            raise self._writes.cannot_read(error) from error
        finally:
            if not self._keeps_reader:
                self._close_reader()

    def _rows(self, sql: str, values: Sequence[Any] = (), kinds: tuple[Any, ...] = (int,)) -> list[_Row]:
        if self._reader is None and not self._path.exists():
            return []
        with self._reading() as reader:
            return checked(reader.execute(sql, values).fetchall(), *kinds)

    def _entry(self, number: int) -> DeadLetterEntry | None:
        """One by its number; None if it has gone."""
        if number not in self._numbers:
            return None
        unwritten = self._unwritten.get(number)
        if unwritten is not None:
            return unwritten
        rows = self._rows(f"SELECT {_COLUMNS} FROM letters WHERE n = ?", (number,), _KINDS)  # noqa: S608 - names of ours
        return _entry(rows[0]) if rows else None

    def _found(self, where: dict[str, str], *, newest_first: bool) -> Iterator[DeadLetterEntry]:
        """Those that have some values, in order; each is read when its turn comes."""
        where = {column: clean(value) for column, value in where.items()}
        with self._guard:
            unwritten = dict(self._unwritten)
        fresh = [n for n, one in unwritten.items() if _matches(one, where)]
        numbers = (n for n in self._matching(where, newest_first=newest_first) if n not in unwritten)
        for number in chain(reversed(fresh), numbers) if newest_first else chain(numbers, fresh):
            with self._guard:
                one = self._entry(number)
            if one is not None:
                yield one

    def _matching(self, where: dict[str, str], *, newest_first: bool) -> Iterator[int]:
        """The numbers of those on the disk that have some values, in order; read in pages."""
        condition = "".join(f" AND {column} = ?" for column in where)
        order, beyond, last = ("DESC", "<", 2**63 - 1) if newest_first else ("ASC", ">", -1)
        sql = (
            f"SELECT n FROM letters WHERE n {beyond} ?{condition} "  # noqa: S608 - names of ours
            f"ORDER BY n {order} LIMIT {_PAGE}"
        )
        while True:
            with self._guard:
                page = self._rows(sql, (last, *where.values()))
            for (last,) in page:
                yield last
            if not page:
                return

    def ids_beginning(self, beginning: str, limit: int) -> list[str]:
        """The ids on the disk that begin so, in their order.

        Args:
            beginning: of the ids; empty for all.
            limit: at most so many.
        """
        with self._guard:
            rows = self._rows(
                "SELECT id FROM letters WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (clean(beginning), clean(beginning) + _LAST, limit),
                (str,),
            )
        return [letter_id for (letter_id,) in rows]

    def peek(self) -> DeadLetterEntry | None:
        """The oldest; None if there is none."""
        return next(iter(self), None)

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
        clean(said_by(entry.error)),
        clean(entry.traceback_text),
        encoded,
        raw,
        None if entry.replayed_at is None else _nanoseconds(entry.replayed_at),
    )


def _entry(row: tuple[Any, ...]) -> DeadLetterEntry:
    letter_id, at, handler, attempts, source, error_type, error, trace, encoded, raw, replayed = row
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
        replayed_at=None if replayed is None else time_of(replayed),
    )


def _error(name: str, text: str) -> StoredError:
    made: StoredError = type(name, (StoredError,), {"__module__": __name__})(text)
    return made


def _matches(entry: DeadLetterEntry, where: dict[str, str]) -> bool:
    return all(getattr(entry, column) == value for column, value in where.items())
