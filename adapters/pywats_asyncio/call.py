"""One call from trio to an async function on the asyncio loop, and how it ends.

Each attribute belongs to one thread: `begin`, `cancel` and the task to the loop, the rest to trio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import trio

from pywats_asyncio.errors import BridgeClosed, CallCancelled

__all__ = ["Call"]

T = TypeVar("T")


class Call(Generic[T]):
    """A call on its way.

    Args:
        fn: an async function for asyncio.
        args: its arguments.
        post_back: has something called on trio.
    """

    __slots__ = ("_args", "_error", "_fn", "_post_back", "_revoked", "_task", "_value", "ended")

    def __init__(
        self, fn: Callable[..., Awaitable[T]], args: tuple[Any, ...], post_back: Callable[..., object]
    ) -> None:
        self._fn = fn
        self._args = args
        self._post_back = post_back
        self._task: asyncio.Task[T] | None = None
        self._revoked = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self.ended: trio.Event = trio.Event()

    @property
    def name(self) -> str:
        """What is called."""
        return getattr(self._fn, "__qualname__", repr(self._fn))

    # On the loop

    def begin(self) -> None:
        """Start it as a task."""
        self._task = asyncio.get_running_loop().create_task(self._await())
        self._task.add_done_callback(self._report)

    def cancel(self) -> None:
        """Cancel its task, once: a second time would cut short how it cleans up."""
        if self._task is not None and not self._revoked:
            self._revoked = True
            self._task.cancel()

    async def _await(self) -> T:
        return await self._fn(*self._args)

    def _report(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._post_back(self.finish, None, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._post_back(self.finish, None, error)
        else:
            self._post_back(self.finish, task.result(), None)

    # On trio

    def finish(self, value: T | None, error: BaseException | None) -> None:
        """Keep how it ended, and wake the caller; the first end counts."""
        if not self.ended.is_set():
            self._value, self._error = value, error
            self.ended.set()

    def abandon(self) -> None:
        """End it without an answer: the loop is gone."""
        self.finish(None, BridgeClosed(f"the asyncio loop ended while {self.name} was running"))

    @property
    def was_cancelled(self) -> bool:
        """Whether it ended by a cancellation on the loop."""
        return isinstance(self._error, asyncio.CancelledError)

    def result(self) -> T:
        """What it returned.

        Raises:
            CallCancelled: if it was cancelled on the loop.
            BaseException: what it raised.
        """
        error, self._error = self._error, None
        try:
            if isinstance(error, asyncio.CancelledError):
                raise CallCancelled(f"{self.name} was cancelled on the asyncio side") from error
            if isinstance(error, Exception):
                raise error
            if error is not None:
                raise BridgeClosed(f"{self.name} ended the asyncio loop with {error!r}") from error
        finally:
            del error  # its traceback leads back to this frame
        return self._value  # type: ignore[return-value] # a call without error has the value of its function
