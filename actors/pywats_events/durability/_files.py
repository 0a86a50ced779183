"""Where do a store's files lie, who may use them, and how does a file get to the disk for good?"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pywats_events.durability.errors import StoreInUse, StoreUnavailable

__all__ = ["Folder"]

logger: Final = logging.getLogger("pywats_events")


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
        self._lock: sqlite3.Connection | None = None

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
            lock = sqlite3.connect(
                self.path / "lock", timeout=0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from error
        try:
            self._take(lock)
        except sqlite3.Error as error:
            holder = _holder(lock)
            lock.close()
            if _is_busy(error):
                raise StoreInUse(
                    f"the store in {self.path} is in use by {holder}: two stations cannot share one; "
                    "stop the other one, or give this one a folder of its own"
                ) from None
            raise self._unwritable(error) from error
        self._lock = lock

    def _take(self, lock: sqlite3.Connection) -> None:
        # Who holds it needs to survive no power cut, and costs no sync.
        lock.execute("PRAGMA synchronous=OFF")
        lock.execute("BEGIN IMMEDIATE")
        lock.execute("CREATE TABLE IF NOT EXISTS holder (pid INTEGER)")
        lock.execute("DELETE FROM holder")
        lock.execute("INSERT INTO holder VALUES (?)", (os.getpid(),))
        lock.execute("COMMIT")
        lock.execute("BEGIN IMMEDIATE")

    def _unwritable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"the store's folder {self.path} cannot be written to: {error}; "
            "give this user the right to write there, or the store another folder"
        )

    def leave(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def set_aside(self, stamp: str) -> Path:
        """Rename the database, and what belongs to it, so that a new one can be begun.

        Args:
            stamp: goes into the names.

        Returns:
            The database's new path.
        """
        aside = self.path / f"store-corrupt-{stamp}.db"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.database}{suffix}", f"{aside}{suffix}")
        os.replace(self.payloads, self.path / f"large-corrupt-{stamp}")
        self.payloads.mkdir()
        sync_folder(self.path)
        return aside

    def payload(self, seq: int) -> Path:
        """Where the payload of an event is that is too large for the database."""
        return self.payloads / f"{seq:016x}"

    def write_payloads(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Write payloads so that they are there after a power cut, under whole names only."""
        for seq, data in payloads:
            target = self.payload(seq)
            partial = target.with_suffix(".part")
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        sync_folder(self.payloads)

    def drop_payloads(self, seqs: Iterable[int]) -> None:
        """Delete payloads; one that cannot be deleted now is swept when the store is opened again."""
        for seq in seqs:
            _delete(self.payload(seq))

    def sweep(self, wanted: set[int]) -> int:
        """Delete the payloads, whole or partial, that no row speaks of; says how many."""
        names = {self.payload(seq).name for seq in wanted}
        return sum(_delete(path) for path in self.payloads.iterdir() if path.name not in names)

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


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _holder(lock: sqlite3.Connection) -> str:
    try:
        row = lock.execute("SELECT pid FROM holder").fetchone()
    except sqlite3.Error:
        row = None
    if row is None:
        return "another process"
    return "another store of this process" if row[0] == os.getpid() else f"process {row[0]}"
