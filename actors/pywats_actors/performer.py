"""Performers: who does the work of a mailbox, be it an actor, a handler or a router."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

import trio

from pywats_actors.slot import Owner, Slot
from pywats_supervision import ChildContext

__all__ = ["CURRENT_SLOT", "Employer", "Performer", "waits_for_this_task"]

M_contra = TypeVar("M_contra", contravariant=True)

CURRENT_SLOT: Final[ContextVar[Slot[Any] | None]] = ContextVar("pywats_slot", default=None)
"""The slot whose message the current task works on."""


def waits_for_this_task(slot: Slot[Any]) -> bool:
    """Whether the task that works on the slot's message waits until the current one has ended.

    It does if it is an ancestor, or has the current one run for a thread of its own, which makes
    a system task, or has begun the whole run that the current one is of. One that `receive` starts
    in somebody else's nursery only has its context.
    """
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None and task.context.get(CURRENT_SLOT) is slot:
        if task is slot.task:
            return True
        nursery = task.parent_nursery
        task = None if nursery is None else nursery.parent_task
    return task is None or task is trio.lowlevel.current_root_task()


class Performer(Generic[M_contra]):
    """Who does the work: an actor, a handler, a router.

    `handle` gives what is awaited, so that this may be the user's own coroutine: one around it
    would cost a tenth of a delivery. What follows from its end is in `done` and `interrupted`.
    """

    __slots__ = ()

    def start(self, context: ChildContext) -> Awaitable[None]:
        """Begin a life."""
        del context
        return _nothing()

    def stop(self) -> Awaitable[None]:
        """End a life whose `start` ended."""
        return _nothing()

    def handle(self, message: M_contra, /) -> Awaitable[Any]:
        """Do one message."""
        raise NotImplementedError

    def done(self, message: M_contra, result: Any, /) -> None:
        """The message is done; one step with the hand that becomes empty, so it must not raise."""

    async def interrupted(self, message: M_contra, error: BaseException, /) -> None:
        """An attempt has ended with an error, or was cancelled; then it must not wait."""


async def _nothing() -> None:
    """Do it."""


class Employer(Owner[M_contra], Protocol[M_contra]):
    """The owner of a mailbox whose messages workers do."""

    def perform(self) -> Performer[M_contra]:
        """Give who does the work; called at the begin of every life."""
        ...
