"""The one place that decides what a supervisor does next.

Like h11's connection it is one mutable object without I/O: the shell reports what happened
(`up`, `ended`, `due`, and the calls of users), and finds in `actions` what to do. The rules are
OTP's (supervisor.erl and its manual) with these additions, each with its reason in
docs/decisions: policies are asked before the intensity, a child that a person stopped stays down
in a group restart, and a failed first start with a policy is a failure like any other.

Change together: `life` (the moves made here), `group` (the order of a sweep), `unordered` (the
same for children without an order).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final

from pywats_supervision.core.actions import Action, AskToStop, Cancel, Happening, Run, SayReady
from pywats_supervision.core.agenda import Agenda
from pywats_supervision.core.children import Child, Children
from pywats_supervision.core.group import Direction, Sweep, merged
from pywats_supervision.core.intensity import Intensity
from pywats_supervision.core.life import ALIVE, After, ChildState, Move
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.core.spec import (
    PERMANENT,
    TEMPORARY,
    AutoShutdown,
    ChildSpec,
    Strategy,
)
from pywats_supervision.errors import (
    KEPT_ERRORS,
    ChildReturned,
    ChildStopped,
    NotRunning,
    PolicyEscalated,
    RestartIntensityExceeded,
    StartTimeout,
)
from pywats_supervision.policies.decision import (
    Decision,
    Escalate,
    Failure,
    Phase,
    Restart,
    RestartPolicy,
    Stop,
    Suspend,
)

__all__ = ["STRAGGLER_AFTER", "Announce", "Decider"]

STRAGGLER_AFTER: Final = 1.0
"""Seconds after its cancellation at which a child that still runs is reported as straggling."""

Announce = Callable[[Happening, "Child | None", dict[str, Any] | None], None]


class Decider:
    """The decisions of one run of a supervisor.

    Attributes:
        actions: what the shell has to do, oldest first; it takes them out.
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
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.intensity = intensity
        self.auto_shutdown = auto_shutdown
        self.children = Children()
        self.policy = None if policy is None else PolicyInUse(policy, chance)
        self.actions: deque[Action] = deque()
        self.agenda: Agenda[Child | list[Child] | Sweep] = Agenda()
        self.sweep: Sweep | None = None
        self.error: Exception | None = None
        self.ready = False
        self.stopping = False
        self.finished = False
        self.killed = False
        self.deadline = inf
        self._initial = 0
        self._leaving: list[Child] = []
        self._chance = chance
        self._announce = announce

    # What the shell reports

    def begin(self, specs: tuple[ChildSpec, ...], now: float) -> None:
        """Start the children, in order."""
        members = [self._admit(spec) for spec in specs]
        self._initial = len(members)
        self.sweep = Sweep(members, direction=Direction.UP)
        self._advance(now)

    def up(self, child: Child, value: object, now: float) -> None:
        """The child's present life has called `started(value)`."""
        if child.state is ChildState.STARTING and not child.timed_out:
            self._is_up(child, value, now)
            self._advance(now)

    def ended(self, child: Child, error: Exception | None, now: float) -> None:
        """The child's present life has ended, by returning, failing, or as it was told to."""
        self._disappoint(child)
        if self.killed or self.finished:
            child.move(Move.REST)
            return
        if child.state is ChildState.STOPPING:
            self._ended_as_told(child, error, now)
        elif error is None and not child.timed_out:
            self._returned(child, now)
        else:
            self._failed(child, error or self._start_timeout(child), now)
        self._advance(now)

    def due(self, now: float) -> None:
        """The time of the agenda's first entries has come."""
        while (entry := self.agenda.take_due(now)) is not None:
            # Cancelling very many at once holds the loop; whoever had no turn yet is no straggler.
            late = now - entry.due > STRAGGLER_AFTER / 2
            if isinstance(entry.what, Child):
                entry.what.appointment = None
                self._child_is_due(entry.what, now, late=late)
            elif isinstance(entry.what, list):
                for child in entry.what:
                    self._child_is_due(child, now, late=late)
        self._advance(now)

    def kill(self) -> None:
        """The supervisor's own scope was cancelled: nothing is restarted, no order is kept."""
        self.killed = True
        self.sweep = None

    def dismiss(self) -> None:
        """The supervisor has ended: nobody may go on waiting for one of its children."""
        for child in self.children:
            child.is_down(NotRunning(f"supervisor {self.name!r} has ended"))

    # What users ask for

    def request_stop(self, deadline: float, now: float, error: Exception | None = None) -> None:
        """Stop all children in reverse order, then end, raising `error` if there is one.

        A second request can only make the deadline earlier.
        """
        sooner = deadline < self.deadline
        self.deadline = min(self.deadline, deadline)
        if self.stopping:
            if sooner:
                for child in self.children:
                    if child.state is ChildState.STOPPING and not child.cancelled:
                        self._grant_grace(child, now)
            return
        self.stopping = True
        self.error = error
        self.sweep = None
        self._announce(Happening.STOPPING, None, None)
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
            self._back_off(child, now + delay)
        else:
            self._enqueue(child, now)
            self._advance(now)
        return child

    def stop_child(self, child: Child, now: float, after: After = After.STAY) -> None:
        """Stop a child; it stays down (STAY, SUSPEND), goes for good (REMOVE) or starts again (START)."""
        self._check_running()
        if child.state in ALIVE:
            child.by_hand = after in {After.STAY, After.SUSPEND}
            child.after = after
            if child.state is not ChildState.STOPPING:
                self._order_stop(child, after, now)
            return
        self._disappoint(child)
        child.by_hand = after in {After.STAY, After.SUSPEND}
        self._settle(child, after, now)
        self._advance(now)

    def resume_child(self, child: Child, now: float) -> None:
        """Start a child that is down; one that is up, or on its way, is left alone."""
        self._check_running()
        child.by_hand = False
        if child.state is ChildState.STOPPING and child.after in {After.STAY, After.SUSPEND}:
            child.after = After.START
        if child.state is ChildState.PENDING:
            if self.sweep is not None and self.sweep.direction is Direction.WAIT:
                self.sweep.due = now
        elif child.state not in ALIVE:
            self._disappoint(child)
            self._enqueue(child, now)
        self._advance(now)

    # One child

    def _admit(self, spec: ChildSpec) -> Child:
        child = self.children.add(spec)
        if spec.policy is not None:
            child.policy = PolicyInUse(spec.policy, self._chance)
        else:
            child.policy = self.policy
        return child

    def _enqueue(self, child: Child, now: float) -> None:
        """Start a child that is down: now, or in its turn if its group is on its way up or down."""
        if self.sweep is not None and self.sweep.takes(child):
            child.move(Move.QUEUE)
        else:
            self._start(child, now)

    def _start(self, child: Child, now: float) -> None:
        self._disappoint(child)
        child.move(Move.START)
        child.life += 1
        child.cancelled = child.timed_out = child.listening = child.by_hand = False
        child.after = After.STAY
        self._announce(Happening.STARTING, child, None)
        self.actions.append(Run(child))
        if not child.spec.takes_status:
            self._is_up(child, None, now)
        elif child.spec.start_timeout < inf:
            self._appoint(child, now + child.spec.start_timeout)

    def _appoint(self, child: Child, due: float) -> None:
        child.appointment = self.agenda.enter(due, child)

    def _disappoint(self, child: Child) -> None:
        if child.appointment is not None:
            self.agenda.cancel(child.appointment)
            child.appointment = None

    def _is_up(self, child: Child, value: object, now: float) -> None:
        self._disappoint(child)
        child.move(Move.UP)
        child.first = False
        child.up_since = now
        self._announce(Happening.UP, child, None)
        child.is_up(value)

    def _start_timeout(self, child: Child) -> StartTimeout:
        return StartTimeout(
            f"child {child.spec.name!r} of {self.name!r} did not call started() within "
            f"{child.spec.start_timeout:g} s; raise its start_timeout, or find out what it waits for"
        )

    def _child_is_due(self, child: Child, now: float, *, late: bool) -> None:
        if child.state in ALIVE:
            if child.cancelled and late:
                self._appoint(child, now + STRAGGLER_AFTER)
            elif child.cancelled:
                self._announce(Happening.STRAGGLING, child, {"seconds": STRAGGLER_AFTER})
            else:
                child.timed_out = child.state is ChildState.STARTING
                self._cancel(child, now)
        elif child.state in {ChildState.BACKING_OFF, ChildState.SUSPENDED}:
            self._start(child, now)

    def _order_stop(self, child: Child, after: After, now: float) -> None:
        starting = child.state is ChildState.STARTING
        self._disappoint(child)
        child.move(Move.ASK)
        child.after = after
        self._announce(Happening.STOPPING, child, None)
        if child.listening or (child.spec.takes_child and not starting):
            self._grant_grace(child, now)
        else:
            self._cancel(child, now)

    def _grant_grace(self, child: Child, now: float) -> None:
        """Ask a child to stop and make an appointment for the end of its grace.

        A supervisor without a grace of its own is bounded by its children's, which know the
        deadline too; cancelling it as well would end the order in which they stop.
        """
        until = min(now + child.spec.grace, self.deadline)
        if until <= now:
            self._cancel(child, now)
            return
        self.actions.append(AskToStop(child, until))
        bounded_by_children = child.spec.is_supervisor and child.spec.grace == inf
        if until < inf and not bounded_by_children:
            self._disappoint(child)
            self._appoint(child, until)

    def _cancel(self, child: Child, now: float) -> None:
        child.cancelled = True
        self._disappoint(child)
        self.actions.append(Cancel(child))
        self._appoint(child, now + STRAGGLER_AFTER)

    def _ended_as_told(self, child: Child, error: Exception | None, now: float) -> None:
        if error is not None:
            self._note(child, error)
            failure = self._failure(child, error, Phase.STOP, now)
            if failure.item is not None:
                self._ask_policy(child, failure, now)
            if self.stopping and self.error is not None:
                self.error.add_note(f"while stopping, child {child.spec.name!r} failed: {child.error_text}")
        self._settle(child, child.after, now)

    def _settle(self, child: Child, after: After, now: float) -> None:
        """A child is down; do what was to follow."""
        if self.stopping:
            after = After.STAY
        elif child.spec.restart is TEMPORARY and (
            after is After.STAY or (after is After.QUEUE and child.life > 0)
        ):
            after = After.REMOVE
        if after is After.START:
            child.restarts += child.life > 0
            self._enqueue(child, now)
        elif after is After.QUEUE:
            child.move(Move.QUEUE)
        elif after is After.SUSPEND:
            child.move(Move.SUSPEND)
            self._announce(Happening.SUSPENDED, child, {"until": inf})
            child.is_down(ChildStopped(f"child {child.spec.name!r} was suspended before it was up"))
        else:
            self._come_to_rest(child)
            if after is After.REMOVE:
                self._remove(child)

    def _come_to_rest(self, child: Child, error: Exception | None = None) -> None:
        child.move(Move.REST)
        self._announce(Happening.STOPPED, child, None)
        child.is_down(error or ChildStopped(f"child {child.spec.name!r} was stopped before it was up"))

    def _remove(self, child: Child) -> None:
        self.children.remove(child)
        self._announce(Happening.REMOVED, child, None)

    # How a life ended by itself

    def _returned(self, child: Child, now: float) -> None:
        if child.state is ChildState.STARTING:
            self._announce(Happening.IGNORED, child, None)
            child.first = False
            child.is_up(None)
            self._rest_or_go(child)
            return
        self._announce(Happening.RETURNED, child, None)
        if child.spec.restart is PERMANENT:
            error = ChildReturned(f"child {child.spec.name!r} of {self.name!r} is permanent, and returned")
            decision = self._ask_policy(child, self._failure(child, error, Phase.RUN, now), now)
            self._carry_out(child, error, decision, now)
        else:
            self._rest_or_go(child)
            self._one_significant_less(child, now)

    def _failed(self, child: Child, error: Exception, now: float) -> None:
        phase = Phase.START if child.state is ChildState.STARTING else Phase.RUN
        self._note(child, error)
        decision = self._ask_policy(child, self._failure(child, error, phase, now), now)
        first_start = phase is Phase.START and child.first
        if decision is None and first_start:
            self._first_start_failed(child, error, now)
        elif child.spec.restart is TEMPORARY and not (
            decision is not None and isinstance(decision.child, Escalate)
        ):
            self._rest_or_go(child, error)
            self._one_significant_less(child, now)
        else:
            self._carry_out(child, error, decision, now)

    def _failure(self, child: Child, error: Exception, phase: Phase, now: float) -> Failure:
        uptime = 0.0 if phase is Phase.START else now - child.up_since
        held = child.in_hand
        if held is None or held.item is None:
            return Failure(error, phase=phase, uptime=uptime)
        return Failure(
            error, held.item, held.attempt, phase, uptime=uptime, overtaken=held.overtaken, probe=held.probe
        )

    def _note(self, child: Child, error: Exception) -> None:
        """Keep a failure as text: the error itself would keep its frames, and what they hold, alive."""
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001 - a user's __str__; the type's name is what is left to say
            text = type(error).__name__
        child.error_text = text[:500]
        self._announce(Happening.FAILED, child, {"error": error})

    def _ask_policy(self, child: Child, failure: Failure, now: float) -> Decision | None:
        decision: Decision | None = None
        if child.policy is not None:
            try:
                decision = child.policy.failed(failure, now)
            except Exception as broken:  # noqa: BLE001 - a user's policy; it escalates with both errors
                self._give_up(
                    PolicyEscalated(
                        f"the restart policy of child {child.spec.name!r} of {self.name!r} raised",
                        [failure.error, broken],
                        supervisor=self.name,
                    ),
                    now,
                )
                decision = Decision(child=Escalate())
        child.last = decision
        if failure.item is not None and child.in_hand is not None:
            child.in_hand.decided(failure, decision)
        return decision

    def _first_start_failed(self, child: Child, error: Exception, now: float) -> None:
        self._come_to_rest(child, error)
        if self.ready or child.order > self._initial:
            self._remove(child)
        else:
            self._give_up(error, now)

    def _rest_or_go(self, child: Child, error: Exception | None = None) -> None:
        """A child has ended by itself and stays down; a temporary one goes for good."""
        self._come_to_rest(child, error)
        if child.spec.restart is TEMPORARY:
            self._remove(child)

    def _one_significant_less(self, child: Child, now: float) -> None:
        if not child.spec.significant or self.auto_shutdown is AutoShutdown.NEVER:
            return
        if self.auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and any(
            other.spec.significant and other.state is not ChildState.STOPPED for other in self.children
        ):
            return
        self.request_stop(inf, now)

    def _carry_out(self, child: Child, error: Exception, decision: Decision | None, now: float) -> None:
        """Do the child's half of a decision; without one, OTP's rule."""
        if self.stopping:
            self._settle(child, After.STAY, now)
            return
        swept = self.sweep is not None and self.sweep.direction is Direction.DOWN and child in self.sweep.members
        if decision is None:
            if not swept and self.intensity.exceeded_by(error, now):
                self._too_many_restarts(child, now)
            else:
                self._restart(child, now, now)
            return
        match decision.child:
            case Restart(delay):
                self._restart(child, now + delay, now)
            case Suspend(until):
                self._announce(Happening.SUSPENDED, child, {"until": until})
                self._suspend(child, until, now)
            case Stop():
                child.by_hand = True
                self._settle(child, After.STAY, now)
            case Escalate():
                self._give_up(
                    PolicyEscalated(
                        f"the restart policy of child {child.spec.name!r} of {self.name!r} escalated",
                        [error],
                        supervisor=self.name,
                    ),
                    now,
                )
                self._settle(child, After.STAY, now)

    def _too_many_restarts(self, child: Child, now: float) -> None:
        intensity = self.intensity
        self._settle(child, After.STAY, now)
        self._give_up(
            RestartIntensityExceeded(
                f"supervisor {self.name!r}: {len(intensity)} restarts within {intensity.within:g} s, "
                f"{intensity.limit} are allowed; the newest {min(len(intensity), KEPT_ERRORS)} errors are here",
                intensity.errors(),
                supervisor=self.name,
                more=intensity.forgotten,
            ),
            now,
        )

    def _give_up(self, error: Exception, now: float) -> None:
        if not self.stopping:
            self._announce(Happening.GAVE_UP, None, {"error": error})
            self.request_stop(inf, now, error)

    def _restart(self, child: Child, due: float, now: float) -> None:
        child.restarts += 1
        if self.strategy is not Strategy.ONE_FOR_ONE:
            self._sweep_from(child, due, now)
        elif due > now:
            self._back_off(child, due)
        else:
            self._start(child, now)

    def _back_off(self, child: Child, due: float) -> None:
        child.move(Move.DELAY)
        self._appoint(child, due)
        self._announce(Happening.BACKING_OFF, child, {"until": due})

    def _suspend(self, child: Child, until: float, now: float) -> None:
        if self.strategy is not Strategy.ONE_FOR_ONE:
            self._sweep_from(child, until, now)
            return
        child.move(Move.SUSPEND)
        if until < inf:
            self._appoint(child, until)

    # Groups

    def _sweep_from(self, failed: Child, due: float, now: float) -> None:
        self._announce(Happening.GROUP_RESTART, failed, {"until": due} if due > now else None)
        failed.move(Move.QUEUE)
        self.sweep = merged(self.children, self.strategy, failed, due, self.sweep)
        for member in self.sweep.members:
            if member.state is ChildState.STOPPING:
                if member.after is After.START:
                    member.after = After.QUEUE
            elif member.state not in ALIVE and not member.by_hand:
                self._disappoint(member)
                member.move(Move.QUEUE)

    def _advance(self, now: float) -> None:
        """Go as far as the children's states allow, in a sweep or in stopping."""
        while not self.killed and not self.finished:
            if self.stopping:
                self._advance_stop(now)
                return
            sweep = self.sweep
            if sweep is None:
                return
            if sweep.direction is Direction.UP:
                if not self._advance_up(sweep, now):
                    return
            elif not self._advance_down(sweep, now):
                return

    def _advance_up(self, sweep: Sweep, now: float) -> bool:
        child = sweep.next_to_start(waits_for_up=self.strategy is not Strategy.ONE_FOR_ONE)
        if child is None:
            self.sweep = None
            if not self.ready:
                self.ready = True
                self._announce(Happening.READY, None, None)
                self.actions.append(SayReady())
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
        if sweep.due <= now:
            sweep.turn()
            return True
        if sweep.direction is Direction.DOWN:
            sweep.direction = Direction.WAIT
            if sweep.due < inf:
                self.agenda.enter(sweep.due, sweep)
        return False

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
        self.finished = True
        self._announce(Happening.FINISHED, None, None)

    def _check_running(self) -> None:
        if self.stopping or self.killed or self.finished:
            raise NotRunning(f"supervisor {self.name!r} is stopping; it takes no calls about its children")
