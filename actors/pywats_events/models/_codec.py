"""How an event is written and read: plain values, JSON, MessagePack (pure).

An event type that this process does not know is kept by its name, and written by it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from pywats_events.errors import EventValidationError
from pywats_events.models.event_types import EventType

__all__ = ["from_json", "from_msgpack", "payload_as", "read", "to_json", "to_msgpack", "written"]

T = TypeVar("T")

_TEXTS: Final = ("source_topic", "correlation_id", "causation_id", "trace", "type_name")
_OLD_NAMES: Final = {"event_id": "id", "trace_id": "trace"}
"""Names of pywats-api 0.6, in its `metadata` or beside it."""


def _plain(value: Any) -> Any:
    """What msgspec cannot write by itself."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of {type(value).__name__} cannot be written; make it a struct, a dict or plain values")


_json: Final = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")
_msgpack: Final = msgspec.msgpack.Encoder(enc_hook=_plain)


def written(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event in plain values, without those that say nothing."""
    plain: dict[str, Any] = msgspec.to_builtins(_said(fields), enc_hook=_plain)
    return plain


def to_json(fields: dict[str, Any]) -> bytes:
    """The fields of an event as JSON."""
    return _json.encode(_said(fields))


def to_msgpack(fields: dict[str, Any]) -> bytes:
    """The fields of an event as MessagePack."""
    return _msgpack.encode(_said(fields))


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in fields.items() if value is not None}
    if said["event_type"] is EventType.CUSTOM and "type_name" in said:
        said["event_type"] = said.pop("type_name")
    said["event_type"] = str(said["event_type"])
    if said["attempt"] == 1:
        del said["attempt"]
    return said


def from_json(data: bytes | str) -> dict[str, Any]:
    """Read JSON that is to be an event."""
    try:
        return _object(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventValidationError(f"an event as JSON cannot be read: {error}") from error


def from_msgpack(data: bytes) -> dict[str, Any]:
    """Read MessagePack that is to be an event."""
    try:
        return _object(msgspec.msgpack.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventValidationError(f"an event as MessagePack cannot be read: {error}") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EventValidationError(f"an event must be an object with named fields, not {type(value).__name__}")
    return value


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for an Event, from plain values in our shape or pywats-api 0.6's."""
    flat = {**values}
    older = flat.pop("metadata", None)
    if older is not None:
        flat = {**_object(older), **flat}
    fields: dict[str, Any] = {}
    for name, value in flat.items():
        fields[_OLD_NAMES.get(name, name)] = value
    if fields.get("event_type") is None:
        raise EventValidationError("an event must have an `event_type`, and this one has none")
    known = {
        "event_type": fields["event_type"],
        "payload": fields.get("payload", {}),
        "source": _text(fields, "source") or "",
        "id": _text(fields, "id"),
        "timestamp": _moment(fields, "timestamp"),
        "received_at": _moment(fields, "received_at"),
        "attempt": _attempt(fields),
    }
    for name in _TEXTS:
        known[name] = _text(fields, name)
    return known


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise EventValidationError(f"`{name}` of an event must be text, not {value!r}")
    return value


def _moment(fields: dict[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        raise EventValidationError(f"`{name}` of an event must be a time as in RFC 3339, not {value!r}") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _attempt(fields: dict[str, Any]) -> int:
    value = fields.get("attempt", (fields.get("retry_count") or 0) + 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise EventValidationError(f"`attempt` of an event must be a whole number of at least 1, not {value!r}")
    return value


def payload_as(payload: Any, kind: type[T]) -> T:
    """A payload as a struct of a kind, checked."""
    if isinstance(payload, kind):
        return payload
    try:
        return msgspec.convert(payload, kind, from_attributes=True)
    except msgspec.ValidationError as error:
        raise EventValidationError(f"the payload is no {kind.__name__}: {error}") from error
