"""Which SQL does each kind of operation stand for, and in which order do a batch's kinds run?

Operations are rows of plain values under a kind, and many rows are one statement. That matters more
than it saves: each statement gives up the interpreter's lock and has to win it back from a busy trio
thread, up to 5 ms later.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

__all__ = ["KEYED", "Kind", "clean", "execute"]

_CHUNKS: Final = (256, 32, 4, 1)


class Kind(enum.Enum):
    """A kind of operation; they run in this order.

    What makes room comes first, so that a full database can take its own way out. Within a kind the
    order of the rows is kept.
    """

    DONE = ("DELETE FROM journal WHERE seq IN (VALUES ", 1, ")")
    ACCEPT = (
        "INSERT OR REPLACE INTO journal(seq, event_id, source, key, handlers, encoded, large) VALUES ",
        7,
        "",
    )
    SETTLE = ("INSERT OR REPLACE INTO settled(seq, handler, outcome) VALUES ", 3, "")
    DONE_MARKS = ("DELETE FROM settled WHERE seq IN (VALUES ", 1, ")")
    TAKE = ("INSERT OR REPLACE INTO hands(seq, ends, taken) VALUES ", 3, "")
    DONE_HANDS = ("DELETE FROM hands WHERE seq IN (VALUES ", 1, ")")
    SEEN = ("INSERT OR REPLACE INTO seen(n, id, at) VALUES ", 3, "")
    SEEN_UPTO = ("DELETE FROM seen WHERE n <= (SELECT max(column1) FROM (VALUES ", 1, "))")
    LETTER = (
        "INSERT OR REPLACE INTO letters(n, id, at, event_id, event_type, handler, attempts, source, "
        "error_type, error, traceback, event, raw, replayed) VALUES ",
        14,
        "",
    )
    LETTER_REPLAYED = (
        "UPDATE letters SET replayed = v.column1 FROM (VALUES ",
        2,
        ") AS v WHERE n = v.column2",
    )
    LETTER_DROP = ("DELETE FROM letters WHERE n IN (VALUES ", 1, ")")
    SHELVE = ("INSERT OR REPLACE INTO shelves(owner, key, at, value) VALUES ", 4, "")
    UNSHELVE = ("DELETE FROM shelves WHERE value IS NULL AND (owner, key) IN (VALUES ", 2, ")")
    SPOOL = ("INSERT OR REPLACE INTO spools(owner, n, at, value) VALUES ", 4, "")
    UNSPOOL = ("DELETE FROM spools WHERE (owner, n) IN (VALUES ", 2, ")")
    REMEMBER = ("INSERT OR REPLACE INTO meta(key, value) VALUES ", 2, "")

    # There is one object of each, and a kind is looked up for each operation.
    __hash__: Callable[[Any], int] = object.__hash__  # type: ignore[assignment] # Enum says nothing of self

    def sql(self, rows: int) -> str:
        """The statement for so many rows."""
        head, columns, tail = self.value
        row = f"({', '.join('?' * columns)})"
        return f"{head}{', '.join([row] * rows)}{tail}"


KEYED: Final = frozenset(
    {
        Kind.SEEN_UPTO,
        Kind.LETTER,
        Kind.LETTER_REPLAYED,
        Kind.LETTER_DROP,
        Kind.SHELVE,
        Kind.UNSHELVE,
        Kind.SPOOL,
        Kind.UNSPOOL,
        Kind.REMEMBER,
    }
)
"""Those whose rows may be changed or taken out by later ones, so that no later batch may come first."""

_SQL: Final = {(kind, size): kind.sql(size) for kind in Kind for size in _CHUNKS}


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Sequence[tuple[Any, ...]]]]:
    start = 0
    for size in _CHUNKS:
        while len(rows) - start >= size:
            yield size, rows[start : start + size]
            start += size


def execute(connection: sqlite3.Connection, kind: Kind, rows: Sequence[tuple[Any, ...]]) -> None:
    """Carry out operations of one kind, in order.

    Args:
        connection: in a transaction.
        kind: of all the rows.
        rows: a tuple of values each.
    """
    for size, chunk in _chunks(rows):
        connection.execute(_SQL[kind, size], [value for row in chunk for value in row])


def clean(text: str) -> str:
    """A text that SQLite takes: half a surrogate pair is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
