"""Which tables has a store of each version, and how does an older one become one of today?

A released version's entry in `_MIGRATIONS` is never changed: stores of it are out there, and one of
each is a fixture of the tests. A change of the tables is a new entry at the end.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pywats_events.durability.errors import NotAStore, StoreTooNew

__all__ = ["APPLICATION_ID", "VERSION", "check_ours", "prepare"]

APPLICATION_ID: Final = 0x57415453
"""Stands in the file's head and tells a store from other SQLite databases."""

_MIGRATIONS: Final = (
    # 1: released with 0.1
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;
    CREATE TABLE journal (
        seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL, source TEXT NOT NULL, key TEXT,
        handlers TEXT NOT NULL, encoded BLOB, large INTEGER NOT NULL
    );
    CREATE INDEX journal_large ON journal (seq) WHERE large;
    CREATE TABLE settled (
        seq INTEGER NOT NULL, handler TEXT NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (seq, handler)
    ) WITHOUT ROWID;
    CREATE TABLE hands (seq INTEGER PRIMARY KEY, ends INTEGER NOT NULL, taken INTEGER NOT NULL);
    CREATE TABLE seen (n INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL);
    CREATE TABLE letters (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, event_id TEXT,
        event_type TEXT, handler TEXT, attempts INTEGER NOT NULL, source TEXT,
        error_type TEXT NOT NULL, error TEXT NOT NULL, traceback TEXT NOT NULL,
        event BLOB, raw BLOB, replayed INTEGER
    );
    CREATE TABLE shelves (
        owner TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, value BLOB,
        PRIMARY KEY (owner, key)
    ) WITHOUT ROWID;
    CREATE TABLE spools (
        owner TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (owner, n)
    );
    """,
)

VERSION: Final = len(_MIGRATIONS)
"""Of the tables that this code reads and writes."""


def check_ours(connection: sqlite3.Connection, path: str) -> int:
    """Check whose database it is.

    Args:
        connection: one that may only read will do.
        path: of the file, for errors.

    Returns:
        Its version; 0 for a new one.

    Raises:
        NotAStore: if another program made it.
        StoreTooNew: if a newer version of this package made it.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise NotAStore(
            f"{path} is a database of another program (application id {application:#x}, {tables} tables); "
            "give the store a folder of its own"
        )
    if version > VERSION:
        raise StoreTooNew(
            f"{path} has version {version}, and this program knows versions up to {VERSION}: a newer "
            "pywats-events has written it. Install that version again, or, to go back for good, stop the "
            "station, move this folder away and start with an empty one; what is not settled in the folder "
            "moved away is replayed when the newer version opens it"
        )
    return int(version)


def prepare(connection: sqlite3.Connection, path: str) -> int:
    """Check whose database it is, and bring it to today's version; in one transaction per version.

    Args:
        connection: in autocommit mode.
        path: of the file, for errors.

    Returns:
        The version that it had; 0 for a new one.

    Raises:
        NotAStore: if another program made it.
        StoreTooNew: if a newer version of this package made it.
    """
    version = check_ours(connection, path)
    for number in range(version, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number + 1}; COMMIT;"
        )
    return version
