"""The files in hand: what has become of their events, and which may be put aside. On trio only.

It outlives the lives of its watcher: what one life has published is not published again by the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

import trio

from pywats_events.settlement import Receipt
from pywats_files._decisions import Seen

__all__ = ["OpenFile", "OpenFiles"]


LATE: Final = 0.1
"""Seconds until a file whose events are not secured is taken into hand."""


class OpenFile:
    """A file in hand.

    Attributes:
        seen: the file.
        digest: of its content.
        error: what is wrong with it; None for nothing.
        in_hand: whether it is in hand; else it is where it was.
        published: how many of its events are in the bus.
        complete: whether all are.
        ended: whether all are secured.
        stuck: whether it could not be put aside; that is tried again.
        twins: files with the same content that were taken meanwhile: they share its fate.
    """

    __slots__ = (
        "_done",
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
        self, seen: Seen, digest: bytes, done: Callable[[OpenFile, bool], object], *, in_hand: bool = True
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
        self._pending = 0
        self._safe = True

    def add(self, receipt: Receipt) -> None:
        """One more of its events is in the bus."""
        self.published += 1
        self._pending += 1
        receipt.add_secured_callback(self._ended)

    def close(self, error: str | None = None) -> None:
        """All of its events are in the bus, or as many as there will be."""
        self.complete = True
        self.error = error
        self._conclude()

    def _ended(self, receipt: Receipt) -> None:
        self._pending -= 1
        self._safe = self._safe and receipt.secured
        self._conclude()

    def _conclude(self) -> None:
        if self._pending == 0 and (self.complete or not self._safe):
            self._done(self, self._safe)


class OpenFiles:
    """All files in hand that this process knows.

    Attributes:
        stuck: how many could not be put aside, and are tried again.
    """

    def __init__(self) -> None:
        self.stuck: int = 0
        self._by_name: dict[str, OpenFile] = {}
        self._by_digest: dict[bytes, OpenFile] = {}
        self._unsecured = 0
        self._due: list[OpenFile] = []
        self._later: deque[tuple[float, OpenFile]] = deque()
        self._loose: deque[tuple[float, OpenFile]] = deque()
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
            at = min(self._later[0][0] if self._later else inf, self._next_late())
            if at <= trio.current_time():
                break
            with trio.move_on_at(at):
                await self.wait_changed()
        while self._later and self._later[0][0] <= trio.current_time():
            self._due.append(self._later.popleft()[1])

    async def wait_secured(self) -> None:
        """Wait until all whose events are published are secured.

        Cancelled: nothing has happened.
        """
        if self._unsecured:
            self._all_secured = trio.Event()
            await self._all_secured.wait()

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
        late = []
        while self._next_late() <= trio.current_time():
            late.append(self._loose.popleft()[1])
        return late

    def _next_late(self) -> float:
        """When the next is late."""
        while self._loose:
            at, file = self._loose[0]
            if not file.in_hand and not file.ended and self._by_name.get(file.seen.name) is file:
                return at
            self._loose.popleft()
        return inf

    def put_late(self, files: Iterable[OpenFile], until: float) -> None:
        """They could not be taken into hand: they are to be at a later time."""
        self._loose.extendleft((until, file) for file in files)
        self.changed()

    def put_off(self, file: OpenFile, until: float) -> None:
        """It could not be put aside: it is due again at a time no earlier than that of those before."""
        self.stuck += not file.stuck
        file.stuck = True
        self._later.append((until, file))
        self.changed()

    def __len__(self) -> int:
        return len(self._by_name)

    def names(self) -> frozenset[str]:
        """Of the files that are not to be taken again: those that are not broken off."""
        return frozenset(name for name, file in self._by_name.items() if file.complete)

    def under_way(self) -> bool:
        """Whether there are any whose events are all published, and that are not put aside, nor stuck."""
        return any(file.complete and not file.stuck for file in self._by_name.values())

    def is_open(self, name: str) -> Seen | None:
        """The file of a name that is not to be taken again, if there is one."""
        file = self._by_name.get(name)
        return file.seen if file is not None and file.complete else None

    def open_at_end(self, seen: Seen, error: str | None, *, in_hand: bool = True) -> None:
        """A file that has no events to be published: it is to be put aside at once."""
        file = self._by_name[seen.name] = OpenFile(seen, b"", self._end, in_hand=in_hand)
        self.close(file, error)

    def close(self, file: OpenFile, error: str | None) -> None:
        """All of a file's events are in the bus, or as many as there will be, with what is wrong with it."""
        self._unsecured += 1
        file.close(error)

    def open(self, seen: Seen, digest: bytes, *, in_hand: bool = True) -> OpenFile | None:
        """Begin with a file, or go on with it.

        Args:
            seen: the file.
            digest: of its content.
            in_hand: whether it is in hand; if not, it is late after a while.

        Returns:
            None if it is the twin of one whose events are under way, or secured: nothing is to be done.
        """
        before = self._by_name.get(seen.name)
        if before is not None and before.digest == digest:
            before.in_hand = in_hand
            return before
        file = self._by_name[seen.name] = OpenFile(seen, digest, self._end, in_hand=in_hand)
        if not in_hand:
            self._loose.append((trio.current_time() + LATE, file))
        first = self._by_digest.setdefault(digest, file)
        if first is file:
            return file
        file.complete = True
        if first.ended:
            self._put_due(file)
        else:
            first.twins += (file,)
        return None

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
        """All its events are secured; or they were handed back, and it stays where it is for a later life."""
        if file.complete:
            self._unsecured -= 1
            if not self._unsecured:
                self._all_secured.set()
        for each in (file, *file.twins):
            each.error = file.error
            if safe:
                self._put_due(each)
            else:
                self._leave(each)
                self.changed()
