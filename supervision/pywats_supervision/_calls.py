"""What users ask of a supervisor that runs: to start, stop and restart children, and to come to its end."""

from __future__ import annotations

from math import inf
from typing import Any

import trio

from pywats_supervision._shell import Shell
from pywats_supervision.context import CURRENT_LIFE, ancestors
from pywats_supervision.core.children import Child, Waiter
from pywats_supervision.core.life import ALIVE, After, ChildState
from pywats_supervision.core.spec import NEVER, ChildSpec, checked_duration
from pywats_supervision.errors import WouldDeadlock

__all__ = ["Calls"]


class Calls(Shell):
    """A shell that can be called."""

    async def start_child(self, spec: ChildSpec) -> Any:
        """Add a child at the end, start it, and wait until it is up.

        Args:
            spec: the child; its name must be new.

        Returns:
            What it gave to `started()`; None if its start does not take `task_status`, or returned
            without calling it.

        Raises:
            Exception: what its first start raised, if it has no policy; the child is forgotten.
            DuplicateChild: if there is one of that name.
            TooManyChildren: beyond `max_children` of a dynamic supervisor.
            ChildStopped: if it was stopped before it was up.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: from a child's own start.

        Cancelled: the child stays and goes on starting.
        """
        decider = self._running()
        self._check_caller(None)
        self._check_spec(spec)
        return await self._until(decider.start_child(spec, self._clock()), up=True)

    def start_child_nowait(self, spec: ChildSpec, *, delay: float = 0.0) -> None:
        """Add a child at the end and start it, without waiting for it to be up.

        Args:
            spec: the child; its name must be new.
            delay: seconds from now to its start.

        Raises:
            DuplicateChild: if there is one of that name.
            TooManyChildren: beyond `max_children` of a dynamic supervisor.
            NotRunning: if the supervisor does not run, or is stopping.
        """
        decider = self._running()
        self._check_spec(spec)
        decider.start_child(spec, self._clock(), checked_duration("delay", delay))
        self._perform()

    async def stop_child(self, name: str) -> None:
        """Stop a child and wait until it is down; its specification stays (a TEMPORARY one's goes).

        Args:
            name: the child's name; a start or a restart that is pending is cancelled.

        Raises:
            UnknownChild: if there is none of that name.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: about the child that calls, or from a child's own start.

        Cancelled: the child goes on stopping.
        """
        await self._stopped(name, After.STAY)

    async def remove_child(self, name: str) -> None:
        """Stop a child, wait until it is down, and forget its specification.

        Args:
            name: the child's name.

        Raises:
            UnknownChild: if there is none of that name.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: about the child that calls, or from a child's own start.

        Cancelled: the child goes on stopping and is forgotten then.
        """
        await self._stopped(name, After.REMOVE)

    async def suspend_child(self, name: str) -> None:
        """Stop a child, and keep it down through group restarts until `resume_child`.

        Args:
            name: the child's name.

        Raises:
            UnknownChild: if there is none of that name.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: about the child that calls, or from a child's own start.

        Cancelled: the child goes on stopping.
        """
        await self._stopped(name, After.SUSPEND)

    async def restart_child(self, name: str) -> Any:
        """Stop a child if it runs, start it again in its place, and wait until it is up.

        It does not count toward the restart intensity.

        Args:
            name: the child's name.

        Returns:
            What it gave to `started()`.

        Raises:
            UnknownChild: if there is none of that name.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: about the child that calls, or from a child's own start.

        Cancelled: the child goes on restarting.
        """
        decider = self._running()
        child = decider.children.named(name)
        self._check_caller(child)
        decider.stop_child(child, self._clock(), After.START)
        return await self._until(child, up=True)

    async def resume_child(self, name: str) -> Any:
        """Start a child that is down, without waiting for its delay, and wait until it is up.

        One that waits with its group for a delay or a person starts the whole group; one that was
        stopped by hand before joins the group, and starts when that does.

        Args:
            name: the child's name; one that is up is left alone.

        Returns:
            What it gave to `started()`; None if it was up already.

        Raises:
            UnknownChild: if there is none of that name.
            NotRunning: if the supervisor does not run, or is stopping.
            WouldDeadlock: about the child that calls, or from a child's own start.

        Cancelled: the child goes on starting.
        """
        decider = self._running()
        child = decider.children.named(name)
        self._check_caller(child)
        decider.resume_child(child, self._clock())
        return await self._until(child, up=True)

    async def stop(self, timeout: float = inf) -> None:  # noqa: ASYNC109 - a deadline for the tree, not the wait
        """Stop all children in reverse order and wait until `run()` has ended.

        Args:
            timeout: seconds for the whole tree; every grace in it is the smaller of its own and
                what is left.

        Raises:
            WouldDeadlock: from one of its own children; use `request_stop` there.

        Cancelled: the supervisor goes on stopping. Of several calls the earliest deadline holds.
        """
        if self._decider is None:
            await trio.lowlevel.checkpoint()
            return
        if any(life.supervisor is self for life in ancestors(CURRENT_LIFE.get())):
            raise WouldDeadlock(f"a child of {self.name!r} cannot wait for its end; use request_stop()")
        self.request_stop(timeout)
        await self._ended.wait()

    def request_stop(self, timeout: float = inf) -> None:
        """Ask the supervisor to stop, without waiting.

        Args:
            timeout: seconds for the whole tree, as for `stop`.

        Raises:
            WrongThread: outside of the trio run that it runs in; so do all calls that change something.
        """
        grace = checked_duration("timeout", timeout)
        if self._decider is not None:
            self._check_run()
            self._stop_by(self._clock() + grace)

    def _check_spec(self, spec: ChildSpec) -> None:
        if not isinstance(spec, ChildSpec):
            raise TypeError(f"a child is described by a ChildSpec, not {spec!r}")
        if self.policy is not None and self.policy.skips and spec.policy is None and not spec.takes_child:
            raise ValueError(
                f"the policy of {self.name!r} may skip the item in hand, but the start of child "
                f"{spec.name!r} does not take `child`, so it can have none; give it a policy of its own"
            )
        if spec.significant and self.auto_shutdown is NEVER:
            raise ValueError(
                f"child {spec.name!r} is significant, but auto_shutdown of {self.name!r} is NEVER; "
                "choose ANY_SIGNIFICANT or ALL_SIGNIFICANT"
            )

    def _check_caller(self, target: Child | None) -> None:
        for life in ancestors(CURRENT_LIFE.get()):
            if life.supervisor is not self:
                continue
            if not life.up:
                raise WouldDeadlock(
                    f"child {life.name!r} calls its supervisor {self.name!r} in its own start"
                )
            if target is not None and life.is_of(target):
                raise WouldDeadlock(f"child {life.name!r} of {self.name!r} would wait for its own end")

    async def _stopped(self, name: str, after: After) -> None:
        decider = self._running()
        child = decider.children.named(name)
        self._check_caller(child)
        decider.stop_child(child, self._clock(), after)
        await self._until(child, up=False)

    async def _until(self, child: Child, *, up: bool) -> Any:
        """Wait until a child is up, or down, whichever the call just made leads to."""
        arrived = child.state is ChildState.RUNNING if up else child.state not in ALIVE
        if arrived:
            self._perform()
            await trio.lowlevel.checkpoint()
            return None
        woken = trio.Event()
        waiter = Waiter(woken.set, for_up=up)
        child.waiters = [*(child.waiters or ()), waiter]
        self._perform()
        try:
            await woken.wait()
        finally:
            if not waiter.resolved and child.waiters is not None:
                child.waiters.remove(waiter)
        if waiter.error is not None:
            raise waiter.error
        return waiter.value
