"""Which error does the user of a bus see, when its tree failed inside of nurseries?"""

from __future__ import annotations

__all__ = ["unwrapped"]


def unwrapped(group: BaseException) -> BaseException:
    """The one error in a nursery's group of one; a group of several stays."""
    while type(group) in {ExceptionGroup, BaseExceptionGroup} and len(group.exceptions) == 1:  # type: ignore[attr-defined]
        group = group.exceptions[0]  # type: ignore[attr-defined]
    return group
