"""Putting: moves files to `done` or `failed` when their events are secured, into hand if that takes long.

While files are taken, one visit to the thread does both: it puts aside what is due and reads the next
ones. Meanwhile trio rests, and the thread does while trio publishes: two threads that compute at once
only wait for the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from pywats_files._disk import Disk
from pywats_files._folder import Folder
from pywats_files._open_files import OpenFile, OpenFiles
from pywats_files._telling import Trouble
from pywats_files.errors import FileChanged

__all__ = ["Putting"]

T = TypeVar("T")

AT_ONCE: Final = 256
"""Files put aside by one visit to a thread."""
PATIENCE: Final = 0.05
"""Seconds that files which are due wait for somebody who goes to the disk anyway."""


class Putting:
    """Puts files aside.

    Args:
        folder: where they are.
        files: those in hand.
        disk: where files are moved, by one at a time.
        retry_after: seconds until it is tried again to move one that could not be.
        gone: told of each file that it is done with, and of what was wrong with it.
        tell: told what else goes wrong.

    Attributes:
        in_company: whether somebody else makes visits, one after the other.
    """

    def __init__(
        self,
        folder: Folder,
        files: OpenFiles,
        disk: Disk,
        *,
        retry_after: float,
        gone: Callable[[OpenFile, Trouble | None], object],
        tell: Callable[[Trouble], object],
    ) -> None:
        self._folder = folder
        self._files = files
        self._retry_after = retry_after
        self._gone = gone
        self._tell = tell
        self._disk = disk
        self._visited = trio.Event()
        self.in_company: bool = False

    async def run(self) -> None:
        """Put aside what is due, for ever.

        Raises:
            FolderLost: if the folder is away; what is due is kept for the next life.

        Cancelled: as when the folder is away.
        """
        while True:
            await self._files.wait_due()
            if self.in_company:
                with trio.move_on_after(PATIENCE):
                    await self._visited.wait()
                    continue
            await self.visit(lambda: None)

    async def visit(self, step: Callable[[], T]) -> T:
        """Put aside what is due, and do something else at the disk.

        Raises:
            FolderLost: if the folder is away; what is due is kept for the next life.

        Cancelled: as when the folder is away.
        """
        late = self._files.take_late()
        batch = self._files.take_due(AT_ONCE)
        try:
            fates, stay, result = await self._disk.run(self._visit, batch, late, step)
        except BaseException:
            self._files.put_back(batch)
            self._files.put_late(late, trio.current_time())
            raise
        finally:
            self._visited.set()
            self._visited = trio.Event()
        again = trio.current_time() + self._retry_after
        self._heed_late(late, stay, again)
        for file, trouble in zip(batch, fates, strict=True):
            if trouble is not None and trouble.kind == "stuck":
                self._tell(trouble)
                self._files.put_off(file, again)
            else:
                self._files.forget(file)
                self._gone(file, trouble)
        if batch:
            self._files.changed()
        return result

    def _heed_late(self, late: list[OpenFile], stay: list[Trouble | None], again: float) -> None:
        for file, trouble in zip(late, stay, strict=True):
            file.in_hand = trouble is None
            if trouble is not None:
                self._tell(trouble)
                self._files.put_late([file], again)

    # In a thread

    def _visit(
        self, batch: list[OpenFile], late: list[OpenFile], step: Callable[[], T]
    ) -> tuple[list[Trouble | None], list[Trouble | None], T]:
        return self._put(batch), [self._into_hand(file) for file in late], step()

    def _put(self, batch: list[OpenFile]) -> list[Trouble | None]:
        """Remember what is done, then move each."""
        try:
            self._folder.remember([file.digest for file in batch if file.digest and file.error is None])
            fates = self._folder.put_aside_all([(file.seen, file.error) for file in batch])
        except OSError as error:  # a full disk: what cannot be remembered is not moved to done either
            self._folder.check()
            for file in batch:
                self._into_hand(file)
            unwritten = f"what is done cannot be written down: {error}"
            return [Trouble("stuck", file.seen.name, unwritten) for file in batch]
        return [
            None if reason is None and file.error is None else self._fate(file, reason)
            for file, reason in zip(batch, fates, strict=True)
        ]

    def _fate(self, file: OpenFile, reason: OSError | FileChanged | None) -> Trouble | None:
        name = file.seen.name
        if isinstance(reason, FileChanged):
            return Trouble("changed", name, str(reason))
        if reason is not None:
            self._folder.check()
            return Trouble("stuck", name, f"it cannot be moved: {reason}")
        return None if file.error is None else Trouble("failed", name, file.error)

    def _into_hand(self, file: OpenFile) -> Trouble | None:
        name = file.seen.name
        try:
            self._folder.take_into_hand(name)
        except FileNotFoundError:
            self._folder.check()  # else somebody has taken it away, which is seen when it is put aside
        except OSError as error:
            self._folder.check()
            return Trouble("stuck", name, f"it cannot be moved: {error}")
        return None
