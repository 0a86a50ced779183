"""What a supervisor is told about a child: `ChildSpec`, checked when it is built.

The fields and their meaning are OTP's child specification (`supervisor` manual, "Child
Specification"); `start_timeout` and `policy` are ours, and so is that `start` is an async callable.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any, Final, TypeAlias

from pywats_supervision.policies.decision import RestartPolicy

__all__ = [
    "ALL_SIGNIFICANT",
    "ANY_SIGNIFICANT",
    "DEFAULT_SHUTDOWN",
    "DEFAULT_START_TIMEOUT",
    "NEVER",
    "ONE_FOR_ALL",
    "ONE_FOR_ONE",
    "PERMANENT",
    "REST_FOR_ONE",
    "TEMPORARY",
    "TRANSIENT",
    "AutoShutdown",
    "ChildSpec",
    "Hibernate",
    "RestartType",
    "Start",
    "Strategy",
    "checked_duration",
]

Start: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""An async callable that is one life of a child."""

Hibernate: TypeAlias = Callable[[Any], bool]
"""Is given the `ChildContext` of a life, and says whether that needs no task for now."""

DEFAULT_SHUTDOWN: Final = 5.0
"""Seconds of grace for a child that listens; the value OTP gives a worker."""


DEFAULT_START_TIMEOUT: Final = 30.0
"""Seconds in which a child has to call `started()`."""


class RestartType(enum.Enum):
    """Which ends of a child's life are followed by another life (OTP's restart types)."""

    PERMANENT = "permanent"
    """Always restarted."""
    TRANSIENT = "transient"
    """Restarted after a failure; a return ends it."""
    TEMPORARY = "temporary"
    """Never restarted; its specification goes with it."""


class Strategy(enum.Enum):
    """Whom the failure of one child takes along (OTP's restart strategies)."""

    ONE_FOR_ONE = "one_for_one"
    """Nobody else."""
    ONE_FOR_ALL = "one_for_all"
    """All other children."""
    REST_FOR_ONE = "rest_for_one"
    """The children started after it."""


class AutoShutdown(enum.Enum):
    """When the end of significant children ends the supervisor (OTP's auto_shutdown)."""

    NEVER = "never"
    """Never."""
    ANY_SIGNIFICANT = "any_significant"
    """When the first significant child ends by itself."""
    ALL_SIGNIFICANT = "all_significant"
    """When the last significant child ends by itself."""


PERMANENT: Final = RestartType.PERMANENT
TRANSIENT: Final = RestartType.TRANSIENT
TEMPORARY: Final = RestartType.TEMPORARY
ONE_FOR_ONE: Final = Strategy.ONE_FOR_ONE
ONE_FOR_ALL: Final = Strategy.ONE_FOR_ALL
REST_FOR_ONE: Final = Strategy.REST_FOR_ONE
NEVER: Final = AutoShutdown.NEVER
ANY_SIGNIFICANT: Final = AutoShutdown.ANY_SIGNIFICANT
ALL_SIGNIFICANT: Final = AutoShutdown.ALL_SIGNIFICANT


def checked_duration(what: str, value: object, *, positive: bool = False) -> float:
    """Return `value` as seconds, or say what is wrong with it.

    Args:
        what: the argument's name, for the error.
        value: seconds; inf is allowed.
        positive: whether 0 is refused too.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is NaN, negative, or 0 where that is refused.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, not {value!r}")
    if isnan(value) or value < 0 or (positive and value == 0):
        least = "more than 0" if positive else "0 or more"
        raise ValueError(f"{what} must be {least} seconds (inf is allowed), not {value!r}")
    return float(value)


def _parameters(start: Start) -> tuple[str, ...]:
    """The names of the arguments that `start` can be given by keyword."""
    function = getattr(start, "__func__", start)
    code = getattr(function, "__code__", None)
    if code is not None and not hasattr(function, "__wrapped__"):
        # Ten times faster than inspect.signature, which matters with 100,000 children.
        names: tuple[str, ...] = code.co_varnames[
            code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount
        ]
        return names
    try:
        parameters = inspect.signature(start).parameters.values()
    except (TypeError, ValueError):
        return ()
    bound = start.keywords if isinstance(start, functools.partial) else ()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in parameters if p.kind in kinds and p.name not in bound)


def _may_be_async(start: Any) -> bool:
    """Whether a call of it may give a coroutine; of a plain function only the call itself can tell."""
    code = getattr(getattr(start, "__func__", start), "__code__", None)
    if code is not None:
        return not code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR)
    return callable(start) and not inspect.isbuiltin(start) and not inspect.isclass(start)


def _is_supervisor(start: Start) -> bool:
    while isinstance(start, functools.partial):
        start = start.func
    # Asked of the function itself: a bound method takes three times as long to say no.
    return bool(getattr(getattr(start, "__func__", start), "is_supervisor", False))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child.

    Attributes:
        name: unique among its siblings.
        start: an async callable, one call per life. If it takes `task_status`, the child is up
            when it calls `task_status.started(value)`, and a return before that means OTP's
            *ignore*; otherwise it is up as soon as its task starts. If it takes `child`, it is
            given its `ChildContext`. A plain function may return a coroutine, so it is taken too;
            if it does not, that is a failure of each life.
        restart: PERMANENT, TRANSIENT or TEMPORARY.
        shutdown: seconds of grace between being asked to stop and being cancelled; 0 cancels at
            once, inf never. Default 5.0, for a supervisor inf (its own children bound it). A
            child whose start does not take `child` cannot be asked and is cancelled at once.
        significant: whether its end counts for the supervisor's `auto_shutdown`.
        start_timeout: seconds it may take to call `started()`. Default 30.0, for a supervisor inf
            (its own children bound it).
        policy: decides on its failures, of its first start too, instead of the supervisor's own
            rules; what it leaves open counts toward the restart intensity.
        hibernate: asked at the begin of each life, before there is a task for it: whether the
            life is up and has nothing to do until `ChildContext.wake()`. True spares the task until
            then, False has it made at once. It is called with the `ChildContext`, in the context
            that the task will have and in the supervisor's step: it must not wait. What it raises
            is a failure of the life's start. (OTP's `hibernate`, for a process that waits with as
            little as possible.)

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work, alone or together with another.
    """

    name: str
    start: Start
    restart: RestartType = PERMANENT
    shutdown: float | None = None
    significant: bool = False
    start_timeout: float | None = None
    policy: RestartPolicy[Any] | None = None
    hibernate: Hibernate | None = None
    takes_status: bool = field(init=False, repr=False, compare=False)
    takes_child: bool = field(init=False, repr=False, compare=False)
    is_supervisor: bool = field(init=False, repr=False, compare=False)
    grace: float = field(init=False, repr=False, compare=False)
    patience: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the arguments, and find out what `start` takes."""
        self._check_types()
        if self.significant and self.restart is PERMANENT:
            raise ValueError(
                f"child {self.name!r} is significant and PERMANENT: a child that is always restarted "
                "never ends by itself; make it TRANSIENT or TEMPORARY"
            )
        parameters = _parameters(self.start)
        supervisor = _is_supervisor(self.start)
        grace, patience = self.shutdown, self.start_timeout
        if grace is None:
            grace = inf if supervisor else DEFAULT_SHUTDOWN
        else:
            grace = checked_duration(f"shutdown of child {self.name!r}", grace)
        if patience is None:
            patience = inf if supervisor else DEFAULT_START_TIMEOUT
        else:
            patience = checked_duration(f"start_timeout of child {self.name!r}", patience, positive=True)
        put = object.__setattr__
        put(self, "takes_status", "task_status" in parameters)
        put(self, "takes_child", "child" in parameters)
        put(self, "is_supervisor", supervisor)
        put(self, "grace", grace)
        put(self, "patience", patience)
        if self.policy is not None and self.policy.skips and not self.takes_child:
            raise ValueError(
                f"policy of child {self.name!r} may skip the item in hand, but its start does not take "
                "`child`, so it can have none; use Backoff or CircuitBreaker"
            )
        if self.hibernate is not None and not self.takes_child:
            raise ValueError(
                f"child {self.name!r} may hibernate, but its start does not take `child`, so it could not "
                "be woken by it, or be asked to stop"
            )

    def _check_types(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, not {self.name!r}")
        if not self.name:
            raise ValueError("name must not be empty")
        if not _may_be_async(self.start):
            raise TypeError(f"start of child {self.name!r} must be an async callable, not {self.start!r}")
        if not isinstance(self.restart, RestartType):
            raise TypeError(
                f"restart of child {self.name!r} must be PERMANENT, TRANSIENT or TEMPORARY, "
                f"not {self.restart!r}"
            )
        if not isinstance(self.significant, bool):
            raise TypeError(
                f"significant of child {self.name!r} must be True or False, not {self.significant!r}"
            )
        if self.policy is not None and not isinstance(self.policy, RestartPolicy):
            raise TypeError(f"policy of child {self.name!r} must be a RestartPolicy, not {self.policy!r}")
        if self.hibernate is not None and not callable(self.hibernate):
            raise TypeError(
                f"hibernate of child {self.name!r} must be callable or None, not {self.hibernate!r}"
            )
