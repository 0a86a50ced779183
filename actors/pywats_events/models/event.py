"""Event: one thing that happened, on its way through a bus.

Making one costs a struct, a counter and one reading of the clock; the text of the id and the
datetime are built when they are first read. HOT: tests/benchmarks/bench_route.py.

Write events with `to_json`, `to_msgpack` or `to_dict`: msgspec's own encoders refuse a struct whose
id or time has not been read yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Final, Self, TypeVar, final

import msgspec
from msgspec.structs import force_setattr

from pywats_events.errors import EventValidationError
from pywats_events.models import _codec
from pywats_events.models._clock import id_of, next_sequence, time_of, wall_clock
from pywats_events.models._metadata import EventMetadata
from pywats_events.models._trace import child_trace
from pywats_events.models.event_types import EventType
from pywats_supervision.runtime import CURRENT_RUNTIME, Runtime

__all__ = ["Event", "EventMetadata"]

T = TypeVar("T")

_TEXT: Final = frozenset({str})
_TEXT_OR_NONE: Final = frozenset({str, type(None)})
_texts_of: Final = attrgetter("source_topic", "correlation_id", "causation_id", "trace", "type_name")


def _is_plain(custom: object) -> bool:
    """Whether it needs no closer look: as nearly all are made."""
    return custom is None or (custom.__class__ is dict and _TEXT.issuperset(map(type, custom)))


@final
class _Unread:
    """Stands where an id or a time is built when it is first read."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "not read yet"


_UNREAD: Final[Any] = _Unread()


@final
class Event(msgspec.Struct, eq=False, frozen=True, weakref=True):
    """One thing that happened.

    Two events are equal if all their fields are.

    Args:
        event_type: an EventType, or its dotted name; a name that nobody registered makes it
            CUSTOM, with the name kept in `type_name`.
        payload: a mapping, or a struct such as `TestResultEvent`; read both by `payload["unit_id"]`.
        source: who sent it.
        id: a text that no other event has; default a time-ordered UUID. Of another value, such as
            a `uuid.UUID`, its text.
        timestamp: when it happened, aware; default now, in UTC.
        source_topic: the topic or channel it came by.
        correlation_id: what belongs to one undertaking has the same.
        causation_id: the id of the event that caused it.
        trace: W3C traceparent.
        attempt: which attempt at handling it this is, 1 for the first.
        received_at: when it reached this station, if that is known apart from `timestamp`.
        type_name: the name that its sender gave to a CUSTOM event's type.
        custom: whatever else its sender said of it, such as headers.

    Raises:
        EventValidationError: if a type, a payload, a time or another field is not what it has to be.
    """

    event_type: EventType
    payload: Any = msgspec.field(default_factory=dict)
    source: str = "unknown"
    id: str = _UNREAD
    timestamp: datetime = _UNREAD
    source_topic: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: str | None = None
    attempt: int = 1
    received_at: datetime | None = None
    type_name: str | None = None
    custom: Mapping[str, Any] | None = None

    # What id and time are made from, if they are not given; never written.
    sequence: int = msgspec.field(default_factory=next_sequence)
    made_at: int = msgspec.field(default_factory=wall_clock)
    runtime: Runtime | None = msgspec.field(default_factory=CURRENT_RUNTIME.get)

    # The slots of `id` and `timestamp`; properties that fill them have their names (see the end of the file).
    _id: ClassVar[Any]
    _timestamp: ClassVar[Any]

    def __post_init__(self) -> None:
        kind: Any = self.event_type
        if kind.__class__ is not EventType:
            self._take_type(kind)
        if self.payload.__class__ is not dict:
            self._check_payload(self.payload)
        if self._timestamp is not _UNREAD:
            self._take_timestamp(self._timestamp)
        if (
            self.source.__class__ is not str
            or self._id is not _UNREAD
            or self.correlation_id is not None
            or self.causation_id is not None
            or self.source_topic is not None
            or self.trace is not None
            or self.type_name is not None
            or self.custom is not None
            or self.attempt != 1
        ):
            self._check_named()
        if self.received_at is not None:
            self._check_moment("received_at", self.received_at)
        runtime = self.runtime
        if runtime is not None and runtime.wall_clock is not wall_clock:
            self._take_from(runtime)

    def _check_named(self) -> None:
        """Look at the fields that most events leave alone."""
        if self._id == "":
            raise EventValidationError("`id` of an event must not be empty; leave it out for a new one")
        if (
            self.source.__class__ is not str
            or not _is_plain(self.custom)
            or self.attempt != 1
            or not _TEXT_OR_NONE.issuperset(map(type, _texts_of(self)))
        ):
            _codec.check_named({name: getattr(self, name) for name in _codec.NAMED})

    def _take_type(self, named: Any) -> None:
        if not isinstance(named, str) or not named:
            raise EventValidationError(f"event_type must be an EventType or its dotted name, not {named!r}")
        if named in EventType:
            force_setattr(self, "event_type", EventType(named))
        else:
            force_setattr(self, "event_type", EventType.CUSTOM)
            force_setattr(self, "type_name", str(named))

    def _check_payload(self, payload: Any) -> None:
        if not isinstance(payload, msgspec.Struct) and not isinstance(payload, Mapping):
            raise EventValidationError(
                f"payload must be a mapping or a struct with named fields, not {type(payload).__name__}"
            )

    def _take_timestamp(self, timestamp: Any) -> None:
        if timestamp is None:
            force_setattr(self, "_timestamp", _UNREAD)
        else:
            self._check_moment("timestamp", timestamp)

    def _check_moment(self, name: str, moment: object) -> None:
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise EventValidationError(
                f"{name} must be a datetime with a time zone, not {moment!r}; "
                "for instance datetime.now(timezone.utc)"
            )

    def _take_from(self, runtime: Runtime) -> None:
        """Take id and time from a simulation now: read later, they would depend on who reads first."""
        if self._id is _UNREAD or self._id is None:
            force_setattr(self, "_id", runtime.ids())
        force_setattr(self, "made_at", runtime.wall_clock())
        force_setattr(self, "runtime", None)

    def _read_id(self) -> str:
        """The text of its id."""
        text = self._id
        if text.__class__ is not str:
            given = text is not _UNREAD and text is not None
            text = str(text) if given else id_of(self.made_at, self.sequence)
            force_setattr(self, "_id", text)
        return text

    def _read_timestamp(self) -> datetime:
        """When it happened; aware."""
        moment = self._timestamp
        if moment is _UNREAD:
            moment = time_of(self.made_at)
            force_setattr(self, "_timestamp", moment)
        return moment  # type: ignore[no-any-return]

    @property
    def event_id(self) -> str:
        """The text of its id, by pywats-api 0.6's name."""
        return self.id

    @classmethod
    def create(
        cls,
        event_type: EventType | str,
        payload: Any = None,
        source: str = "unknown",
        correlation_id: str | None = None,
        **fields: Any,
    ) -> Self:
        """Make an event as pywats-api 0.6 wrote it.

        Args:
            event_type: as for the class.
            payload: as for the class; default an empty dict.
            source: as for the class.
            correlation_id: as for the class.
            **fields: other fields of the class, or of 0.6's metadata (`event_id`, `retry_count`,
                `trace_id`, `span_id`, `custom`).

        Raises:
            EventValidationError: as for the class.
            TypeError: for a field that there is not.
        """
        given = _codec.renamed(fields)
        payload = {} if payload is None else payload
        return cls(event_type, payload, source, correlation_id=correlation_id, **given)  # type: ignore[arg-type]

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
            custom=self.custom or {},
        )

    def derive(
        self,
        event_type: EventType | str | None = None,
        payload: Any = None,
        source: str | None = None,
        **changes: Any,
    ) -> Event:
        """Make a new event that this one caused: a new id and time, and this one's id as `causation_id`.

        It belongs to the same undertaking (`correlation_id`, else this one's id) and trace.

        Args:
            event_type: default this one's.
            payload: default this one's.
            source: default this one's.
            **changes: other fields that are not this one's.
        """
        derived = Event(
            **{
                "event_type": self.event_type if event_type is None else event_type,
                "payload": self.payload if payload is None else payload,
                "source": self.source if source is None else source,
                "type_name": self.type_name if event_type is None else None,
                "source_topic": self.source_topic,
                "correlation_id": self.correlation_id or self.id,
                "causation_id": self.id,
                "trace": self.trace,
                "custom": self.custom,
                **changes,
            }
        )
        if derived.trace is not None and "trace" not in changes:
            span = derived.id.replace("-", "")[-16:]
            force_setattr(derived, "trace", child_trace(derived.trace, span))
        return derived

    def with_attempt(self, attempt: int) -> Event:
        """The same event as its handler is given it at a later attempt, 1 for the first."""
        return msgspec.structs.replace(self, attempt=attempt)

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

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _codec.FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """All there is to say of it, in plain values; fields that say nothing are left out.

        Raises:
            EventValidationError: if something in it cannot be written.
        """
        return _codec.to_plain(self._fields())

    def to_json(self) -> bytes:
        """As JSON, in UTF-8; numbers that JSON does not know are "NaN", "Infinity", "-Infinity".

        Raises:
            EventValidationError: if something in it cannot be written.
        """
        return _codec.to_json(self._fields())

    def to_msgpack(self) -> bytes:
        """As MessagePack; times are text, as in JSON, so that they keep their offsets.

        Raises:
            EventValidationError: if something in it cannot be written.
        """
        return _codec.to_msgpack(self._fields())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Event:
        """Read what `to_dict` wrote, or pywats-api 0.6's of the same name.

        Keys that are no fields are kept in `custom`.

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
        return self is other or (self.id == other.id and self._fields() == other._fields())

    def __ne__(self, other: object) -> bool:
        # Not the opposite of `==` by itself: a struct has an answer of its own.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Callable[..., Event], tuple[Any, ...]]:
        return _rebuilt, (self._fields(),)

    def __copy__(self) -> Event:
        return self

    def __repr__(self) -> str:
        kind = self.type_name or str(self.event_type)
        return f"Event({kind}, id={self.id!r}, source={self.source!r})"


def _read_by(name: str, read: Callable[[Event], Any]) -> None:
    """Have a field read by a function, which finds what is in its slot under `_name`."""
    type.__setattr__(Event, f"_{name}", Event.__dict__[name])
    type.__setattr__(Event, name, property(read))


_read_by("id", Event._read_id)  # noqa: SLF001 - of this file
_read_by("timestamp", Event._read_timestamp)  # noqa: SLF001 - of this file


def _rebuilt(fields: dict[str, Any]) -> Event:
    return Event(**fields)
