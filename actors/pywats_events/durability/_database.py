"""How does a batch of operations get into the one SQLite file, whole or not at all?

Everything here blocks, and is called in one thread at a time. WAL with synchronous=FULL: one fsync
for a batch, and what `write` returned from survives a power cut.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from pywats_events.durability._files import Folder
from pywats_events.durability._schema import prepare
from pywats_events.durability._statements import Kind, execute
from pywats_events.durability._wal import commit_frames
from pywats_events.durability.errors import StoreClosed

__all__ = ["Batch", "Database", "Opened", "Usage", "is_corrupt"]

_PAGE: Final = 8192
# Of what is appended, and of the pages that a small commit takes: about what goes to the log.
_CHECKPOINT_BYTES: Final = 16 << 20
_COMMIT_BYTES: Final = 5 * _PAGE
_SHRINK_FROM: Final = 64 << 20
# A larger database would take too long to check; SQLite finds what is corrupt where it is read.
_CHECK_UNTIL: Final = 1 << 30


class Batch:
    """Operations that are written together, and the payloads that belong to them.

    Attributes:
        rows: of each kind, in order.
        accepted: the journal's new rows by their number, apart from the others so that an event that
            settles before it was written is never written.
        payloads: by the same number, those too large for the database.
        done_payloads: numbers whose payload can go once the batch is written.
        size: bytes, about.
    """

    __slots__ = ("accepted", "done_payloads", "payloads", "rows", "size")

    def __init__(self) -> None:
        self.rows: dict[Kind, list[tuple[Any, ...]]] = {}
        self.accepted: dict[int, tuple[Any, ...]] = {}
        self.payloads: dict[int, bytes] = {}
        self.done_payloads: list[int] = []
        self.size: int = 0

    def add(self, kind: Kind, row: tuple[Any, ...]) -> None:
        """Add an operation."""
        rows = self.rows.get(kind)
        if rows is None:
            self.rows[kind] = [row]
        else:
            rows.append(row)

    def absorb(self, later: Batch) -> None:
        """Take in a batch that was to follow, and what it takes back of this one."""
        for (seq,) in later.rows.get(Kind.DONE, ()):
            if self.accepted.pop(seq, None) is not None:
                self.payloads.pop(seq, None)
        for kind, rows in later.rows.items():
            self.rows.setdefault(kind, []).extend(rows)
        self.accepted.update(later.accepted)
        self.payloads.update(later.payloads)
        self.done_payloads += later.done_payloads
        self.size += later.size


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a store found.

    Attributes:
        clean: the store was closed in order, or is new.
        version: of the tables as they were found; 0 for a new store.
        set_aside: where a corrupt database was moved to; None if there was none.
        damage: what is wrong with that one, in SQLite's words.
        cut: pages at the end of the log that were damaged and are lost, though they had been committed.
        unsettled: how many events wait to be replayed.
        orphans: how many payload files without a row were deleted.
    """

    clean: bool = True
    version: int = 0
    set_aside: Path | None = None
    damage: str | None = None
    cut: int = 0
    unsettled: int = 0
    orphans: int = 0


class Usage(msgspec.Struct, frozen=True):
    """How much room a store takes and has.

    Attributes:
        size: bytes of the database that are in use, and of the payloads beside it.
        free: bytes free on its disk.
        disk: bytes of its disk.
    """

    size: int
    free: int
    disk: int


class Database:
    """The database of one store.

    Args:
        folder: where it is.
        stamp: makes the text that tells a database set aside from others.
        max_pages: the most pages that SQLite may use; None for no bound of its own.
    """

    def __init__(self, folder: Folder, stamp: Callable[[], str], max_pages: int | None = None) -> None:
        self.folder = folder
        self._stamp = stamp
        self._max_pages = max_pages
        self._connection: sqlite3.Connection | None = None
        self._logged = 0
        self.suspect: bool = False
        """Something in it could not be read: check all of it when it is opened again, whatever its size."""
        self.syncing: bool = False
        """Whether a commit is on its way to the disk; readable from any thread."""

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """The one connection.

        Raises:
            StoreClosed: if it is not open.
        """
        if self._connection is None:
            raise StoreClosed(f"the store in {self.folder.path} is not open")
        return self._connection

    def open(self) -> Opened:
        """Open or make the database, and mark it as in use.

        A corrupt one is set aside, never deleted, and a new one begun.

        Raises:
            StoreUnavailable: if the folder cannot be written to.
            StoreInUse: if somebody else has it open.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made it.
        """
        self.folder.enter()
        try:
            return self._open_or_set_aside()
        except BaseException:
            self.abandon()
            raise

    def _open_or_set_aside(self) -> Opened:
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            damage = str(error)
        self._drop_connection()
        aside = self.folder.set_aside(self._stamp())
        self.suspect = False
        return msgspec.structs.replace(self._open(), clean=False, set_aside=aside, damage=damage)

    def _open(self) -> Opened:
        committed = commit_frames(self.folder.log)
        connection = sqlite3.connect(
            self.folder.database, timeout=5, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        # Damage of a text is found where the text is read, and says so better there.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        connection.execute(f"PRAGMA page_size={_PAGE}")
        version = prepare(connection, str(self.folder.database))
        for setting in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=OFF",
            f"wal_autocheckpoint={8 * _CHECKPOINT_BYTES // _PAGE}",
            *(() if self._max_pages is None else (f"max_page_count={self._max_pages}",)),
        ):
            connection.execute(f"PRAGMA {setting}")
        ((_, frames, _),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        clean = version == 0 or self.meta("clean", 0) == 1
        if not clean or self.suspect:
            self._check()
        unsettled = self._begin_life(clean)
        wanted = {seq for (seq,) in connection.execute("SELECT seq FROM journal WHERE large")}
        return Opened(
            clean=clean,
            version=version,
            cut=max(0, committed - frames),
            unsettled=unsettled,
            orphans=self.folder.sweep(wanted),
        )

    def _check(self) -> None:
        if self.folder.database.stat().st_size > _CHECK_UNTIL and not self.suspect:
            return
        (verdict,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    def _begin_life(self, clean: bool) -> int:
        """Count this end for the events that may have been in hand, and mark the store as in use."""
        connection = self.connection
        (last,) = connection.execute("SELECT max(seq) FROM journal").fetchone()
        (unsettled,) = connection.execute("SELECT count(*) FROM journal").fetchone()
        following = max(last or 0, self.meta("next", 1) - 1) + 1
        fresh = following if clean else self.meta("life", 1)
        connection.execute("BEGIN IMMEDIATE")
        if clean:
            connection.execute("DELETE FROM hands")
        else:
            connection.execute("DELETE FROM hands WHERE NOT taken")
            connection.execute("UPDATE hands SET ends = ends + 1, taken = 0")
        facts = {"clean": 0, "fresh": fresh, "life": following, "next": following}
        execute(connection, Kind.REMEMBER, list(facts.items()))
        connection.execute("COMMIT")
        return int(unsettled)

    def meta(self, key: str, default: int) -> int:
        """A number that the store remembers of itself."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else int(row[0])

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read."""
        return self.connection.execute(sql, values).fetchall()

    def write(self, batch: Batch) -> None:
        """Write a batch; it is on the disk when this returns, and otherwise nothing of it is.

        Raises:
            sqlite3.Error: if it cannot be written.
            OSError: if a payload cannot be.
            StoreClosed: if the database is not open.
        """
        connection = self.connection
        if batch.payloads:
            self.folder.write_payloads(batch.payloads.items())
        connection.execute("BEGIN IMMEDIATE")
        try:
            for kind, rows in _in_order(batch):
                execute(connection, kind, rows)
            self.syncing = True
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self.syncing = False
        self._logged += batch.size + _COMMIT_BYTES
        self.folder.drop_payloads(batch.done_payloads)

    @property
    def checkpoint_due(self) -> bool:
        """Whether there is much in the write-ahead log that is not in the database."""
        return self._logged >= _CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the database."""
        self._logged = 0
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def usage(self) -> Usage:
        """How much room it takes and has."""
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (spare,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        disk = shutil.disk_usage(self.folder.path)
        size = (pages - spare) * _PAGE + self.folder.payload_bytes()
        return Usage(size=size, free=disk.free, disk=disk.total)

    def close(self, following: int) -> None:
        """Close it, marked as closed in order; without effect on a closed one.

        Args:
            following: the number of the next event, for the next life.
        """
        if self._connection is None:
            return
        facts = Batch()
        facts.rows[Kind.REMEMBER] = [("clean", 1), ("next", following)]
        try:
            self.write(facts)
            self._shrink()
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of it as a crash would."""
        self._drop_connection()
        self.folder.leave()

    def _shrink(self) -> None:
        """Give disk back that a long outage took; what is left to copy is small then."""
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (spare,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        if pages * _PAGE > _SHRINK_FROM and spare > pages * 3 // 4:
            self.connection.execute("VACUUM")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _in_order(batch: Batch) -> Iterator[tuple[Kind, list[tuple[Any, ...]]]]:
    for kind in Kind:
        rows = list(batch.accepted.values()) if kind is Kind.ACCEPT else batch.rows.get(kind)
        if rows:
            yield kind, rows


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite says with it that the database is damaged, or none."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
