"""Store: all of a station that survives the process, in one folder with one writer.

It is a child of its own in the tree ("store", before the bus): `run` opens the database, writes batches,
watches the room that is left, and closes in order.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

import trio

from pywats_events.checks import Finding
from pywats_events.durability._capacity import Alarm, Sample, alarm_between, bound_of, fullness, hours_left
from pywats_events.durability._checking import finding
from pywats_events.durability._database import Database, Opened, Usage
from pywats_events.durability._faults import checked, unavailable
from pywats_events.durability._files import Folder
from pywats_events.durability._group_commit import Commit, GroupCommit, StoreState
from pywats_events.durability.dead_letters import SQLiteDeadLetterQueue
from pywats_events.durability.errors import StoreDamaged
from pywats_events.durability.journal import Journal
from pywats_events.durability.keepsakes import Shelf, Spool
from pywats_events.durability.seen_events import SeenEvents
from pywats_events.models._clock import wall_clock
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.runtime import CURRENT_RUNTIME
from pywats_supervision.system import current_runtime

__all__ = ["Store"]

logger: Final = GuardedLogger("pywats_events")

_LOOK_EVERY: Final = 30.0
_LOOK_EVERY_IN_NEED: Final = 2.0
_SAMPLE_EVERY: Final = 5.0
_SAMPLES: Final = 720


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
        max_dead_letters: how many are kept; one more pushes the oldest out, and is counted.
        close_within: seconds that closing may try to write the rest to a disk that fails.

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
        max_dead_letters: int = 100_000,
        close_within: float = 10.0,
    ) -> None:
        _check("max_size", max_size, 1 << 20, None)
        _check("min_free", min_free, 0, 1)
        _check("commit_after", commit_after, 0, 60)
        _check("commit_count", commit_count, 1, 100_000)
        _check("large", large, 1, 256 << 20)
        _check("seen_count", seen_count, 0, 100_000_000)
        _check("seen_age", seen_age, 0, None)
        _check("close_within", close_within, 0, None)
        self.folder: Folder = Folder(Path(path))
        self._max_size = max_size
        self._min_free = min_free
        self._close_within = close_within
        self._database = Database(self.folder, _stamp)
        self._commits = GroupCommit(self._database, commit_after=commit_after, commit_count=commit_count)
        self.seen: SeenEvents = SeenEvents(self._commits, _wall_clock, max_count=seen_count, max_age=seen_age)
        self.dead_letters: SQLiteDeadLetterQueue = SQLiteDeadLetterQueue(
            self.folder.database, self._commits, max_dead_letters
        )
        self.journal: Journal = Journal(
            self._commits, self.seen, self._database, self.dead_letters.add, large
        )
        self.opened: Opened | None = None
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._level = 0.0
        self._alarm_listeners: list[Callable[[Alarm], object]] = []
        self._damage_listeners: list[Callable[[Opened], object]] = []
        self._shelves: dict[str, Shelf] = {}
        self._spools: dict[str, Spool] = {}

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def state(self) -> StoreState:
        """How it is."""
        return self._commits.state

    async def check(self) -> list[Finding]:
        """Look whether it would work, without opening or changing it.

        Cancelled: nothing has happened.
        """
        look = partial(finding, self.path, self._max_size, self._min_free)
        return [await current_runtime().run_blocking(look)]

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        """Have `listener(state)` called on the trio thread at each change; it must neither wait nor raise."""
        self._commits.on_state.append(listener)

    def on_alarm(self, listener: Callable[[Alarm], object]) -> None:
        """Have `listener(alarm)` called on the trio thread when it fills, or has room again.

        It must neither wait nor raise.
        """
        self._alarm_listeners.append(listener)

    def on_damage(self, listener: Callable[[Opened], object]) -> None:
        """Have `listener(opened)` called on the trio thread when opening has found damage.

        It must neither wait nor raise.
        """
        self._damage_listeners.append(listener)

    @property
    def has_room(self) -> bool:
        """Whether new work may come."""
        return self._commits.has_room

    def commit(self) -> Commit:
        """The commit that what was given to the store in this step shares; on the trio thread.

        Raises:
            StoreClosed: if the store is not open.
        """
        return self._commits.appended(0)

    async def room(self) -> None:
        """Wait until new work may come; at once, without a checkpoint, if it may.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        await self._commits.wait_room()

    async def open(self) -> Opened:
        """Open it; without effect if it is open.

        Cancelled: it is opened all the same.

        Returns:
            What was found, such as a damaged database that was set aside.

        Raises:
            StoreUnavailable: if the folder cannot be written to.
            StoreInUse: if somebody else has it open.
            StoreTooNew: if a newer version of this package made it.
            NotAStore: if another program made the database.
        """
        if self.opened is None or not self._database.is_open:
            again = self.opened is not None
            self.opened = await self._commits.in_thread(self._open)
            self._commits.open()
            if again and self.opened.set_aside is not None:
                self._write_again()
            if self.opened.set_aside is not None or self.opened.cut:
                for listener in self._damage_listeners:
                    listener(self.opened)
        return self.opened

    def _open(self) -> Opened:
        try:
            return self._database.open(self._load)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(f"the store in {self.path} cannot be opened", error) from error

    def _load(self) -> None:
        if self.opened is None:
            self.journal.begin(self._database.meta("fresh", 1), self._database.meta("life", 1))
            rows = self._database.rows("SELECT n, id, at FROM seen ORDER BY n")
            self.seen.load(checked(rows, int, str, int))
        self.dead_letters.load()

    def _write_again(self) -> None:
        """Write into a new database what memory still knows of the one that was set aside."""
        self.seen.write_again()
        for shelf in self._shelves.values():
            shelf.write_again()

    async def shelf(self, owner: str, *, max_count: int = 10_000, max_age: float = inf) -> Shelf:
        """The shelf of an owner, with what it kept in earlier lives; of an open store.

        All who ask for the same owner's get the same one, with the bounds that were given last.

        Args:
            owner: a name, such as that of a transport.
            max_count: how many keys are kept, at least 1.
            max_age: seconds after which a value that was not put again is forgotten.

        Raises:
            StoreUnavailable: if it cannot be read; StoreDamaged if it is damaged.

        Cancelled: nothing has happened.
        """
        _check("max_count", max_count, 1, None)
        _check("max_age", max_age, 0, None)
        if owner not in self._shelves:
            rows = await self._commits.reading(self._shelf_rows, owner)
            if owner not in self._shelves:  # else somebody else has asked for it meanwhile
                shelf = Shelf(owner, self._commits, _wall_clock, max_count=max_count, max_age=max_age)
                shelf.load({key: (at, value) for key, at, value in rows})
                self._shelves[owner] = shelf
                return shelf
        else:
            await trio.lowlevel.checkpoint()
        self._shelves[owner].bound(max_count=max_count, max_age=max_age)
        return self._shelves[owner]

    def _shelf_rows(self, owner: str) -> list[tuple[Any, ...]]:
        sql = "SELECT key, at, value FROM shelves WHERE owner = ? ORDER BY at"
        return checked(self._database.rows(sql, owner), str, int, bytes)

    async def spool(self, owner: str) -> Spool:
        """The spool of an owner, with what it held in earlier lives; of an open store.

        All who ask for the same owner's get the same one.

        Args:
            owner: a name, such as that of a transport.

        Raises:
            StoreUnavailable: if it cannot be read; StoreDamaged if it is damaged.

        Cancelled: nothing has happened.
        """
        if owner in self._spools:
            await trio.lowlevel.checkpoint()
            return self._spools[owner]
        sql = "SELECT min(n), max(n) FROM spools WHERE owner = ?"
        ((first, last),) = await self._commits.reading(self._database.rows, sql, owner)
        spool = Spool(owner, self._commits, self._database, _wall_clock, first or 1, last or 0)
        return self._spools.setdefault(owner, spool)

    async def run(self, task_status: trio.TaskStatus[Opened] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is appended, until cancelled; then write the rest and close in order.

        It may be called again after it raised: nothing that was appended is lost by that. `started` is
        given what opening found.

        Cancelled: what was appended is written, within `close_within` seconds, and the store closed.

        Raises:
            StoreDamaged: if the database turns out to be damaged: it is set aside; run again with a new one.
            StoreError: if it cannot be opened.
        """
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            lending = await nursery.start(self._commits.lender.run)
            try:
                task_status.started(await self.open())
                await self._live()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery's group
                failure = error
            finally:
                lending.cancel()
        if failure is not None:
            raise failure

    async def _live(self) -> None:
        try:
            while True:
                healthy = self.state is StoreState.HEALTHY
                with trio.move_on_after(_LOOK_EVERY if healthy else _LOOK_EVERY_IN_NEED):
                    await self._commits.write_batches()
                await self._look()
        except trio.Cancelled:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._close_within):
                await self.close()
            self._commits.close()
            self._let_go()
            raise
        except StoreDamaged:
            with trio.CancelScope(shield=True):
                await self._commits.in_thread(self._let_go)
            raise

    async def _look(self) -> None:
        """See how much room is left, and say so where it changes something."""
        usage = await self._commits.in_thread(self._usage)
        if usage is None:
            return
        now = Sample(trio.current_time(), usage.size, usage.free, usage.disk)
        if not self._samples or now.at - self._samples[-1].at >= _SAMPLE_EVERY:
            self._samples.append(now)
        part = fullness(now, self._max_size, self._min_free)
        self._commits.set_bounded(part >= 1.0 or not usage.reserved)
        level = alarm_between(self._level, part)
        if level != self._level:
            self._level = level
            self._alarm(self._alarm_now(now, part))

    def _usage(self) -> Usage | None:
        try:
            return self._database.usage()
        except (sqlite3.Error, OSError) as error:
            logger.warning("it cannot be seen how full the store in %s is: %s", self.path, error)
            return None

    def _alarm_now(self, now: Sample, part: float) -> Alarm:
        return Alarm(
            level=self._level,
            part=part,
            hours_left=hours_left((*self._samples, now), self._max_size, self._min_free),
            size=now.size,
            bound=bound_of(now, self._max_size, self._min_free),
        )

    def _alarm(self, alarm: Alarm) -> None:
        log = logger.warning if alarm.level else logger.info
        log(
            "the store in %s uses %.0f%% of its room; at the present rate it is full in %.1f hours",
            self.path,
            100 * alarm.part,
            alarm.hours_left,
        )
        for listener in self._alarm_listeners:
            listener(alarm)

    async def close(self) -> None:
        """Write what was appended and close it, marked as closed in order; without effect on a closed one.

        A damaged one is set aside.

        Cancelled: it stays open, and may be closed again.
        """
        if self._database.is_open:
            try:
                if self._commits.pending:
                    await self._commits.write_one()
                await self._commits.in_thread(self._close)
            except StoreDamaged:
                await self._commits.in_thread(self._let_go)
            self._commits.close()

    def _let_go(self) -> None:
        self.dead_letters.release()
        self._database.abandon()

    def _close(self) -> None:
        if self._database.damage is not None:
            self._let_go()
            return
        self.dead_letters.release()
        try:
            self._database.close(self.journal.following)
        except (sqlite3.Error, OSError) as error:
            logger.error(  # noqa: TRY400 - the error says it all
                "the store in %s could not be closed in order, and counts this as an unclean end: %s",
                self.path,
                error,
            )


def _check(name: str, value: float, least: float, most: float | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not value >= least or (most is not None and value > most):
        bound = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {bound}, not {value!r}")


def _wall_clock() -> int:
    # For each event: a runtime of its own would cost more than all the rest.
    runtime = CURRENT_RUNTIME.get()
    return wall_clock() if runtime is None else runtime.wall_clock()


def _stamp() -> str:
    return str(_wall_clock() // 1_000_000)
