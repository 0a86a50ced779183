"""The children of one supervisor in the order of their start, and what it knows of each.

A dict keeps the order, so every operation is O(1) and a walk O(n); 100,000 are no special case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pywats_supervision.core.agenda import Entry
from pywats_supervision.core.life import TRANSITIONS, After, ChildState, Move
from pywats_supervision.core.policy_in_use import PolicyInUse
from pywats_supervision.core.spec import ChildSpec
from pywats_supervision.errors import ChildStopped, DuplicateChild, UnknownChild
from pywats_supervision.policies.decision import Decision, Failure

__all__ = ["Child", "Children", "InHand", "Waiter"]


class InHand(Protocol):
    """What a child has in hand, kept by whoever outlives the child; opaque to a supervisor.

    Attributes:
        item: the item, None when the hand is empty.
        attempt: which attempt at it this is, 1 for the first.
        overtaken: another item of the same handler, begun after this one's first attempt had failed, has
            succeeded.
        come_round: since its last excused attempt every other item that could be tried was.
        probe: it was granted by a limited admission.
    """

    @property
    def item(self) -> object | None:
        """None when the hand is empty."""
        ...

    @property
    def attempt(self) -> int:
        """From 1."""
        ...

    @property
    def overtaken(self) -> bool:
        """For `Failure.overtaken`."""
        ...

    @property
    def come_round(self) -> bool:
        """For `Failure.come_round`."""
        ...

    @property
    def probe(self) -> bool:
        """For `Failure.probe`."""
        ...

    def decided(self, failure: Failure, decision: Decision | None) -> None:
        """Carry out the item's half of the decision; None means that no policy decided.

        Called in the step in which the child's life ends with an error, once for each. Not called
        for a life that was cancelled or returned, nor when the whole tree is cancelled: the item
        then is as it was before the life. Must not raise and must not wait; it may call
        `start_child_nowait`.
        """
        ...


class Waiter:
    """Somebody who waits until a child is up, or until it is down."""

    __slots__ = ("error", "for_up", "resolved", "value", "wake")

    def __init__(self, wake: Callable[[], None], *, for_up: bool) -> None:
        self.wake: Callable[[], None] = wake
        self.for_up: bool = for_up
        self.resolved: bool = False
        self.value: Any = None
        self.error: Exception | None = None


class Child:
    """One child: its specification, where it is in its life, and what is to become of it."""

    __slots__ = (
        "after",
        "appointment",
        "by_hand",
        "cancelled",
        "error_text",
        "first",
        "_gone",
        "in_hand",
        "last",
        "life",
        "listening",
        "order",
        "policy",
        "shell",
        "spec",
        "state",
        "timed_out",
        "up_since",
        "waiters",
    )

    def __init__(self, spec: ChildSpec, order: int) -> None:
        self.spec: ChildSpec = spec
        self.order: int = order
        self.state: ChildState = ChildState.PENDING
        self.life: int = 0
        """Number of its life, from 1."""
        self.first: bool = True
        """It has never been up."""
        self.after: After = After.STAY
        self.by_hand: bool = False
        """Stopped or suspended by a call; a group restart leaves it so."""
        self.cancelled: bool = False
        """Its grace, or the time it had to start, is over: its scope has been cancelled."""
        self.timed_out: bool = False
        """Its present life did not call `started()` in time."""
        self.listening: bool = False
        """It has asked to be told when it is to stop."""
        self.up_since: float | None = None
        """When its present or last life came up; None if it has not."""
        self.error_text: str = ""
        self.last: Decision | None = None
        """The decision after its last failure."""
        self.in_hand: InHand | None = None
        self.policy: PolicyInUse | None = None
        self.appointment: Entry | None = None
        self.waiters: list[Waiter] | None = None
        self._gone: Callable[[], object] | dict[Callable[[], object], None] | None = None
        """To be called when the child has gone for good: mostly one; a dict of several keeps their order."""
        self.shell: Any = None
        """The shell's own: the context of the present life; None while there is none."""

    def move(self, move: Move) -> None:
        """Change its state by the table."""
        self.state = TRANSITIONS[self.state, move]

    def is_up(self, value: object) -> None:
        """Tell those who wait for it to be up."""
        if self.waiters is not None:
            self._resolve(for_up=True, value=value, error=None)

    def is_down(self) -> None:
        """Tell those who wait for it to be down, whatever follows."""
        if self.waiters is not None:
            self._resolve(for_up=False, value=None, error=None)

    def stays_down(self, error: Exception | None, why: str) -> None:
        """Tell those who wait for it to be up that they wait in vain.

        Args:
            error: what they are to be given; None for a `ChildStopped`.
            why: what happened to the child, for that one's text.
        """
        if self.waiters is not None:
            error = error or ChildStopped(f"child {self.spec.name!r} {why} before it was up")
            self._resolve(for_up=True, value=None, error=error)

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once, however often it is given, when the child has gone for good."""
        if isinstance(self._gone, dict):
            self._gone[callback] = None
        elif self._gone is None:
            self._gone = callback
        elif self._gone != callback:
            self._gone = {self._gone: None, callback: None}

    def take_gone(self) -> tuple[Callable[[], object], ...]:
        """Take the callbacks that wait for the child to be gone for good."""
        gone, self._gone = self._gone, None
        return () if gone is None else tuple(gone) if isinstance(gone, dict) else (gone,)

    def _resolve(self, *, for_up: bool, value: object, error: Exception | None) -> None:
        waiters = self.waiters or []
        resolved = [waiter for waiter in waiters if waiter.for_up is for_up]
        self.waiters = [waiter for waiter in waiters if waiter.for_up is not for_up] or None
        for waiter in resolved:
            waiter.resolved, waiter.value, waiter.error = True, value, error
            waiter.wake()


class Children:
    """The children by name, in the order in which they were added."""

    __slots__ = ("_by_name", "_order")

    def __init__(self) -> None:
        self._by_name: dict[str, Child] = {}
        self._order = 0

    def add(self, spec: ChildSpec, policy: PolicyInUse | None) -> Child:
        """Add a child at the end.

        Args:
            spec: what it is.
            policy: what decides on its failures.

        Raises:
            DuplicateChild: if there is one of that name.
        """
        if spec.name in self._by_name:
            raise DuplicateChild(f"there is a child {spec.name!r} already; remove it, or take another name")
        self._order += 1
        child = self._by_name[spec.name] = Child(spec, self._order)
        child.policy = policy
        return child

    def named(self, name: str) -> Child:
        """Look a child up.

        Raises:
            UnknownChild: if there is none of that name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownChild(f"there is no child {name!r}") from None

    def remove(self, child: Child) -> None:
        """Forget a child."""
        del self._by_name[child.spec.name]

    def since(self, first: Child) -> list[Child]:
        """`first` and those started after it, in order."""
        rest: list[Child] = []
        for child in reversed(self._by_name.values()):
            rest.append(child)
            if child is first:
                break
        rest.reverse()
        return rest

    def __contains__(self, child: Child) -> bool:
        return self._by_name.get(child.spec.name) is child

    def __iter__(self) -> Iterator[Child]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)
