"""The life of one child as a table: in which state which move leads where.

A missing entry is a mistake in this package and raises. The drawing in the manual is made from
this table, so change nothing here without looking at `decide`, which makes the moves.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

__all__ = ["ALIVE", "TRANSITIONS", "After", "ChildState", "Move"]


class ChildState(enum.Enum):
    """What a child is doing."""

    PENDING = "pending"
    """Waits for its turn to start."""
    STARTING = "starting"
    """Its task runs; it has not called `started()` yet."""
    RUNNING = "running"
    """It is up."""
    STOPPING = "stopping"
    """Asked to stop, or cancelled; its life has not ended yet."""
    BACKING_OFF = "backing_off"
    """Down; it, or the group it takes along, starts after a delay."""
    SUSPENDED = "suspended"
    """Down until a time, or until a person resumes it."""
    STOPPED = "stopped"
    """Down, and stays so unless somebody starts it: stopped by hand, finished or ignored."""

    if not TYPE_CHECKING:
        # Members are singletons; Enum's own hash is a call into Python, and every move looks one up.
        __hash__ = object.__hash__


class Move(enum.Enum):
    """What happens to a child."""

    START = "start"
    UP = "up"
    ASK = "ask"
    END = "end"
    QUEUE = "queue"
    DELAY = "delay"
    SUSPEND = "suspend"
    REST = "rest"

    if not TYPE_CHECKING:
        __hash__ = object.__hash__


class After(enum.Enum):
    """What follows when a child that is being stopped has ended."""

    STAY = "stay"
    """It stays down."""
    REMOVE = "remove"
    """Its specification goes too."""
    START = "start"
    """It starts again at once (`restart_child`)."""
    QUEUE = "queue"
    """It waits for its turn in a group restart."""
    SUSPEND = "suspend"
    """It stays suspended."""


_DOWN: Final = (ChildState.PENDING, ChildState.BACKING_OFF, ChildState.SUSPENDED, ChildState.STOPPED)
_ENDING: Final = (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING)

ALIVE: Final = frozenset(_ENDING)
"""The states in which a child lives; it has a task then, unless it hibernates."""

TRANSITIONS: Final[dict[tuple[ChildState, Move], ChildState]] = {
    **{(state, Move.START): ChildState.STARTING for state in _DOWN},
    (ChildState.STARTING, Move.UP): ChildState.RUNNING,
    (ChildState.STARTING, Move.ASK): ChildState.STOPPING,
    (ChildState.RUNNING, Move.ASK): ChildState.STOPPING,
    # Down; what becomes of it is decided in the same step.
    **{(state, Move.END): ChildState.STOPPED for state in _ENDING},
    **{(state, Move.QUEUE): ChildState.PENDING for state in _DOWN},
    **{(state, Move.DELAY): ChildState.BACKING_OFF for state in _DOWN},
    **{(state, Move.SUSPEND): ChildState.SUSPENDED for state in _DOWN},
    **{(state, Move.REST): ChildState.STOPPED for state in _DOWN},
}
