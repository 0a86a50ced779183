"""Slot: the message in hand and its history, above every life of whoever works on it.

What a supervisor knows as `InHand`: it reads the history for the policy, and what the policy
decides about the message is carried out here. A slot belongs to one mailbox and lives as long.

*Rounds*: attempts that a policy excuses go round all messages that could be tried. The one whose
turn comes again is charged (see `CircuitBreaker`), and begins the next round.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

import trio
from trio.lowlevel import reschedule, wait_task_rescheduled

from pywats_supervision import ChildContext
from pywats_supervision.policies.decision import Decision, Failure, Retry, Skip, Verdict

__all__ = ["Aside", "Holder", "Owner", "Slot"]

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)


class Owner(Protocol[M_contra]):
    """Who owns a mailbox, and hears what becomes of messages that are not simply done."""

    def given_up(self, message: M_contra, failure: Failure) -> None:
        """No attempt is left; called in the supervisor's step: must not wait and must not raise."""
        ...

    def left_over(self, message: M_contra) -> None:
        """The actor is gone for good and nobody will do it; must not wait and must not raise."""
        ...

    def closed(self) -> None:
        """The mailbox has closed; must not wait and must not raise."""
        ...


class Aside(Protocol):
    """Who gives a waiting retry a life of its own, so that it leaves the head of the queue."""

    def set_aside(self, slot: Slot[Any], delay: float) -> None:
        """Start a life for the slot's message after `delay` seconds; in the supervisor's step."""
        ...


class Holder(Protocol[M]):
    """The mailbox, as far as its slots know it."""

    round: int
    done: int
    retried: int
    given_up: int
    clock: Callable[[], float]
    owner: Owner[M]
    idle: list[Slot[M]]

    def release(self, key: Hashable) -> None:
        """Let go of a key."""
        ...

    def others_under_way(self, slot: Slot[M]) -> int:
        """How many messages but the slot's are being worked on."""
        ...

    def move_aside(self, slot: Slot[M]) -> Slot[M]:
        """Free a worker's slot of a message that waits for its retry."""
        ...

    def forget(self, slot: Slot[M]) -> None:
        """A retry is over, one way or the other."""
        ...

    def changed(self) -> None:
        """Wake those that wait for a change."""
        ...


class Slot(Generic[M]):
    """One pair of hands: the message in it and the count of its attempts.

    What a supervisor knows as `InHand`. It lives as long as the mailbox.

    Attributes:
        item: the message in hand, None when empty.
        attempt: which attempt this is, 1 for the first.
        due: the time (trio's clock) before which it is not tried again.
        probe: its attempt was granted by a limited admission.
        in_line: a life of its own waits until the message may be tried again.
        key: the key it holds, if the mailbox orders by keys and `keyed`.
        task: the worker's, while one lives that has a task.
        hibernating: the life that waits here for its first message, without a task.
    """

    __slots__ = (
        "_excused_in",
        "_mailbox",
        "_mark",
        "aside",
        "attempt",
        "due",
        "hibernating",
        "in_line",
        "item",
        "key",
        "keyed",
        "name",
        "pause",
        "probe",
        "task",
    )

    def __init__(self, mailbox: Holder[M], name: str, aside: Aside | None = None) -> None:
        self._mailbox = mailbox
        self._mark = -1
        self._excused_in = -1
        self.name: str = name
        self.aside: Aside | None = aside
        self.item: M | None = None
        self.attempt: int = 1
        self.due: float = 0.0
        self.probe: bool = False
        self.in_line: bool = False
        self.keyed: bool = False
        self.key: Hashable = None
        self.task: Any = None
        self.hibernating: ChildContext | None = None
        self.pause: bool = False
        """Something wants to be looked at before the next message: a stop, a turn, a policy."""

    @property
    def overtaken(self) -> bool:
        """Another message, begun after this one's first attempt had failed, was done."""
        return 0 <= self._mark < self._mailbox.done

    @property
    def come_round(self) -> bool:
        """Every other message that could be tried was, since this one's last excused attempt.

        So it is where a round of the mailbox began with it, or has come to it already.
        """
        return self._excused_in == self._mailbox.round

    def belongs_to(self, mailbox: Holder[Any]) -> bool:
        """Whether it is one of the mailbox's own."""
        return self._mailbox is mailbox

    def park(self) -> Awaitable[Any]:
        """Wait for a message, or for `Mailbox.wake`; there may be none, if another worker took it.

        Cancelled: nothing is lost; what was sent is there for the next who asks.
        """
        self._mailbox.idle.append(self)
        return wait_task_rescheduled(self._abort)  # noqa: ASYNC105 - a frame less to resume

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._mailbox.idle.remove(self)
        return trio.lowlevel.Abort.SUCCEEDED

    def hibernate(self, life: ChildContext) -> None:
        """Wait for a message without a task."""
        self.come_out()
        self.hibernating = life
        self._mailbox.idle.append(self)

    def come_out(self) -> None:
        """Nobody hibernates here any more; one whose life ended meanwhile left its place in line."""
        if self.hibernating is not None:
            self.hibernating = None
            if self in self._mailbox.idle:
                self._mailbox.idle.remove(self)

    def taken(self, life: ChildContext) -> bool:
        """Whether another life than `life` works with these hands."""
        asleep = self.hibernating
        return self.task is not None or (asleep is not None and asleep is not life and not asleep.over)

    def rouse(self) -> None:
        """Have the worker look around, which was taken out of the line of the idle. HOT."""
        if self.task is not None:
            reschedule(self.task)
        elif self.hibernating is not None:
            self.hibernating.wake()

    def finished(self) -> None:
        """The message in hand is done, or given up: empty the hand and let go of its key."""
        self.item = None
        self.attempt = 1
        self.due = 0.0
        self._mark = self._excused_in = -1
        self.probe = False
        if self.keyed:
            self.keyed = False
            self._mailbox.release(self.key)

    def decided(self, failure: Failure, decision: Decision | None) -> None:
        """Carry out the half of a decision that is about the message (see `InHand`)."""
        mailbox = self._mailbox
        self.probe = False
        if self._mark < 0:
            # One that is under way began before this failed: its success says nothing of what came then.
            self._mark = mailbox.done + mailbox.others_under_way(self)
        if decision is not None:
            self._count_round(decision.verdict)
        if decision is None:
            self.attempt += 1
            self.due = 0.0
        elif isinstance(decision.item, Skip):
            message = self.item
            self.finished()
            mailbox.forget(self)
            mailbox.given_up += 1
            if message is not None:
                mailbox.owner.given_up(message, failure)
            mailbox.changed()
        else:
            self._retry(decision.item, decision.verdict)

    def _count_round(self, verdict: Verdict) -> None:
        """An excused attempt is one of this round; the one whose turn comes round begins the next."""
        if verdict is Verdict.CHARGED and self.come_round:
            self._mailbox.round += 1
            self._excused_in = self._mailbox.round
        elif verdict is Verdict.EXCUSED:
            self._excused_in = self._mailbox.round

    def again(self, delay: float) -> None:
        """The message in hand was not even begun: it comes back after `delay` seconds, uncharged."""
        self.probe = False
        self._retry(Retry(delay), Verdict.EXCUSED)

    def _retry(self, retry: Retry, verdict: Verdict) -> None:
        if verdict is Verdict.CHARGED:
            self.attempt += 1
        mailbox = self._mailbox
        self.due = mailbox.clock() + retry.delay
        mailbox.retried += 1
        if self.aside is not None:
            slot = mailbox.move_aside(self)
            self.aside.set_aside(slot, retry.delay)

    def hand_over(self, other: Slot[M]) -> None:
        """Give what is in hand, with its history, to another slot."""
        other.item, other.attempt, other.due, other._mark = self.item, self.attempt, self.due, self._mark
        other._excused_in = self._excused_in
        other.keyed, other.key = self.keyed, self.key
        self.keyed = False
        self.finished()
