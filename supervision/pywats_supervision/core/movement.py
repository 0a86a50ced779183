"""How the children of one supervisor go down and come up together, step by step.

A failure moves its child alone, or a group with it: the `Sweep` says whose turn it is. When a
failure calls for that, and what follows, is decided in `decide`.
"""

from __future__ import annotations

from math import inf

from pywats_supervision.core.actions import Happening, SayReady
from pywats_supervision.core.children import Child
from pywats_supervision.core.group import Direction, Sweep, merged
from pywats_supervision.core.life import After, ChildState, Move
from pywats_supervision.core.spec import ONE_FOR_ONE, Strategy
from pywats_supervision.core.steps import Announce, Steps

__all__ = ["Movement"]


class Movement(Steps):
    """The movements of one supervisor's children; see `Decider` for the attributes."""

    def __init__(self, name: str, announce: Announce, strategy: Strategy) -> None:
        super().__init__(name, announce)
        self.strategy = strategy
        self.sweep: Sweep | None = None
        self.ready: bool = False

    def due_of(self, child: Child) -> float | None:
        """When the child starts again, or its grace or the time that it has to start is over."""
        due = inf
        if child.appointment is not None:
            due = inf if child.cancelled else child.appointment.due
        elif self.sweep is not None and (child.state is ChildState.PENDING or child in self.sweep.causes):
            due = self.sweep.due
        return due if -inf < due < inf else None

    def _come_back(self, child: Child, move: Move, due: float, now: float) -> None:
        """Start a child again at `due`, with those that its failure takes along."""
        if self.strategy is not ONE_FOR_ONE:
            self._sweep_from(child, move, due, now)
        elif due > now:
            self._delay(child, move, due)
        else:
            self._start(child, now)

    def _sweep_from(self, failed: Child, move: Move, due: float, now: float) -> None:
        self._announce(Happening.GROUP_RESTART, failed, until=due if due > now else None)
        sweep = merged(self.children, self.strategy, failed, self.sweep)
        self._end_sweep()
        self.sweep = sweep
        if due > now:
            sweep.causes[failed] = due
            self._wait(failed, move, due)
        else:
            self._queue(failed)
        for member in sweep.members:
            if member.state is ChildState.STOPPED and not member.by_hand:
                self._queue(member)

    def _come_up(self, members: list[Child]) -> None:
        """The first start of all."""
        self.sweep = Sweep(members, direction=Direction.UP)

    def _release_from_group(self, child: Child, after: After) -> None:
        """A call about a child that is down ends what its group waits for because of it.

        Starting one that waits with its group again starts the group; a delay ends for all.
        """
        sweep = self.sweep
        if sweep is None or not sweep.covers(child):
            return
        sweep.causes.pop(child, None)
        if after is After.START and not child.by_hand:
            self._end_causes(sweep)

    def _end_causes(self, sweep: Sweep) -> None:
        for cause in sweep.causes:
            self._queue(cause)
        sweep.causes.clear()

    def _end_sweep(self) -> None:
        if self.sweep is not None and self.sweep.appointment is not None:
            self.agenda.cancel(self.sweep.appointment)
        self.sweep = None

    def _advance_sweep(self, sweep: Sweep, now: float) -> bool:
        """Take one step of a sweep; False if it has to wait, or is over."""
        if sweep.direction is Direction.UP:
            return self._advance_up(sweep, now)
        return self._advance_down(sweep, now)

    def _advance_up(self, sweep: Sweep, now: float) -> bool:
        child = sweep.next_to_start()
        if child is None:
            self.sweep = None
            if not self.ready:
                self._become_ready()
            return False
        if child.state is not ChildState.PENDING:
            return False
        self._start(child, now)
        return True

    def _advance_down(self, sweep: Sweep, now: float) -> bool:
        """Stop the last member still alive; when none is, wait for the time to come up."""
        child = sweep.next_to_stop()
        if child is not None:
            if child.state is not ChildState.STOPPING:
                self._order_stop(child, After.QUEUE, now)
            return False
        due = sweep.due
        if due <= now:
            self._end_causes(sweep)
            sweep.turn()
            return True
        appointment = sweep.appointment
        if appointment is None or appointment.due != due:
            if appointment is not None:
                self.agenda.cancel(appointment)
            sweep.appointment = self.agenda.enter(due, sweep)
        return False

    def _become_ready(self) -> None:
        self.ready = True
        self._announce(Happening.READY)
        self.actions.append(SayReady())
