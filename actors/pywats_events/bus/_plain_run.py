"""The run of a bus for plain code: its thread, what other threads ask of it, and how it ends.

Each call has one answer, whatever becomes of the bus meanwhile: before the start, while it stops,
after its end or its failure, and in a forked process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

import trio

from pywats_events.bus._checks import checked_timeout
from pywats_events.bus._core import DEFAULT_GRACE, BusCore
from pywats_events.bus._lane import Lane
from pywats_events.bus._thread import Asked, TrioThread, made, wait_for, wait_for_call
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.errors import BusFailed, BusNotRunning, BusStopped, WouldDeadlock
from pywats_events.handlers._handler_actor import CURRENT_HAND
from pywats_supervision.errors import unwrapped
from pywats_supervision.logs import GuardedLogger

__all__ = ["PlainRun"]

T = TypeVar("T")

logger: Final = GuardedLogger("pywats_events")


class PlainRun:
    """The run of one bus in a thread of its own.

    Args:
        bus: the face on trio.
        core: of the same bus.

    Attributes:
        lane: events of other threads, on their way to the bus's.
    """

    def __init__(self, bus: AsyncEventBus, core: BusCore) -> None:
        self._bus = bus
        self._core = core
        self._thread: TrioThread | None = None
        self._nursery: trio.Nursery
        self.lane = Lane(core, self.call_soon)

    # Its life

    def start(self, timeout: float | None) -> None:
        """Start it and wait until it is up; see `EventBus.start`."""
        timeout = checked_timeout(timeout)
        thread = self._thread
        if thread is None:
            up = self._begin(timeout)
        else:
            self._check_process(thread)
            if thread.ended:
                self._check_failure(thread)
            up = not thread.ended and (self.inside or thread.wait_up(timeout))
        if not up:
            raise BusStopped(f"bus {self._bus.name!r} has been stopped; build another one")

    def _begin(self, timeout: float | None) -> bool:
        thread = TrioThread(f"EventBus {self._bus.name}", self._main, self._main_thread_ended)
        try:
            self._thread = thread
            thread.start()
            return thread.wait_up(timeout)
        except BaseException:
            if thread.ended or thread.call_off():
                self._thread = None
            else:
                self.request_stop(DEFAULT_GRACE)
            raise

    def _main_thread_ended(self) -> None:
        """Nobody may have thought of a stop."""
        self.request_stop(DEFAULT_GRACE)

    async def _main(self, up: Callable[[], None]) -> None:
        told, failure = Up(up), None
        try:
            async with trio.open_nursery() as self._nursery:
                await self._bus.run(task_status=told)
                self._nursery.cancel_scope.cancel()
        except BaseException as error:  # noqa: BLE001, ASYNC103 - raised below, when the lane is empty
            failure = unwrapped(error)
        self.lane.hand_back()
        if failure is None:
            return
        if told.up:  # before, `start` raises it
            logger.critical(
                "bus %r has failed, and handles nothing any more", self._bus.name, exc_info=failure
            )
        raise failure

    def stop(self, grace: float) -> None:
        """Stop it and, from outside, wait for its end; see `EventBus.stop`."""
        thread = self._thread
        if thread is None:
            return
        self._check_process(thread)
        self.request_stop(grace)
        if self.inside:
            return
        thread.join()
        self._check_failure(thread)

    def request_stop(self, grace: float) -> None:
        """Ask it to stop; what was published before is accepted first."""
        if self._thread is not None:
            self._check_process(self._thread)
            try:
                self._thread.call_soon(self._stop_on_bus, grace)
            except RuntimeError:
                return  # it has ended, which is what was asked for

    def _stop_on_bus(self, grace: float) -> None:
        self.lane.take()
        if self._core.tree is None:
            self._nursery.cancel_scope.cancel()  # it still opens its store, and has accepted nothing
        else:
            self._bus.request_stop(grace)

    # What its threads and states are

    @property
    def here(self) -> bool:
        """Whether the caller is on the bus's own thread."""
        return self._thread is not None and self._thread.here

    @property
    def inside(self) -> bool:
        """Whether the caller is on the bus's own thread, or in a worker thread of one of its handlers."""
        hand = CURRENT_HAND.get()
        return self.here or (hand is not None and hand.bus is self._core)

    @property
    def forked(self) -> bool:
        """Whether it runs in another process."""
        return self._thread is not None and self._thread.forked

    def check_process(self) -> None:
        """Refuse what is asked in a process that was forked from its own."""
        if self._thread is not None:
            self._check_process(self._thread)

    def check_may_wait(self, what: str) -> None:
        """Refuse on the bus's own thread and in its handlers."""
        if self.inside:
            raise WouldDeadlock(
                f"{what} would wait for bus {self._bus.name!r} on its own thread, or inside one of its "
                "handlers"
            )

    def over(self) -> bool:
        """Whether it does not run yet, or any more; raises if it failed, or runs in another process."""
        if self._thread is None:
            return True
        self._check_process(self._thread)
        if self._thread.ended:
            self._check_failure(self._thread)
        return self._thread.ended

    def check_running(self, *, inside: bool = False) -> None:
        """Refuse unless it takes events; those published inside a handler also while the bus stops."""
        self._running(inside=inside)

    def _running(self, *, inside: bool = False) -> TrioThread:
        thread = self._thread
        if thread is None:
            raise BusNotRunning(f"bus {self._bus.name!r} is not running; call its start() first")
        self._check_process(thread)
        if thread.ended or not (self._core.running if inside else self._core.door.open):
            self._check_failure(thread)
            raise BusStopped(f"bus {self._bus.name!r} is stopped or stopping; it accepts no more events")
        return thread

    def _check_process(self, thread: TrioThread) -> None:
        if thread.forked:
            raise BusNotRunning(
                f"bus {self._bus.name!r} runs in the process that forked this one; build a bus after the fork"
            )

    def _check_failure(self, thread: TrioThread) -> None:
        failure = self._core.failure or thread.failure
        if failure is not None:
            raise BusFailed(
                f"bus {self._bus.name!r} failed: {type(failure).__name__}: {failure}"
            ) from failure

    # What is asked of it

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread: at once there, soon from any other."""
        thread = self._thread
        if thread is None or thread.here or thread.ended:
            function(*args)
            return
        self._check_process(thread)
        try:
            thread.call_soon(function, *args)
        except RuntimeError:
            function(*args)  # it has ended meanwhile; nobody else can touch what it left

    def make(self, call: Callable[[], T], timeout: float | None = None) -> T:
        """Make a sync call on the bus's thread and wait for its result."""
        timeout = checked_timeout(timeout)
        if self.over() or self.here:
            return call()
        future: Future[T] = Future()
        self.call_soon(made, future, call)
        try:
            return wait_for_call(future, timeout)
        except TimeoutError:
            if not future.cancelled():
                raise
            raise TimeoutError(
                f"the thread of bus {self._bus.name!r} did not come to this call in {timeout:g} s, so it was "
                "not made; a handler or a callback holds that thread up"
            ) from None

    def wait(self, call: Callable[[], Awaitable[T]], timeout: float | None) -> T:
        """Run an async call on the bus's thread and wait for its result; out of time, it is cancelled."""
        timeout = checked_timeout(timeout)
        self.check_may_wait("this call")
        thread = self._running()
        stopped = BusStopped(f"bus {self._bus.name!r} stopped meanwhile")
        asked = Asked(call, stopped)
        try:
            self._call_running(thread, self._spawn, asked)
            return wait_for(asked.future, timeout)
        except BusStopped as error:
            if error is stopped:
                self._check_failure(thread)
            raise
        except BaseException:
            if not asked.future.done():
                self.call_soon(asked.withdraw)
            raise

    def spawn(self, call: Callable[[], Awaitable[object]]) -> None:
        """Run an async call on the bus's thread, for nobody who waits; on that thread."""
        self._nursery.start_soon(call)

    def _spawn(self, asked: Asked[T]) -> None:
        self.lane.take()
        try:
            self._nursery.start_soon(asked.run)
        except RuntimeError:  # it has been left: the bus ended after this call began
            asked.refuse()

    def _call_running(self, thread: TrioThread, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread, which has to run still."""
        try:
            thread.call_soon(function, *args)
        except RuntimeError:
            thread.join()
            self._check_failure(thread)
            raise BusStopped(f"bus {self._bus.name!r} stopped meanwhile") from None


class Up:
    """The task status of a run that a plain thread waits for.

    Args:
        tell: called when it is up.

    Attributes:
        up: whether it is.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self.up = False

    def started(self, value: None = None) -> None:
        """It is up."""
        del value
        self.up = True
        self._tell()
