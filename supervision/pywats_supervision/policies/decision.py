"""The vocabulary of restart policies: what a supervisor tells one, and what it answers.

A policy is configuration and pure: every call gets the state it decides on and the time, and
touches nothing else. The supervisor (or a face for plain code) owns the state, made once by
`new_state`, so one policy object can be shared while each user keeps an own count.

Three kinds of news reach a policy: a failure, progress, and the question whether work may go on.
The answer to a failure has two halves that are combined separately: what becomes of the item in
hand, and what becomes of the child. Two policies are combined by `compose`; the orders of
severity it uses stand here, beside the types (`CHILD_SEVERITY`).
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeAlias, TypeVar

__all__ = [
    "CHILD_SEVERITY",
    "Admission",
    "ChildDecision",
    "Decision",
    "Escalate",
    "Failure",
    "ItemDecision",
    "Phase",
    "Restart",
    "RestartPolicy",
    "Retry",
    "Skip",
    "Stop",
    "Suspend",
    "Verdict",
]

StateT = TypeVar("StateT")


class Phase(enum.Enum):
    """Where in its life a child failed."""

    START = "start"
    RUN = "run"
    STOP = "stop"


class Verdict(enum.Enum):
    """Whose fault a failed attempt is, and so whether it uses up one of the item's attempts."""

    CHARGED = "charged"
    """The ordinary case: the attempt counts, for the item as for a breaker."""
    EXCUSED = "excused"
    """The circumstances are to blame (a breaker not closed, an outage): the item keeps its attempt."""
    BLAMED = "blamed"
    """The item itself is to blame (validation): skipped at once, and counts for nothing else."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed life of a child.

    Attributes:
        error: what it raised. `error.retry_after` (seconds) is a lower bound of the delay;
            `error.outage` true says that the other side was away; `error.suspend` true that
            only a person can help (for instance HTTP 401); `error.blames_item` true that no
            retry of this item can succeed.
        item: what the child had in hand, opaque here; None if nothing.
        attempt: 1 for the item's first attempt. Excused and cancelled attempts are not counted.
        phase: where in its life the child was.
        uptime: seconds from being up to the failure; 0.0 if it never was.
        overtaken: another item of the same handler, begun after this one's first attempt had failed, has
            succeeded.
        come_round: it is the item's turn again: since its last excused attempt every other that
            could be tried was. Who holds the items begins a new round with each such failure.
        probe: the attempt had been granted by a limited `Admission`, which it now gives back.
        verdict: what the policies said in `judge`; they hear it again in `failed`.
    """

    error: Exception
    item: object | None = None
    attempt: int = 1
    phase: Phase = Phase.RUN
    uptime: float = 0.0
    overtaken: bool = False
    come_round: bool = False
    probe: bool = False
    verdict: Verdict = Verdict.CHARGED


@dataclass(frozen=True, slots=True)
class Retry:
    """The item in hand is tried again, at the earliest `delay` seconds from now."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Skip:
    """The item in hand is given up: a dead letter, or an error for who asked."""


@dataclass(frozen=True, slots=True)
class Restart:
    """The child lives again, `delay` seconds from now."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Suspend:
    """The child stays down until the time `until` of the supervisor's clock; inf waits for a person."""

    until: float = inf


@dataclass(frozen=True, slots=True)
class Stop:
    """The child stays down, as if stopped by hand."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The supervisor gives up: it stops its children and fails towards its own parent."""


ItemDecision: TypeAlias = Retry | Skip
ChildDecision: TypeAlias = Restart | Suspend | Stop | Escalate

CHILD_SEVERITY: Final[tuple[type[ChildDecision], ...]] = (Restart, Suspend, Stop, Escalate)
"""From mildest to gravest; of two decisions about a child the graver stands."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a failure: one half about the item in hand, one about the child.

    Attributes:
        item: what becomes of the item; of no meaning when there was none.
        child: what becomes of the child.
        verdict: what the policies had judged; the item's holder counts attempts by it.
    """

    item: ItemDecision = Retry()
    child: ChildDecision = Restart()
    verdict: Verdict = Verdict.CHARGED


@dataclass(frozen=True, slots=True)
class Admission:
    """How much work may be taken now.

    Attributes:
        count: how many items, at most as many as were asked for; 0 for none.
        limited: the items are probes of a half-open breaker: each must be given back by a
            failure with `probe`, by progress with `probes`, or by `withdrawn`.
        at: when to ask again, if `count` is 0; inf when only news can change the answer.
    """

    count: int
    limited: bool = False
    at: float = inf


class RestartPolicy(abc.ABC, Generic[StateT]):
    """When a child, or the item in its hand, is to be tried again.

    Subclasses hold validated configuration only. `StateT` is the mutable state that one user of
    the policy keeps; a supervisor with `policy=` keeps one for all its children, a `ChildSpec`
    with `policy=` one of its own.
    """

    @property
    def skips(self) -> bool:
        """Whether it may answer Skip, and so is of use only for children that have items in hand."""
        return False

    @abc.abstractmethod
    def new_state(self, chance: Callable[[], float]) -> StateT:
        """Make the state for one user of this policy; from then on the policy may not change.

        Args:
            chance: gives numbers in [0, 1), for jitter; seeded, so that a run can be repeated.
        """

    def judge(self, state: StateT, failure: Failure, now: float) -> Verdict:
        """Say whose fault the failure is, before any state changes; the gravest verdict stands.

        Args:
            state: what `new_state` made; not changed here.
            failure: what happened.
            now: the supervisor's clock, in seconds.
        """
        del state, failure, now
        return Verdict.CHARGED

    @abc.abstractmethod
    def failed(self, state: StateT, failure: Failure, now: float) -> Decision | None:
        """Decide on a failure; None leaves it to the supervisor's own rules and its intensity.

        Args:
            state: what `new_state` made; may be changed.
            failure: what happened, with the verdict that all policies agreed on.
            now: the supervisor's clock, in seconds.
        """

    def progressed(self, state: StateT, count: int, probes: int, now: float) -> None:
        """Hear that items were done.

        Args:
            state: what `new_state` made; may be changed.
            count: how many, since it was last told.
            probes: how many of them had been granted by a limited admission.
            now: the supervisor's clock, in seconds.
        """
        del state, count, probes, now

    def admit(self, state: StateT, wanted: int, now: float) -> Admission:
        """Say how many of `wanted` items may be taken now.

        Args:
            state: what `new_state` made; may be changed (a limited admission is remembered).
            wanted: at least 1.
            now: the supervisor's clock, in seconds.
        """
        del state, now
        return Admission(wanted)

    def unlimited(self, state: StateT) -> bool:
        """Whether `admit` would at present grant anything at any time, so that nobody needs to ask."""
        del state
        return True

    def withdrawn(self, state: StateT, probes: int, now: float) -> None:
        """Hear that granted probes were neither done nor failed (they were cancelled).

        Args:
            state: what `new_state` made; may be changed.
            probes: how many.
            now: the supervisor's clock, in seconds.
        """
        del state, probes, now

    def resumed(self, state: StateT, now: float) -> bool:
        """Hear that a person resumed a child that this policy had suspended.

        Args:
            state: what `new_state` made; may be changed.
            now: the supervisor's clock, in seconds.

        Returns:
            Whether others who share the state may go on as well.
        """
        del state, now
        return False

    def watch(self, state: StateT, changed: Callable[[], None]) -> None:
        """Have `changed` called when `unlimited` may differ for another reason than a call here.

        Args:
            state: what `new_state` made.
            changed: takes nothing and does not raise; called for instance by a reset by hand.
        """
        del state, changed

    def describe(self, state: StateT) -> dict[str, Any]:
        """What a person would want to see of the state, in plain values, for snapshots."""
        del state
        return {}
