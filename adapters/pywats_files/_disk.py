"""The disk of a watcher: its steps at the folder, one at a time in a thread, and letting the folder go.

Whoever is last lets it go, so that no other watcher takes files while a step still moves some: the
stop, once the thread is free; or the thread, when its step was left behind and ends after the stop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from pywats_actors.blocking import Blocking
from pywats_files._folder import Folder
from pywats_files.errors import FolderLost

__all__ = ["Disk"]

P = ParamSpec("P")
T = TypeVar("T")


class Disk:
    """Runs steps at a folder.

    Args:
        folder: what is let go at the end.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._threads = Blocking(1)
        self._busy = False
        self._left = False

    async def enter(self) -> None:
        """Take the folder for this life; raises what `Folder.open` does. Cancelled: as `run`."""
        self._left = False
        await self.run(self._folder.open)

    async def run(self, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Take a step, in the thread.

        Cancelled: before the thread is free nothing has happened; later it is waited for, until `abandon`.
        """
        return await self._threads.run(partial(self._take, step, *args, **named))

    async def leave(self) -> None:
        """Let the folder go, when the step that is under way has ended.

        Cancelled: it is let go all the same. After `abandon` nobody waits for that step, which lets
        it go then.
        """
        try:
            await self._threads.run(self._folder.close, although_cancelled=True)
        finally:
            # Before it is asked whether a thread is busy: that says so before it asks whether we left.
            self._left = True
            if not self._busy:
                self._folder.close()

    def abandon(self) -> None:
        """Leave the step that is under way behind: the bus stops for good, and its grace is over."""
        self._threads.abandon()

    def _take(self, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """In the thread."""
        self._busy = True
        try:
            if self._left:
                raise FolderLost("the watcher has left the folder")  # heard by nobody: it was left behind
            return step(*args, **named)
        finally:
            self._busy = False
            if self._left:
                self._folder.close()
