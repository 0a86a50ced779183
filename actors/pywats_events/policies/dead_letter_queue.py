"""Dead letters: events whose handler gave up, and input that was no event; never dropped unseen.

`DeadLetterQueue` is the queue in memory, and the interface of every other. A bus adds on its own
thread and users read on any, so a lock guards each step; none of them waits while holding it.
"""

from __future__ import annotations

import base64
import json
import os  # noqa: TC003 - named in a signature
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

import msgspec

from pywats_events.errors import EventsError
from pywats_events.models._clock import new_id, now
from pywats_events.models.event import Event
from pywats_supervision.errors import said_by
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import new_lock

__all__ = ["DeadLetterEntry", "DeadLetterQueue", "Wanted"]

logger: Final = GuardedLogger("pywats_events")

_ZERO: Final = timedelta()
_TELL_EVERY: Final = timedelta(minutes=1)


class DeadLetterEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One dead letter.

    Attributes:
        event: the event; None for input that could not be made one.
        error: what the last attempt raised. Its traceback is text here and gone there, as its
            frames would keep alive whatever the handler had in hand.
        traceback_text: that traceback.
        handler_name: the subscription that gave up; None for input that was no event.
        attempts: how many attempts were made.
        raw: input that could not be made an event, as it came.
        source: where such input came from.
        timestamp: when it became a dead letter, in UTC.
        id: of the dead letter.
        replayed_at: when it was last handed out once more, in UTC; None if it was not.
    """

    event: Event | None
    error: Exception
    traceback_text: str = ""
    handler_name: str | None = None
    attempts: int = 1
    raw: bytes | None = None
    source: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    id: str = msgspec.field(default_factory=new_id)
    replayed_at: datetime | None = None

    @property
    def handler(self) -> str | None:
        """The subscription that gave up."""
        return self.handler_name

    @property
    def retry_count(self) -> int:
        """Attempts after the first."""
        return self.attempts - 1

    @property
    def event_id(self) -> str | None:
        """The id of the event."""
        return None if self.event is None else self.event.id

    @property
    def event_type(self) -> str | None:
        """The dotted name of the event's type, as its sender wrote it."""
        return None if self.event is None else self.event.type_name or str(self.event.event_type)

    @property
    def error_type(self) -> str:
        """The class of the error."""
        return type(self.error).__name__

    def to_dict(self) -> dict[str, Any]:
        """All there is to say of it, in plain values; raw input as base64."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "event": self._event_written(),
            "raw": None if self.raw is None else base64.b64encode(self.raw).decode("ascii"),
            "source": self.source,
            "error_type": self.error_type,
            "error_message": said_by(self.error),
            "traceback": self.traceback_text,
            "handler_name": self.handler_name,
            "attempts": self.attempts,
            "retry_count": self.retry_count,
            "timestamp": self.timestamp.isoformat(),
            "replayed_at": None if self.replayed_at is None else self.replayed_at.isoformat(),
        }

    def _event_written(self) -> dict[str, Any] | str | None:
        if self.event is None:
            return None
        try:
            return self.event.to_dict()
        except EventsError:
            # That it cannot be written may be the very reason why it is here.
            return f"{self.event!r} with payload {self.event.payload!r}"


class Wanted(TypedDict, total=False):
    """What may be asked of a queue of dead letters.

    Attributes:
        letter_id: of the dead letter.
        event_id: of the event.
        event_type: dotted name, as its sender wrote it.
        handler: the subscription that gave up.
        source: where the event, or what was no event, came from.
        error_type: the class of the error.
        limit: at most so many, 0 or more.
    """

    letter_id: str | None
    event_id: str | None
    event_type: str | None
    handler: str | None
    source: str | None
    error_type: str | None
    limit: int | None


class DeadLetterQueue:
    """Dead letters in memory, oldest first; for any thread.

    Args:
        max_size: how many are kept, at least 1; one more pushes the oldest out, which is counted and, once
            a minute at the most, logged.
        on_add: called with each new dead letter on the thread that adds it, and should not wait.
            What it raises is logged: the dead letter is kept whatever happens.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if `max_size` is less than 1.
    """

    def __init__(
        self, max_size: int = 10_000, on_add: Callable[[DeadLetterEntry], object] | None = None
    ) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int):
            raise TypeError(f"max_size must be a whole number, not {max_size!r}")
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1 dead letter, not {max_size}")
        if on_add is not None and not callable(on_add):
            raise TypeError(f"on_add must be a callable that takes a dead letter, or None, not {on_add!r}")
        self._max_size = max_size
        self._pushed_out = 0
        self._told_pushed_out: datetime | None = None
        self._on_add = on_add
        self._entries: deque[DeadLetterEntry] = deque()
        self._guard = new_lock()

    @property
    def max_size(self) -> int:
        """How many are kept."""
        return self._max_size

    @property
    def pushed_out(self) -> int:
        """How many were pushed out so far because there were too many."""
        return self._pushed_out

    def add(
        self,
        event: Event | None,
        error: Exception,
        handler_name: str | None = None,
        attempts: int | None = None,
        *,
        raw: bytes | None = None,
        source: str | None = None,
    ) -> DeadLetterEntry:
        """Keep a dead letter.

        Args:
            event: the event; None for input that could not be made one.
            error: what the last attempt raised; its traceback is kept as text and cleared.
            handler_name: the subscription that gave up.
            attempts: how many attempts were made; default the event's own count.
            raw: input that could not be made an event.
            source: where such input came from; default the event's.

        Returns:
            The dead letter.

        Raises:
            TypeError: if the event is no Event, or the error no Exception.
        """
        if event is not None and not isinstance(event, Event):
            raise TypeError(f"event must be an Event, or None for input that is none, not {event!r}")
        if not isinstance(error, Exception):
            raise TypeError(f"error must be an Exception, not {error!r}")
        if event is not None:
            attempts = event.attempt if attempts is None else attempts
            source = event.source if source is None else source
        entry = DeadLetterEntry(
            event=event,
            error=error,
            traceback_text="".join(traceback.format_exception(error)),
            handler_name=handler_name,
            attempts=attempts or 1,
            raw=raw,
            source=source,
        )
        _drop_frames(error)
        self._keep(entry)
        self._tell(entry)
        return entry

    def _keep(self, entry: DeadLetterEntry) -> None:
        """Keep it, and push out what that leaves no room for; a queue of another kind keeps it elsewhere."""
        with self._guard:
            self._entries.append(entry)
            if len(self._entries) > self._max_size:
                self._entries.popleft()
                self._count_pushed_out(entry)

    def _count_pushed_out(self, by: DeadLetterEntry) -> None:
        """Count that a new one has pushed the oldest out, and say so if that was not said lately."""
        self._pushed_out += 1
        if self._told_pushed_out is None or not (_ZERO <= by.timestamp - self._told_pushed_out < _TELL_EVERY):
            self._told_pushed_out = by.timestamp
            logger.warning(
                "there are more than %d dead letters: the oldest are dropped, %d so far; find out why "
                "there are so many, replay or drop them, or keep more",
                self._max_size,
                self._pushed_out,
            )

    def _tell(self, entry: DeadLetterEntry) -> None:
        if self._on_add is None:
            return
        try:
            self._on_add(entry)
        except Exception:  # a user's callback; the dead letter is kept
            extra = {"event_id": entry.event_id, "actor": entry.handler_name}
            logger.exception("on_add raised for the dead letter of event %s", entry.event_id, extra=extra)

    def pop(self) -> DeadLetterEntry | None:
        """Take the oldest out; None if there is none."""
        with self._guard:
            return self._entries.popleft() if self._entries else None

    def peek(self) -> DeadLetterEntry | None:
        """The oldest; None if there is none."""
        with self._guard:
            return self._entries[0] if self._entries else None

    def get(self, letter_id: str) -> DeadLetterEntry | None:
        """The dead letter of an id; None if there is none."""
        return next(iter(self.find(letter_id=letter_id, limit=1)), None)

    def get_entries(self, limit: int | None = None, event_type: str | None = None) -> list[DeadLetterEntry]:
        """The dead letters, newest first.

        Args:
            limit: at most so many, 0 or more; None for all.
            event_type: only those of events of this type; one may write it as its sender did.

        Raises:
            ValueError: if the limit is negative.
        """
        return self.find(event_type=event_type, limit=limit)

    def find(self, **wanted: Unpack[Wanted]) -> list[DeadLetterEntry]:
        """The dead letters that have all the given values, newest first; see `select`."""
        return list(self.select(**wanted))

    def select(self, **wanted: Unpack[Wanted]) -> Iterator[DeadLetterEntry]:
        """The same one by one, so that no more than one has to be in memory.

        Args:
            **wanted: see `Wanted`; a value of None is the same as none.

        Raises:
            TypeError: if there is no such name, or the limit is no whole number.
            ValueError: if the limit is negative.
        """
        unknown = wanted.keys() - Wanted.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"dead letters are not found by {min(unknown)!r}; by {', '.join(Wanted.__annotations__)}"
            )
        limit = wanted.get("limit")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"limit must be a whole number of dead letters, or None, not {limit!r}")
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more dead letters, or None, not {limit}")
        where = {
            "id" if name == "letter_id" else name: str(value)
            for name, value in wanted.items()
            if name != "limit" and value is not None
        }
        return islice(self._found(where, newest_first=True), limit)

    def _found(self, where: dict[str, str], *, newest_first: bool) -> Iterator[DeadLetterEntry]:
        """Those that are there now and have some values; a queue of another kind looks elsewhere."""
        with self._guard:
            entries = tuple(self._entries)
        for entry in reversed(entries) if newest_first else entries:
            if all(getattr(entry, name) == value for name, value in where.items()):
                yield entry

    def mark_replayed(self, *ids: str) -> int:
        """Note that some were handed out once more, now; says how many there were."""
        with self._guard:
            at, found = now(), 0
            for number, entry in enumerate(self._entries):
                if entry.id in ids:
                    self._entries[number] = msgspec.structs.replace(entry, replayed_at=at)
                    found += 1
        return found

    def drop(self, *ids: str) -> int:
        """Forget some, by the ids of the dead letters; says how many there were."""
        with self._guard:
            kept = [entry for entry in self._entries if entry.id not in ids]
            dropped = len(self._entries) - len(kept)
            self._entries = deque(kept)
        return dropped

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write all, oldest first, as lines of JSON (`DeadLetterEntry.to_dict`); says how many."""
        count = 0
        with Path(path).open("w", encoding="utf-8") as file:
            for entry in self:
                file.write(json.dumps(entry.to_dict(), default=str))
                file.write("\n")
                count += 1
        return count

    def clear(self) -> int:
        """Forget all; says how many there were."""
        with self._guard:
            count = len(self._entries)
            self._entries.clear()
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
        """Those that are there, oldest first."""
        return self._found({}, newest_first=False)

    def __repr__(self) -> str:
        return f"DeadLetterQueue({len(self)} of {self._max_size}, {self._pushed_out} pushed out)"


def _drop_frames(error: BaseException) -> None:
    """Clear the tracebacks of an error and of all that it came from or is made of."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
