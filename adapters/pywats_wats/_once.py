"""What must not be done twice: the keys of what was done lately.

A call that repeats badly gets a key of its event and of its place in it. The key is added when the
call has come back, never before: a crash between the two makes one line too many in a log, and not
one that is missing.
"""

from __future__ import annotations

from typing import Final, Protocol

from pywats_supervision.policies._checks import checked_count

__all__ = ["SEEN_COUNT", "SeenKeys", "SeenWindow", "checked_seen"]

SEEN_COUNT: Final = 20_000
"""Keys that a window of its own holds; a source sends again what it sent within seconds or minutes."""


class SeenKeys(Protocol):
    """Where keys are remembered: a `SeenWindow`, or the `seen` of a store, which outlives the process."""

    def __contains__(self, key: object, /) -> bool: ...

    def add(self, key: str, /) -> object:
        """Remember a key."""
        ...


class SeenWindow:
    """Keys in memory; the oldest is forgotten for a new one when there are too many.

    Args:
        max_count: how many are remembered, at least 1.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is less.
    """

    def __init__(self, max_count: int = SEEN_COUNT) -> None:
        self._max_count = checked_count("max_count", max_count, least=1)
        self._keys: dict[str, None] = {}

    def __contains__(self, key: object, /) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, /) -> bool:
        """Remember a key; says whether it is new."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._max_count:
            del self._keys[next(iter(self._keys))]
        return True


def checked_seen(seen: SeenKeys | None) -> SeenKeys:
    """What was given, or a window of its own.

    Raises:
        TypeError: if it cannot remember keys.
    """
    if seen is None:
        return SeenWindow()
    if not callable(getattr(seen, "add", None)) or not hasattr(seen, "__contains__"):
        raise TypeError(f"seen must have `add(key)` and answer `key in seen`, and {seen!r} does not")
    return seen
