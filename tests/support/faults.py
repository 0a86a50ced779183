"""Faults: one error, raised in place of the n-th thing that a chosen life awaits.

Each await of the life is a point, whether it waits or not: one that waits ends with the error, cleaned
up as if it had been cancelled; one that is a call to its performer is not made.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NoReturn

import pytest
import trio
from trio.lowlevel import Abort

from pywats_actors._cell import RetryLife, WorkerLife
from pywats_events.bus._policy_actor import PolicyPerformer
from pywats_events.bus._routing_actor import RouterPerformer
from pywats_events.bus._system_events import SystemEvents
from pywats_events.handlers._handler_actor import HandlerPerformer

__all__ = ["Fault", "Faults"]


WATCHED: Final[ContextVar[Faults | None]] = ContextVar("watched", default=None)
"""Whose points the current task's are."""


class Fault(Exception):
    """What is raised."""


class Faults:
    """Counts the points of the lives of one actor, and raises at one of them.

    Args:
        of: the name of the actor, as its mailbox has it.
        at: at which point to raise, 1 for the first; 0 never.

    Attributes:
        reached: how many points were reached since `armed`.
        raised: whether the error was raised.
    """

    def __init__(self, of: str, at: int) -> None:
        self.of = of
        self.at = at
        self.armed = False
        self.reached = 0
        self.raised = False

    def point(self) -> None:
        """One point is reached."""
        if self._due():
            raise self._fault()

    def _due(self) -> bool:
        if not self.armed:
            return False
        self.reached += 1
        due = self.reached == self.at
        self.raised = self.raised or due
        return due

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Watch every life of that actor from now on."""
        for life in (WorkerLife, RetryLife):
            patch.setattr(life, "run", self._watched_life(life.run))
        for performer in (RouterPerformer, PolicyPerformer, HandlerPerformer, SystemEvents):
            for call in ("start", "handle", "interrupted", "stop"):
                patch.setattr(performer, call, self._watched_call(getattr(performer, call)))

    def _watched_life(self, run: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
        faults = self

        async def watched(life: Any, *, task_status: trio.TaskStatus[None], child: Any) -> None:
            if life._mailbox.name != faults.of:
                await run(life, task_status=task_status, child=child)
                return
            WATCHED.set(faults)
            await faults._driven(run(life, task_status=task_status, child=child))

        return watched

    def _watched_call(self, call: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
        async def watched(performer: Any, *args: Any) -> Any:
            faults = WATCHED.get()
            if faults is self:
                faults.point()
            return await call(performer, *args)

        return watched

    @types.coroutine
    def _driven(self, coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Run a coroutine; where it is to fail, its wait is aborted and the error thrown in."""
        step: Callable[[], Any] = partial(coroutine.send, None)
        while True:
            try:
                trap = step()
            except StopIteration:
                return
            if self._due() and self._aborted(trap):
                step = partial(coroutine.throw, self._fault())
                continue
            try:
                value = yield trap
            except BaseException as error:
                step = partial(coroutine.throw, error)
            else:
                step = partial(coroutine.send, value)

    def _aborted(self, trap: Any) -> bool:
        """End a wait as a cancellation would; True if the error can be thrown in now."""
        abort = getattr(trap, "abort_func", None)
        if abort is None:
            return True  # a checkpoint has nothing to clean up

        def raise_cancel() -> NoReturn:
            raise self._fault()

        return bool(abort(raise_cancel) is Abort.SUCCEEDED)

    def _fault(self) -> Fault:
        return Fault(f"at point {self.reached} of {self.of!r}")
