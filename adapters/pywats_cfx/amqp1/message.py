"""What one AMQP message is, apart from the connection it travels on, and how it is written (part 3.2).

A decoded message keeps every byte of a body that it cannot give as plain bytes; whatever was sent, `decode`
gives a message, so that nothing is lost because it was malformed.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from pywats_cfx.amqp1._types import Symbol, TypesError, decode_value, encode_value, pack_list

__all__ = ["AMQPMessage"]

_HEADER: Final = 0x70
_PROPERTIES: Final = 0x73
_APPLICATION_PROPERTIES: Final = 0x74
_DATA: Final = 0x75
_SEQUENCE: Final = 0x76
_VALUE: Final = 0x77

_SECTIONS: Final[dict[Any, int]] = {
    "amqp:header:list": _HEADER,
    "amqp:delivery-annotations:map": 0x71,
    "amqp:message-annotations:map": 0x72,
    "amqp:properties:list": _PROPERTIES,
    "amqp:application-properties:map": _APPLICATION_PROPERTIES,
    "amqp:data:binary": _DATA,
    "amqp:amqp-sequence:list": _SEQUENCE,
    "amqp:amqp-value:*": _VALUE,
    "amqp:footer:map": 0x78,
}
"""The sections' names, for peers that write those instead of their numbers."""

_DURABLE_HEADER: Final = b"\x00\x53\x70\xc0\x02\x01\x41"


class AMQPMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message: its body as bytes, and what describes it.

    Attributes:
        body: the content of the Data sections, or of an AmqpValue that is text or binary; any other body as
            the bytes of its sections.
        durable: whether a broker must keep it on disk.
        message_id: usually text; the older kinds of id are given as int, bytes or text.
        user_id: who sent it, where a broker checks that.
        to: the address that it is meant for.
        subject: what it is about; RabbitMQ's routing key.
        reply_to: the address for an answer.
        correlation_id: what it answers.
        content_type: of the body, e.g. 'application/json; charset="utf-8"'.
        content_encoding: e.g. "gzip"; None means none.
        creation_time: milliseconds since 1970, UTC.
        application_properties: names and plain values.
        problem: why its bytes could not be read as an AMQP message; `body` then holds all of them. None for
            every message that could.
    """

    body: bytes
    durable: bool = True
    message_id: str | int | bytes | None = None
    user_id: bytes | None = None
    to: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    correlation_id: str | int | bytes | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    creation_time: int | None = None
    application_properties: dict[str, Any] = msgspec.field(default_factory=dict)
    problem: str | None = None

    def encode(self) -> bytes:
        """The bytes of the message: header, properties, application properties, one Data section.

        A properties section is always written: the .NET SDK fails on a message without one.

        Raises:
            ValueError: a property's value has no AMQP type.
        """
        sections = [_DURABLE_HEADER] if self.durable else []
        sections.append(b"\x00\x53\x73" + pack_list(self._property_list()))
        if self.application_properties:
            sections.append(b"\x00\x53\x74" + encode_value(self.application_properties))
        length = len(self.body)
        if length < 256:
            sections.append(b"\x00\x53\x75\xa0" + bytes((length,)))
        else:
            sections.append(b"\x00\x53\x75\xb0" + struct.pack(">I", length))
        sections.append(self.body)
        return b"".join(sections)

    def _property_list(self) -> list[bytes]:
        """The members of the properties section, encoded, without the nulls at the end."""
        members = [
            encode_value(self.message_id),
            encode_value(self.user_id),
            encode_value(self.to),
            encode_value(self.subject),
            encode_value(self.reply_to),
            encode_value(self.correlation_id),
            encode_value(None if self.content_type is None else Symbol(self.content_type)),
            encode_value(None if self.content_encoding is None else Symbol(self.content_encoding)),
            b"\x40",
            b"\x40" if self.creation_time is None else b"\x83" + struct.pack(">q", self.creation_time),
        ]
        while members and members[-1] == b"\x40":
            members.pop()
        return members

    @classmethod
    def decode(cls, data: bytes) -> AMQPMessage:
        """Read a message; one that cannot be read is kept whole, with its `problem`."""
        try:
            return _decode(data)
        except TypesError as error:
            return cls(body=bytes(data), durable=False, problem=str(error))


def _decode(data: bytes) -> AMQPMessage:
    properties: list[Any] = []
    application_properties: dict[str, Any] = {}
    durable = False
    body: list[tuple[int, Any]] = []
    body_start, body_end = len(data), len(data)
    at, end = 0, len(data)
    while at < end:
        start = at
        kind, value, at = _decode_section(data, at)
        if kind in (_DATA, _SEQUENCE, _VALUE):
            body.append((kind, value))
            body_start, body_end = min(start, body_start), at
        elif kind == _PROPERTIES:
            properties = _expect(value, list, "properties")
        elif kind == _HEADER:
            durable = _expect(value, list, "header")[:1] == [True]
        elif kind == _APPLICATION_PROPERTIES:
            application_properties = _expect(value, dict, "application-properties")
    return AMQPMessage(
        body=_plain_body(body, data[body_start:body_end]),
        durable=durable,
        application_properties={str(name): value for name, value in application_properties.items()},
        **_named(properties),
    )


def _decode_section(data: bytes, at: int) -> tuple[int, Any, int]:
    """The number of the section, its value, and where the next one starts."""
    if data[at] != 0x00:
        raise TypesError(f"{data[at]:#04x} at {at} does not start a section")
    descriptor, at = decode_value(data, at + 1)
    if isinstance(descriptor, str):
        descriptor = _SECTIONS.get(descriptor)
    if not isinstance(descriptor, int) or not _HEADER <= descriptor <= 0x78:
        raise TypesError(f"the section before {at} is none of a message")
    value, at = decode_value(data, at)
    return descriptor, value, at


def _expect(value: Any, kind: type[Any], section: str) -> Any:
    if not isinstance(value, kind):
        raise TypesError(f"the section {section} holds a {type(value).__name__}, not a {kind.__name__}")
    return value


def _plain_body(sections: list[tuple[int, Any]], raw: bytes) -> bytes:
    """The body as bytes, or its sections as they came where it is not made of text or bytes."""
    if len(sections) == 1:
        kind, value = sections[0]
        if isinstance(value, bytes) and kind != _SEQUENCE:
            return value
        if isinstance(value, str) and kind == _VALUE:
            return value.encode()
    elif sections and all(kind == _DATA and isinstance(value, bytes) for kind, value in sections):
        return b"".join(value for _, value in sections)
    return raw


_STRINGS: Final = ((2, "to"), (3, "subject"), (4, "reply_to"), (6, "content_type"), (7, "content_encoding"))
_IDS: Final = ((0, "message_id"), (5, "correlation_id"))


def _named(members: list[Any]) -> dict[str, Any]:
    """The properties by name; a value of the wrong type is a fault of the message."""
    members += [None] * (10 - len(members))
    named: dict[str, Any] = {}
    for place, name in _STRINGS:
        value = members[place]
        if value is not None:
            named[name] = str(_expect(value, str, f"properties: {name}"))
    for place, name in _IDS:
        value = members[place]
        if value is not None and not isinstance(value, str | int | bytes):
            raise TypesError(f"the section properties: {name} is no id, but a {type(value).__name__}")
        named[name] = value
    if members[1] is not None:
        named["user_id"] = _expect(members[1], bytes, "properties: user_id")
    if members[9] is not None:
        named["creation_time"] = _expect(members[9], int, "properties: creation_time")
    return named
