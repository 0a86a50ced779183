"""What is replayed to whom after the process ended, and what has crashed it once too often? Pure.

An event that is fresh, that is accepted in the life that ended, may have been in hand at its end:
it counts so, as no mark for it had to be written. Older ones carry a mark if they were in hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

__all__ = ["CAREFUL_FROM", "UNCLEAN_ENDS", "Counts", "Replay", "Verdict", "ends_of", "pending_of", "verdict"]

UNCLEAN_ENDS: Final = 5
"""In hand at so many unclean ends in a row, an event becomes a dead letter."""

CAREFUL_FROM: Final = 2
"""From so many on, it is marked alone, so that no other is counted with it."""


class Replay(msgspec.Struct, frozen=True):
    """An event to be replayed.

    Attributes:
        event_id: of the event.
        source: where it came from.
        key: its key of order; None for none.
        encoded: as it was given to `accept`.
        handlers: those that have not finished with it, in the order of `accept`.
        ends: unclean ends in a row at which it was in hand.
        careful: mark it with `Journal.take` and wait for that before a handler gets it.
        exhausted: give it to no handler: it was in hand at too many unclean ends in a row.
    """

    event_id: str
    source: str
    key: str | None
    encoded: bytes
    handlers: tuple[str, ...]
    ends: int = 0
    careful: bool = False
    exhausted: bool = False


class Counts(msgspec.Struct, frozen=True):
    """What is known at a start of the ends before.

    Attributes:
        fresh_from: the first number of the life that ended uncleanly.
        fresh_until: the first number of this life.
    """

    fresh_from: int
    fresh_until: int


def ends_of(seq: int, marked: int | None, counts: Counts) -> int:
    """At how many unclean ends in a row an event was in hand.

    Args:
        seq: its number in the journal.
        marked: what its mark says; None without one.
        counts: what is known of the ends before.
    """
    if marked is not None:
        return marked
    return 1 if counts.fresh_from <= seq < counts.fresh_until else 0


def pending_of(handlers: Iterable[str], settled: Iterable[str]) -> tuple[str, ...]:
    """The handlers that have not finished, in their order."""
    done = frozenset(settled)
    return tuple(name for name in handlers if name not in done)


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of the rows of one page.

    Attributes:
        replays: in order of acceptance, each with its number.
        mark: numbers to be marked as in hand, with their count, before the page is handed over.
        done: numbers of events that all handlers have finished.
    """

    replays: tuple[tuple[int, Replay], ...]
    mark: tuple[tuple[int, int], ...]
    done: tuple[int, ...]


def verdict(rows: Iterable[tuple[int, Replay]], settled: Mapping[int, Iterable[str]]) -> Verdict:
    """Decide on a page of rows.

    Args:
        rows: number and event, its `handlers` as accepted and its `ends` counted.
        settled: the handlers that have finished, by number.
    """
    replays, mark, done = [], [], []
    for seq, row in rows:
        handlers = pending_of(row.handlers, settled.get(seq, ()))
        if not handlers:
            done.append(seq)
            continue
        exhausted = row.ends >= UNCLEAN_ENDS
        careful = row.ends >= CAREFUL_FROM and not exhausted
        one = msgspec.structs.replace(row, handlers=handlers, careful=careful, exhausted=exhausted)
        replays.append((seq, one))
        if not careful and not exhausted:
            mark.append((seq, row.ends))
    return Verdict(tuple(replays), tuple(mark), tuple(done))
