"""Whom a failure takes along, and in which order they go down and come up.

A `Sweep` is one such movement: its members go down in reverse order, each only when the later
ones are down; then, when all delays are over, they come up in order, each only when the earlier
ones are up. The first start of a supervisor is a sweep that only comes up. A failure during a
sweep makes a new one that contains it, so an earlier child's pending start absorbs later ones
and delays combine by their maximum.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Mapping
from math import inf

from pywats_supervision.core.agenda import Entry
from pywats_supervision.core.children import Child, Children
from pywats_supervision.core.life import ALIVE, After, ChildState
from pywats_supervision.core.spec import Strategy

__all__ = ["Direction", "Sweep", "merged"]


class Direction(enum.Enum):
    """Which half of its movement a sweep is in."""

    DOWN = "down"
    """Going down, or down and waiting for a delay to be over."""
    UP = "up"


class Sweep:
    """One movement of a group, down and up.

    Attributes:
        members: the children it moves, in the order of their start.
        causes: until when the group has to stay down, by the child whose policy says so; inf
            waits for a person.
        direction: which half it is in.
        appointment: the agenda's entry for the end of the delays.
    """

    __slots__ = ("_position", "appointment", "causes", "direction", "members")

    def __init__(
        self,
        members: list[Child],
        *,
        direction: Direction = Direction.DOWN,
        causes: Mapping[Child, float] | None = None,
    ) -> None:
        self.members: list[Child] = members
        self.causes: dict[Child, float] = dict(causes or {})
        self.direction: Direction = direction
        self.appointment: Entry | None = None
        self._position = len(members) - 1 if direction is Direction.DOWN else 0

    @property
    def due(self) -> float:
        """When the members may come up again; -inf for at once."""
        return max(self.causes.values(), default=-inf)

    def covers(self, child: Child) -> bool:
        """Whether `child` has its place in this sweep; a new one has, at the end."""
        return bool(self.members) and child.order >= self.members[0].order

    def take(self, child: Child) -> None:
        """Let `child`, which it covers and which is down, start in its turn."""
        place = bisect_left(self.members, child.order, key=lambda member: member.order)
        if place == len(self.members) or self.members[place] is not child:
            self.members.insert(place, child)
            if self.direction is Direction.DOWN and place <= self._position:
                self._position += 1
        if self.direction is Direction.UP:
            self._position = min(self._position, place)

    def next_to_stop(self) -> Child | None:
        """The last member that is not down yet; None when all are."""
        while self._position >= 0:
            child = self.members[self._position]
            if child.state in ALIVE:
                return child
            self._position -= 1
        return None

    def waiting_before(self, child: Child) -> list[Child]:
        """The members that wait for their turn and were to start before `child`."""
        return [
            member
            for member in self.members
            if member.state is ChildState.PENDING and member.order < child.order
        ]

    def turn(self) -> None:
        """All members are down and the delays are over: come up."""
        self.direction = Direction.UP
        self._position = 0

    def next_to_start(self) -> Child | None:
        """The first member whose turn it is: pending, on its way up, or about to start again."""
        while self._position < len(self.members):
            child = self.members[self._position]
            if child.state is ChildState.PENDING or child.state is ChildState.STARTING:
                return child
            if child.state is ChildState.STOPPING and child.after is After.START:
                return child
            self._position += 1
        return None


def merged(children: Children, strategy: Strategy, failed: Child, sweep: Sweep | None) -> Sweep:
    """The sweep that answers the failure of `failed` while `sweep`, if any, is under way."""
    going_down = sweep if sweep is not None and sweep.direction is Direction.DOWN else None
    if strategy is Strategy.ONE_FOR_ALL:
        members = list(children)
    else:
        first = failed
        if going_down is not None:
            first = next((member for member in going_down.members if member in children), failed)
            first = min(first, failed, key=lambda child: child.order)
        members = children.since(first)
        if sweep is not None and going_down is None:
            # Stopped and started again by hand on the way up: who failed was not held up by them.
            members = [*sweep.waiting_before(first), *members]
    return Sweep(members, causes=None if going_down is None else going_down.causes)
