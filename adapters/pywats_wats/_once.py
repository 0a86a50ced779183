"""What must not be done twice: the keys of what was done lately.

On a bus with a store they are kept there, and outlive the process, unless the user gives a place of
their own. A call that repeats badly gets a key of its event and of its place in it. The key is added when the
call has come back, never before: a crash between the two makes one line too many in a log, and not
one that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pywats_events.handlers import surroundings
from pywats_supervision.policies.checks import checked_count

if TYPE_CHECKING:  # without a store nobody needs SQLite
    from pywats_events.durability import Shelf, Store

__all__ = ["SEEN_COUNT", "KeptKeys", "SeenKeys", "SeenWindow", "checked_seen"]

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


class KeptKeys:
    """Keys on a handler's shelf in the store of its bus; in a window in memory if that has none."""

    def __init__(self) -> None:
        self._window = SeenWindow()
        self._shelf: Shelf | None = None
        self._store: Store | None = None

    async def open(self) -> None:
        """Take up what was done in earlier lives; for `on_start`.

        Cancelled: nothing has happened.
        """
        here = surroundings()
        if here is None or here.store is None or here.store is self._store:
            return
        self._store = here.store
        self._shelf = await here.store.shelf(f"handler:{here.name}:done", max_count=SEEN_COUNT)

    def __contains__(self, key: object, /) -> bool:
        if self._shelf is None:
            return key in self._window
        return isinstance(key, str) and self._shelf.get(key) is not None

    def add(self, key: str, /) -> None:
        """Remember a key."""
        if self._shelf is None:
            self._window.add(key)
        else:
            self._shelf.put(key, b"")


def checked_seen(seen: SeenKeys | None) -> SeenKeys:
    """What was given, or keys of its own.

    Raises:
        TypeError: if it cannot remember keys.
    """
    if seen is None:
        return KeptKeys()
    if not callable(getattr(seen, "add", None)) or not hasattr(seen, "__contains__"):
        raise TypeError(f"seen must have `add(key)` and answer `key in seen`, and {seen!r} does not")
    return seen
