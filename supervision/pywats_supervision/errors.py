"""The errors of this package: one base, one kind for each thing a caller can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

__all__ = [
    "ChildReturned",
    "ChildStopped",
    "DuplicateChild",
    "NotRunning",
    "PolicyEscalated",
    "RestartIntensityExceeded",
    "StartTimeout",
    "SupervisionError",
    "SupervisionFailed",
    "TooManyChildren",
    "UnknownChild",
    "WouldDeadlock",
    "WrongThread",
    "error_text",
    "said_by",
    "unwrapped",
]

KEPT_ERRORS = 32
"""How many original errors a `SupervisionFailed` carries; a crash loop must not fill the memory."""


LONGEST_TEXT = 500
"""How many characters of an error are kept where the error itself is not."""


class SupervisionError(Exception):
    """Base of the errors that a call on a supervisor can raise."""


class UnknownChild(SupervisionError, LookupError):
    """There is no child of that name."""


class DuplicateChild(SupervisionError, ValueError):
    """There is a child of that name already."""


class TooManyChildren(SupervisionError):
    """`max_children` of a dynamic supervisor is reached; stop one, or raise the limit."""


class NotRunning(SupervisionError):
    """The supervisor is not running (not yet, not any more, or stopping), so it takes no such call."""


class ChildStopped(SupervisionError):
    """The child was stopped before the start that the caller waits for had succeeded."""


class WouldDeadlock(SupervisionError):
    """The call would wait for the very task that makes it."""


class WrongThread(SupervisionError, RuntimeError):
    """The call belongs to the trio run of its supervisor, and was made elsewhere; nothing has happened."""


class StartTimeout(SupervisionError):
    """A child did not call `task_status.started()` within its `start_timeout`."""


class ChildReturned(SupervisionError):
    """A permanent child returned; what a policy is given as the error of that failure."""


def said_by(error: BaseException) -> str:
    """What an error says; where its own `__str__` raises, that it does."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__; the error itself still has to be told
        return f"(its text cannot be had: __str__ raised {type(broken).__name__})"


def error_text(error: BaseException) -> str:
    """An error as one short line, whatever its own `__str__` does."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a user's __str__; the name of its type is what is left to say
        text = type(error).__name__
    return text[:LONGEST_TEXT]


class SupervisionFailed(ExceptionGroup[Exception]):
    """A supervisor gave up; the group holds the children's own errors, newest last, with tracebacks.

    Attributes:
        supervisor: the name of the supervisor that gave up.
        more: how many earlier errors are not in the group (it keeps the newest 32).
    """

    supervisor: str
    more: int

    def __new__(
        cls, message: str, errors: Sequence[Exception], *, supervisor: str = "", more: int = 0
    ) -> Self:
        """Keep the arguments that a group's own constructor does not know."""
        self = super().__new__(cls, message, errors)
        self.supervisor = supervisor
        self.more = more
        return self

    def __init__(
        self, message: str, errors: Sequence[Exception], *, supervisor: str = "", more: int = 0
    ) -> None:
        super().__init__(message, errors)

    def derive(self, errors: Sequence[Any], /) -> Any:
        """Keep the kind when a group is split or filtered (PEP 654)."""
        return type(self)(self.message, errors, supervisor=self.supervisor, more=self.more)


class RestartIntensityExceeded(SupervisionFailed):
    """More restarts than `max_restarts` within `within` seconds, none of them decided by a policy."""


class PolicyEscalated(SupervisionFailed):
    """A restart policy answered Escalate, or raised: then its own error is the last in the group."""


def unwrapped(group: BaseException) -> BaseException:
    """The one error in a nursery's group of one; a group of several stays.

    Args:
        group: what left a nursery, or any other error.
    """
    while type(group) in {ExceptionGroup, BaseExceptionGroup} and len(group.exceptions) == 1:  # type: ignore[attr-defined]
        group = group.exceptions[0]  # type: ignore[attr-defined]
    return group
