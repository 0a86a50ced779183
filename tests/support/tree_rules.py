"""What holds at every event of a tree, whatever overlaps: rules that need no model of what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pywats_supervision import Happening, TreeEvent

__all__ = ["Child", "broken_rules"]

ALIVE = {Happening.STARTING, Happening.UP, Happening.STOPPING}
STATES = {
    *ALIVE,
    Happening.PENDING,
    Happening.BACKING_OFF,
    Happening.SUSPENDED,
    Happening.STOPPED,
    Happening.REMOVED,
}


@dataclass
class Child:
    """What is known of a child beforehand.

    Attributes:
        place: its place among the first children; those that come later share the last.
        grace: seconds between being asked to stop and being cancelled.
        patience: seconds that a start may take.
        shielded: seconds for which it goes on when it is cancelled.
    """

    place: int
    grace: float
    patience: float
    shielded: float


def broken_rules(
    events: Iterable[TreeEvent], children: Mapping[str, Child], *, ordered: bool, group: bool
) -> list[str]:
    """Go through the events of one supervisor, and say which rules were broken when.

    Args:
        events: all of them, oldest first.
        children: what is known of each child.
        ordered: whether they have an order.
        group: whether one takes others along.
    """
    broken: list[str] = []
    state: dict[str, TreeEvent] = {}
    lives: dict[str, int] = {}
    alone: set[str] = set()  # who started by itself last, not in its turn in a group
    stopping = False
    for event in events:
        if len(event.path) == 1:
            stopping = stopping or event.kind is Happening.STOPPING
            continue
        name = event.path[1]
        before, child = state.get(name), children[name]
        if before is not None:
            broken += _took_too_long(before, event, child)
        broken += _wrong_life(event, lives)
        earlier = {n: e.kind for n, e in state.items() if children[n].place < child.place}
        later = {n: e.kind for n, e in state.items() if children[n].place > child.place}
        if event.kind is Happening.GROUP_RESTART:
            # Who was up was not held up by those; neither are the ones that it takes along.
            alone |= {n for n, kind in earlier.items() if kind is Happening.STARTING}
        if group and event.kind is Happening.STARTING:
            alone.discard(name)
            if before is not None and before.kind is Happening.PENDING:
                waited_for = {Happening.PENDING, Happening.STARTING}
                not_up = [n for n, kind in earlier.items() if kind in waited_for and n not in alone]
                broken += [f"{event}: {n}, before it, is not up yet" for n in not_up]
            else:
                alone.add(name)
        if ordered and stopping and event.kind is Happening.STOPPING:
            broken += [f"{event}: {n}, after it, is not down" for n, kind in later.items() if kind in ALIVE]
        if event.kind in STATES:
            state[name] = event
    return broken


def _wrong_life(event: TreeEvent, lives: dict[str, int]) -> list[str]:
    """Each start begins the next life, and what else happens is of the present one."""
    name = event.path[1]
    now = lives.get(name, 0) + (event.kind is Happening.STARTING)
    lives[name] = event.life
    return [] if event.life == now else [f"{event}: it should be in life {now}"]


def _took_too_long(before: TreeEvent, event: TreeEvent, child: Child) -> list[str]:
    """A stop is over within its grace, a start within its time, and what shields itself a little later."""
    most = {Happening.STOPPING: child.grace, Happening.STARTING: child.patience}.get(before.kind)
    if most is None or event.kind is Happening.STRAGGLING:
        return []
    took = event.at - before.at
    return [f"{event}: it was {before.kind.value} for {took} s"] if took > most + child.shielded else []
