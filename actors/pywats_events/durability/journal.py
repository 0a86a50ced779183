"""What was accepted and is not settled yet, per handler, so that no end of the process can lose it.

`accept` and `settle` are plain calls on the trio thread: they append to the batch that the group commit
writes next. A source is told that its event was accepted when the commit of `accept` is done; nobody
need wait for that of `settle`, as a settlement that a crash takes back only repeats an event.

HOT: tests/benchmarks/bench_store.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from math import inf
from typing import Final, TypeAlias

import msgspec

from pywats_events.durability._database import Database
from pywats_events.durability._faults import NULL, checked, is_lost
from pywats_events.durability._group_commit import Commit, GroupCommit
from pywats_events.durability._recovery import CAREFUL_FROM, UNCLEAN_ENDS, Counts, Replay, ends_of, verdict
from pywats_events.durability._statements import Kind, clean
from pywats_events.durability.seen_events import SeenEvents
from pywats_events.settlement import Outcome
from pywats_supervision.logs import GuardedLogger

__all__ = ["Journal", "Page", "Paged", "Replay"]

logger: Final = GuardedLogger("pywats_events")

_PAGE_BYTES: Final = 16 << 20
_TEXTS: Final = 1000
_NAMES: Final = msgspec.json.Decoder(tuple[str, ...])
_WINDOW: Final = 4096
_KINDS: Final = (int, str, str, (str, NULL), str, object, int, (int, NULL), str)
_PAGE_SQL: Final = (
    "SELECT j.seq, j.event_id, j.source, j.key, j.handlers, j.encoded, j.large, h.ends, "
    "(SELECT json_group_array(handler) FROM settled s WHERE s.seq = j.seq) "
    "FROM journal j LEFT JOIN hands h ON h.seq = j.seq "
    "WHERE j.seq BETWEEN ? AND ? AND (instr(j.handlers, ?) OR NOT json_valid(j.handlers)) "
    "AND NOT EXISTS (SELECT 1 FROM settled s WHERE s.seq = j.seq AND s.handler = ?) "
    "ORDER BY j.seq LIMIT ?"
)


class _Entry(msgspec.Struct, gc=False):
    """An unsettled event: its number, who has not finished, and which rows beside its own it has.

    `counted` says whether the bus counts it among those that it has accepted, `takers` who has taken it.
    """

    seq: int
    pending: tuple[str, ...]
    large: bool = False
    marked: bool = False
    in_hand: bool = False
    ends: int = 0
    counted: bool = True
    takers: tuple[str, ...] = ()


_Row: TypeAlias = tuple[int, Replay, tuple[str, ...], bool]
"""Number, event, the handlers that have finished, and whether it has a file."""

_Damaged: TypeAlias = tuple[int, str, str, bytes, bool, Exception]
"""Number, id, source, what there is of it, whether it has a file, and what is wrong."""


class Paged(msgspec.Struct, frozen=True):
    """One event of a page.

    Attributes:
        number: its number in the journal.
        replay: the event; its `handlers` are those that have not finished by now.
    """

    number: int
    replay: Replay


class Page(msgspec.Struct, frozen=True):
    """Some events from the disk, in order of acceptance.

    Attributes:
        events: those that can be read.
        damaged: number and id of those that cannot, have become dead letters, and were in hand before.
        last: nothing is left for the handler up to this number.
        whole: nor anything that is on the disk up to the number that was asked for.
    """

    events: tuple[Paged, ...]
    damaged: tuple[tuple[int, str], ...]
    last: int
    whole: bool


class Journal:
    """The journal of a store; for the trio thread.

    Args:
        commits: through which it is written.
        seen: the window of known ids.
        database: where it is.
        bury: keeps a dead letter; called as `DeadLetterQueue.add`.
        large: bytes from which on an event is a file.
    """

    def __init__(
        self,
        commits: GroupCommit,
        seen: SeenEvents,
        database: Database,
        bury: Callable[..., object],
        large: int,
    ) -> None:
        self._bury = bury
        self._commits = commits
        self._seen = seen
        self._database = database
        self._large = large
        self._entries: dict[str, _Entry] = {}
        self._texts: dict[tuple[str, ...], str] = {}
        self._next = 1
        self._counts = Counts(0, 0)

    def __len__(self) -> int:
        """How many unsettled events it has in hand; those not yet read for replay are not counted."""
        return len(self._entries)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._entries

    @property
    def following(self) -> int:
        """The number that the next event gets."""
        return self._next

    def begin(self, fresh: int, life: int) -> None:
        """Begin a life.

        Args:
            fresh: first number of the life before, if that ended uncleanly; else of this one.
            life: first number of this life.
        """
        self._next = max(self._next, life)
        self._counts = Counts(fresh, life)

    def accept(
        self, event_id: str, source: str, key: str | None, encoded: bytes, handlers: tuple[str, ...]
    ) -> Commit:
        """Write an event down, and make its id known.

        One that is unsettled here already is not written again. One for no handler is only made known.

        Args:
            event_id: of the event.
            source: where it came from.
            key: its key of order; None for none.
            encoded: the event; it comes back as it is.
            handlers: the names of the subscriptions that it goes to.

        Returns:
            The commit after which its source may be told.

        Raises:
            StoreClosed: if the store is not open.
        """
        self._commits.check_open()
        if event_id not in self._entries and handlers:
            seq = self._next
            self._next = seq + 1
            large = len(encoded) > self._large
            self._entries[event_id] = _Entry(seq, handlers, large)
            batch = self._commits.open_batch
            if large:
                batch.payloads[seq] = encoded
            kept = None if large else encoded
            batch.accepted[seq] = (
                seq,
                clean(event_id),
                clean(source),
                None if key is None else clean(key),
                self._text(handlers),
                kept,
                large,
            )
            self._commits.appended(len(encoded))
        return self._seen.add(event_id)

    def _text(self, handlers: tuple[str, ...]) -> str:
        text = self._texts.get(handlers)
        if text is None:
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            text = self._texts[handlers] = msgspec.json.encode([clean(name) for name in handlers]).decode()
        return text

    def settle(self, event_id: str, handler: str, outcome: Outcome) -> Commit:
        """Write down that a handler has come to an end with an event; the last one's takes it away.

        What is appended in the same step, such as its dead letter, is in the same transaction. Without
        effect for an event that is not here, for a handler that has finished, and for HANDED_BACK,
        which is no end.

        Returns:
            The commit after which it is on the disk.

        Raises:
            StoreClosed: if the store is not open; then it is replayed.
        """
        self._commits.check_open()
        entry = self._entries.get(event_id)
        if entry is None or handler not in entry.pending or outcome is Outcome.HANDED_BACK:
            return self._commits.appended(0)
        if len(entry.pending) == 1:
            del self._entries[event_id]
            self._done(entry)
        else:
            entry.pending = tuple(name for name in entry.pending if name != handler)
            entry.marked = True
            self._commits.open_batch.add(Kind.SETTLE, (entry.seq, handler, outcome.value))
            self._released(entry, handler)
        return self._commits.appended()

    def _done(self, entry: _Entry) -> None:
        batch, seq = self._commits.open_batch, entry.seq
        if batch.accepted.pop(seq, None) is not None:
            batch.payloads.pop(seq, None)
        else:
            batch.add(Kind.DONE, (seq,))
            if entry.large:
                batch.done_payloads.append(seq)
        if entry.marked:
            batch.add(Kind.DONE_MARKS, (seq,))
        if entry.in_hand:
            batch.add(Kind.DONE_HANDS, (seq,))

    def take(self, event_id: str, handler: str) -> Commit:
        """Mark an event as in hand, before a handler gets it; for those whose replay is `careful`.

        Returns:
            The commit to wait for: then the mark survives what the handler may do to the process.

        Raises:
            StoreClosed: if the store is not open.
        """
        self._commits.check_open()
        entry = self._entries.get(event_id)
        if entry is not None:
            entry.in_hand = True
            entry.takers = (*entry.takers, handler)
            self._commits.open_batch.add(Kind.TAKE, (entry.seq, entry.ends, 1))
        return self._commits.appended()

    def let_go(self, event_id: str, handler: str) -> Commit:
        """Take the mark of `take` back: an attempt of a handler is over, and the process is not.

        Without effect as long as another handler has the event in hand.

        Returns:
            The commit after which that is on the disk; nobody need wait for it.

        Raises:
            StoreClosed: if the store is not open.
        """
        self._commits.check_open()
        entry = self._entries.get(event_id)
        if entry is not None:
            self._released(entry, handler)
        return self._commits.appended()

    def _released(self, entry: _Entry, handler: str) -> None:
        if handler in entry.takers:
            entry.takers = tuple([name for name in entry.takers if name != handler])
            if not entry.takers:
                self._commits.open_batch.add(Kind.TAKE, (entry.seq, entry.ends, 0))

    async def page(self, handler: str | None, after: int, upto: float = inf, limit: int = 256) -> Page:
        """The next events that a handler has not finished, in order of acceptance.

        Those of an earlier life are marked as in hand on the disk before this returns. Read the next page
        when these are on their way to their handlers: so memory stays bounded. An event that is accepted
        and not written yet is not on it.

        Args:
            handler: whose events; None for those of anybody.
            after: the number of the event before the first.
            upto: that of the last that may come.
            limit: at most so many, and about 16 MiB.

        An event that the disk has damaged becomes a dead letter here.

        Raises:
            StoreUnavailable: if they cannot be read.

        Cancelled: nothing has happened, and the same page comes again.
        """
        upto = min(upto, self._next - 1)
        rows, damaged, last, whole = await self._commits.reading(self._read, handler, after, int(upto), limit)
        strange = [row for row in rows if self._is_strange(row)]
        found = verdict([(seq, row) for seq, row, _, _ in strange], {s: d for s, _, d, _ in strange})
        marks = [self._commits.add(Kind.TAKE, (seq, ends, 1)) for seq, ends in found.mark]
        if marks:
            await marks[-1].wait()
        # From here on it is one step with what the caller does with it.
        extras = {seq: (large, bool(settled)) for seq, _, settled, large in strange}
        self._enter(found.replays, extras)
        for seq in found.done:
            self._done(_Entry(seq, (), extras[seq][0], marked=True, in_hand=True))
            self._commits.appended()
        events = [
            Paged(seq, self._now(row))
            for seq, row, _, _ in rows
            if self._is_pending(seq, row.event_id, handler)
        ]
        return Page(tuple(events), tuple([row[:2] for row in damaged if self._give_up(row)]), last, whole)

    def _is_strange(self, row: _Row) -> bool:
        """Whether an event of an earlier life is seen for the first time in this one.

        One whose id came again, when it had left the window of known ids, waits for the next life.
        """
        seq, replay, _, _ = row
        return seq < self._counts.fresh_until and replay.event_id not in self._entries

    def _is_pending(self, seq: int, event_id: str, handler: str | None) -> bool:
        entry = self._entries.get(event_id)
        return entry is not None and entry.seq == seq and (handler is None or handler in entry.pending)

    def _now(self, replay: Replay) -> Replay:
        """An event from the disk with what is known of it by now."""
        entry = self._entries[replay.event_id]
        ends = entry.ends
        return msgspec.structs.replace(
            replay,
            handlers=entry.pending,
            ends=ends,
            careful=self.is_careful(replay.event_id),
            exhausted=ends >= UNCLEAN_ENDS,
        )

    def pending(self, event_id: str) -> tuple[str, ...]:
        """The handlers that have not finished with an event that is in hand; empty if it is not."""
        entry = self._entries.get(event_id)
        return () if entry is None else entry.pending

    def number(self, event_id: str) -> int:
        """The number of an event in hand; 0 if it is not."""
        entry = self._entries.get(event_id)
        return 0 if entry is None else entry.seq

    def lost(self, handler: str, after: int, upto: int) -> list[str]:
        """The events in hand that a handler had on the disk only, when that was set aside.

        Args:
            handler: whose events.
            after: the number of the event before the first.
            upto: that of the last.
        """
        return [
            event_id
            for event_id, entry in self._entries.items()
            if after < entry.seq <= upto
            and handler in entry.pending
            and not self._commits.is_unwritten(entry.seq)
        ]

    def is_careful(self, event_id: str) -> bool:
        """Whether an event in hand has to be taken (see `take`) before a handler gets it."""
        entry = self._entries.get(event_id)
        return entry is not None and CAREFUL_FROM <= entry.ends < UNCLEAN_ENDS

    def count(self, event_id: str) -> bool:
        """Have an event in hand counted by the bus; False if it is already."""
        entry = self._entries[event_id]
        counted, entry.counted = entry.counted, True
        return not counted

    @property
    def last_of_earlier(self) -> int:
        """The number of the last event that an earlier life may have accepted."""
        return self._counts.fresh_until - 1

    async def handlers_of_earlier(self) -> frozenset[str]:
        """The names of all handlers that events of an earlier life went to, and that may wait for them.

        It looks at a part of the journal after the other, so that nobody has to wait for long.

        Raises:
            StoreUnavailable: if that cannot be read.

        Cancelled: nothing has happened.
        """
        found: set[str] = set()
        first: int | None = 0
        while first is not None:
            texts, first = await self._commits.reading(self._read_handlers, first)
            for text in texts:
                with suppress(msgspec.DecodeError):  # becomes a dead letter when its page is read
                    found.update(_NAMES.decode(text))
        return frozenset(found)

    def _read_handlers(self, first: int) -> tuple[list[str], int | None]:
        """In the thread: the lists of handlers in one window, and where the next one begins."""
        end, until = first + _WINDOW, self._counts.fresh_until
        sql = "SELECT DISTINCT handlers FROM journal WHERE seq >= ? AND seq < ?"
        texts = [text for (text,) in checked(self._database.rows(sql, first, min(end, until)), str)]
        sql = "SELECT min(seq) FROM journal WHERE seq >= ? AND seq < ?"
        ((following,),) = self._database.rows(sql, end, until)
        return texts, following

    def _enter(self, replays: tuple[tuple[int, Replay], ...], extras: dict[int, tuple[bool, bool]]) -> None:
        for seq, replay in replays:
            large, marked = extras[seq]
            self._entries[replay.event_id] = _Entry(
                seq, replay.handlers, large, marked, in_hand=True, ends=replay.ends, counted=False
            )

    def _give_up(self, row: _Damaged) -> bool:
        """Make a dead letter of a row that cannot be replayed; it leaves the journal in the same step.

        Returns:
            Whether the event was in hand.
        """
        seq, event_id, source, raw, large, error = row
        extra = {"event_id": event_id, "sender": source}
        logger.error(
            "an event in the journal, number %d from %s, is damaged: %s", seq, source, error, extra=extra
        )
        self._bury(None, error, raw=raw, source=source)
        self._done(_Entry(seq, (), large, marked=True, in_hand=True))
        self._commits.appended()
        entry = self._entries.get(event_id)
        if entry is None or entry.seq != seq:
            return False
        del self._entries[event_id]
        return entry.counted

    def _read(
        self, handler: str | None, after: int, upto: int, limit: int
    ) -> tuple[list[_Row], list[_Damaged], int, bool]:
        """In the thread: some rows, those that cannot be made an event again, how far, and if to the end.

        A look at a long journal that holds little for this handler keeps nobody from writing for long.
        """
        connection = self._database.connection
        ((start,),) = self._database.rows("SELECT min(seq) FROM journal WHERE seq > ?", after)
        ((newest,),) = self._database.rows("SELECT max(seq) FROM journal")
        if start is None or start > upto:
            return [], [], after, True
        end = min(upto, newest)
        last = min(end, start + _WINDOW - 1)
        needle = "[" if handler is None else msgspec.json.encode(clean(handler)).decode()
        page: list[_Row] = []
        damaged: list[_Damaged] = []
        size = 0
        with closing(connection.execute(_PAGE_SQL, (start, last, needle, handler, limit))) as rows:
            for row in rows:
                seq, event_id, source, key, handlers, encoded, large, marked, settled = checked(
                    (row,), *_KINDS
                )[0]
                try:
                    data = self._payload(seq, encoded, large=bool(large))
                    names = _NAMES.decode(handlers)
                except (msgspec.DecodeError, OSError) as error:
                    if isinstance(error, OSError) and not is_lost(error):
                        raise
                    raw = encoded if isinstance(encoded, bytes) else b""
                    damaged.append((seq, event_id, source, raw, bool(large), error))
                else:
                    replay = Replay(event_id, source, key, data, names, ends_of(seq, marked, self._counts))
                    page.append((seq, replay, _NAMES.decode(settled), bool(large)))
                    size += len(data)
                if len(page) + len(damaged) == limit or size >= _PAGE_BYTES:
                    last = seq
                    break
        return page, damaged, last, last >= end

    def _payload(self, seq: int, encoded: object, *, large: bool) -> bytes:
        """An event's bytes.

        Raises:
            OSError: if its file cannot be read; one that never will be is set aside.
            msgspec.DecodeError: if its row holds none.
        """
        if not large:
            if not isinstance(encoded, bytes):
                raise msgspec.DecodeError("its row holds no event")
            return encoded
        folder = self._database.folder
        try:
            return folder.payload(seq).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            if is_lost(error):
                aside = folder.set_payload_aside(seq)
                raise OSError(error.errno, f"{error.strerror}; what there is was moved to {aside}") from error
            raise
