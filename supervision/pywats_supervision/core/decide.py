"""The one place that decides what a supervisor does next.

Like h11's connection it is one mutable object without I/O: the shell reports what happened
(`up`, `ended`, `due`, and the calls of users), and finds in `actions` what to do. The rules are
OTP's (supervisor.erl and its manual) with these additions, each with its reason in
docs/decisions: policies are asked before the intensity, a child that a person stopped stays down
in a group restart, and a failed first start with a policy is a failure like any other.

Each report is one step: a child that has ended is down before anything is decided about it, and
the group goes on (`_advance`) only when what becomes of it is settled.

Change together: `steps` (what one child is led through), `movement` (what several are, by the
order in `group`), `unordered` (the same for children without an order), `dynamic` (those that come
and go).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from pywats_supervision.core.actions import Happening
from pywats_supervision.core.answer import Answer, answer_to
from pywats_supervision.core.children import Child
from pywats_supervision.core.group import Direction
from pywats_supervision.core.intensity import Intensity
from pywats_supervision.core.life import ALIVE, After, ChildState, Move
from pywats_supervision.core.movement import Movement
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.core.spec import PERMANENT, TEMPORARY, AutoShutdown, ChildSpec, Strategy
from pywats_supervision.core.steps import STRAGGLER_AFTER, Announce
from pywats_supervision.errors import KEPT_ERRORS, ChildReturned, NotRunning
from pywats_supervision.policies.decision import Phase, Restart, RestartPolicy, Stop, Suspend

__all__ = ["Decider"]

# Looked up once: an enum takes five times as long to give a member as a module does.
_STARTING, _STOPPING = ChildState.STARTING, ChildState.STOPPING
_END, _DELAY = Move.END, Move.DELAY
_START, _RUN = Phase.START, Phase.RUN


class Decider(Movement):
    """The decisions of one run of a supervisor.

    Attributes:
        actions: what the shell has to do, oldest first; it takes them out.
        gone: callbacks of children that have gone for good; the shell takes them out and calls them.
        agenda: what is due when; the shell calls `due` at `agenda.next_due`.
        error: what `run()` has to raise when `finished`; None for a normal end.
        finished: every child is down and the supervisor is to end.
        deadline: the time by which a stop of the whole tree has to be over.
    """

    def __init__(
        self,
        name: str,
        *,
        strategy: Strategy,
        intensity: Intensity,
        auto_shutdown: AutoShutdown,
        policy: RestartPolicy[Any] | None,
        chance: Callable[[], float],
        announce: Announce,
        on_reset: Callable[[PolicyInUse], None],
    ) -> None:
        super().__init__(name, announce, strategy)
        self._in_use = partial(PolicyInUse, chance=chance, on_reset=on_reset)
        self.intensity = intensity
        self.auto_shutdown = auto_shutdown
        self.policy: PolicyInUse | None = None if policy is None else self._in_use(policy)
        self.error: Exception | None = None
        self.stopping: bool = False
        self.finished: bool = False
        self.killed: bool = False
        self._settling = False
        self._initial = 0
        self._letting_go = False
        """Whether the agenda says when the intensity lets go of the errors that it keeps."""
        self._leaving: list[Child] = []

    # What the shell reports

    def begin(self, specs: tuple[ChildSpec, ...], now: float) -> None:
        """Start the children, in order."""
        members = [self._admit(spec) for spec in specs]
        for member in members:
            self._announce(Happening.PENDING, member)
        self._initial = len(members)
        self._come_up(members)
        self._advance(now)

    def has_task(self, child: Child, now: float) -> None:
        """The child's present life might have hibernated, and does not: its time to start begins."""
        if child.state is ChildState.STARTING:
            self._be_patient(child, now)

    def up(self, child: Child, value: object, now: float) -> None:
        """The child's present life has called `started(value)`."""
        if child.state is ChildState.STARTING and not child.timed_out:
            self._disappoint(child)
            self._is_up(child, value, now)
            self._advance(now)

    def ended(self, child: Child, error: Exception | None, now: float) -> None:
        """The child's present life has ended, by returning, failing, or as it was told to."""
        was = child.state
        self._disappoint(child)
        child.move(_END)
        if child.waiters is not None:
            child.is_down()
        self._settling = True
        if self.killed:
            if error is not None:
                self._hear(child, error)
            self._come_to_rest(child)
        elif was is _STOPPING:
            self._ended_as_told(child, error, now)
        elif child.timed_out:
            self._failed(child, self._start_timeout(child, error), _START, now)
        elif error is not None:
            self._failed(child, error, _START if was is _STARTING else _RUN, now)
        elif was is _STARTING:
            self._ignored(child)
        else:
            self._returned(child, now)
        self._settling = False
        self._advance(now)

    def due(self, now: float) -> None:
        """The time of the agenda's first entries has come."""
        while self.agenda.next_due <= now:
            # Cancelling very many at once holds the loop; whoever had no turn yet is no straggler.
            late = now - self.agenda.next_due > STRAGGLER_AFTER / 2
            what = self.agenda.take_due(now)
            if isinstance(what, Child):
                self._child_is_due(what, now, late=late)
            elif isinstance(what, list):
                for child in what:
                    if child.appointment is not None and child.appointment.due <= now:
                        self._child_is_due(child, now, late=late)
            elif what is self.intensity:
                self._let_go(now)
        self._advance(now)

    def policy_reset(self, policy: PolicyInUse, now: float) -> None:
        """A person has reset a policy: what it keeps down until a time starts at once."""
        policy.changed()
        for child in [child for child in self.children if child.policy is policy]:
            if child.state is ChildState.SUSPENDED and not child.by_hand and not self.killed:
                self._resume(child, now)

    def kill(self) -> None:
        """The supervisor's own scope was cancelled: nothing is restarted, no order is kept."""
        self.killed = True

    def dismiss(self) -> None:
        """The supervisor has ended: nobody may go on waiting for one of its children."""
        ended = NotRunning(f"supervisor {self.name!r} has ended")
        for child in self.children:
            if child.state in ALIVE:
                child.move(Move.END)
            if child.state is not ChildState.STOPPED:
                self._come_to_rest(child, ended)
            self.gone.extend(child.take_gone())
        self._finish()

    # What users ask for

    def request_stop(self, deadline: float, now: float, error: Exception | None = None) -> None:
        """Stop all children in reverse order, then end, raising `error` if there is one.

        A second request can only make the deadline earlier.
        """
        if self.killed or self.finished:
            return
        if deadline < self.deadline:
            self.deadline = deadline
            self._shorten_graces(now)
        if self.stopping:
            return
        self.stopping = True
        self.error = error
        self._end_sweep()
        self._announce(Happening.STOPPING)
        for child in self.children:
            child.after = After.STAY
            if child.state not in ALIVE and child.state is not ChildState.STOPPED:
                self._disappoint(child)
                self._come_to_rest(child)
        self._begin_stop(now)
        self._advance(now)

    def start_child(self, spec: ChildSpec, now: float, delay: float = 0.0) -> Child:
        """Add a child at the end and start it, `delay` seconds from now."""
        self._check_running()
        child = self._admit(spec)
        if delay > 0:
            self._delay(child, Move.DELAY, now + delay)
        else:
            self._enqueue(child, now)
            self._advance(now)
        return child

    def stop_child(self, child: Child, now: float, after: After = After.STAY) -> None:
        """Stop a child; it stays down (STAY, SUSPEND), goes for good (REMOVE) or starts again (START).

        Of several calls the last one stands, but what is being removed is removed.
        """
        self._check_running()
        if child.state is ChildState.STOPPING:
            if child.after is not After.REMOVE:
                self._take_by_hand(child, after)
        elif child.state in ALIVE:
            self._order_stop(child, after, now)
            self._take_by_hand(child, after)
        else:
            self._disappoint(child)
            self._release_from_group(child, after)
            self._take_by_hand(child, after)
            self._settle(child, after, now)
        self._advance(now)

    def resume_child(self, child: Child, now: float) -> None:
        """Start a child that is down; one that is up, or on its way, is left alone.

        Where its policy had suspended it until a person says so, that holds for all who share the policy.
        """
        self._check_running()
        policy = child.policy
        suspended = child.state is ChildState.SUSPENDED and not child.by_hand
        if policy is not None and suspended and policy.resumed(now):
            self.policy_reset(policy, now)
        self._resume(child, now)

    def _resume(self, child: Child, now: float) -> None:
        if child.state not in ALIVE:
            self.stop_child(child, now, After.START)
        elif child.state is ChildState.STOPPING and child.by_hand:
            self._take_by_hand(child, After.START)

    # One child

    def _admit(self, spec: ChildSpec) -> Child:
        policy = self.policy if spec.policy is None else self._in_use(spec.policy)
        return self.children.add(spec, policy)

    def _enqueue(self, child: Child, now: float) -> None:
        """Start a child that is down: now, or in its turn if its group is on its way up or down."""
        sweep = self.sweep
        had_its_turn = self.strategy is Strategy.ONE_FOR_ONE and child.life > 0
        if sweep is not None and sweep.covers(child) and not had_its_turn:
            sweep.take(child)
            self._queue(child)
        else:
            self._start(child, now)

    def _child_is_due(self, child: Child, now: float, *, late: bool) -> None:
        child.appointment = None
        if child.state not in ALIVE:
            self._enqueue(child, now)
        elif not child.cancelled:
            child.timed_out = child.state is ChildState.STARTING
            self._cancel(child, now)
        elif late:
            self._appoint(child, now + STRAGGLER_AFTER)
        else:
            self._announce(Happening.STRAGGLING, child)

    def _ended_as_told(self, child: Child, error: Exception | None, now: float) -> None:
        """Of a failure while stopping, the policy hears for the item's sake; the child's way is set."""
        escalation = None
        if error is not None:
            self._hear(child, error)
            if child.in_hand is not None and child.in_hand.item is not None:
                escalation = answer_to(error, Phase.STOP, child, self.name, now).escalation
        if escalation is None:
            self._settle(child, child.after, now)
        else:
            self._settle(child, After.STAY, now, error)
            self._give_up(escalation, now)

    def _settle(self, child: Child, after: After, now: float, error: Exception | None = None) -> None:
        """A child is down; do what was to follow."""
        if self.stopping:
            after = After.STAY
        elif child.spec.restart is TEMPORARY and (
            after is After.STAY or (after is After.QUEUE and child.life > 0)
        ):
            after = After.REMOVE
        if after is After.START:
            self._enqueue(child, now)
        elif after is After.QUEUE:
            self._queue(child)
        elif after is After.SUSPEND:
            child.move(Move.SUSPEND)
            self._announce(Happening.SUSPENDED, child, until=inf)
            child.stays_down(None, "was suspended")
        else:
            self._come_to_rest(child, error)
            if after is After.REMOVE:
                self._remove(child)

    # How a life ended by itself

    def _ignored(self, child: Child) -> None:
        self._announce(Happening.IGNORED, child)
        child.first = False
        child.is_up(None)
        self._rest_or_go(child)

    def _returned(self, child: Child, now: float) -> None:
        self._announce(Happening.RETURNED, child)
        if child.spec.restart is not PERMANENT:
            self._rest_or_go(child)
            self._one_significant_less(child, now)
            return
        error = ChildReturned(f"child {child.spec.name!r} of {self.name!r} is permanent, and returned")
        self._carry_out(answer_to(error, Phase.RUN, child, self.name, now), child, error, now)

    def _failed(self, child: Child, error: Exception, phase: Phase, now: float) -> None:
        self._hear(child, error)
        answer = answer_to(error, phase, child, self.name, now)
        if child.policy is None and phase is _START and child.first and not self.stopping:
            self._first_start_failed(child, error, now)
        elif child.spec.restart is TEMPORARY and answer.escalation is None:
            self._rest_or_go(child, error)
            self._one_significant_less(child, now)
        else:
            self._carry_out(answer, child, error, now)

    def _hear(self, child: Child, error: Exception) -> None:
        """Note a failure, here and on the error that the supervisor gives up with."""
        self._note(child, error)
        given_up = self.error if self.stopping else None
        if given_up is not None and len(getattr(given_up, "__notes__", ())) < KEPT_ERRORS:
            given_up.add_note(f"while stopping, child {child.spec.name!r} failed: {child.error_text}")

    def _first_start_failed(self, child: Child, error: Exception, now: float) -> None:
        """OTP's rule: the supervisor's own start fails, or the call of start_child; then it never was."""
        if not self.ready and child.order <= self._initial:
            self._come_to_rest(child, error)
            self._give_up(error, now)
        elif child.order > self._initial and child.life == 1:
            self._come_to_rest(child, error)
            self._remove(child)
        else:
            self._rest_or_go(child, error)

    def _rest_or_go(self, child: Child, error: Exception | None = None) -> None:
        """A child has ended by itself and stays down; a temporary one goes for good."""
        self._come_to_rest(child, error)
        if child.spec.restart is TEMPORARY:
            self._remove(child)

    def _one_significant_less(self, child: Child, now: float) -> None:
        if not child.spec.significant or self.auto_shutdown is AutoShutdown.NEVER or self.stopping:
            return
        if self.auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and any(
            other.spec.significant and other.state is not ChildState.STOPPED for other in self.children
        ):
            return
        if not self.ready:
            self._become_ready()  # it ends as one that was up: its work is done, which is no failed start
        self.request_stop(inf, now)

    def _carry_out(self, answer: Answer, child: Child, error: Exception, now: float) -> None:
        """Do the child's half of a decision; without one, OTP's rule."""
        decision, escalation = answer
        if self.stopping or escalation is not None:
            self._settle(child, After.STAY, now, error)
            if escalation is not None:
                self._give_up(escalation, now)
        elif decision is None:
            self._restart_by_intensity(child, error, now)
        elif isinstance(decision.child, Restart):
            self._come_back(child, Move.DELAY, now + decision.child.delay, now)
        elif isinstance(decision.child, Suspend):
            self._come_back(child, Move.SUSPEND, decision.child.until, now)
        else:
            assert isinstance(decision.child, Stop)
            child.by_hand = True
            self._settle(child, After.STAY, now, error)

    def _restart_by_intensity(self, child: Child, error: Exception, now: float) -> None:
        """Restart a child, unless that is one too many; a group restart counts once."""
        intensity, sweep = self.intensity, self.sweep
        going_down = sweep is not None and sweep.direction is Direction.DOWN and sweep.covers(child)
        if going_down or not intensity.exceeded_by(error, now):
            if not self._letting_go:
                self._let_go(now)
            self._come_back(child, _DELAY, now, now)
            return
        self._settle(child, After.STAY, now, error)
        self._give_up(intensity.failure(self.name), now)

    def _let_go(self, now: float) -> None:
        due = self.intensity.let_go(now)
        self._letting_go = due < inf
        if self._letting_go:
            self.agenda.enter(due, self.intensity)

    def _give_up(self, error: Exception, now: float) -> None:
        if self.stopping:
            return
        self._announce(Happening.GAVE_UP, error=error)
        self.request_stop(inf, now, error)

    def _advance(self, now: float) -> None:
        """Go as far as the children's states allow, in a sweep or in stopping."""
        while not (self._settling or self.killed or self.finished):
            sweep = self.sweep
            if self.stopping:
                self._advance_stop(now)
                return
            if sweep is None:
                return
            if not self._advance_sweep(sweep, now):
                return

    # The end

    def _begin_stop(self, now: float) -> None:
        """Note who has to go, so that stopping n children takes n steps."""
        del now  # of use where all are asked at once
        self._leaving = list(self.children)

    def _advance_stop(self, now: float) -> None:
        leaving = self._leaving
        while leaving:
            child = leaving[-1]
            if child.state in ALIVE:
                if child.state is not ChildState.STOPPING:
                    self._order_stop(child, After.STAY, now)
                return
            leaving.pop()
        self._finish()

    def _finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._announce(Happening.FINISHED)

    def _check_running(self) -> None:
        if self.stopping or self.killed or self.finished:
            raise NotRunning(f"supervisor {self.name!r} is stopping; it takes no calls about its children")
