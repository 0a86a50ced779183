"""Event: one thing that happened, on its way through a bus.

Making one costs a struct, a counter and one reading of the clock; the text of the id and the
datetime are built when they are first read. HOT: tests/benchmarks/bench_route.py.

Write events with `to_json`, `to_msgpack` or `to_dict`: encoding the struct itself by other means
would miss what has not been read yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Self, TypeVar, final

import msgspec
from msgspec.structs import force_setattr

from pywats_events.errors import EventValidationError
from pywats_events.models import _codec
from pywats_events.models._clock import id_of, new_id, next_sequence, now, simulated, time_of, wall_clock
from pywats_events.models._metadata import EventMetadata
from pywats_events.models._trace import child_trace
from pywats_events.models.event_types import EventType

__all__ = ["Event", "EventMetadata"]

T = TypeVar("T")


class _Fields(msgspec.Struct, eq=False, frozen=True, weakref=True):
    """What an event is made of; `Event` reads some of it lazily."""

    event_type: EventType
    payload: Any = msgspec.field(default_factory=dict)
    source: str = ""
    id: Any = None
    timestamp: Any = None
    source_topic: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: str | None = None
    attempt: int = 1
    received_at: datetime | None = None
    type_name: str | None = None
    sequence: int = msgspec.field(default_factory=next_sequence)
    made_at: int = msgspec.field(default_factory=wall_clock)


_raw_id: Final[Callable[[Any], Any]] = _Fields.id.__get__
_raw_timestamp: Final[Callable[[Any], Any]] = _Fields.timestamp.__get__
_put_id: Final[Callable[[Any, Any], None]] = _Fields.id.__set__
_put_timestamp: Final[Callable[[Any, Any], None]] = _Fields.timestamp.__set__


@final
class Event(_Fields, eq=False, frozen=True):
    """One thing that happened.

    Two events are equal if all that is written of them is.

    Args:
        event_type: an EventType, or its dotted name; a name that nobody registered makes it
            CUSTOM, with the name kept in `type_name`.
        payload: a mapping, or a struct such as `TestResultEvent`; read both by `payload["unit_id"]`.
        source: who sent it.
        id: the text of an id that is unique; default a time-ordered UUID.
        timestamp: when it happened, aware; default now, in UTC.
        source_topic: the topic or channel it came by.
        correlation_id: what belongs to one undertaking has the same.
        causation_id: the id of the event that caused it.
        trace: W3C traceparent.
        attempt: which attempt at handling it this is, 1 for the first.
        received_at: when it reached this station, if that is known apart from `timestamp`.
        type_name: the name that its sender gave to a CUSTOM event's type.

    Raises:
        EventValidationError: if a value is not what it has to be.
    """

    def __post_init__(self) -> None:
        if self.event_type.__class__ is not EventType:
            self._take_type(self.event_type)
        given = simulated()
        if given is not None:
            if _raw_id(self) is None:
                _put_id(self, given[0])
            force_setattr(self, "made_at", given[1])
        if _raw_timestamp(self) is not None:
            self._check_timestamp(_raw_timestamp(self))

    def _take_type(self, named: Any) -> None:
        if not isinstance(named, str) or not named:
            raise EventValidationError(f"event_type must be an EventType or its name, not {named!r}")
        if named in EventType:
            force_setattr(self, "event_type", EventType(named))
        else:
            force_setattr(self, "event_type", EventType.CUSTOM)
            force_setattr(self, "type_name", str(named))

    def _check_timestamp(self, timestamp: Any) -> None:
        if not isinstance(timestamp, datetime) or timestamp.tzinfo is None:
            raise EventValidationError(
                f"timestamp must be a datetime with a time zone, not {timestamp!r}; "
                "for instance datetime.now(timezone.utc)"
            )

    # `id` and `timestamp` hide the fields of the same names, which are filled when first read.

    @property
    def id(self) -> str:  # type: ignore[override]
        """The text of its id."""
        text = _raw_id(self)
        if text is None:
            text = id_of(self.made_at, self.sequence)
            _put_id(self, text)
        return str(text)

    @property
    def timestamp(self) -> datetime:  # type: ignore[override]
        """When it happened; aware."""
        moment: datetime | None = _raw_timestamp(self)
        if moment is None:
            moment = time_of(self.made_at)
            _put_timestamp(self, moment)
        return moment

    @classmethod
    def create(
        cls,
        event_type: EventType | str,
        payload: Any = None,
        source: str = "",
        correlation_id: str | None = None,
        **fields: Any,
    ) -> Self:
        """Make an event; the same as calling the class, as pywats-api 0.6 wrote it."""
        return cls(
            event_type,  # type: ignore[arg-type] # a name is taken too
            {} if payload is None else payload,
            source,
            correlation_id=correlation_id,
            **fields,
        )

    @property
    def metadata(self) -> EventMetadata:
        """What surrounds the payload, as pywats-api 0.6 showed it; a view made at each call."""
        return EventMetadata(
            event_id=self.id,
            timestamp=self.timestamp,
            source=self.source,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            source_topic=self.source_topic,
            trace=self.trace,
            retry_count=self.attempt - 1,
        )

    def derive(self, **changes: Any) -> Event:
        """Make a new event that this one caused: a new id, and this one's as `causation_id`.

        Args:
            **changes: fields that are not this one's.
        """
        fresh = new_id()
        fields: dict[str, Any] = {
            "event_type": self.event_type,
            "payload": self.payload,
            "source": self.source,
            "source_topic": self.source_topic,
            "type_name": self.type_name,
            "id": fresh,
            "timestamp": now(),
            "correlation_id": self.correlation_id or self.id,
            "causation_id": self.id,
            "trace": child_trace(self.trace, fresh.replace("-", "")[16:]),
        }
        return Event(**{**fields, **changes})

    def with_attempt(self, attempt: int) -> Event:
        """The same event as its handler is given it at a later attempt."""
        return Event(**{**self._fields(), "attempt": attempt})

    def with_retry(self) -> Event:
        """The same event, one attempt later."""
        return self.with_attempt(self.attempt + 1)

    def as_(self, kind: type[T]) -> T:
        """The payload as a struct of a kind, checked.

        Args:
            kind: for instance `TestResultEvent`.

        Raises:
            EventValidationError: if the payload is not one; it says what is wrong, and where.
        """
        return _codec.payload_as(self.payload, kind)

    # Writing and reading

    def _fields(self) -> dict[str, Any]:
        return {
            "event_type": self.event_type,
            "payload": self.payload,
            "source": self.source,
            "id": self.id,
            "timestamp": self.timestamp,
            "source_topic": self.source_topic,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "trace": self.trace,
            "attempt": self.attempt,
            "received_at": self.received_at,
            "type_name": self.type_name,
        }

    def to_dict(self) -> dict[str, Any]:
        """All there is to say of it, in plain values; fields that say nothing are left out."""
        return _codec.written(self._fields())

    def to_json(self) -> bytes:
        """As JSON, in UTF-8."""
        return _codec.to_json(self._fields())

    def to_msgpack(self) -> bytes:
        """As MessagePack."""
        return _codec.to_msgpack(self._fields())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Event:
        """Read what `to_dict` wrote, or pywats-api 0.6's of the same name.

        Raises:
            EventValidationError: if it is no event; it says what is missing or wrong.
        """
        return cls(**_codec.read(values))

    @classmethod
    def from_json(cls, data: bytes | str) -> Event:
        """Read what `to_json` wrote.

        Raises:
            EventValidationError: if it is no JSON, or no event.
        """
        return cls.from_dict(_codec.from_json(data))

    @classmethod
    def from_msgpack(cls, data: bytes) -> Event:
        """Read what `to_msgpack` wrote.

        Raises:
            EventValidationError: if it is no MessagePack, or no event.
        """
        return cls.from_dict(_codec.from_msgpack(data))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Event.from_dict, (self._fields(),)

    def __copy__(self) -> Event:
        return self

    def __repr__(self) -> str:
        kind = self.type_name or str(self.event_type)
        return f"Event({kind}, id={self.id!r}, source={self.source!r})"
