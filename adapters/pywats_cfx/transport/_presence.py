"""Which machines are there, and which have fallen silent (pure).

A source that was not heard of for three of its heartbeats is offline, and online with its next
message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

__all__ = ["DEFAULT_HEARTBEAT", "Presence"]

DEFAULT_HEARTBEAT: Final = 300.0
"""Seconds between two heartbeats of a source that does not say."""
LEAST_HEARTBEAT: Final = 0.1
"""Seconds; one that is shorter would make news of each message's silence."""
MISSED: Final = 3
MOST: Final = 10_000


@dataclass
class _Source:
    heard: float
    heartbeat: float = DEFAULT_HEARTBEAT
    silent: bool = False

    @property
    def due(self) -> float:
        return inf if self.silent else self.heard + MISSED * self.heartbeat


class Presence:
    """When each source was heard last.

    Args:
        on_sooner: called when `next_due` may have become earlier: a new source, or another heartbeat.
    """

    def __init__(self, on_sooner: Callable[[], object]) -> None:
        self._on_sooner = on_sooner
        self._sources: dict[str, _Source] = {}

    def heard(self, source: str, now: float, heartbeat: float | None = None) -> bool:
        """A message of a source has come; whether that means it is back.

        Args:
            source: its CFX handle.
            now: seconds.
            heartbeat: seconds between its heartbeats, if the message tells; 0 or less is not known.
        """
        known = self._sources.get(source)
        if known is None:
            if len(self._sources) >= MOST:
                del self._sources[next(iter(self._sources))]
            known = self._sources[source] = _Source(-inf)
        before = known.heartbeat
        if heartbeat is not None:
            known.heartbeat = max(heartbeat, LEAST_HEARTBEAT) if heartbeat > 0 else DEFAULT_HEARTBEAT
        sooner = known.heard == -inf or known.silent or known.heartbeat != before
        known.heard = now
        back, known.silent = known.silent, False
        if sooner:
            self._on_sooner()
        return back

    def left(self, source: str) -> None:
        """A source has said goodbye: its silence is no news."""
        self._sources.pop(source, None)

    def fallen_silent(self, now: float) -> list[str]:
        """The sources that are silent since now."""
        silent = [name for name, source in self._sources.items() if source.due <= now]
        for name in silent:
            self._sources[name].silent = True
        return silent

    @property
    def next_due(self) -> float:
        """When the next one would be silent; inf if none is waited for."""
        return min((source.due for source in self._sources.values()), default=inf)
