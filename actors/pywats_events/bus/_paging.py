"""Paging: which events does a subscription get from the disk, and when? For a bus with a store.

A subscription that keeps up gets its events from the router. One that is full, or was not there when
they were accepted, is *behind*: its events stay in the journal, where they are anyway, and the pager
reads them, a page at a time, as its mailbox has room. No publisher and no other subscription waits for it.

The rule of the order: the router gives each subscription its events by rising numbers; `Cursor.head` is
the last that was left on the disk, `Cursor.read` the last that was read. All that follows an event left
there is left there too, until both are the same; that is seen in the step that put the page in.

Change together: `durability.journal`, which numbers events and reads pages; decision 0014.

HOT: `Cursor.put`; tests/benchmarks/bench_store.py.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

import trio

from pywats_actors.mailbox import Mailbox
from pywats_events.bus._drain import Drain
from pywats_events.settlement import Receipt, Written
from pywats_supervision.logs import GuardedLogger

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability import Page

__all__ = ["Cursor", "Pager", "Pages"]

logger: Final = GuardedLogger("pywats_events")

_MOST: Final = 512
"""Events of one page, at the most, also for a mailbox without a bound."""


class Cursor:
    """How far one subscription has come in the journal, while that is not to its end.

    It belongs to the subscription, above every restart.

    Args:
        name: of the subscription.
        mailbox: its own.
        went_behind: called when it has to be read for.
        rate: events per second by which its backlog shrinks, at the most (see `_drain`).

    Attributes:
        behind: whether its events stay on the disk until the pager reads them.
        read: the number up to which it has been given what there is for it.
        head: the number of the last event that was left on the disk for it.
        written: the commit that `head` is in; None if that is on the disk since long.
    """

    __slots__ = (
        "_drain",
        "_moved",
        "_went_behind",
        "behind",
        "due",
        "head",
        "mailbox",
        "name",
        "read",
        "waits",
        "written",
    )

    def __init__(
        self, name: str, mailbox: Mailbox[Receipt], went_behind: Callable[[Cursor], None], rate: float = inf
    ) -> None:
        self.name: str = name
        self.mailbox: Mailbox[Receipt] = mailbox
        self._went_behind = went_behind
        self._drain = Drain(rate)
        self.due: float = -inf
        """The time (trio's clock) before which its rate does not let it have another page."""
        self.behind: bool = False
        self.read: int = 0
        self.head: int = 0
        self.written: Written | None = None
        self.waits: Written | None = None
        """What has to be on the disk before it is worth reading again."""
        self._moved: trio.Event | None = None

    def put(self, receipt: Receipt) -> None:
        """Give the subscription an event, or leave it on the disk; never waits. HOT."""
        mailbox = self.mailbox
        if self.behind or mailbox.size >= mailbox.capacity:
            self._leave(receipt)
        else:
            mailbox.put(receipt)

    def _leave(self, receipt: Receipt) -> None:
        kept = receipt.durable
        if kept is None:
            raise ValueError(f"{receipt!r} is not in the journal, and cannot be left there")
        number = kept.number
        if not self.behind:
            self.begin(number - 1, number, kept.commit)
        self.head = number
        self.written = kept.commit
        self._drain.came_in(trio.current_time())

    def begin(self, read: int, head: int, written: Written | None) -> None:
        """Be behind.

        Args:
            read: the number after which it begins.
            head: the last number that is there for it.
            written: the commit that is to be waited for before that can be read; None if it can be.
        """
        self.behind, self.read, self.head = True, read, head
        self.written = self.waits = written
        self._went_behind(self)

    def owes(self, number: int) -> bool:
        """Whether an event is left on the disk for it."""
        return self.behind and self.read < number <= self.head

    @property
    def low(self) -> float:
        """Fewer queued events than this are worth a page."""
        return max(1.0, self.mailbox.capacity // 2)

    @property
    def room(self) -> int:
        """How many events the next page may have."""
        allowed = self._drain.allowed(trio.current_time())
        return int(max(1, min(_MOST, allowed, self.mailbox.capacity - self.mailbox.size)))

    @property
    def can_read(self) -> bool:
        """Whether there is something on the disk to be read."""
        return self.waits is None or self.waits.done

    def came_to(self, page: Page, upto: int, written: Written | None) -> None:
        """Take a page's events as given.

        Args:
            page: what was read.
            upto: what `head` was before.
            written: what the commit of that was, if it was not done before; None if it was.
        """
        now = trio.current_time()
        self.due = now + len(page.events) / self._drain.allowed(now)
        if page.whole and written is None:
            self.read = upto
        else:
            self.read = page.last
            # What follows is in a batch on its way to the disk.
            self.waits = written if page.whole else None
        if self.read >= self.head:
            self.behind, self.written, self.waits = False, None, None
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    async def wait_read(self, number: int) -> None:
        """Wait until nothing up to a number is left on the disk for it. Cancelled: nothing has happened."""
        while self.behind and self.read < number:
            if self._moved is None:
                self._moved = trio.Event()
            await self._moved.wait()


class Pages(Protocol):
    """Who reads pages and makes receipts of them."""

    async def page(self, name: str, after: int, upto: int, limit: int) -> Page:
        """Read."""
        ...

    def give(self, cursor: Cursor, page: Page) -> None:
        """Put its events into the mailbox of a subscription; one step."""
        ...


class Pager:
    """The child that reads for all who are behind, one page after the other.

    All that it needs to know is in the cursors, so each life goes on where the last one ended.

    Args:
        pages: where they come from.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._behind: dict[Cursor, None] = {}
        self._heard = trio.Event()

    def add(self, cursor: Cursor) -> None:
        """Read for one more."""
        text = "%r is behind: what it has no room for stays in the journal"
        logger.debug(text, cursor.name, extra={"actor": cursor.name})
        self._behind[cursor] = None
        self._heard.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled.

        Cancelled, or if it fails: what was read and not given is read again.

        Raises:
            StoreUnavailable: if the journal cannot be read.
        """
        task_status.started()
        while True:
            for cursor in tuple(self._behind):
                if _is_due(cursor):
                    await self._read_for(cursor)
            await self._wait()

    async def _read_for(self, cursor: Cursor) -> None:
        upto, written = cursor.head, cursor.written
        if written is not None and written.done:
            written = None
        page = await self._pages.page(cursor.name, cursor.read, upto, cursor.room)
        self._pages.give(cursor, page)
        cursor.came_to(page, upto, written)
        if not cursor.behind:
            del self._behind[cursor]
            logger.debug("%r is not behind any more", cursor.name, extra={"actor": cursor.name})

    async def _wait(self) -> None:
        """Wait until a page is due for somebody; no checkpoint if one is."""
        self._heard = heard = trio.Event()
        if any(_is_due(cursor) for cursor in self._behind):
            return
        waiting = tuple(self._behind)
        until = inf
        for cursor in waiting:
            if cursor.waits is not None and not cursor.waits.done:
                cursor.waits.add_done_callback(heard.set)
            elif cursor.mailbox.size >= cursor.low:
                cursor.mailbox.hear_space(heard, cursor.low)
            else:
                until = min(until, cursor.due)
        try:
            with trio.move_on_at(until):
                await heard.wait()
        finally:
            for cursor in waiting:
                cursor.mailbox.unhear_space(heard)


def _is_due(cursor: Cursor) -> bool:
    return cursor.can_read and cursor.mailbox.size < cursor.low and trio.current_time() >= cursor.due
