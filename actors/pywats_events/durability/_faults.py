"""What does an error of SQLite or of the disk mean for a store, and what can be done about it? Pure.

Damage has one name here, whoever finds it: SQLite, or a look at a row whose values are none that a store
writes. What follows from it is one thing as well: the database is set aside (see `_database`).
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

from pywats_events.checks import nearest
from pywats_events.durability.errors import StoreDamaged, StoreUnavailable

__all__ = ["NULL", "checked", "corrupt", "is_busy", "is_corrupt", "is_full", "is_lost", "unavailable"]

_Kind: TypeAlias = type | tuple[type, ...]

NULL: Final = type(None)
"""The type of a value that may not be there."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY: Final = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
_LOST: Final = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EIO)
_RIGHTS: Final = "give this user the right to write there, or the store another folder"
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "see that the disk works, and that it is not full",
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: _RIGHTS,
    sqlite3.SQLITE_BUSY: "another program has it open, such as a backup: let that end first",
    sqlite3.SQLITE_LOCKED: "another program has it open, such as a backup: let that end first",
}
_ELSE: Final = "see that the folder can be written to, and that the disk works and is not full"


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_corrupt(error: BaseException) -> bool:
    """Whether an error says that the database is damaged, or none."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: BaseException) -> bool:
    """Whether an error says that somebody else has the file locked."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left."""
    return _code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _FULL


def is_lost(error: OSError) -> bool:
    """Whether a file is gone for good, and not only out of reach for now."""
    return error.errno in _LOST


def corrupt(what: str) -> sqlite3.DatabaseError:
    """The error that SQLite raises for a damaged database.

    Args:
        what: is wrong with it.
    """
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def checked(rows: Iterable[tuple[Any, ...]], *kinds: _Kind) -> list[tuple[Any, ...]]:
    """Rows whose values are of the kinds that a store writes.

    Args:
        rows: that were read.
        kinds: of each column.

    Raises:
        sqlite3.DatabaseError: as for damage, if one is not.
    """
    found = list(rows)
    for row in found:
        if not all(map(isinstance, row, kinds)):
            raise corrupt(f"a row holds values of the types {', '.join(type(one).__name__ for one in row)}")
    return found


def unavailable(what: str, error: Exception) -> StoreUnavailable:
    """The error to be raised for one of SQLite or of the disk, with what to do.

    Args:
        what: cannot be done, and where.
        error: the cause.
    """
    if is_corrupt(error):
        return StoreDamaged(f"{what}: it is damaged ({error}); it is set aside when a station opens it")
    return StoreUnavailable(f"{what}: {error}; {_advice(error)}")


def _advice(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if is_full(error):
        return _ADVICE[sqlite3.SQLITE_FULL]
    if number in _NO_RIGHT:
        return _RIGHTS
    if number in _IN_THE_WAY:
        name = getattr(error, "filename", None)
        there = nearest(Path(name)) if name else "what is in its place"
        return f"move {there} away, or give the store another folder"
    return _ADVICE.get(_code(error), _ELSE)
