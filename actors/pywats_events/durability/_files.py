"""Where do a store's files lie, who may use them, and how does a file get to the disk for good?"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pywats_events.durability._faults import is_busy, is_corrupt, unavailable
from pywats_events.durability.errors import StoreInUse, StoreUnavailable
from pywats_supervision.logs import GuardedLogger

__all__ = ["Folder", "holder_of"]

logger: Final = GuardedLogger("pywats_events")

_PARTIAL: Final = ".part"
_CHUNK: Final = 1 << 20


class Folder:
    """The folder of a store: the database, the payloads too large for it, and the lock.

    Args:
        path: of the folder; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database: Path = path / "store.db"
        self.log: Path = path / "store.db-wal"
        self.payloads: Path = path / "large"
        self.reserve: Path = path / "reserve"
        self._lock_file = path / "lock"
        self._lock: sqlite3.Connection | None = None
        self.was_held: bool = False
        """Whether its last holder was killed before it could leave it."""

    def enter(self) -> None:
        """Make the folder if need be, and hold it until `leave`.

        The lock is a write lock of SQLite on a file of its own: it goes with the process that holds it,
        on every system, and others can still read who that is.

        Raises:
            StoreUnavailable: if it cannot be made or written to.
            StoreInUse: if somebody else holds it.
        """
        try:
            self.payloads.mkdir(parents=True, exist_ok=True)
            try:
                self._lock = self._taken()
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._empty_lock()
                self._lock = self._taken()
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from error

    def _taken(self) -> sqlite3.Connection:
        lock = sqlite3.connect(self._lock_file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self.was_held = _take(lock)
        except sqlite3.Error as error:
            holder = _holder(lock)
            lock.close()
            if is_busy(error):
                raise StoreInUse(
                    f"the store in {self.path} is in use by {holder}: two stations cannot share one; "
                    "stop the other one, or give this one a folder of its own"
                ) from None
            raise
        return lock

    def _empty_lock(self) -> None:
        """Empty a damaged lock file where it is, so that whoever should hold it goes on holding it."""
        logger.warning("the lock file in %s was damaged, as a power cut may do, and is made anew", self.path)
        os.truncate(self._lock_file, 0)
        self._lock_file.with_name("lock-journal").unlink(missing_ok=True)

    def _unwritable(self, error: Exception) -> StoreUnavailable:
        return unavailable(f"the store's folder {self.path} cannot be written to", error)

    def leave(self) -> None:
        """Let others have it."""
        if self._lock is None:
            return
        try:
            self._lock.execute("DELETE FROM holder")
            self._lock.execute("COMMIT")
        except sqlite3.Error as error:
            logger.warning("the lock file in %s cannot be written to: %s", self.path, error)
        self._lock.close()
        self._lock = None

    def set_aside(self, stamp: str) -> Path:
        """Rename the database, and what belongs to it, so that a new one can be begun.

        Args:
            stamp: goes into the names.

        Returns:
            The database's new path.
        """
        name, number = stamp, 1
        while any(self.path.glob(f"*-corrupt-{name}*")):
            number += 1
            name = f"{stamp}-{number}"
        aside = self.path / f"store-corrupt-{name}.db"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.database}{suffix}", f"{aside}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.payloads, self.path / f"large-corrupt-{name}")
        self.payloads.mkdir()
        sync_folder(self.path)
        return aside

    @property
    def has_lost_its_database(self) -> bool:
        """Whether there is a log or a payload, and no database that they could belong to."""
        if self.database.exists() and self.database.stat().st_size:
            return False
        if self.log.exists() and self.log.stat().st_size:
            return True
        return any(path.suffix != _PARTIAL for path in self.payloads.iterdir())

    def payload(self, seq: int) -> Path:
        """Where the payload of an event is that is too large for the database."""
        return self.payloads / f"{seq:016x}"

    def write_payloads(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Write payloads so that they are there after a power cut, under whole names only."""
        self.payloads.mkdir(exist_ok=True)
        for seq, data in payloads:
            target = self.payload(seq)
            partial = target.with_suffix(_PARTIAL)
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                # It may have taken the last room there was, which others need to settle.
                _delete(partial)
                raise
            os.replace(partial, target)
        sync_folder(self.payloads)

    def set_payload_aside(self, seq: int) -> Path:
        """Rename a payload that cannot be read, so that nobody deletes it; says to what."""
        aside = self.path / f"large-unreadable-{seq:016x}"
        os.replace(self.payload(seq), aside)
        return aside

    def drop_payloads(self, seqs: Iterable[int]) -> None:
        """Delete payloads; one that cannot be deleted now is swept when the store is opened again."""
        for seq in seqs:
            _delete(self.payload(seq))

    def sweep_partial(self) -> int:
        """Delete the payloads that an end of the process left half written; says how many."""
        return sum(_delete(path) for path in self.payloads.glob(f"*{_PARTIAL}"))

    def sweep(self, wanted: set[int], stamp: str | None) -> int:
        """Delete the payloads that no row speaks of; says how many.

        Args:
            wanted: the numbers that rows speak of.
            stamp: if rows are lost, so that theirs are moved aside under it instead.
        """
        names = {self.payload(seq).name for seq in wanted}
        orphans = [path for path in self.payloads.iterdir() if path.name not in names]
        if stamp is None:
            return sum(_delete(path) for path in orphans)
        aside = self.path / f"large-corrupt-{stamp}"
        for path in orphans:
            aside.mkdir(exist_ok=True)
            os.replace(path, aside / path.name)
        return len(orphans)

    def keep_reserve(self, size: int, free: int) -> bool:
        """Hold some room of the disk, to be given up when there is no other; says whether it is held.

        Args:
            size: bytes of it.
            free: bytes free on the disk; it is taken only of twice as much.
        """
        if self.reserve.exists():
            return True
        if free < 2 * size:
            return False
        try:
            with self.reserve.open("wb") as file:
                if sys.platform == "linux":
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    for start in range(0, size, _CHUNK):
                        file.write(bytes(min(_CHUNK, size - start)))
        except OSError as error:
            logger.warning("the store in %s cannot hold its reserve: %s", self.path, error)
            self.give_up_reserve()
            return False
        return True

    def give_up_reserve(self) -> None:
        """Give that room to whoever needs it."""
        _delete(self.reserve)

    def payload_bytes(self) -> int:
        """How many bytes the payloads beside the database take."""
        with os.scandir(self.payloads) as entries:
            return sum(entry.stat().st_size for entry in entries)


def _delete(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s is needed no longer and cannot be deleted: %s", path, error)
        return False
    return True


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; Windows does so by itself, and cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(lock: sqlite3.Connection) -> bool:
    """Take the lock; says whether somebody was killed who held it."""
    # Who holds it needs to survive no power cut: that costs no sync, and no room for a journal.
    lock.execute("PRAGMA synchronous=OFF")
    lock.execute("PRAGMA journal_mode=MEMORY")
    lock.execute("BEGIN IMMEDIATE")
    lock.execute("CREATE TABLE IF NOT EXISTS holder (pid INTEGER)")
    deleted = lock.execute("DELETE FROM holder").rowcount
    lock.execute("INSERT INTO holder VALUES (?)", (os.getpid(),))
    lock.execute("COMMIT")
    lock.execute("BEGIN IMMEDIATE")
    return deleted > 0


def holder_of(path: Path) -> str | None:
    """Who holds the store in a folder; None if nobody does, or there is none. Leaves everything as it is."""
    file = path / "lock"
    if not file.exists():
        return None
    with contextlib.closing(
        sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
    ) as lock:
        try:
            lock.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return _holder(lock) if is_busy(error) else None
        lock.execute("ROLLBACK")
        return None


def _holder(lock: sqlite3.Connection) -> str:
    try:
        row = lock.execute("SELECT pid FROM holder").fetchone()
    except sqlite3.Error:
        row = None
    if row is None:
        return "another process"
    return "another store of this process" if row[0] == os.getpid() else f"process {row[0]}"
