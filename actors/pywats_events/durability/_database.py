"""How does a batch of operations get into the one SQLite file, whole or not at all?

Everything here blocks, and is called in one thread at a time. WAL with synchronous=FULL: one fsync
for a batch, and what `write` returned from survives a power cut.

Damage is treated in one way, wherever it is found: in opening, or by whoever reads or writes later, who
leaves it in `damage`. When the database is let go it is renamed, with all that belongs to it, and the
next opening begins a new one. Nothing else deletes or repairs what cannot be read.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from pywats_events.durability._faults import checked, corrupt, is_corrupt, unavailable
from pywats_events.durability._files import Folder
from pywats_events.durability._schema import prepare
from pywats_events.durability._statements import KEYED, Kind, execute
from pywats_events.durability._wal import commit_frames
from pywats_events.durability.errors import StoreClosed, StoreDamaged, StoreUnavailable
from pywats_supervision.logs import GuardedLogger

__all__ = ["Batch", "Database", "Opened", "Usage"]

logger: Final = GuardedLogger("pywats_events")

_PAGE: Final = 8192
# Of what is appended, and of the pages that a small commit takes: about what goes to the log.
_CHECKPOINT_BYTES: Final = 16 << 20
_COMMIT_BYTES: Final = 5 * _PAGE
# What settles has to be written when the disk is full, and the log to be moved before.
_RESERVE_BYTES: Final = 32 << 20
_RESERVE_PART: Final = 32
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

    @property
    def can_follow(self) -> bool:
        """Whether it may be written after a batch that was to follow it."""
        return self.rows.keys().isdisjoint(KEYED)

    def give_up(self, later: Batch) -> None:
        """Drop what a batch that was to follow takes back of this one."""
        for (seq,) in later.rows.get(Kind.DONE, ()):
            if self.accepted.pop(seq, None) is not None:
                self.payloads.pop(seq, None)

    def absorb(self, later: Batch) -> None:
        """Take in a batch that was to follow, and what it takes back of this one."""
        self.give_up(later)
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
        cut: pages at the end of the log that are damaged or gone, though they had been committed; at least.
        unsettled: how many events wait to be replayed.
        orphans: how many payload files without a row were deleted; after a cut, set aside.
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
        reserved: whether it holds the room that it needs to settle when the disk is full.
    """

    size: int
    free: int
    disk: int
    reserved: bool = True


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
        self._checkpoint_at = _CHECKPOINT_BYTES
        self._aside: Opened | None = None
        self.damage: str | None = None
        """What was found to be wrong with it: it is set aside when it is let go, and a new one begun."""
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

    def open(self, load: Callable[[], None]) -> Opened:
        """Open or make the database, and mark it as in use.

        A damaged one is set aside, never deleted, and a new one begun.

        Args:
            load: reads what is to be known of it from the start; called again with the new one.

        Raises:
            sqlite3.Error: if it cannot be opened.
            OSError: if its folder cannot be read or written to.
            StoreUnavailable: if the folder cannot be written to.
            StoreInUse: if somebody else has it open.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made it.
        """
        self.folder.enter()
        try:
            if self.damage is not None:
                self._set_aside(self.damage)
            try:
                opened = self._begin(load)
            except (sqlite3.DatabaseError, StoreDamaged) as error:
                cause = error.__cause__ or error
                if not is_corrupt(cause):
                    raise
                self._drop_connection()
                self._set_aside(str(cause))
                opened = self._begin(load)
        except BaseException:
            self.abandon()
            raise
        aside, self._aside = self._aside, None
        if aside is None:
            return opened
        return msgspec.structs.replace(opened, clean=False, set_aside=aside.set_aside, damage=aside.damage)

    def open_between_lives(self) -> None:
        """Open one that no station has open, to look or to change something: no life begins or ends.

        Raises:
            StoreUnavailable: if there is none, or it cannot be opened; StoreDamaged if it is damaged.
            StoreInUse: if somebody else has it open.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made it.
        """
        if not self.folder.database.exists():
            raise StoreUnavailable(f"there is no store in {self.folder.path}")
        self.folder.enter()
        try:
            self._connect()
        except (sqlite3.Error, OSError) as error:
            self.abandon()
            raise unavailable(f"the store in {self.folder.path} cannot be opened", error) from error
        except BaseException:
            self.abandon()
            raise

    def _begin(self, load: Callable[[], None]) -> Opened:
        orphans = self.folder.sweep_partial()  # first, as they may take the room that the rest needs
        version, cut = self._connect()
        clean = version == 0 or self.meta("clean", 0) == 1
        if not clean and self.folder.database.stat().st_size <= _CHECK_UNTIL:
            self._check()
        unsettled = self._begin_life(clean)
        wanted = {seq for (seq,) in self.rows("SELECT seq FROM journal WHERE large")}
        load()
        self.usage()  # which takes the reserve
        orphans += self.folder.sweep(wanted, self._stamp() if cut else None)
        return Opened(clean=clean, version=version, cut=cut, unsettled=unsettled, orphans=orphans)

    def _connect(self) -> tuple[int, int]:
        """Open the file; says its version, and how many pages at the end of its log are lost."""
        if self.folder.has_lost_its_database:
            raise corrupt("the database is gone or empty, and its log or events beside it are not")
        log_there = self.folder.log.exists() and self.folder.log.stat().st_size > 0
        committed = commit_frames(self.folder.log, _PAGE)
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
        cut = max(0, committed - frames)
        if not log_there and version and self.folder.was_held and self.meta("clean", 1) == 0:
            cut = 1  # who was killed has left a log, of at least that
        if cut:
            logger.error(
                "at least %d pages at the end of the log in %s are damaged or gone: what was written with "
                "them is lost",
                cut,
                self.folder.path,
            )
        return version, cut

    def _check(self) -> None:
        (verdict,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise corrupt(verdict)

    def _set_aside(self, damage: str) -> None:
        aside = self.folder.set_aside(self._stamp())
        self.damage = None
        self._aside = Opened(set_aside=aside, damage=damage)
        logger.error(
            "the store in %s was damaged (%s): it was moved to %s, with what was not settled in it, and a "
            "new one is begun",
            self.folder.path,
            damage,
            aside,
        )

    def _begin_life(self, clean: bool) -> int:
        """Count this end for the events that may have been in hand, and mark the store as in use."""
        connection = self.connection
        ((last,),) = self.rows("SELECT max(seq) FROM journal")
        ((unsettled,),) = self.rows("SELECT count(*) FROM journal")
        following = max(last or 0, self.meta("next", 1) - 1) + 1
        fresh = following if clean else self.meta("life", 1)
        connection.execute("BEGIN IMMEDIATE")
        if clean:
            connection.execute("DELETE FROM hands")
        else:
            # A batch that did not fit may have been overtaken; its numbers are given out again.
            for table in ("settled", "hands"):
                connection.execute(f"DELETE FROM {table} WHERE seq NOT IN (SELECT seq FROM journal)")  # noqa: S608 - names of ours
            connection.execute("DELETE FROM hands WHERE NOT taken")
            connection.execute("UPDATE hands SET ends = ends + 1, taken = 0")
        facts = {"clean": 0, "fresh": fresh, "life": following, "next": following}
        execute(connection, Kind.REMEMBER, list(facts.items()))
        connection.execute("COMMIT")
        return int(unsettled)

    def meta(self, key: str, default: int) -> int:
        """A number that the store remembers of itself."""
        rows = checked(self.rows("SELECT value FROM meta WHERE key = ?", key), int)
        return rows[0][0] if rows else default

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
        return self._logged >= self._checkpoint_at

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the database."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._logged = 0

    def usage(self) -> Usage:
        """How much room it takes and has."""
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (spare,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        disk = shutil.disk_usage(self.folder.path)
        reserve = min(_RESERVE_BYTES, disk.total // _RESERVE_PART)
        # Pages that are not in use are as good as free disk.
        reserved = self.folder.keep_reserve(reserve, disk.free) or spare * _PAGE >= reserve
        self._checkpoint_at = min(_CHECKPOINT_BYTES, reserve // 2)
        size = (pages - spare) * _PAGE + self.folder.payload_bytes()
        return Usage(size=size, free=disk.free, disk=disk.total, reserved=reserved)

    def relieve(self) -> None:
        """Make room on a full disk: without the reserve, and with a log that begins anew."""
        self.folder.give_up_reserve()
        self.checkpoint()

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
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self.damage = str(error)
            raise
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of it as a crash would; a damaged one is set aside."""
        try:
            self._drop_connection()
            if self.damage is not None:
                self._set_aside(self.damage)
        except OSError as error:
            logger.error(  # noqa: TRY400 - the error says it all
                "the damaged store in %s could not be set aside, which is tried when it is opened again: %s",
                self.folder.path,
                error,
            )
        finally:
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
