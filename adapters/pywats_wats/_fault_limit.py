"""May this fault have a line in its asset's log, or is it held back and counted? Pure.

Two limits, by the times that the events themselves give, so that a backlog after an outage is
limited as it would have been without one: a fault of one code has a line at once and then at most
one per window; all codes together have at most so many lines per window and asset. What is held
back is counted, and told with the next line of the same code, or in a line of its own when the
window is over and anything else is heard of the asset.

A clock that steps back by a window or more begins a new window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies.checks import checked_count

__all__ = ["FaultLimit", "HeldBack"]

MAX_ASSETS: Final = 1_000
MAX_KINDS: Final = 200
"""Assets, and kinds of fault of one asset, that are remembered; the one heard of longest ago goes first."""


class HeldBack(NamedTuple):
    """Faults of one kind that have had no line.

    Attributes:
        kind: their code, and whether they were cleared.
        faults: how many.
    """

    kind: str
    faults: int


class _Kind:
    """Faults of one kind: when one last had a line, and how many were held back since."""

    __slots__ = ("held", "last")

    def __init__(self) -> None:
        self.last: float | None = None
        self.held = 0


class _Asset:
    __slots__ = ("kinds", "lines")

    def __init__(self, lines: int) -> None:
        self.lines: deque[float] = deque(maxlen=lines)
        self.kinds: dict[str, _Kind] = {}


class FaultLimit:
    """How many lines faults may have.

    Args:
        window: seconds, above 0.
        lines_per_window: of one asset, at least 1.

    Attributes:
        waiting: faults held back that no line has told of yet.
        untold: faults held back that no line will tell of, as too many others came after them.

    Raises:
        TypeError: if a value is no number.
        ValueError: if it cannot work.
    """

    def __init__(self, window: float = 60.0, lines_per_window: int = 10) -> None:
        self._window = checked_duration("window", window, positive=True)
        self._lines = checked_count("lines_per_window", lines_per_window, least=1)
        self._assets: dict[str, _Asset] = {}
        self.waiting: int = 0
        self.untold: int = 0

    def allows(self, asset: str, kind: str, at: float) -> bool:
        """Whether a fault may have a line.

        Args:
            asset: which machine.
            kind: code of the fault, and whether it was cleared.
            at: seconds since 1970.
        """
        known = self._assets.get(asset)
        if known is None:
            return True
        of_kind = known.kinds.get(kind)
        return self._has_room(known, at, self._lines) and (of_kind is None or self._is_over(of_kind, at))

    def _has_room(self, asset: _Asset, at: float, lines: int) -> bool:
        return sum(abs(at - line) < self._window for line in asset.lines) < lines

    def _is_over(self, kind: _Kind, at: float) -> bool:
        return kind.last is None or abs(at - kind.last) >= self._window

    def held(self, asset: str, kind: str) -> int:
        """How many of a kind were held back since one had a line."""
        known = self._assets.get(asset)
        of_kind = None if known is None else known.kinds.get(kind)
        return 0 if of_kind is None else of_kind.held

    def hold(self, asset: str, kind: str) -> None:
        """One is held back."""
        self._kind(self._asset(asset), kind).held += 1
        self.waiting += 1

    def wrote(self, asset: str, kind: str, at: float) -> None:
        """One has a line, which tells of those held back too."""
        known = self._asset(asset)
        known.lines.append(at)
        of_kind = self._kind(known, kind)
        of_kind.last = at
        self.waiting -= of_kind.held
        of_kind.held = 0

    def due(self, asset: str, at: float) -> Iterator[HeldBack]:
        """The kinds whose window is over and of which some were held back, as far as there is room.

        They leave half of it to new faults, which are to have their line at once.

        Each is to be followed by `wrote` before the next is asked for.
        """
        known = self._assets.get(asset)
        if known is None:
            return
        for name, kind in list(known.kinds.items()):
            if kind.held and self._is_over(kind, at) and self._has_room(known, at, (self._lines + 1) // 2):
                yield HeldBack(name, kind.held)

    def _asset(self, name: str) -> _Asset:
        asset = self._assets.pop(name, None) or _Asset(self._lines)
        self._assets[name] = asset
        if len(self._assets) > MAX_ASSETS:
            gone = self._assets.pop(next(iter(self._assets)))
            self._forget(sum(kind.held for kind in gone.kinds.values()))
        return asset

    def _kind(self, asset: _Asset, name: str) -> _Kind:
        kind = asset.kinds.pop(name, None) or _Kind()
        asset.kinds[name] = kind
        if len(asset.kinds) > MAX_KINDS:
            self._forget(asset.kinds.pop(next(iter(asset.kinds))).held)
        return kind

    def _forget(self, held: int) -> None:
        self.waiting -= held
        self.untold += held
