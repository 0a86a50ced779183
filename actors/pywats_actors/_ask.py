"""Asking: a message that carries its asker, parked until the reply comes.

No channel and no task per question: the asking task is parked and rescheduled with the reply.
HOT: tests/benchmarks/bench_ask.py.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Generic, TypeVar, final

import outcome
import trio

__all__ = ["Ask"]

M = TypeVar("M")


@final
class Ask(Generic[M]):
    """One question: the message, and the task that waits for the reply."""

    __slots__ = ("_left", "_refused", "_task", "message")

    def __init__(self, message: M) -> None:
        self.message: M = message
        self._task: trio.lowlevel.Task | None = None
        self._refused: Exception | None = None
        self._left = False

    def wait(self) -> Awaitable[Any]:
        """Park until the reply; raises what `fail` was given.

        Cancelled: the question may still be answered; the answer is dropped.
        """
        if self._refused is not None:
            raise self._refused
        self._task = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(self._abort)  # noqa: ASYNC105 - a frame less to resume

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        self._left = True
        return trio.lowlevel.Abort.SUCCEEDED

    def reply(self, value: object) -> None:
        """Wake the asker with the reply."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Value(value))

    def fail(self, error: Exception) -> bool:
        """Wake the asker with an error; one that does not wait yet finds it.

        False if the asker has left, so that nobody hears of it.
        """
        task, self._task = self._task, None
        if task is None:
            self._refused = error
        else:
            trio.lowlevel.reschedule(task, outcome.Error(error))
        return not self._left
