"""How an event is written and read: plain values, JSON, MessagePack (pure).

Nothing is lost on the way: an event type that this process does not know is kept by its name and
written by it again, keys that are no fields are kept in `custom`, times keep their offsets, and
NaN and the infinities, for which JSON has no number, are written as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite, isnan
from typing import Any, Final, TypeVar

import msgspec

from pywats_events.errors import EventValidationError
from pywats_events.models._payload import Payload, folded, plain
from pywats_events.models._trace import make_trace
from pywats_events.models.event_types import EventType

__all__ = [
    "FIELDS",
    "from_json",
    "from_msgpack",
    "payload_as",
    "read",
    "renamed",
    "to_json",
    "to_msgpack",
    "to_plain",
]

T = TypeVar("T")
Written = TypeVar("Written")

FIELDS: Final = (
    "event_type",
    "payload",
    "source",
    "id",
    "timestamp",
    "source_topic",
    "correlation_id",
    "causation_id",
    "trace",
    "attempt",
    "received_at",
    "type_name",
    "custom",
)
"""What is written of an event."""

_TEXTS: Final = ("source", "id", "source_topic", "correlation_id", "causation_id", "trace", "type_name")
NAMED: Final = (
    "source",
    "source_topic",
    "correlation_id",
    "causation_id",
    "trace",
    "type_name",
    "attempt",
    "custom",
)
"""What is checked of an event that names one of them."""
_TIMES: Final = ("timestamp", "received_at")
_UNWRITABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
_BINARY: Final = (bytes, bytearray)

# Writing


_json: Final = msgspec.json.Encoder(enc_hook=plain, decimal_format="number")
_msgpack: Final = msgspec.msgpack.Encoder(enc_hook=plain)
_NO_NUMBER: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""How NaN and the infinities begin in MessagePack, which writes each float as 0xCB and its 8 bytes."""


def to_plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event in plain values; decimal numbers stay."""
    plain: dict[str, Any] = _written(fields, lambda said: _to_builtins(said, (Decimal,)))
    return plain


def to_json(fields: dict[str, Any]) -> bytes:
    """The fields of an event as JSON."""
    return _written(fields, _as_json)


def to_msgpack(fields: dict[str, Any]) -> bytes:
    """The fields of an event as MessagePack."""
    return _written(fields, lambda said: _msgpack.encode(_to_builtins(said, _BINARY)))


def _to_builtins(said: dict[str, Any], kept: tuple[type, ...]) -> Any:
    return msgspec.to_builtins(said, builtin_types=kept, enc_hook=plain)


def _as_json(said: dict[str, Any]) -> bytes:
    data = _json.encode(said)
    # msgspec writes null for what JSON has no number for. MessagePack tells, much faster than a walk
    # in Python, whether one of the nulls is such a number.
    if b"null" in data and _NO_NUMBER.search(_msgpack.encode(said)):
        data = _json.encode(_finite(_to_builtins(said, (Decimal,))))
    return data


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _written(fields: dict[str, Any], write: Callable[[dict[str, Any]], Written]) -> Written:
    said = {name: value for name, value in fields.items() if value is not None}
    if said["event_type"] is EventType.CUSTOM and "type_name" in said:
        said["event_type"] = said.pop("type_name")
    said["event_type"] = str(said["event_type"])
    if said["attempt"] == 1:
        del said["attempt"]
    try:
        return write(said)
    except _UNWRITABLE as error:
        raise EventValidationError(
            f"event {said['id']} ({said['event_type']}) cannot be written: {error}"
        ) from error


# Reading


def from_json(data: bytes | str) -> dict[str, Any]:
    """Read JSON that is to be an event."""
    return _decoded("JSON", msgspec.json.decode, data)


def from_msgpack(data: bytes) -> dict[str, Any]:
    """Read MessagePack that is to be an event."""
    return _decoded("MessagePack", msgspec.msgpack.decode, data)


def _decoded(how: str, decode: Callable[[Any], Any], data: bytes | str) -> dict[str, Any]:
    try:
        return dict(_object("an event", decode(data)))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise EventValidationError(f"an event cannot be read, as it is no {how}: {error}") from error


def _object(what: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise EventValidationError(f"{what} must be an object with named fields, not {_short(value)}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for an Event, from plain values in our shape or pywats-api 0.6's."""
    flat = dict(_object("an event", values))
    older = flat.pop("metadata", None)
    if older is not None:
        flat = {**_object("`metadata` of an event", older), **flat}
    given = renamed(flat)
    if given.get("event_type") is None:
        raise EventValidationError("an event must have an `event_type`, and this one has none")
    fields = {name: given.pop(name) for name in FIELDS if given.get(name) is not None}
    unknown = {name: value for name, value in given.items() if name not in FIELDS}
    if unknown:
        fields["custom"] = {**fields.get("custom", {}), **unknown}
    for name in _TEXTS:
        if name in fields and not isinstance(fields[name], str):
            raise EventValidationError(f"`{name}` of an event must be text, not {_short(fields[name])}")
    for name in _TIMES:
        if name in fields:
            fields[name] = _moment(name, fields[name])
    _check_attempt(fields.get("attempt", 1))
    return fields


def renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by our names, from ours or those of pywats-api 0.6's metadata."""
    given = dict(fields)
    if "event_id" in given:
        event_id = given.pop("event_id")
        given.setdefault("id", event_id)
    if "retry_count" in given:
        count = given.pop("retry_count") or 0
        given.setdefault("attempt", count + 1 if isinstance(count, int) else count)
    trace_id, span_id = given.pop("trace_id", None), given.pop("span_id", None)
    trace = make_trace(trace_id, span_id) if isinstance(trace_id, str) and isinstance(span_id, str) else None
    if trace is not None:
        given.setdefault("trace", trace)
    custom = given.pop("custom", None) or {}
    kept = {**_object("`custom` of an event", custom)}
    if trace is None:
        kept |= {k: v for k, v in (("trace_id", trace_id), ("span_id", span_id)) if v is not None}
    return {**given, "custom": kept} if kept else given


def _moment(name: str, value: Any) -> datetime:
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        raise EventValidationError(
            f"`{name}` of an event must be a time as in RFC 3339, not {_short(value)}"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _check_attempt(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise EventValidationError(
            f"`attempt` of an event must be a whole number of at least 1, not {_short(value)}"
        )


def check_named(fields: Mapping[str, Any]) -> None:
    """Refuse fields that are not what they have to be, as `read` does."""
    for name in _TEXTS:
        value = fields.get(name)
        if not isinstance(value, str) and (value is not None or name == "source"):
            raise EventValidationError(f"`{name}` of an event must be text, not {_short(value)}")
    custom = fields["custom"]
    if custom is not None:
        _object("`custom` of an event", custom)
    _check_attempt(fields["attempt"])


def payload_as(payload: Any, kind: type[T]) -> T:
    """A payload as a struct of a kind, checked."""
    if isinstance(payload, kind):
        return payload
    if isinstance(payload, Payload):
        payload = payload.as_dict()
    try:
        return msgspec.convert(folded(payload, kind), kind, from_attributes=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        # Half a surrogate pair is no text, and no word of an enum is compared with it.
        raise EventValidationError(f"the payload is no {kind.__name__}: {error}") from error
