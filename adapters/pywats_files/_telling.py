"""What a watcher tells people: troubles once each, and how far it is with a backlog."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from pywats_events import EventType
from pywats_supervision.logs import GuardedLogger

__all__ = ["Backlog", "Told", "Trouble"]

logger: Final = GuardedLogger("pywats_files")

MANY: Final = 100
"""Waiting files from which on progress is told."""
EVERY: Final = 5.0
"""Seconds between two lines of progress."""
REMEMBERED: Final = 20_000
"""Troubles that are known to have been told; older ones may be told again."""

_TYPES: Final = {
    kind: EventType.register(f"system.file_{kind}")
    for kind in ("failed", "refused", "unreadable", "held", "waiting", "changed", "stuck")
}


class Trouble(NamedTuple):
    """Something with one file that a person should hear of.

    Attributes:
        kind: "failed": it is in `failed`; "refused": it is never taken; "unreadable": it is tried
            again; "held": its writer has it open, it is tried again; "waiting": its converter says that
            it is not ready, it is tried again; "changed": it was written to
            after it was taken, and is read again; "stuck": it cannot be moved, which is tried again.
        name: of the file.
        reason: a sentence.
    """

    kind: str
    name: str
    reason: str

    @property
    def event_type(self) -> EventType:
        """The type of its system event."""
        return _TYPES[self.kind]


class Told:
    """Tells of each trouble of a file once, until the file is dealt with.

    Args:
        name: of the watcher.
        announce: makes the system event.
    """

    def __init__(self, name: str, announce: Callable[[Trouble], object]) -> None:
        self._name = name
        self._announce = announce
        self._told: dict[tuple[str, str], None] = {}

    def tell(self, trouble: Trouble) -> None:
        """Tell of it, unless that is known."""
        key = (trouble.name, trouble.kind)
        if key in self._told:
            return
        if len(self._told) >= REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        extra = {"transport": self._name, "file": trouble.name}
        logger.warning("%s: %r (%s): %s", self._name, trouble.name, trouble.kind, trouble.reason, extra=extra)
        self._announce(trouble)

    def forget(self, name: str) -> None:
        """The file is dealt with: what happens to another of its name is news."""
        if self._told:
            for kind in _TYPES:
                self._told.pop((name, kind), None)


class Backlog:
    """Tells how far a watcher is with the files that are waiting.

    Args:
        name: of the watcher.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = -inf
        self._done = 0
        self.waiting: int = 0

    def seen(self, waiting: int, now: float) -> None:
        """So many are waiting, at a time in seconds."""
        self.waiting = waiting
        if waiting < MANY:
            self._done = 0
        elif not self._done:
            text = "%s: %d files are waiting, and are worked off by age"
            logger.info(text, self._name, waiting, extra={"transport": self._name})
            self._next = now + EVERY

    def worked_off(self, files: int, now: float) -> None:
        """So many more are taken."""
        self.waiting = max(0, self.waiting - files)
        self._done += files
        if self.waiting and now >= self._next:
            self._next = now + EVERY
            text, extra = "%s: %d files are taken, %d are waiting", {"transport": self._name}
            logger.info(text, self._name, self._done, self.waiting, extra=extra)
