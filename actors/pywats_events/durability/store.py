"""Store: all of a station that survives the process, in one folder with one writer.

It is a child of its own in the tree ("store", before the bus): `run` opens the database, writes batches,
watches the room that is left, and closes in order.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from pywats_events.durability._database import Database, Opened
from pywats_events.durability._files import Folder
from pywats_events.durability._group_commit import GroupCommit, StoreState
from pywats_events.durability.journal import Journal
from pywats_events.durability.seen_events import SeenEvents
from pywats_supervision._system import current_runtime

__all__ = ["Store"]

logger: Final = logging.getLogger("pywats_events")

_CLOSE_WITHIN: Final = 10.0


class Store:
    """Journal, dead letters, known ids, and what sources remember, in one folder.

    Example:
        ```python
        async with AsyncEventBus(store=Store("station-data")) as bus:
            ...
        ```

    Args:
        path: of the folder, on a disk of this machine; made if it is not there.
        max_size: bytes that it may take.
        min_free: the part of the disk, 0 to 1, that has to stay free.
        commit_after: seconds that the first operation of a batch waits for company.
        commit_count: operations at which a batch goes without waiting longer.
        large: bytes from which on an event is a file beside the database.
        seen_count: how many ids are known, once there were so many.
        seen_age: seconds for which an id stays known, within `seen_count`.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if it is out of its range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_size: int = 10 << 30,
        min_free: float = 0.1,
        commit_after: float = 0.005,
        commit_count: int = 1000,
        large: int = 1 << 20,
        seen_count: int = 200_000,
        seen_age: float = 7 * 86_400.0,
    ) -> None:
        _check("max_size", max_size, 1 << 20, None)
        _check("min_free", min_free, 0, 1)
        _check("commit_after", commit_after, 0, 60)
        _check("commit_count", commit_count, 1, 100_000)
        _check("large", large, 1, 256 << 20)
        _check("seen_count", seen_count, 0, 100_000_000)
        _check("seen_age", seen_age, 0, None)
        self.folder = Folder(Path(path))
        self._max_size = max_size
        self._min_free = min_free
        self._database = Database(self.folder, _stamp)
        self._commits = GroupCommit(self._database, commit_after=commit_after, commit_count=commit_count)
        self.seen = SeenEvents(self._commits, _wall_clock, max_count=seen_count, max_age=seen_age)
        self.journal = Journal(self._commits, self.seen, self._database, large)
        self.opened: Opened | None = None

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def state(self) -> StoreState:
        """How it is."""
        return self._commits.state

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        """Have `listener(state)` called on the trio thread at each change; it must neither wait nor raise."""
        self._commits.on_state.append(listener)

    async def room(self) -> None:
        """Wait until new work may come; at once, without a checkpoint, if it may.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        await self._commits.wait_room()

    async def open(self) -> Opened:
        """Open it; without effect if it is open.

        Cancelled: it is opened all the same.

        Returns:
            What was found, such as a corrupt database that was set aside.

        Raises:
            StoreUnavailable: if the folder cannot be written to.
            StoreInUse: if somebody else has it open.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made the database.
        """
        if self.opened is None or not self._database.is_open:
            self.opened = await self._commits.in_thread(self._open)
            if self.opened.set_aside is not None:
                logger.error(
                    "the store in %s was corrupt (%s); it was moved to %s and a new one begun",
                    self.path,
                    self.opened.damage,
                    self.opened.set_aside,
                )
        return self.opened

    def _open(self) -> Opened:
        opened = self._database.open()
        if self.opened is None:
            self.journal.begin(self._database.meta("fresh", 1), self._database.meta("life", 1))
            self.seen.load(self._database.rows("SELECT n, id, at FROM seen ORDER BY n"))
        return opened

    async def run(self, task_status: trio.TaskStatus[Opened] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is appended, until cancelled; then write the rest and close in order.

        It may be called again after it raised: nothing that was appended is lost by that. `started` is
        given what opening found.

        Cancelled: what was appended is written, within 10 seconds, and the store closed.

        Raises:
            sqlite3.DatabaseError: if the database turns out to be corrupt; run again, and it is set aside.
        """
        task_status.started(await self.open())
        try:
            await self._commits.write_batches()
        except trio.Cancelled:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_WITHIN):
                await self.close()
            raise
        except sqlite3.DatabaseError:
            await self._commits.in_thread(self._database.abandon)
            raise

    async def close(self) -> None:
        """Write what was appended and close it, marked as closed in order; without effect on a closed one.

        Cancelled: it stays open, and may be closed again.
        """
        if self._database.is_open:
            if self._commits.pending:
                await self._commits.write_one()
            await self._commits.in_thread(self._close)

    def _close(self) -> None:
        self._database.close(self.journal.following)


def _check(name: str, value: float, least: float, most: float | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not value >= least or (most is not None and value > most):
        bound = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {bound}, not {value!r}")


def _wall_clock() -> int:
    return current_runtime().wall_clock()


def _stamp() -> str:
    return str(_wall_clock() // 1_000_000)
