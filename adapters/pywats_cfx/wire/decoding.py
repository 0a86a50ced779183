"""Bytes to envelopes.

Most messages are as the standard says, and go the fast way: msgspec straight into the structs,
which refuse whatever they do not know. What they refuse goes the tolerant way (`_tolerant`), which
takes all that senders really send. Either way the envelope remembers the text that came.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from pywats_cfx.errors import CFXDecodeError, CFXTooLarge
from pywats_cfx.messages import find
from pywats_cfx.messages._base import CFXMessage
from pywats_cfx.wire._tolerant import read_body, read_envelope
from pywats_cfx.wire._tree import parse, parts_of_list
from pywats_cfx.wire.envelope import Envelope

__all__ = [
    "MAX_BATCH",
    "MAX_MESSAGE",
    "decode",
    "decode_batch",
    "decode_each",
    "decode_unpacked",
    "unpacked",
]

M = TypeVar("M", bound=CFXMessage)

MAX_MESSAGE: Final = 128 * 1024 * 1024
"""Bytes of JSON a message or batch may have, unpacked: inspection machines send images in it."""
MAX_BATCH: Final = 100_000
"""Messages in one batch."""

GZIP: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
BLANK: Final = b" \t\r\n"


class _Address(msgspec.Struct, forbid_unknown_fields=True):
    """An envelope without its body; a field in another spelling goes the tolerant way."""

    MessageName: str
    Version: str | None = None
    TimeStamp: str | None = None
    UniqueID: str | None = None
    Source: str | None = None
    Target: str | None = None
    RequestID: str | None = None


class _Outline(_Address):
    """An envelope whose body is not looked into: what is in it is known by the name, wherever that stands."""

    MessageBody: msgspec.Raw = msgspec.Raw()


class _Typed(_Address, Generic[M], kw_only=True):
    """An envelope of a message that the standard knows."""

    MessageBody: M


_Strict: TypeAlias = msgspec.json.Decoder[_Typed[CFXMessage]]

_OUTLINE: Final = msgspec.json.Decoder(_Outline)
_NAME_FIRST: Final = re.compile(rb'\{\s*"MessageName"\s*:\s*"([\w.]+)"')
_BATCH: Final = msgspec.json.Decoder(list[msgspec.Raw])
_strict: dict[str, _Strict] = {}


def decode(data: bytes, *, max_message: int = MAX_MESSAGE) -> Envelope:
    """The one message in `data`.

    Args:
        data: JSON in UTF-8, plain or gzipped: an envelope, or a batch of one.
        max_message: bytes of JSON at the most.

    Raises:
        CFXDecodeError: if it is no message, or several (use `decode_batch` then).
    """
    text = unpacked(data, max_message=max_message)
    if text[:1] != b"[":
        return _decode_one(text)
    found = _split(text)
    if len(found) != 1:
        raise CFXDecodeError(f"a batch of {len(found)} messages; decode_batch reads it")
    return _decode_one(found[0])


def decode_batch(data: bytes, *, max_message: int = MAX_MESSAGE) -> list[Envelope]:
    """All messages in `data`: an envelope alone, or a JSON array of them.

    Args:
        data: JSON in UTF-8, plain or gzipped.
        max_message: bytes of JSON in all, at the most.

    Raises:
        CFXDecodeError: for the first that is no message; `decode_each` goes on behind it.
    """
    envelopes = []
    for one in decode_each(data, max_message=max_message):
        if isinstance(one, CFXDecodeError):
            raise one
        envelopes.append(one)
    return envelopes


def decode_each(data: bytes, *, max_message: int = MAX_MESSAGE) -> list[Envelope | CFXDecodeError]:
    """All messages in `data`, with an error in the place of each that is none.

    Args:
        data: JSON in UTF-8, plain or gzipped.
        max_message: bytes of JSON in all, at the most.

    Raises:
        CFXDecodeError: if not even the single messages can be told apart.
    """
    return decode_unpacked(unpacked(data, max_message=max_message))


def decode_unpacked(text: bytes) -> list[Envelope | CFXDecodeError]:
    """All messages in what `unpacked` gave, as `decode_each`.

    Args:
        text: the JSON itself.

    Raises:
        CFXDecodeError: if not even the single messages can be told apart.
    """
    parts = _split(text) if text[:1] == b"[" else [text]
    found: list[Envelope | CFXDecodeError] = []
    for place, part in enumerate(parts):
        try:
            found.append(_decode_one(part))
        except CFXDecodeError as error:
            if len(parts) > 1:
                error = CFXDecodeError(error.reason, f"[{place}].{error.path}".rstrip("."), part)
            found.append(error)
    return found


def _decode_one(text: bytes) -> Envelope:
    try:
        name = _name_of(text)
        decoder = _strict.get(name) or _strict_for(name)
        came = decoder.decode(text) if decoder is not None else None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _tolerantly(text)
    if came is None or came.MessageName != name:  # it is there twice
        return _tolerantly(text)
    return Envelope(
        MessageName=name,
        Version=came.Version,
        TimeStamp=came.TimeStamp,
        UniqueID=came.UniqueID,
        Source=came.Source,
        Target=came.Target,
        RequestID=came.RequestID,
        MessageBody=came.MessageBody,
        raw=text,
    )


def _name_of(text: bytes) -> str:
    """The name of a message; most senders write it first, as the standard's own SDK does."""
    first = _NAME_FIRST.match(text)
    return first[1].decode() if first is not None else _OUTLINE.decode(text).MessageName


def _strict_for(name: str) -> _Strict | None:
    """Reads envelopes of a message by the fast way; None if the standard does not know it."""
    message = find(name)
    if message is None or not issubclass(message, CFXMessage):
        return None
    _strict[name] = decoder = msgspec.json.Decoder(_Typed[message], dec_hook=_polymorphic)  # type: ignore[valid-type] # known at run time only
    return decoder


def _polymorphic(place: Any, value: Any) -> Any:
    """What stands in a place for a class or its subclasses."""
    kind = place.by_tag.get(value.get("$type")) if isinstance(value, dict) else None
    if kind is None:
        raise msgspec.ValidationError("a class that the standard does not have there")
    try:  # most have no such place in them, and a hook makes reading them twice as long
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return msgspec.convert(value, kind, dec_hook=_polymorphic)


def _tolerantly(text: bytes) -> Envelope:
    envelope = read_envelope(parse(text))
    body: Any = envelope.MessageBody
    envelope.MessageBody = read_body(envelope.MessageName, body)
    envelope.raw = text
    envelope.regular = False
    return envelope


# Taking apart


def unpacked(data: bytes, *, max_message: int = MAX_MESSAGE) -> bytes:
    """The JSON itself: unpacked if it is gzipped, without a byte order mark and surrounding blanks.

    Args:
        data: as it was sent.
        max_message: bytes of JSON at the most.

    Raises:
        CFXTooLarge: if there are more; no more than those are unpacked.
        CFXDecodeError: if there are none, or it is broken.
    """
    text = _gunzipped(data, max_message) if data[:2] == GZIP else bytes(data)
    if len(text) > max_message:
        raise CFXTooLarge(f"{len(text)} bytes, {max_message} are allowed (max_message)")
    text = text.removeprefix(BOM).strip(BLANK)
    if not text:
        raise CFXDecodeError("no JSON: it is empty")
    return text


def _gunzipped(data: bytes, limit: int) -> bytes:
    unpacked = bytearray()
    rest = bytes(data)
    try:
        while rest:  # gzip allows one after the other
            stream = zlib.decompressobj(wbits=31)
            unpacked += stream.decompress(rest, limit - len(unpacked) + 1)
            if len(unpacked) > limit:
                raise CFXTooLarge(f"gzip of more than {limit} bytes are not allowed (max_message)")
            if not stream.eof:
                raise CFXDecodeError("gzip data end in the middle")
            rest = stream.unused_data
    except zlib.error as error:
        raise CFXDecodeError(f"broken gzip data: {error}") from None
    return bytes(unpacked)


def _split(text: bytes) -> list[bytes]:
    try:
        parts = [bytes(part) for part in _BATCH.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        try:
            parts = parts_of_list(text)
        except CFXDecodeError as error:
            raise CFXDecodeError(f"no JSON array of messages: {error.reason}") from None
    if len(parts) > MAX_BATCH:
        raise CFXDecodeError(f"a batch of {len(parts)} messages, {MAX_BATCH} are allowed")
    return parts
