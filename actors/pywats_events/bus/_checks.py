"""Are the options of a bus, or of a subscription, what they have to be?

Each error names the option, its value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pywats_supervision.core.spec import checked_duration

__all__ = [
    "check_callable",
    "check_kind",
    "check_name",
    "check_no_more",
    "checked_priority",
    "checked_rate",
    "checked_timeout",
]

REPLACED: Final = {
    "max_workers": "write subscribe(handler, concurrency=...) for each handler that may overtake itself",
    "max_concurrent": "write subscribe(handler, concurrency=...) for each handler that may overtake itself",
}
"""Options of pywats-api 0.6, and what to write now."""


def check_kind(what: str, value: object, kind: type) -> None:
    """Refuse what is neither of that type nor None."""
    if value is not None and not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{what} must be {article} {kind.__name__} or None, not {value!r}")


def check_callable(what: str, value: object) -> None:
    """Refuse what cannot be called with an event, and is not None."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a callable that takes an event, or None, not {value!r}")


def check_name(name: object, *, or_none: bool = False) -> None:
    """Refuse what is no name; a bus cannot do without, a subscription has its handler's."""
    if name is None and or_none:
        return
    if not name or not isinstance(name, str):
        raise ValueError(f"name must be a non-empty str, not {name!r}")


def check_no_more(what: str, unknown: Iterable[str]) -> None:
    """Refuse options that there are not; of those that pywats-api 0.6 had, say what to write now."""
    for name in unknown:
        instead = f"; {REPLACED[name]}" if name in REPLACED else ""
        raise TypeError(f"{what} has no option {name!r}{instead}")


def checked_rate(what: str, rate: object) -> float:
    """Return a rate in events per second, or say what is wrong with it."""
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(f"{what} must be a number of events per second, not {rate!r}")
    if not rate > 0:
        raise ValueError(f"{what} must be more than 0 events per second, or inf, not {rate!r}")
    return rate


def checked_timeout(timeout: object) -> float | None:
    """Return a timeout in seconds, None for ever, or say what is wrong with it."""
    return None if timeout is None else checked_duration("timeout", timeout)


def checked_priority(priority: object) -> int:
    """Return a priority, or say what is wrong with it."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"priority must be a whole number, not {priority!r}; lower is dispatched to first")
    return priority
