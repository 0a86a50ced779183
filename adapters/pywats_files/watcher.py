"""FileWatcher: files dropped in a folder become events of a bus."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import trio

from pywats_events.checks import Finding
from pywats_events.transports import BaseTransport, TransportState
from pywats_files._checking import findings
from pywats_files._disk import Disk
from pywats_files._folder import Folder
from pywats_files._open_files import OpenFile, OpenFiles
from pywats_files._putting import Putting
from pywats_files._reading import Later
from pywats_files._taking import Taking
from pywats_files._telling import Backlog, Told, Trouble
from pywats_files.config import FolderConfig
from pywats_files.errors import FilesNotInstalled
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["FileWatcher"]

logger: Final = GuardedLogger("pywats_files")

DEBOUNCE: Final = 200
"""Milliseconds for which changes are collected; watchfiles' own 1,600 would hold a burst back."""
LISTEN_AGAIN: Final = 1.0
"""Seconds until the system is asked again to tell of changes."""


def _library() -> Any:
    """The module watchfiles; only who is to be woken needs it."""
    try:
        import watchfiles
    except ImportError as error:
        raise FilesNotInstalled(
            "to be told by the operating system what happens in a folder needs the package watchfiles: "
            'pip install "pywats-events[files]"; with watch="poll" the watcher looks for itself'
        ) from error
    return watchfiles


class FileWatcher(BaseTransport):
    """Takes the files of a folder, publishes their events, and puts them in `done` or `failed`.

    A file is in `done` when its events are secured, never earlier: written down in the bus's store,
    or, without one, settled. If the folder goes away, or another watcher has it, this life ends with
    that error, and the supervisor tries again.

    Args:
        config: which folder, and how.
        name: unique in its bus.

    Raises:
        TypeError: if the config is none.
        FilesNotInstalled: if the operating system is to tell what happens, and the package for that
            is missing; the text says how to get it.
    """

    def __init__(self, config: FolderConfig, name: str = "files") -> None:
        super().__init__(name)
        if not isinstance(config, FolderConfig):
            raise TypeError(f"config must be a FolderConfig, not {config!r}")
        if config.watch == "notify":
            _library()
        self.config: FolderConfig = config
        self._path = str(config.path)
        self._folder = Folder(config)
        self._files = OpenFiles(twins=config.remember > 0)
        self._disk = Disk(self._folder)
        self._told = Told(name, self._announce_trouble)
        self._backlog = Backlog(name)
        self._putting = Putting(
            self._folder,
            self._files,
            self._disk,
            retry_after=config.retry_after,
            gone=self._gone,
            tell=self._told.tell,
        )
        self._taking = Taking(
            config,
            self._folder,
            self._files,
            self._disk,
            self._putting,
            publish=self.publish_event_async,
            tell=self._told.tell,
            backlog=self._backlog,
        )
        self._done = self._failed = 0

    # Life

    def start(self) -> None:
        """Called by nobody: its life is on trio."""

    def stop(self) -> None:
        """Called by nobody: its life is on trio."""

    async def start_async(self) -> None:
        """Take the folder for this watcher alone.

        Raises:
            FolderLost: if it is not there, or nothing can be written in it.
            FolderInUse: if another watcher has it.

        Cancelled: the disk is waited for.
        """
        self._taking.open_again()
        await self._disk.enter()

    async def stop_async(self) -> None:
        """Let others have the folder.

        Cancelled: they have it all the same, when the disk has answered.
        """
        self._set_state(TransportState.DISCONNECTED)
        await self._disk.leave()

    async def before_stop(self) -> None:
        """Take no more files, and put aside those in hand.

        Cancelled: some stay in hand, for the next life.
        """
        self._taking.closing = True
        await self._taking.drain()

    def abandon(self) -> None:
        """Leave a disk behind that does not answer."""
        super().abandon()
        self._disk.abandon()
        self._taking.converting.abandon()

    async def serve(self) -> None:
        """Watch, take, publish and put aside.

        Raises:
            FolderLost: when the folder has gone away.

        Cancelled: what is in hand stays there; the next life goes on with it.
        """
        try:
            async with trio.open_nursery() as nursery:
                if self.config.watch == "notify":
                    nursery.start_soon(self._listen)
                nursery.start_soon(self._putting.run)
                self._set_state(TransportState.CONNECTED)
                await self._taking.run()
        except* Exception as group:  # noqa: BLE001 - raised again, out of its group
            raise _first(group) from None

    async def _listen(self) -> None:
        """Be woken by the operating system when something happens in the folder, but not in a rush.

        What awatch cannot tell (a name that is no text, no watches left) ends it; it is begun again.
        """
        said = ""
        while True:
            await self._taking.rush.wait_over()
            failed = False
            try:
                await self._heed_changes()
            except* Exception as group:  # noqa: BLE001 - of a library in another language; we look for ourselves
                failed, error = True, str(_first(group))
                if error != said:
                    said = error
                    logger.warning(
                        "%s: the system does not tell what happens in %s (%s), which is looked at every %g "
                        "seconds; it is asked again",
                        self.name,
                        self.config.path,
                        error,
                        self.config.poll_interval,
                        extra={"transport": self.name},
                    )
            if failed:
                await trio.sleep(LISTEN_AGAIN)

    async def _heed_changes(self) -> None:
        awatch = _library().awatch
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._while_heeding, over)
            changes = awatch(
                self.config.path, watch_filter=None, debounce=DEBOUNCE, stop_event=over, recursive=False
            )
            async with aclosing(changes):
                async for _ in changes:
                    self._taking.news.set()
            nursery.cancel_scope.cancel()

    async def _while_heeding(self, over: trio.Event) -> None:
        """Runs when awatch waits for the first time, so after it has begun to watch."""
        try:
            await trio.lowlevel.checkpoint()
            self._taking.news.set()  # nobody tells of what happened before
            await self._taking.rush.wait_begun()
        finally:
            over.set()  # a thread that waits for the system hears of no cancellation

    def get_stats(self) -> dict[str, Any]:
        """What a person would want to see of it."""
        return {
            **super().get_stats(),
            "folder": self._path,
            "waiting": self._backlog.waiting,
            "in_hand": self._taking.fetched + len(self._files),
            "stuck": self._files.stuck,
            "taken": self._taking.files_taken,
            "events": self._taking.events,
            "repeats": self._taking.repeats,
            "done": self._done,
            "failed": self._failed,
        }

    async def check(self) -> list[Finding]:
        """Look whether the folder could be watched. Cancelled: nothing has happened."""
        return await current_runtime().run_blocking(findings, self.config)

    # Telling

    def _gone(self, file: OpenFile, trouble: Trouble | None) -> None:
        """A file is dealt with, or is to be read again."""
        name = file.seen.name
        if trouble is not None and trouble.kind == "changed":
            self._taking.put_off(Later(name, trouble))
            return
        self._told.forget(name)
        if trouble is None:
            self._done += 1
        else:
            self._failed += 1
            self._told.tell(trouble)
            self._told.forget(name)

    def _announce_trouble(self, trouble: Trouble) -> None:
        self._announce(trouble.event_type, folder=self._path, file=trouble.name, reason=trouble.reason)


def _first(error: BaseException) -> BaseException:
    """What is in a group, for those who want one error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
