"""When is a batch written, and what happens while the disk refuses?

Callers on the trio thread append plain operations to the open batch: no await, no task, no closure.
One writer takes it when it is old or long enough, and while it is at the disk the next one fills.
So a commit costs each of a thousand callers a thousandth of an fsync, and under load commits follow
each other without a pause.

While the disk is full or fails, that is a state and no crash: what was appended is kept, together with
what comes to it, and tried again; nobody is told that it is done; new work waits in `wait_room`. What
settles makes room: it overtakes a payload that does not fit.

Damage is a state too, whoever finds it: every call in the thread passes `in_thread`, and whoever reads by
a connection of its own reports to `cannot_read`. The writer ends with it, the database is set aside, and
what was not written yet goes into the new one.

HOT: tests/benchmarks/bench_store.py.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import trio

from pywats_events.durability._database import Batch, Database
from pywats_events.durability._faults import is_corrupt, is_full, unavailable
from pywats_events.durability._lending import Lender
from pywats_events.durability._statements import Kind
from pywats_events.durability.errors import StoreClosed, StoreDamaged, StoreUnavailable
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["Commit", "GroupCommit", "StoreState"]

logger: Final = GuardedLogger("pywats_events")

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_LOOK_BYTES: Final = 16 << 20


class StoreState(enum.Enum):
    """How a store is."""

    HEALTHY = "healthy"
    """It takes what it is given."""
    FULL = "full"
    """Its bound or the disk's is reached: it takes nothing new until something is settled or freed."""
    FAILING = "failing"
    """The last write failed for another reason; it is tried again."""
    DAMAGED = "damaged"
    """Something in it cannot be read: it is being set aside, and a new one begun."""


class Commit:
    """That a batch is on the disk; all who appended to it share it."""

    __slots__ = ("_callbacks", "_event", "done", "error")

    def __init__(self) -> None:
        self.done: bool = False
        """Whether the batch is on the disk."""
        self.error: StoreUnavailable | None = None
        """Why it never will be."""
        self._event: trio.Event | None = None
        self._callbacks: list[Callable[[], object]] = []

    async def wait(self) -> None:
        """Wait until all of it is on the disk.

        Cancelled: it is written all the same. Several tasks may wait.

        Raises:
            StoreUnavailable: if the store was closed before.
        """
        if not self.done and self.error is None:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        else:
            await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise StoreClosed(str(self.error)) from self.error

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called on the trio thread when it is on the disk, at once if it is.

        Never called if it cannot be written. It must neither wait nor raise.
        """
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)

    def resolve(self, error: StoreUnavailable | None = None) -> None:
        """Say that it is written, or why it never will be."""
        if self.done or self.error is not None:
            return
        self.done, self.error = error is None, error
        callbacks, self._callbacks = self._callbacks, []
        if self._event is not None:
            self._event.set()
        if error is None:
            for callback in callbacks:
                callback()


class GroupCommit:
    """The batches of one database.

    Args:
        database: where they go.
        commit_after: seconds that the first operation of a batch waits for company.
        commit_count: operations at which a batch goes without waiting longer.
        max_pending: operations that may wait to be written before new work has to wait.
        max_pending_bytes: the same in bytes.
    """

    def __init__(
        self,
        database: Database,
        *,
        commit_after: float = 0.005,
        commit_count: int = 1000,
        max_pending: int = 20_000,
        max_pending_bytes: int = 64 << 20,
    ) -> None:
        self.state: StoreState = StoreState.HEALTHY
        self.last_error: str | None = None
        self.commits: int = 0
        self.on_state: list[Callable[[StoreState], object]] = []
        self._database = database
        self._commit_after = commit_after
        self._commit_count = commit_count
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self.lender: Lender = Lender(lambda: database.syncing)
        self._limiter = trio.CapacityLimiter(1)
        self._open = Batch()
        self._commit = Commit()
        self._count = 0
        self._since = 0.0
        self._at_disk: Batch | None = None
        self._at_disk_count = 0
        self._waiting: list[Commit] = []
        self._first = trio.Event()
        self._enough = trio.Event()
        self._room = trio.Event()
        self._bounded = False
        self._relieved = False
        self._pause = _FIRST_PAUSE
        self._token: trio.lowlevel.TrioToken | None = None
        self.closed: bool = True
        self._ended = False

    # Appending

    @property
    def open_batch(self) -> Batch:
        """The batch that fills; append to it and call `appended` in the same step."""
        return self._open

    def add(self, kind: Kind, row: tuple[Any, ...]) -> Commit:
        """Append one operation."""
        self._open.add(kind, row)
        return self.appended()

    def appended(self, size: int = 64) -> Commit:
        """Count an operation that was appended to `open_batch`.

        Args:
            size: its bytes, about.

        Returns:
            The commit that it shares.

        Raises:
            StoreClosed: if the store is not open.
        """
        self.check_open()
        return self._counted(size)

    def check_open(self) -> None:
        """Check that operations are taken.

        Raises:
            StoreClosed: if they are not.
        """
        if self.closed:
            raise StoreClosed("the store is not open, and takes nothing")

    def _counted(self, size: int) -> Commit:
        self._open.size += size
        self._count += 1
        if self._count == 1:
            self._first.set()
        elif self._count == self._commit_count:
            self._enough.set()
        return self._commit

    def add_from_anywhere(
        self, rows: Sequence[tuple[Kind, tuple[Any, ...]]], written: Callable[[], object]
    ) -> None:
        """Append operations from any thread, also before the store is opened.

        From the trio thread they are appended in this very step.

        Args:
            rows: the operations, kept together.
            written: called on the trio thread when they are on the disk.

        Raises:
            StoreClosed: if the store was closed.
        """
        if self._ended:
            raise StoreClosed("the store was closed, and takes nothing more")
        token = self._token
        if token is None or _is_here(token):
            self._add_all(rows, written)
        else:
            token.run_sync_soon(self._add_all, rows, written)

    def _add_all(self, rows: Sequence[tuple[Kind, tuple[Any, ...]]], written: Callable[[], object]) -> None:
        if self._ended:
            logger.error("the store was closed before %d operations of another thread came to it", len(rows))
            return
        for kind, row in rows:
            self._open.add(kind, row)
        self._counted(64).add_done_callback(written)

    def is_unwritten(self, seq: int) -> bool:
        """Whether an accepted event still has to be written."""
        at_disk = self._at_disk
        return seq in self._open.accepted or (at_disk is not None and seq in at_disk.accepted)

    @property
    def pending(self) -> int:
        """Operations that are not known to be on the disk."""
        return self._count + self._at_disk_count

    @property
    def has_room(self) -> bool:
        """Whether new work may come."""
        return (
            self.state is StoreState.HEALTHY
            and self.pending < self._max_pending
            and self._open.size < self._max_pending_bytes
        )

    async def wait_room(self) -> None:
        """Wait until new work may come; at once, and without a checkpoint, if it may.

        Cancelled: nothing has happened. Several tasks may wait.

        Raises:
            StoreClosed: if the store is closed.
        """
        while True:
            self.check_open()
            if self.has_room:
                return
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()

    def _tell_room(self) -> None:
        if not self._room.is_set() and self.has_room:
            self._room.set()

    # Writing

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function(*args)` in the one thread that uses the database.

        Cancelled: it is waited for all the same.

        Raises:
            StoreDamaged: if the database is damaged.
            sqlite3.Error: if it cannot be read or written to for another reason.
            OSError: if a payload cannot be.
        """
        self.lender.entered()
        try:
            return await current_runtime().run_blocking(function, *args, limiter=self._limiter)
        except sqlite3.Error as error:
            if is_corrupt(error):
                raise self._damaged(error) from error
            raise
        finally:
            self.lender.left()

    async def reading(self, function: Callable[..., T], *args: Any) -> T:
        """Read in that thread.

        Cancelled: nothing has happened.

        Raises:
            StoreUnavailable: if it cannot be read; StoreDamaged if it is damaged.
        """
        try:
            return await self.in_thread(function, *args)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(self._what, error) from error

    @property
    def _what(self) -> str:
        return f"the store in {self._database.folder.path} cannot be read"

    def cannot_read(self, error: sqlite3.Error) -> StoreUnavailable:
        """The error for one who reads by a connection of its own; from any thread.

        Args:
            error: why it cannot. Damage has the database set aside.
        """
        token = self._token
        if is_corrupt(error) and token is not None:
            if _is_here(token):
                return self._damaged(error)
            token.run_sync_soon(self._damaged, error)
        return unavailable(self._what, error)

    def _damaged(self, error: sqlite3.Error) -> StoreUnavailable:
        """Have the writer end, so that the database is set aside."""
        if self._database.damage is None and self._database.is_open:
            self._database.damage = str(error)
            self.last_error = str(error)
            self._enter(StoreState.DAMAGED)
            self._first.set()
            self._enough.set()
        return unavailable(self._what, error)

    async def write_batches(self) -> None:
        """Write one batch after the other, until they come to `_LOOK_BYTES`, or there was no room.

        Then it is time to see how much room is left. It may be called again, also after it raised: the
        batch in hand comes first.

        Cancelled: the batch at the disk is waited for; what was appended since is not written.

        Raises:
            StoreDamaged: if the database is damaged.
        """
        written = 0
        while written < _LOOK_BYTES:
            if self._at_disk is None:
                await self._wait_filled()
            written += await self.write_one()
            if self._relieved:
                self._relieved = False
                return

    async def _wait_filled(self) -> None:
        await self._first.wait()
        if self._count < self._commit_count:
            with trio.move_on_after(self._commit_after):
                await self._enough.wait()

    def _take(self) -> Batch:
        """Take the open batch in hand, behind one that failed before."""
        if self._at_disk is None:
            self._at_disk = self._open
        elif self._count:
            self._at_disk.absorb(self._open)
        else:
            return self._at_disk
        self._waiting.append(self._commit)
        self._at_disk_count += self._count
        self._begin_batch()
        return self._at_disk

    def _begin_batch(self) -> None:
        self._open, self._commit, self._count = Batch(), Commit(), 0
        if self._first.is_set():
            self._first = trio.Event()
        if self._enough.is_set():
            self._enough = trio.Event()

    async def write_one(self) -> int:
        """Write what there is, as often as it takes; says how many bytes that were, about.

        Cancelled: as for `write_batches`.

        Raises:
            StoreDamaged: if the database is damaged.
        """
        while True:
            if self._database.damage is not None:
                raise StoreDamaged(f"{self._what}: it is damaged ({self._database.damage}), and is set aside")
            batch = self._take()
            try:
                await self.in_thread(self._database.write, batch)
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
            else:
                break
            await self._make_room(batch)
        self._written()
        if self._database.checkpoint_due:
            await self.in_thread(self._checkpoint)
        return batch.size

    async def _make_room(self, batch: Batch) -> None:
        """Wait until a batch that failed is worth another try, and do what may help it."""
        if self.state is StoreState.FULL:
            await self.in_thread(self._relieve)
        await trio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if batch.payloads and batch.can_follow and self._count and not self._open.payloads:
            await self._overtake(batch)

    async def _overtake(self, batch: Batch) -> None:
        """Write what came since, ahead of a batch whose payload does not fit."""
        ahead, commit, count = self._open, self._commit, self._count
        self._begin_batch()
        batch.give_up(ahead)
        written = False
        try:
            await self.in_thread(self._database.write, ahead)
            written = True
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        finally:
            if not written:
                batch.absorb(ahead)
                self._waiting.append(commit)
                self._at_disk_count += count
        if written:
            self.commits += 1
            self._pause = _FIRST_PAUSE
            commit.resolve()

    def _checkpoint(self) -> None:
        try:
            self._database.checkpoint()
        except (sqlite3.Error, OSError) as error:
            if is_corrupt(error):
                raise
            # What was written is safe in the log, and the next checkpoint takes it along.
            logger.warning("the store in %s could not move its log: %s", self._database.folder.path, error)
            if is_full(error):
                self._relieve()

    def _relieve(self) -> None:
        """In the thread: make room to settle with; nothing new is taken until a look finds more."""
        self._bounded = self._relieved = True
        try:
            self._database.relieve()
        except (sqlite3.Error, OSError) as error:
            if is_corrupt(error):
                raise
            logger.debug("the store in %s could not move its log: %s", self._database.folder.path, error)

    def _written(self) -> None:
        self._at_disk, self._at_disk_count = None, 0
        self.commits += 1
        waiting, self._waiting = self._waiting, []
        self.last_error = None
        self._pause = _FIRST_PAUSE
        self._enter(StoreState.FULL if self._bounded else StoreState.HEALTHY)
        for commit in waiting:
            commit.resolve()
        self._tell_room()

    def _failed(self, error: Exception) -> None:
        self.last_error = f"{type(error).__name__}: {error}"
        self._enter(StoreState.FULL if is_full(error) else StoreState.FAILING)

    def set_bounded(self, bounded: bool) -> None:
        """Say that the bound on its size or on the free disk is reached, or no longer."""
        self._bounded = bounded
        if self.last_error is None:
            self._enter(StoreState.FULL if bounded else StoreState.HEALTHY)
            self._tell_room()

    def _enter(self, state: StoreState) -> None:
        if state is self.state or (self._database.damage is not None and state is not StoreState.DAMAGED):
            return
        self.state = state
        if state is StoreState.HEALTHY:
            logger.info("the store in %s takes what it is given again", self._database.folder.path)
        else:
            logger.error(
                "the store in %s is %s (%s): nothing new is accepted until that is mended",
                self._database.folder.path,
                state.value,
                self.last_error or "its bound is reached",
            )
        for listener in self.on_state:
            listener(state)

    def open(self) -> None:
        """Take operations, again if it was closed, or if the database was damaged and is a new one."""
        self.closed = self._ended = False
        self._token = trio.lowlevel.current_trio_token()
        if self.state is StoreState.DAMAGED:
            self.last_error = None
            self.set_bounded(self._bounded)

    def close(self) -> None:
        """Take nothing more, and tell those who wait for what was not written."""
        self.closed = self._ended = True
        self._token = None
        self._room.set()
        reason = StoreClosed("the store was closed before this was written")
        for commit in (*self._waiting, self._commit):
            commit.resolve(reason)
        self._commit = Commit()


def _is_here(token: trio.lowlevel.TrioToken) -> bool:
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False
