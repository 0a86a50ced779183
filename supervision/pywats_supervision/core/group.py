"""Whom a failure takes along, and in which order they go down and come up.

A `Sweep` is one such movement: its members go down in reverse order, each only when the later
ones are down; then, when the delay is over, they come up in order, each only when the earlier
ones are up. The first start of a supervisor is a sweep that only comes up. A failure during a
sweep makes a new one that contains it, so an earlier child's pending start absorbs later ones
and delays combine by their maximum.
"""

from __future__ import annotations

import enum
from math import inf

from pywats_supervision.core.children import Child, Children
from pywats_supervision.core.life import ALIVE, ChildState
from pywats_supervision.core.spec import Strategy

__all__ = ["Direction", "Sweep", "merged"]


class Direction(enum.Enum):
    """Which half of its movement a sweep is in."""

    DOWN = "down"
    WAIT = "wait"
    UP = "up"


class Sweep:
    """One movement of a group, down and up.

    Attributes:
        members: the children it moves, in the order of their start.
        due: when they may come up again; inf waits for a person.
        direction: which half it is in.
    """

    __slots__ = ("_position", "direction", "due", "members")

    def __init__(self, members: list[Child], *, due: float = -inf, direction: Direction = Direction.DOWN) -> None:
        self.members = members
        self.due = due
        self.direction = direction
        self._position = len(members) - 1 if direction is Direction.DOWN else 0

    def takes(self, child: Child) -> bool:
        """Whether `child` starts in its turn in this sweep; a new one does, at the end."""
        if not self.members or child.order < self.members[0].order:
            return False
        if child.order > self.members[-1].order:
            self.members.append(child)
        if self.direction is Direction.UP:
            self._position = 0
        return True

    def next_to_stop(self) -> Child | None:
        """The last member that is not down yet; None when all are."""
        while self._position >= 0:
            child = self.members[self._position]
            if child.state in ALIVE:
                return child
            self._position -= 1
        return None

    def turn(self) -> None:
        """All members are down and the delay is over: come up."""
        self.direction = Direction.UP
        self._position = 0

    def next_to_start(self, *, waits_for_up: bool) -> Child | None:
        """The first member whose turn it is, pending or on its way; None when all had theirs.

        Args:
            waits_for_up: whether a member that is backing off holds up those after it.
        """
        while self._position < len(self.members):
            child = self.members[self._position]
            if child.state in {ChildState.PENDING, ChildState.STARTING}:
                return child
            if waits_for_up and child.state is ChildState.BACKING_OFF:
                return child
            self._position += 1
        return None


def merged(children: Children, strategy: Strategy, failed: Child, due: float, sweep: Sweep | None) -> Sweep:
    """The sweep that answers the failure of `failed` while `sweep`, if any, is under way."""
    going_down = sweep if sweep is not None and sweep.direction is not Direction.UP else None
    if strategy is Strategy.ONE_FOR_ALL:
        members = list(children)
    else:
        first = failed
        if going_down is not None:
            first = next((member for member in going_down.members if member in children), failed)
            first = min(first, failed, key=lambda child: child.order)
        members = children.since(first)
    return Sweep(members, due=due if going_down is None else max(due, going_down.due))
