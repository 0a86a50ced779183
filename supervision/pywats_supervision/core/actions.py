"""What the decisions tell the shell to do; each is one sentence in the imperative.

Nobody changes one. They are not frozen, as that makes one cost three times as much, at each restart.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from pywats_supervision.core.children import Child

__all__ = ["Action", "AskToStop", "Cancel", "Happening", "Run", "SayReady"]


@dataclass(slots=True)
class Run:
    """Start a new life of the child."""

    child: Child


@dataclass(slots=True)
class AskToStop:
    """Tell the child to come to an end by itself, before `deadline`."""

    child: Child
    deadline: float


@dataclass(slots=True)
class Cancel:
    """Cancel the child's scope."""

    child: Child


@dataclass(slots=True)
class SayReady:
    """Every child has had its turn to start: call the supervisor's own `started()`."""


Action: TypeAlias = Run | AskToStop | Cancel | SayReady


class Happening(enum.Enum):
    """What can happen in a tree; the kind of a `TreeEvent`."""

    PENDING = "pending"
    STARTING = "starting"
    UP = "up"
    IGNORED = "ignored"
    RETURNED = "returned"
    FAILED = "failed"
    BACKING_OFF = "backing_off"
    SUSPENDED = "suspended"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVED = "removed"
    STRAGGLING = "straggling"
    GROUP_RESTART = "group_restart"
    READY = "ready"
    GAVE_UP = "gave_up"
    FINISHED = "finished"
