"""The files in hand: what has become of their events, and which may be put aside. On trio only.

It outlives the lives of its watcher: what one life has published is not published again by the next.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from operator import itemgetter
from typing import Final

import trio

from pywats_events.settlement import Receipt
from pywats_files._decisions import Seen

__all__ = ["OpenFile", "OpenFiles"]


LATE: Final = 0.1
"""Seconds until a file whose events are not secured is taken into hand."""


class OpenFile:
    """A file in hand.

    Its receipts are not asked one by one to tell when they are secured, but looked at when they had the
    time for it; only those that are not secured then are asked to. HOT: tests/benchmarks/bench_files.py.

    Attributes:
        seen: the file.
        digest: of its content.
        error: what is wrong with it; None for nothing.
        in_hand: whether it is in hand; else it is where it was.
        published: how many of its events are in the bus.
        complete: whether all are; a twin has none.
        ended: whether nothing is waited for any more: all are secured, or one was handed back.
        stuck: whether it could not be put aside; that is tried again.
        twins: files with the same content that were taken meanwhile: they share its fate.
    """

    __slots__ = (
        "_done",
        "_given",
        "_pending",
        "_safe",
        "complete",
        "digest",
        "ended",
        "error",
        "in_hand",
        "published",
        "seen",
        "stuck",
        "twins",
    )

    def __init__(
        self, seen: Seen, digest: bytes, done: Callable[[OpenFile, bool], object], *, in_hand: bool
    ) -> None:
        self.seen = seen
        self.digest = digest
        self.error: str | None = None
        self.in_hand = in_hand
        self.published = 0
        self.complete = False
        self.ended = False
        self.stuck = False
        self.twins: tuple[OpenFile, ...] = ()
        self._done = done
        self._given: list[Receipt] = []
        self._pending = 0
        self._safe = True

    def add(self, receipt: Receipt) -> None:
        """One more of its events is in the bus; `take_stock` looks what becomes of it."""
        self.published += 1
        self._given.append(receipt)

    @property
    def last(self) -> Receipt | None:
        """The receipt that was given last, of those that were not looked at."""
        return self._given[-1] if self._given else None

    def take_stock(self) -> None:
        """Look at the receipts that were given since the last time; those that are not secured will tell."""
        given, self._given = self._given, []
        waiting = [receipt for receipt in given if not receipt.secured]
        self._pending += len(waiting)
        if waiting:
            for receipt in waiting:
                receipt.add_secured_callback(self._ended)
        else:
            self._conclude()

    def _ended(self, receipt: Receipt) -> None:
        self._pending -= 1
        self._safe = self._safe and receipt.secured
        self._conclude()

    def _conclude(self) -> None:
        """Tell of the end, once; not before each receipt that was given was looked at."""
        if self._pending or self._given or self.ended:
            return
        if self.complete or not self._safe:
            self._done(self, self._safe)


class OpenFiles:
    """All files in hand that this process knows.

    By its name each is known that is not to be taken again: all of its events are published, or it has
    none. By its content also the one that is begun, and one that an earlier life has broken off.

    Args:
        twins: whether files of the same content share a fate; else each has events of its own.

    Attributes:
        stuck: how many could not be put aside, and are tried again.
    """

    def __init__(self, *, twins: bool = True) -> None:
        self.stuck: int = 0
        self._twins = twins
        self._by_name: dict[str, OpenFile] = {}
        self._by_digest: dict[bytes, OpenFile] = {}
        self._begun: OpenFile | None = None
        self._unsecured = 0
        self._due: list[OpenFile] = []
        self._later: deque[tuple[float, OpenFile]] = deque()
        self._loose: deque[tuple[float, OpenFile]] = deque()
        self._fresh: list[OpenFile] = []
        self._fresh_until = inf
        self._change = trio.Event()
        self._all_secured = trio.Event()

    def changed(self) -> None:
        """Wake those that wait for a change."""
        self._change.set()

    async def wait_changed(self) -> None:
        """Wait until something has changed.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        if self._change.is_set():  # made anew by those who wait, for nobody waits for most changes
            self._change = trio.Event()
        await self._change.wait()

    async def wait_due(self) -> None:
        """Wait until there is something to put aside, or to take into hand.

        Cancelled: nothing has happened.
        """
        while not self._due:
            at = min(self._later[0][0] if self._later else inf, self._next_late(), self._fresh_until)
            if at <= trio.current_time():
                break
            with trio.move_on_at(at):
                await self.wait_changed()
        while self._later and self._later[0][0] <= trio.current_time():
            self._due.append(self._later.popleft()[1])

    async def wait_secured(self) -> None:
        """Wait until all whose events are published are secured.

        Cancelled: nothing has happened; `take_stock`, if nobody waits again.
        """
        if self._fresh:
            await self._wait_last()
            self.take_stock()
        while self._unsecured:
            if self._all_secured.is_set():
                self._all_secured = trio.Event()
            await self._all_secured.wait()

    async def _wait_last(self) -> None:
        """Wait until the event published last is secured: mostly that is the end of all."""
        secured = trio.Event()
        last = self._fresh[-1].last
        if last is None:
            secured.set()
        else:
            last.add_secured_callback(lambda _: secured.set())
        await secured.wait()

    def take_stock(self) -> None:
        """Look which files of those begun or closed since the last time are secured; the others will tell."""
        fresh, self._fresh = self._fresh, []
        until, self._fresh_until = self._fresh_until, inf
        for file in fresh:
            file.take_stock()
            if not file.in_hand and not file.ended:
                self._put_loose(until, file)
        if self._begun is not None:  # it is looked at again when it is closed, if it is: it may be broken off
            self._begun.take_stock()

    @property
    def due(self) -> bool:
        """Whether there is something to put aside."""
        return bool(self._due)

    def take_due(self, most: int) -> list[OpenFile]:
        """Some of those that are to be put aside; they are not due any more."""
        taken, self._due = self._due[:most], self._due[most:]
        return taken

    def put_back(self, files: Iterable[OpenFile]) -> None:
        """They are due again: nobody came to put them aside."""
        self._due.extend(files)

    def take_late(self) -> list[OpenFile]:
        """Those whose events have not been secured for so long that they are to be taken into hand."""
        if self._fresh_until <= trio.current_time():
            self.take_stock()
        late = []
        while self._next_late() <= trio.current_time():
            late.append(self._loose.popleft()[1])
        return late

    def _next_late(self) -> float:
        """When the next is late."""
        while self._loose:
            at, file = self._loose[0]
            if not file.in_hand and not file.ended:
                return at
            self._loose.popleft()
        return inf

    def put_late(self, files: Iterable[OpenFile], until: float) -> None:
        """They could not be taken into hand: they are to be at a later time."""
        for file in files:
            self._put_loose(until, file)
        self.changed()

    def _put_loose(self, until: float, file: OpenFile) -> None:
        insort(self._loose, (until, file), key=itemgetter(0))

    def put_off(self, file: OpenFile, until: float) -> None:
        """It could not be put aside: it is due again at a time no earlier than that of those before."""
        self.stuck += not file.stuck
        file.stuck = True
        self._later.append((until, file))
        self.changed()

    def __len__(self) -> int:
        return len(self._by_name)

    def names(self) -> frozenset[str]:
        """Of the files that are not to be taken again."""
        return frozenset(self._by_name)

    def under_way(self) -> bool:
        """Whether there are any whose events are all published, and that are not put aside, nor stuck."""
        return len(self._by_name) > self.stuck

    def is_open(self, name: str) -> Seen | None:
        """The file of a name that is not to be taken again, if there is one."""
        file = self._by_name.get(name)
        return None if file is None else file.seen

    def open_at_end(self, seen: Seen, error: str | None, *, in_hand: bool) -> None:
        """A file that has no events to be published: it is to be put aside."""
        self.close(OpenFile(seen, b"", self._end, in_hand=in_hand), error)

    def close(self, file: OpenFile, error: str | None) -> None:
        """All of a file's events are in the bus, or as many as there will be, with what is wrong with it."""
        self._begun = None
        if file.ended:
            return  # its first events were handed back meanwhile: it stays where it is for a later life
        self._by_name[file.seen.name] = file
        self._unsecured += 1
        file.complete = True
        file.error = error
        self._add_fresh(file)

    def _add_fresh(self, file: OpenFile) -> None:
        """Have stock taken of it, by `LATE` at the latest."""
        if not self._fresh:
            self._fresh_until = trio.current_time() + LATE
            self.changed()
        elif self._fresh[-1] is file:
            return
        self._fresh.append(file)

    def open(self, seen: Seen, digest: bytes, *, in_hand: bool) -> OpenFile | None:
        """Begin with a file, or go on with it; only one is begun and not closed at a time.

        One that an earlier life has broken off is gone on with, also under another name, where it was.

        Args:
            seen: the file.
            digest: of its content.
            in_hand: whether it is in hand; if not, it is late after a while.

        Returns:
            None if it is the twin of one whose events are under way, or secured: nothing is to be done.
        """
        file = self._by_digest.get(digest)
        if file is not None and not file.complete:  # broken off by an earlier life
            file.seen, file.in_hand = seen, in_hand
        elif file is not None and self._twins:
            self._open_twin(file, seen, in_hand=in_hand)
            return None
        else:
            file = self._by_digest[digest] = OpenFile(seen, digest, self._end, in_hand=in_hand)
        self._begun = file
        self._add_fresh(file)
        return file

    def _open_twin(self, first: OpenFile, seen: Seen, *, in_hand: bool) -> None:
        twin = self._by_name[seen.name] = OpenFile(seen, first.digest, self._end, in_hand=in_hand)
        if first.ended:
            twin.error = first.error
            self._put_due(twin)
        else:
            first.twins += (twin,)
            self._add_fresh(twin)

    def forget(self, file: OpenFile) -> None:
        """It is put aside; whoever says so of the last of several then says that there is a change."""
        self.stuck -= file.stuck
        self._leave(file)

    def _leave(self, file: OpenFile) -> None:
        if self._by_name.get(file.seen.name) is file:
            del self._by_name[file.seen.name]
        if self._by_digest.get(file.digest) is file:
            del self._by_digest[file.digest]

    def _put_due(self, file: OpenFile) -> None:
        file.ended = True
        self._due.append(file)
        self.changed()

    def _end(self, file: OpenFile, safe: bool) -> None:
        """All its events are secured; or one was handed back, and it stays where it is for a later life."""
        if file.complete:
            self._unsecured -= 1
            if not self._unsecured:
                self._all_secured.set()
        for each in (file, *file.twins):
            each.error = file.error
            if safe:
                self._put_due(each)
            else:
                each.ended = True
                self._leave(each)
                self.changed()
