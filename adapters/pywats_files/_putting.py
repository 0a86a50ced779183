"""Putting: moves files out of hand when their events are secured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from pywats_files._disk import Disk
from pywats_files._folder import Folder
from pywats_files._open_files import OpenFile, OpenFiles
from pywats_files._telling import Trouble
from pywats_files.errors import FileChanged

__all__ = ["Putting"]

AT_ONCE: Final = 256
"""Files put aside by one visit to a thread."""


class Putting:
    """Puts files aside.

    Args:
        folder: where they are.
        files: those in hand.
        disk: where files are moved, by one at a time.
        retry_after: seconds until it is tried again to move one that could not be.
        gone: told of each file that it is done with, and of what was wrong with it.
        tell: told what else goes wrong.
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

    async def run(self) -> None:
        """Put aside what is due, for ever.

        Raises:
            FolderLost: if the folder is away; what is due is kept for the next life.

        Cancelled: as when the folder is away.
        """
        while True:
            await self._files.wait_due()
            batch = self._files.take_due(AT_ONCE)
            fates: list[Trouble | None] | None = None
            try:
                fates = await self._disk.run(self._put, batch)
            finally:
                if fates is None:
                    self._files.put_back(batch)
            again = trio.current_time() + self._retry_after
            for file, trouble in zip(batch, fates, strict=True):
                if trouble is not None and trouble.kind == "stuck":
                    self._tell(trouble)
                    self._files.put_off(file, again)
                else:
                    self._files.forget(file)
                    self._gone(file, trouble)
            self._files.changed()

    def _put(self, batch: list[OpenFile]) -> list[Trouble | None]:
        """In a thread: remember what is done, then move each."""
        unwritten = None
        try:
            self._folder.remember([file.digest for file in batch if file.digest and file.error is None])
        except OSError as error:
            self._folder.check()
            unwritten = Trouble("stuck", "", f"the ledger cannot be written: {error}")
        return [self._put_one(file) for file in batch] if unwritten is None else self._all(batch, unwritten)

    def _put_one(self, file: OpenFile) -> Trouble | None:
        name = file.seen.name
        try:
            self._folder.put_aside(file.seen, file.error)
        except FileChanged as error:
            return Trouble("changed", name, str(error))
        except OSError as error:
            self._folder.check()
            return Trouble("stuck", name, f"it cannot be moved: {error}")
        return None if file.error is None else Trouble("failed", name, file.error)

    def _all(self, batch: list[OpenFile], trouble: Trouble) -> list[Trouble | None]:
        """What cannot be remembered is not moved either: the disk is full, and both are tried again."""
        return [trouble._replace(name=file.seen.name) for file in batch]
