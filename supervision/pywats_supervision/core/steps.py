"""The steps that one child is led through: started, up, asked to stop, cancelled, waiting, at rest.

Each changes the child's state by the table in `life`, says so, and notes what the shell has to do.
Which step is next, and when, is decided in `decide`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final, Protocol

from pywats_supervision.core.actions import Action, AskToStop, Cancel, Happening, Run
from pywats_supervision.core.agenda import Agenda
from pywats_supervision.core.children import Child, Children
from pywats_supervision.core.life import After, ChildState, Move
from pywats_supervision.errors import StartTimeout, error_text

__all__ = ["STRAGGLER_AFTER", "Announce", "Steps"]

STRAGGLER_AFTER: Final = 1.0
"""Seconds after its cancellation at which a child that still runs is reported as straggling."""


# Looked up once: an enum takes five times as long to give a member as a module does.
_START, _UP, _STAY = Move.START, Move.UP, After.STAY
_IS_STARTING, _IS_UP, _HAS_FAILED = Happening.STARTING, Happening.UP, Happening.FAILED


class Announce(Protocol):
    """How the decisions tell what happens, for logs and for those who watch."""

    def __call__(
        self,
        kind: Happening,
        child: Child | None = None,
        *,
        error: Exception | None = None,
        until: float | None = None,
    ) -> None:
        """Say that `kind` happened, to `child` or to the supervisor itself."""


class Steps:
    """What the children of one supervisor can be made to do; see `Decider` for the attributes."""

    def __init__(self, name: str, announce: Announce) -> None:
        self.name = name
        self.children: Children = Children()
        self.actions: deque[Action] = deque()
        self.agenda: Agenda[Any] = Agenda()
        self.gone: deque[Callable[[], object]] = deque()
        self.deadline = inf
        self._announce = announce

    # Up

    def _start(self, child: Child, now: float) -> None:
        child.move(_START)
        child.life += 1
        child.cancelled = child.timed_out = child.listening = child.by_hand = False
        child.after = _STAY
        child.up_since = None
        self._announce(_IS_STARTING, child)
        self.actions.append(Run(child))
        if not child.spec.takes_status:
            self._is_up(child, None, now)
        elif child.spec.hibernate is None:
            self._be_patient(child, now)

    def _is_up(self, child: Child, value: object, now: float) -> None:
        child.move(_UP)
        child.first = False
        child.up_since = now
        self._announce(_IS_UP, child)
        if child.waiters is not None:
            child.is_up(value)

    def _be_patient(self, child: Child, now: float) -> None:
        """Give a child its time to start."""
        if child.spec.patience < inf:
            self._appoint(child, now + child.spec.patience)

    def _appoint(self, child: Child, due: float) -> None:
        child.appointment = self.agenda.enter(due, child)

    def _disappoint(self, child: Child) -> None:
        if child.appointment is not None:
            self.agenda.cancel(child.appointment)
            child.appointment = None

    # Down

    def _order_stop(self, child: Child, after: After, now: float) -> None:
        starting = child.state is ChildState.STARTING
        child.move(Move.ASK)
        child.after = after
        self._announce(Happening.STOPPING, child)
        if child.cancelled:
            return  # it did not start in time
        if child.listening or (child.spec.takes_child and not starting):
            self._grant_grace(child, now)
        else:
            self._cancel(child, now)

    def _take_by_hand(self, child: Child, after: After) -> None:
        child.after = after
        child.by_hand = after is After.STAY or after is After.SUSPEND

    def _grant_grace(self, child: Child, now: float) -> None:
        """Ask a child to stop and make an appointment for the end of its grace.

        A supervisor without a grace of its own is bounded by its children's, which know the
        deadline too; cancelling it as well would end the order in which they stop.
        """
        self._disappoint(child)
        until = min(now + child.spec.grace, self.deadline)
        if child.spec.is_supervisor and child.listening and child.spec.grace == inf:
            self.actions.append(AskToStop(child, until))
        elif until <= now:
            self._cancel(child, now)
        else:
            self.actions.append(AskToStop(child, until))
            if until < inf:
                self._appoint(child, until)

    def _shorten_graces(self, now: float) -> None:
        for child in self.children:
            if child.state is ChildState.STOPPING and not child.cancelled:
                granted = inf if child.appointment is None else child.appointment.due
                if granted > self.deadline:
                    self._grant_grace(child, now)

    def _cancel(self, child: Child, now: float) -> None:
        child.cancelled = True
        self._disappoint(child)
        self.actions.append(Cancel(child))
        self._appoint(child, now + STRAGGLER_AFTER)

    def _queue(self, child: Child) -> None:
        child.move(Move.QUEUE)
        self._announce(Happening.PENDING, child)

    def _delay(self, child: Child, move: Move, due: float) -> None:
        if due < inf:
            self._appoint(child, due)
        self._wait(child, move, due)

    def _wait(self, child: Child, move: Move, due: float) -> None:
        child.move(move)
        kind = Happening.BACKING_OFF if move is Move.DELAY else Happening.SUSPENDED
        self._announce(kind, child, until=due)

    def _come_to_rest(self, child: Child, error: Exception | None = None) -> None:
        child.move(Move.REST)
        self._announce(Happening.STOPPED, child)
        child.stays_down(error, "was stopped")

    def _remove(self, child: Child) -> None:
        self.children.remove(child)
        self._announce(Happening.REMOVED, child)
        self.gone.extend(child.take_gone())

    def _start_timeout(self, child: Child, error: Exception | None) -> Exception:
        """What a start that took too long failed with; what its cancelled cleanup raised says more."""
        text = (
            f"child {child.spec.name!r} of {self.name!r} did not call started() within "
            f"{child.spec.patience:g} s; raise its start_timeout, or find out what it waits for"
        )
        if error is None:
            return StartTimeout(text)
        error.add_note(text)
        return error

    def _note(self, child: Child, error: Exception) -> None:
        """Keep a failure as text: the error itself would keep its frames, and what they hold, alive."""
        child.error_text = error_text(error)
        self._announce(_HAS_FAILED, child, error=error)
