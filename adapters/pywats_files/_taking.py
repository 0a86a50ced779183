"""Taking: looks for finished files, takes them into hand and publishes their events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Final

import trio

from pywats_actors.blocking import Blocking
from pywats_events import Event
from pywats_events.errors import BusStopped, EventValidationError
from pywats_events.settlement import Receipt
from pywats_files._converting import Converting, told
from pywats_files._decisions import Seen, Stability, batches
from pywats_files._disk import Disk
from pywats_files._folder import Folder, Sight
from pywats_files._open_files import OpenFile, OpenFiles
from pywats_files._pages import Pages
from pywats_files._putting import Putting
from pywats_files._reading import Content, Later, Reader, Taken
from pywats_files._telling import Backlog, Trouble
from pywats_files.config import FolderConfig

__all__ = ["Taking"]

MANY: Final = 10_000
"""Files that one look tells of, the oldest first; the others are seen by the next."""
BATCH: Final = 256
"""Files taken by one visit to a thread."""
BATCH_BYTES: Final = 4 * 1024 * 1024
GROUP: Final = 16
"""Files of a batch that are converted, published and settled before the next: so their events are few enough
to stay in the processor's cache, and to be gone before the collector of garbage looks for them."""
GROUP_BYTES: Final = 64 * 1024
"""Bytes of small files that are converted on trio until others have their turn."""
MANY_TO_TAKE: Final = 64
"""Files of one look from which on the system is not heeded meanwhile: it tells of each file twice."""
MANY_STUCK: Final = 10_000
"""Files that cannot be put aside from which on no more are taken."""
SETTLING: Final = 0.003
"""Seconds that the events of a batch have to be secured before the disk is used again: two threads that both
compute only hinder each other."""
SETTLING_OF_GROUP: Final = 0.0005
"""Seconds that those of a group have before the next is published; if they take longer, no group waits."""
SOON: Final = 0.5
"""Seconds until a file is looked at again that changed, or was closed, under our eyes."""


class Rush:
    """Whether so many files are to be taken that nobody need say that there are more."""

    def __init__(self) -> None:
        self._begun = trio.Event()
        self._over = trio.Event()
        self._begun.set()

    def tell(self, rush: bool) -> None:
        """It is so, or is not."""
        if rush and self._over.is_set():
            self._over = trio.Event()
            self._begun.set()
        elif not rush and self._begun.is_set():
            self._begun = trio.Event()
            self._over.set()

    async def wait_begun(self) -> None:
        """Wait until it is so. Cancelled: nothing has happened."""
        await self._begun.wait()

    async def wait_over(self) -> None:
        """Wait until it is not so. Cancelled: nothing has happened."""
        await self._over.wait()


class Taking:
    """Takes files.

    Args:
        config: of the watcher.
        folder: where they are.
        files: those in hand.
        disk: where the folder is looked at.
        putting: goes to the disk for what is due, and takes our errands along.
        publish: hands an event to the bus; waits at its door.
        tell: told what is wrong with a file.
        backlog: told how far it is.

    Attributes:
        converting: where converters block.
        closing: set to take nothing more.
        rush: whether it looks again without being told of news.
        news: set by who knows that something has happened in the folder.
        fetched: files that were read, and whose events are not all published.
        files_taken: how many.
        events: how many were published.
        repeats: files whose content was known.
    """

    def __init__(
        self,
        config: FolderConfig,
        folder: Folder,
        files: OpenFiles,
        disk: Disk,
        putting: Putting,
        *,
        publish: Callable[[Event], Awaitable[Receipt]],
        tell: Callable[[Trouble], object],
        backlog: Backlog,
    ) -> None:
        self._config = config
        self._folder = folder
        self._files = files
        self._publish_event = publish
        self._tell = tell
        self._backlog = backlog
        self._stability = Stability(config.stable_for)
        self._again: dict[str, float] = {}
        self._held: set[str] = set()
        self._reader = Reader(config, folder)
        self._converting = Converting(config, folder)
        self._refused = False
        self._disk = disk
        self._putting = putting
        self.converting: Blocking = Blocking(1)
        self.closing = False
        self.rush: Rush = Rush()
        self.news: trio.Event = trio.Event()
        self.fetched = self.files_taken = self.events = self.repeats = 0

    async def run(self) -> None:
        """Look, take what is finished, and wait until there is something to look for; for ever.

        Raises:
            FolderLost: when the folder has gone away.

        Cancelled: what is in hand stays there.
        """
        most = min(BATCH, max(1, self._config.in_flight // 2))  # one batch is put aside while another is read
        while True:
            await self._wait_room(1)
            self.news = trio.Event()
            sight: Sight = await self._disk.run(self._folder.look, self._files.names(), MANY)
            self._backlog.seen(sight.files, trio.current_time())
            for trouble in sight.troubles:
                self._tell(trouble)
            if self._held:
                self._held.intersection_update(seen.name for seen in (*sight.in_hand, *sight.waiting))
            in_hand, waiting = self._not_again(sight.in_hand), self._not_open(self._not_again(sight.waiting))
            due = inf
            if self._config.finished == "stable":
                waiting, due = self._stability.stable(waiting, trio.current_time())
            before = self.files_taken
            self.rush.tell(len(in_hand) + len(waiting) >= MANY_TO_TAKE)
            self._putting.in_company = True
            try:
                for files, held in ((in_hand, True), (waiting, False)):
                    for batch in batches(files, _size_seen, most=most, most_bytes=BATCH_BYTES):
                        await self._take(batch, in_hand=held)
                if self._files.due:
                    await self._putting.visit(lambda: None)
            finally:
                self._putting.in_company = False
            if self.files_taken == before:
                self.rush.tell(False)
                look_at = trio.current_time() + self._config.poll_interval
                with trio.move_on_at(min(due, look_at, *self._again.values())):
                    await self.news.wait()

    async def drain(self) -> None:
        """Wait until what was taken is put aside, but for what cannot be, or what a stopping bus refuses.

        Cancelled: nothing has happened.
        """
        while (self.fetched and not self._refused) or self._files.under_way():
            await self._files.wait_changed()

    def open_again(self) -> None:
        """Take files again, in another life."""
        self.closing = self._refused = False
        self.fetched = 0

    def _not_again(self, files: list[Seen]) -> list[Seen]:
        """Without those whose time to be tried again has not come."""
        now = trio.current_time()
        self._again = {name: at for name, at in self._again.items() if at > now}
        return [seen for seen in files if seen.name not in self._again]

    async def _wait_room(self, needed: int) -> None:
        """Wait until so many more may be in hand; those that are stuck count only if they are many."""
        files, most = self._files, self._config.in_flight
        most_stuck = max(most, MANY_STUCK)
        while self.closing or len(files) - files.stuck + needed > most or files.stuck >= most_stuck:
            if files.due and self._putting.in_company:
                await self._putting.visit(lambda: None)
            else:
                await files.wait_changed()

    def _not_open(self, files: list[Seen]) -> list[Seen]:
        """Without those that are being worked on where they are, and those whose namesakes are."""
        if not self._files:
            return files
        free = []
        for seen in files:
            known = self._files.is_open(seen.name)
            if known is None:
                free.append(seen)
            elif known != seen:
                self.put_off(Later(seen.name))
        return free

    async def _take(self, batch: list[Seen], *, in_hand: bool) -> None:
        """Take files in order, and give their events the time to be secured before the disk is used again."""
        await self._wait_room(len(batch))
        self.fetched += len(batch)
        found: list[Content | Taken | Later] = await self._putting.visit(
            partial(self._reader.read, batch, in_hand=in_hand)
        )
        if any(isinstance(each, Content) and not each.quick for each in found):
            found = await self.converting.run(self._converting.convert, found)
        self.fetched += len(found) - len(batch)
        patience = SETTLING_OF_GROUP
        try:
            for group in batches(found, _size_to_convert, most=GROUP, most_bytes=GROUP_BYTES):
                await self._publish_all(group)
                with trio.move_on_after(patience) as waiting:
                    await self._files.wait_secured()
                if waiting.cancelled_caught:
                    patience = 0.0
            with trio.move_on_after(SETTLING):
                await self._files.wait_secured()
        finally:
            self._files.take_stock()
            for each in found:
                if isinstance(each, Taken) and each.pages is not None:
                    each.pages.close()
        self._backlog.worked_off(len(found), trio.current_time())
        self._files.changed()

    async def _publish_all(self, group: list[Content | Taken | Later]) -> None:
        """Convert and publish files in order; what a bus that is stopping does not take stays in hand."""
        # All are converted before the first is published: each goes faster in a row.
        converted = [
            self._converting.convert_quick(each) if isinstance(each, Content) else each for each in group
        ]
        try:
            for file in converted:
                if isinstance(file, Later):
                    self.put_off(file)
                else:
                    self.files_taken += 1
                    await self._publish(file)
                self.fetched -= 1
        except BusStopped:
            self._refused = True
            self._files.take_stock()
            self._files.changed()
            await trio.sleep_forever()

    def put_off(self, later: Later) -> None:
        """Look at a file again after a while; that its writer still has it open is told the second time."""
        trouble = later.trouble
        if trouble is not None and trouble.kind == "held" and later.name not in self._held:
            self._held.add(later.name)  # many rename a file, and close it then
            trouble = None
        delay = SOON if trouble is None else self._config.retry_after
        self._again[later.name] = trio.current_time() + delay
        if trouble is not None:
            self._tell(trouble)

    async def _publish(self, taken: Taken) -> None:
        """Publish a file's events; those that an earlier life has published are left out."""
        if taken.events is None or self._folder.is_done(taken.digest):
            self.repeats += taken.error is None
            self._files.open_at_end(taken.seen, taken.error, in_hand=taken.in_hand)
            return
        file = self._files.open(taken.seen, taken.digest, in_hand=taken.in_hand)
        if file is None:
            self.repeats += 1
            return
        if taken.pages is None:
            error = await self._give(taken.events, file, file.published)
        else:
            error = await self._give_pages(taken.events, taken.pages, file)
        self._files.close(file, error)

    async def _give(self, page: list[Event], file: OpenFile, skip: int) -> str | None:
        """Publish events of a file, but for the first ones; what is wrong with one, if anything is."""
        for event in page[skip:] if skip else page:
            try:
                file.add(await self._publish_event(event))
            except EventValidationError as error:  # with a store: it cannot be written down
                return _broken_off(error, file)
            self.events += 1
        return None

    async def _give_pages(self, page: list[Event], pages: Pages, file: OpenFile) -> str | None:
        """Publish page after page; what is wrong with a later one, if anything is."""
        skip = file.published
        while True:
            error = await self._give(page, file, skip)
            file.take_stock()  # memory holds the receipts of one page
            skip = max(0, skip - len(page))
            if error is not None or not pages.more:
                return error
            try:
                page = await self.converting.run(pages.next)
            except Exception as reason:  # noqa: BLE001 - also a user's converter; the file is kept, with this
                await self._disk.run(self._folder.check)
                return _broken_off(reason, file)


def _broken_off(error: Exception, file: OpenFile) -> str:
    """What a person is told of a file that is not published to its end."""
    return f"{told(error)} (its first {file.published} events are published)"


def _size_seen(seen: Seen) -> int:
    return seen.size


def _size_to_convert(found: Content | Taken | Later) -> int:
    return found.seen.size if isinstance(found, Content) else 0
