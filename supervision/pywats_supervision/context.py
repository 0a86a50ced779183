"""All that a child sees of its supervisor: `ChildContext`.

It is made anew for every life, and is also the life's `task_status`.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import Any, Final, Protocol

import trio

from pywats_supervision.core.children import Child, InHand
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies.decision import Decision

__all__ = ["CURRENT_LIFE", "ChildContext", "ancestors", "log_safely"]

logger: Final = GuardedLogger("pywats_supervision")


def log_safely(level: int, text: str, *args: object, actor: str, error: BaseException | None = None) -> None:
    """Log about one actor, whatever the handlers and filters of the user do.

    Args:
        level: as for `logging.Logger.log`.
        text: with `%` places for the arguments.
        *args: plain values.
        actor: the name of the child or supervisor that it is about, for the record.
        error: whose traceback is to be logged too.
    """
    logger.log(level, text, *args, exc_info=error, stacklevel=3, extra={"actor": actor})


class _Host(Protocol):
    """What a context needs of the supervisor behind it."""

    @property
    def life(self) -> ChildContext | None:
        """The life that the supervisor itself runs in, if it is a child."""
        ...

    def report_up(self, child: Child, value: object) -> None: ...

    def wake(self, child: Child, life: ChildContext, context: contextvars.Context) -> None:
        """Make the task of a life that hibernates in `context`."""
        ...


class ChildContext:
    """One life of a child, as the child sees it; given to a start that takes `child`.

    A task that the life left elsewhere may go on to use it when the life is over; it then says
    nothing about the next life, and can do nothing to it.

    Attributes:
        name: the child's name.
        number: 1 for its first life.
        last: what the policies decided after its last failure; None without one.
        stopping: it has been asked to come to an end.
        deadline: the time (trio's clock) by which it has to; inf until it is asked.
        describe: called for snapshots; set it to add plain values about the child.
    """

    __slots__ = (
        "_announced",
        "_asked",
        "_callbacks",
        "_child",
        "_host",
        "_scope",
        "_sleeps_in",
        "deadline",
        "describe",
        "last",
        "name",
        "number",
        "stopping",
    )

    def __init__(self, host: _Host, child: Child) -> None:
        self._host = host
        self._child = child
        self._callbacks: Callable[[], object] | list[Callable[[], object]] | None = None
        self._announced = False
        self._asked: trio.Event | None = None
        self.name: str = child.spec.name
        self.number: int = child.life
        self.last: Decision | None = child.last
        self.stopping: bool = False
        self.deadline: float = inf
        self.describe: Callable[[], Any] | None = None
        self._scope: trio.CancelScope | None = None
        self._sleeps_in: contextvars.Context | None = None

    @property
    def supervisor(self) -> _Host:
        """The supervisor whose child this is."""
        return self._host

    @property
    def up(self) -> bool:
        """Whether the child has called `started()`, or need not."""
        return self._announced or not self._child.spec.takes_status

    @property
    def over(self) -> bool:
        """Whether this life has ended; a task that it left elsewhere may still carry its context."""
        return self._child.shell is not self

    @property
    def scope(self) -> trio.CancelScope:
        """What the supervisor cancels, around everything that the task of this life does."""
        if self._scope is None:
            self._scope = trio.CancelScope()
        return self._scope

    @property
    def hibernating(self) -> bool:
        """Whether it is up and has no task yet (see `ChildSpec.hibernate`)."""
        return self._sleeps_in is not None and not self.over

    def is_of(self, child: Child) -> bool:
        """Whether this is a life of `child`."""
        return self._child is child

    @property
    def policy(self) -> PolicyInUse | None:
        """The policy that decides on this child's failures, with its state; None without one."""
        return self._child.policy

    def started(self, value: object = None) -> None:
        """Say that the child is up; whoever started it is given `value`.

        Once this life is over it changes nothing.

        Raises:
            RuntimeError: if it was called before in this life.
        """
        if self._announced:
            raise RuntimeError(f"child {self.name!r} has called started() already")
        self._announced = True
        if not self.over:
            self._host.report_up(self._child, value)

    def hibernate(self, context: contextvars.Context) -> None:
        """Called by the supervisor: the life is up, and has no task until `wake`."""
        self._sleeps_in = context
        self.started()

    def wake(self) -> None:
        """Have the task made of a life that hibernates.

        One that has a task, or is over, is left alone.

        Raises:
            WrongThread: outside of its trio run.
        """
        context = self._sleeps_in
        if context is not None and not self.over:
            self._host.wake(self._child, self, context)
        self._sleeps_in = None

    def hold(self, in_hand: InHand | None) -> None:
        """Name the holder whose item this life has in hand, for the policies to hear of.

        Once this life is over it changes nothing.
        """
        if not self.over:
            self._child.in_hand = in_hand

    def on_stopping(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once when this life is asked to stop, at once if it was or is over.

        It is called in the supervisor's step: it must not wait. It may be called again when the
        deadline becomes earlier.
        """
        if self.over:
            self._call(callback)
            return
        self._child.listening = True
        if self._callbacks is None:
            self._callbacks = callback  # mostly the only one: a list for each of 100,000 children is much
        elif isinstance(self._callbacks, list):
            self._callbacks.append(callback)
        else:
            self._callbacks = [self._callbacks, callback]
        if self.stopping:
            self._call(callback)

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once when the child has gone for good: no restart can follow.

        That is when its specification is forgotten, or when the root of its tree has ended. It
        is called in the supervisor's step: it must not wait and must not raise. Giving the same
        callback again, in a later life, changes nothing.
        """
        self._child.on_gone(callback)

    async def wait_stopping(self) -> None:
        """Wait until this life is asked to stop; one that is over waits for nothing.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        if self.stopping or self.over:
            await trio.lowlevel.checkpoint()
            return
        if self._asked is None:
            # One for all who wait: a wait that is given up and begun again leaves nothing behind.
            self._asked = trio.Event()
            self.on_stopping(self._asked.set)
        await self._asked.wait()

    def ask_to_stop(self, deadline: float) -> None:
        """Called by the supervisor: come to an end by itself before `deadline`."""
        self.stopping = True
        self.deadline = deadline
        callbacks = self._callbacks
        if isinstance(callbacks, list):
            for callback in tuple(callbacks):
                self._call(callback)
        elif callbacks is not None:
            self._call(callbacks)

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - a child's own code; it cannot hear, so it is cancelled
            text = "a callback of child %r raised when it was asked to stop"
            log_safely(logging.ERROR, text, self.name, actor=self.name, error=error)
            self.scope.cancel()


CURRENT_LIFE: Final[ContextVar[ChildContext | None]] = ContextVar("pywats_life", default=None)
"""The innermost supervised life that the current task belongs to."""


def ancestors(life: ChildContext | None) -> list[ChildContext]:
    """`life` and those around it, innermost first, without what is over."""
    lives = []
    while life is not None:
        if not life.over:
            lives.append(life)
        life = life.supervisor.life
    return lives
