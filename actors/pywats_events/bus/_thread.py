"""A trio run in a thread of its own, for plain code: the one place that knows threads.

The thread is not a daemon: what it has accepted is worth waiting for. A daemon watcher waits for
the main thread's end and asks for a stop, so a script that forgets to stop drains and exits.
All waits are made in slices, so that Ctrl-C is heard on Windows too. It may come between any two
steps of the main thread; whatever it interrupts, either the thread has not begun and never does,
or it runs and can be asked to stop.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, Generic, TypeVar

import trio

__all__ = ["Asked", "TrioThread", "is_here", "made", "this_thread", "wait_for", "wait_for_call"]

T = TypeVar("T")

SLICE: Final = 0.2
"""Seconds of one wait; a signal is handled between two."""

WATCH: Final = 1.0
"""Seconds between two looks of the watcher whether its thread has ended before the main thread."""

this_thread: Final[Callable[[], int]] = threading.get_ident
"""The number of the thread that asks."""


def is_here(token: trio.lowlevel.TrioToken) -> bool:
    """Whether this code runs in the trio run of that token."""
    return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is token


def wait_for(future: Future[T], timeout: float | None) -> T:
    """Wait for a future in slices.

    Args:
        future: to wait for.
        timeout: seconds; None waits for ever.

    Raises:
        TimeoutError: if it is not done in time.
        BaseException: what it ended with.
    """
    left = timeout
    while True:
        slice_ = SLICE if left is None else min(SLICE, max(left, 0.0))
        try:
            return future.result(slice_)
        except FutureTimeout:
            if future.done():
                return future.result()  # done since then, or that is what it ended with
            if left is not None:
                left -= slice_
                if left <= 0:
                    raise TimeoutError from None


def wait_for_call(future: Future[T], timeout: float | None) -> T:
    """Wait for a call that `made` makes; it is withdrawn if it has not begun in time.

    Args:
        future: of the call.
        timeout: seconds until it has to have begun; None waits for ever.

    Raises:
        TimeoutError: if it has not begun in time: it is not made.
        BaseException: what it ended with.
    """
    try:
        return wait_for(future, timeout)
    except TimeoutError:
        if future.cancel():
            raise
    except BaseException:
        future.cancel()
        raise
    return wait_for(future, None)  # it has begun, and does not wait, or is over


def made(future: Future[T], call: Callable[[], T]) -> None:
    """Put what a call gives, or raises, into a future; unless nobody waits for it any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - it is the waiting thread's
        future.set_exception(error)


class Asked(Generic[T]):
    """An async call that a plain thread waits for; cancelled when that waits no more.

    Args:
        call: the async function, to be run on trio.
        cut_short: what the waiting thread is told if the run ends first.

    Attributes:
        future: what the call gives, or raises.
    """

    def __init__(self, call: Callable[[], Awaitable[T]], cut_short: Exception) -> None:
        self.future: Future[T] = Future()
        self._call = call
        self._cut_short = cut_short
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Make the call.

        Cancelled: the waiting thread is told.
        """
        try:
            with self._scope:
                self.future.set_result(await self._call())
        except Exception as error:  # noqa: BLE001 - it is the waiting thread's
            self.future.set_exception(error)
        finally:
            if not self.future.done():
                self.refuse()

    def refuse(self) -> None:
        """It cannot be made, or not to its end."""
        self.future.set_exception(self._cut_short)

    def withdraw(self) -> None:
        """Nobody waits for it any more; on trio."""
        self._scope.cancel()


class TrioThread:
    """One trio run in one thread.

    Args:
        name: of the thread.
        main: the async function to run; given `up`, which it calls when it can be used.
        on_main_thread_end: called, in the watcher's thread, when the main thread has ended.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[Callable[[], None]], Awaitable[None]],
        on_main_thread_end: Callable[[], object],
    ) -> None:
        self._name = name
        self._main = main
        self._on_main_thread_end = on_main_thread_end
        self._claim = threading.Lock()
        """Taken once: by the thread when it begins, or by who calls it off before."""
        self._began: Future[trio.lowlevel.TrioToken | None] = Future()
        self._up: Future[bool] = Future()
        self._ended: Future[BaseException | None] = Future()
        self._token: trio.lowlevel.TrioToken | None = None
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)

    @property
    def forked(self) -> bool:
        """Whether this is another process than the one that started the thread."""
        return os.getpid() != self._process

    @property
    def here(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.current_thread() is self._thread

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self._ended.done()

    @property
    def failure(self) -> BaseException | None:
        """What the run ended with; None while it runs, or if it ended well."""
        return self._ended.result() if self._ended.done() else None

    def start(self) -> None:
        """Start the thread. Interrupted, it may have been started, or not: see `call_off`."""
        self._thread.start()

    def call_off(self) -> bool:
        """Have the thread do nothing when it begins; False if it has begun."""
        if not self._claim.acquire(blocking=False):
            return False
        self._is_over(None)
        return True

    def wait_up(self, timeout: float | None) -> bool:
        """Wait until `main` has said that it is up; False if it ended before, without a failure.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: if it is not in time.
            BaseException: what `main` failed with before.
        """
        return wait_for(self._up, timeout)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on this thread, soon; forgotten if the run ends first.

        Raises:
            RuntimeError: if the run has ended.
        """
        token = self._token or wait_for(self._began, None)  # between the thread's begin and its run's
        try:
            if token is not None:
                token.run_sync_soon(function, *args)
                return
        except trio.RunFinishedError:
            pass
        raise RuntimeError(f"thread {self._name!r} has ended")

    def join(self) -> None:
        """Wait until the run is over, however it ends (see `failure`)."""
        wait_for(self._ended, None)
        self._thread.join()

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        failure: BaseException | None = None
        try:
            # From here, where no Ctrl-C comes between the two.
            threading.Thread(target=self._watch, name=f"{self._name} watcher", daemon=True).start()
            trio.run(self._in_trio)
        except BaseException as error:  # noqa: BLE001, ASYNC103 - handed to those who wait, and kept
            failure = error
        self._is_over(failure)

    def _is_over(self, failure: BaseException | None) -> None:
        if not self._began.done():
            self._began.set_result(None)
        self._ended.set_result(failure)
        if self._up.done():
            return
        if failure is None:
            self._up.set_result(False)
        else:
            self._up.set_exception(failure)

    async def _in_trio(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._began.set_result(self._token)
        await self._main(self._is_up)

    def _is_up(self) -> None:
        if not self._up.done():
            self._up.set_result(True)

    def _watch(self) -> None:
        main_thread = threading.main_thread()
        while main_thread.is_alive():
            main_thread.join(WATCH)
            if self._ended.done():
                return
        self._on_main_thread_end()
