"""Dead letters: events whose handler gave up, and input that was no event; kept, never dropped unseen.

`DeadLetterQueue` is the queue in memory and the interface of every other. It is called from the
bus's thread and read from any: each operation is one on a deque, which is atomic in CPython.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime  # noqa: TC003 - msgspec reads it
from typing import Any

import msgspec

from pywats_events.models._clock import new_id, now
from pywats_events.models.event import Event

__all__ = ["DeadLetterEntry", "DeadLetterQueue"]


class DeadLetterEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter.

    Attributes:
        id: of the dead letter.
        event: the event; None for input that could not be made one.
        raw: such input, as it came; None for an event.
        source: where such input came from.
        error: what the last attempt raised, without its traceback.
        traceback_text: that traceback.
        handler_name: the subscription that gave up; None for input that was no event.
        attempts: how many attempts were made.
        timestamp: when it became a dead letter, in UTC.
    """

    event: Event | None
    error: Exception
    traceback_text: str = ""
    handler_name: str | None = None
    attempts: int = 1
    raw: bytes | None = None
    source: str = ""
    timestamp: datetime = msgspec.field(default_factory=now)
    id: str = msgspec.field(default_factory=new_id)

    @property
    def handler(self) -> str | None:
        """The subscription that gave up."""
        return self.handler_name

    @property
    def retry_count(self) -> int:
        """Attempts after the first."""
        return self.attempts - 1

    def to_dict(self) -> dict[str, Any]:
        """What there is to say of it, in plain values."""
        event = self.event
        return {
            "id": self.id,
            "event_id": None if event is None else event.id,
            "event_type": None if event is None else str(event.event_type),
            "event": None if event is None else event.to_dict(),
            "raw": self.raw,
            "source": self.source,
            "error_type": type(self.error).__name__,
            "error_message": str(self.error),
            "traceback": self.traceback_text,
            "handler_name": self.handler_name,
            "attempts": self.attempts,
            "retry_count": self.retry_count,
            "timestamp": self.timestamp.isoformat(),
        }


def entry_of(
    event: Event | None,
    error: Exception,
    handler_name: str | None = None,
    attempts: int = 1,
    *,
    raw: bytes | None = None,
    source: str = "",
) -> DeadLetterEntry:
    """Make a dead letter; the error's traceback becomes text, so that its frames can go."""
    text = "".join(traceback.format_exception(error))
    error.__traceback__ = None
    return DeadLetterEntry(
        event=event,
        error=error,
        traceback_text=text,
        handler_name=handler_name,
        attempts=attempts,
        raw=raw,
        source=source,
    )


class DeadLetterQueue:
    """Dead letters in memory.

    Args:
        max_size: how many are kept; one more pushes the oldest out, and is counted. At least 1.
        on_add: called with each new one; what it raises is raised by `add`, which has kept it.

    Attributes:
        pushed_out: how many were pushed out.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if `max_size` is less than 1.
    """

    def __init__(
        self, max_size: int = 10_000, on_add: Callable[[DeadLetterEntry], object] | None = None
    ) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int):
            raise TypeError(f"max_size must be an int, not {max_size!r}")
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1 dead letter, not {max_size}")
        if on_add is not None and not callable(on_add):
            raise TypeError(f"on_add must be a callable or None, not {on_add!r}")
        self.max_size = max_size
        self.pushed_out = 0
        self._on_add = on_add
        self._entries: deque[DeadLetterEntry] = deque()

    def add(
        self,
        event: Event | None,
        error: Exception,
        handler_name: str | None = None,
        attempts: int = 1,
        *,
        raw: bytes | None = None,
        source: str = "",
    ) -> DeadLetterEntry:
        """Keep a dead letter.

        Args:
            event: the event; None for input that could not be made one.
            error: what the last attempt raised; its traceback is kept as text and cleared.
            handler_name: the subscription that gave up.
            attempts: how many attempts were made.
            raw: input that could not be made an event.
            source: where such input came from.

        Returns:
            The dead letter.
        """
        entry = entry_of(event, error, handler_name, attempts, raw=raw, source=source)
        self._entries.append(entry)
        while len(self._entries) > self.max_size:
            self._entries.popleft()
            self.pushed_out += 1
        if self._on_add is not None:
            self._on_add(entry)
        return entry

    def pop(self) -> DeadLetterEntry | None:
        """Take the oldest out; None if there is none."""
        try:
            return self._entries.popleft()
        except IndexError:
            return None

    def peek(self) -> DeadLetterEntry | None:
        """The oldest; None if there is none."""
        try:
            return self._entries[0]
        except IndexError:
            return None

    def get_entries(self, limit: int | None = None, event_type: str | None = None) -> list[DeadLetterEntry]:
        """The dead letters, newest first.

        Args:
            limit: at most so many; None for all.
            event_type: only those whose event has this type.
        """
        entries = [
            entry
            for entry in reversed(tuple(self._entries))
            if event_type is None or (entry.event is not None and entry.event.event_type == event_type)
        ]
        return entries if limit is None else entries[:limit]

    def clear(self) -> int:
        """Forget all; returns how many there were."""
        count = 0
        while self.pop() is not None:
            count += 1
        return count

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._entries)

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[DeadLetterEntry]:
        return iter(tuple(self._entries))
