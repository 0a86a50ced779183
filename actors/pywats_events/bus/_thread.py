"""A trio run in a thread of its own, for plain code: the one place that knows threads.

The thread is not a daemon: what it has accepted is worth waiting for. A daemon watcher waits for
the main thread's end and asks for a stop, so a script that forgets to stop drains and exits.
All waits are made in slices, so that Ctrl-C is heard on Windows too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, TypeVar

import trio

__all__ = ["TrioThread", "async_into", "into", "wait_for"]

T = TypeVar("T")

SLICE: Final = 0.2
"""Seconds of one wait; a signal is handled between two."""


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
                raise
            if left is not None:
                left -= slice_
                if left <= 0:
                    raise TimeoutError from None


def into(future: Future[T], call: Callable[[], T]) -> None:
    """Put what a call gives, or raises, into a future."""
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - it is the waiting thread's
        future.set_exception(error)


async def async_into(future: Future[T], call: Callable[[], Awaitable[T]], cancelled: Exception) -> None:
    """Put what an async call gives, or raises, into a future.

    Cancelled: the future raises `cancelled`.
    """
    try:
        result = await call()
    except Exception as error:  # noqa: BLE001 - it is the waiting thread's
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        if not future.done():
            future.set_exception(cancelled)


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
        self._up: Future[None] = Future()
        self._ended: Future[None] = Future()
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
        return self._ended.exception() if self._ended.done() else None

    def start(self) -> None:
        """Start the thread and wait until `main` says that it is up.

        Raises:
            BaseException: what `main` failed with before.
        """
        self._thread.start()
        threading.Thread(target=self._watch, name=f"{self._name} watcher", daemon=True).start()
        wait_for(self._up, None)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on this thread, soon; forgotten if the run has ended.

        Raises:
            RuntimeError: if the run has ended.
        """
        if self._token is None:
            raise RuntimeError(f"thread {self._name!r} has not started")
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            raise RuntimeError(f"thread {self._name!r} has ended") from None

    def join(self, timeout: float | None) -> None:
        """Wait until the run is over.

        Raises:
            TimeoutError: if it is not in time.
        """
        try:
            wait_for(self._ended, timeout)
        except TimeoutError:
            if not self._ended.done():
                raise
        except BaseException:  # noqa: BLE001, S110, ASYNC103 - kept in `failure`, which says who wants to know
            pass
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._in_trio)
        except BaseException as error:  # noqa: BLE001, ASYNC103 - handed to those who wait, and kept
            if not self._up.done():
                self._up.set_exception(error)
            self._ended.set_exception(error)
        else:
            if not self._up.done():
                self._up.set_exception(RuntimeError(f"thread {self._name!r} ended before it was up"))
            self._ended.set_result(None)

    async def _in_trio(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        await self._main(self._is_up)

    def _is_up(self) -> None:
        if not self._up.done():
            self._up.set_result(None)

    def _watch(self) -> None:
        threading.main_thread().join()
        if not self._ended.done():
            self._on_main_thread_end()
