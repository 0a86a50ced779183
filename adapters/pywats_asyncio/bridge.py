"""AsyncioBridge: an asyncio loop in a thread, as a supervised child of a trio tree.

anyio's blocking portal gives the thread and is used for its start and end only. All else goes over
two lanes (`_lane`), one in each direction. The wake towards trio is put off to the end of the loop's
turn, the one towards the loop to trio's next step, so that one wake serves all of a turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import trio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from pywats_asyncio._lane import Lane
from pywats_asyncio.call import Call
from pywats_asyncio.errors import BridgeClosed, BridgeFailed
from pywats_supervision.context import ChildContext
from pywats_supervision.system import current_runtime

__all__ = ["AsyncioBridge"]

T = TypeVar("T")


class AsyncioBridge:
    """One asyncio loop for all asyncio libraries of a tree.

    `run` is a child's start: give it to a `ChildSpec` or `nursery.start`. It can be run again after
    it ended. All methods are for the trio thread, except `post_to_trio`, which is for the loop.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str = "pywats-asyncio") -> None:
        self._name: Final = name
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trio: trio.lowlevel.TrioToken | None = None
        self._accepting = False
        self._calls: dict[Call[Any], None] = {}
        self._no_calls = trio.Event()
        self._over = trio.Event()
        self._failure: Exception | None = None
        self._lasting: asyncio.Task[Any] | None = None
        self._pump_task: trio.lowlevel.Task | None = None
        self._pump_parked = False
        self._due: Callable[[], None] | None = None
        self._to_loop = Lane(self._wake_loop, self._failed_on_loop)
        self._to_trio = Lane(self._wake_trio, self._fail)

    @property
    def running(self) -> bool:
        """Whether calls are accepted here and now."""
        return self._accepting and os.getpid() == self._process

    @property
    def wakes(self) -> tuple[int, int]:
        """How often this life has woken the loop, and trio."""
        return self._to_loop.wakes, self._to_trio.wakes

    # For users on trio

    async def call(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await `fn(*args)` on the asyncio loop.

        Cancelled: the asyncio task is cancelled, and its end waited for. If it ends with a value or an
        error all the same, that is what the caller gets. Many tasks may call at once.

        Args:
            fn: an async function for asyncio.
            *args: its arguments; they go to the other thread, so leave them alone meanwhile.

        Raises:
            BridgeClosed: if the bridge does not run, or ends before the call does.
            CallCancelled: if the call is cancelled on the asyncio side.
            Exception: what `fn` raises.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.running:
            raise BridgeClosed(f"bridge {self._name!r} does not run; its run() must be a child that is up")
        call = Call(fn, args, self.post_to_trio)
        self._calls[call] = None
        self._to_loop.post(self._begin, call)
        try:
            await call.ended.wait()
        except trio.Cancelled:  # noqa: ASYNC103 - raised again unless the call got to its end
            self.post(call.cancel)
            with trio.CancelScope(shield=True):
                await call.ended.wait()
            if call.was_cancelled:
                raise
        finally:
            del self._calls[call]
            if not self._calls:
                self._no_calls.set()
        return call.result()

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Have the sync function `fn(*args)` called on the loop, soon and in order; on trio.

        Forgotten when there is no loop any more. What it raises ends the bridge.
        """
        if self._loop is not None:
            self._to_loop.post(fn, *args)

    # For users on the loop

    def post_to_trio(self, fn: Callable[..., object], *args: Any) -> None:
        """Have the sync function `fn(*args)` called on trio, soon and in order; on the loop.

        It runs in trio's own step: it must not wait. What it raises ends the bridge.
        """
        self._to_trio.post(fn, *args)

    def _begin(self, call: Call[Any]) -> None:
        """Begin a call, unless the loop is dying and waits for nobody more: then `_close` ends the call."""
        if self._lasting is None or not (self._lasting.done() or self._lasting.cancelling()):
            call.begin()

    async def _last(self) -> None:
        """Last as long as the loop."""
        self._lasting = asyncio.current_task()
        await asyncio.Event().wait()

    # Life

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[AsyncioBridge] = trio.TASK_STATUS_IGNORED,
        child: ChildContext | None = None,
    ) -> None:
        """Run the loop until asked to stop.

        Cancelled: calls that are running are cancelled and their ends waited for, then the loop ends and
        its thread is joined.

        Args:
            task_status: told when calls are accepted.
            child: the life that asks it to stop; None where only a cancellation ends it.

        Raises:
            BridgeFailed: if the loop ends by itself, or something posted raises.
        """
        if self._loop is not None:
            raise RuntimeError(f"bridge {self._name!r} is running already")
        run_blocking = current_runtime().run_blocking
        manager = start_blocking_portal("asyncio", name=self._name)
        portal = await run_blocking(manager.__enter__)
        try:
            self._open(portal, await run_blocking(portal.call, asyncio.get_running_loop))
            if child is not None:
                child.on_stopping(self._over.set)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump)
                task_status.started(self)
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._accepting = False
            with trio.CancelScope(shield=True):
                await self._end_calls()
                await run_blocking(_leave, portal, manager)
            self._close()
        if self._failure is not None:
            raise BridgeFailed(f"bridge {self._name!r} failed: {self._failure}") from self._failure

    def _open(self, portal: BlockingPortal, loop: asyncio.AbstractEventLoop) -> None:
        self._process = os.getpid()
        self._trio = trio.lowlevel.current_trio_token()
        self._over = trio.Event()
        self._failure = None
        self._due = None
        self._to_loop = Lane(self._wake_loop, self._failed_on_loop)
        self._to_trio = Lane(self._wake_trio, self._fail)
        self._lasting = None
        self._loop = loop
        self._accepting = True
        portal.start_task_soon(self._last).add_done_callback(self._loop_ends)

    async def _end_calls(self) -> None:
        self._no_calls = trio.Event()
        for call in list(self._calls):
            self.post(call.cancel)
        while self._calls and not self._loop_gone:
            await self._no_calls.wait()
            self._no_calls = trio.Event()

    @property
    def _loop_gone(self) -> bool:
        return isinstance(self._failure, _LoopEnded)

    def _close(self) -> None:
        self._loop = None
        for call in list(self._calls):
            call.abandon()

    def _fail(self, error: Exception) -> None:
        if self._failure is None or isinstance(error, _LoopEnded):
            self._failure = error
        self._over.set()
        self._no_calls.set()

    def _failed_on_loop(self, error: Exception) -> None:
        self._to_trio.post(self._fail, error)

    def _loop_ends(self, _: object) -> None:
        """On the loop: the task that lasts as long as the loop is ending."""
        if self._accepting:
            self._run_on_trio(self._fail, _LoopEnded("the asyncio loop ended by itself"))

    # Wakes

    def _wake_trio(self, drain: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(self._run_on_trio, drain)

    def _run_on_trio(self, fn: Callable[..., object], *args: object) -> None:
        assert self._trio is not None
        try:
            self._trio.run_sync_soon(fn, *args)
        except trio.RunFinishedError:
            pass  # nobody is left to be told

    def _wake_loop(self, drain: Callable[[], None]) -> None:
        if self._pump_task is None:
            self._run_on_loop(drain)
            return
        self._due = drain
        if self._pump_parked:
            self._pump_parked = False
            trio.lowlevel.reschedule(self._pump_task)

    def _run_on_loop(self, drain: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(drain)
        except RuntimeError as error:
            self._fail(_LoopEnded(f"the asyncio loop is closed: {error}"))

    async def _pump(self) -> None:
        """Wake the loop for what was posted in trio's last step; parked otherwise."""
        self._pump_task = trio.lowlevel.current_task()
        try:
            while True:
                while self._due is not None:
                    drain, self._due = self._due, None
                    self._run_on_loop(drain)
                self._pump_parked = True
                await trio.lowlevel.wait_task_rescheduled(self._unpark)
        finally:
            self._pump_task = None
            if self._due is not None:
                self._run_on_loop(self._due)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._pump_parked = False
        return trio.lowlevel.Abort.SUCCEEDED


class _LoopEnded(Exception):
    """The loop is not there any more; why the bridge failed."""


def _leave(portal: BlockingPortal, manager: AbstractContextManager[BlockingPortal]) -> None:
    """End the loop and join its thread; in a worker thread, since it waits."""
    try:
        portal.call(portal.stop, True)
    except RuntimeError:
        pass  # it ended by itself
    manager.__exit__(None, None, None)
