"""Envelopes to bytes, as the standard's own SDK writes them.

A message built in Python is written with every member in the schema's order. One that was decoded
is written as the text that it came as; of what was changed in Python, only that is written anew.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from math import isfinite, isnan
from typing import Any, Final, get_args
from uuid import UUID  # noqa: TID251 - the type of what users hand in; none is made here

import msgspec

from pywats_cfx.errors import CFXError
from pywats_cfx.messages._base import CFXMessage, CFXStructure, Polymorphic
from pywats_cfx.wire._merge import merged
from pywats_cfx.wire._tree import parse, write
from pywats_cfx.wire.decoding import decode
from pywats_cfx.wire.envelope import Envelope
from pywats_cfx.wire.times import wire_duration, wire_time
from pywats_events.models import new_id, now

__all__ = ["complete", "encode", "encode_batch", "places_for_several", "plain"]


def encode(envelope: Envelope, *, compress: bool = False) -> bytes:
    """The bytes of a message.

    What the standard wants fresh and is not set (UniqueID, TimeStamp, TransactionID, ...) is set
    in the envelope first, so that it can be read there afterwards.

    Args:
        envelope: what to write.
        compress: with gzip.

    Raises:
        CFXError: if something in it cannot be written; it says what.
    """
    text = _text_of(envelope)
    return gzip.compress(text, mtime=0) if compress else text


def encode_batch(envelopes: Iterable[Envelope], *, compress: bool = False) -> bytes:
    """The bytes of several messages as one: a JSON array.

    Args:
        envelopes: what to write.
        compress: with gzip.

    Raises:
        CFXError: if something in one of them cannot be written; it says what.
    """
    text = b"[" + b",".join(_text_of(envelope) for envelope in envelopes) + b"]"
    return gzip.compress(text, mtime=0) if compress else text


def complete(envelope: Envelope) -> None:
    """Set what the standard wants fresh, where it is not set, in an envelope built in Python."""
    if envelope.UniqueID is None:
        envelope.UniqueID = new_id()
    if envelope.TimeStamp is None:
        envelope.TimeStamp = wire_time(now().astimezone())
    if isinstance(envelope.MessageBody, CFXMessage):
        if not envelope.MessageName:
            envelope.MessageName = envelope.MessageBody.CFX_NAME
        _complete(envelope.MessageBody, envelope.TimeStamp)


def _complete(value: object, time: str) -> None:
    if isinstance(value, CFXStructure):
        for name, kind in value.CFX_NEW.items():
            if getattr(value, name) is None:
                setattr(value, name, new_id() if kind == "id" else time)
        for name in value.__struct_fields__:
            _complete(getattr(value, name), time)
    elif isinstance(value, list):
        for inner in value:
            _complete(inner, time)


def _text_of(envelope: Envelope) -> bytes:
    try:
        return _written(envelope)
    except (UnicodeEncodeError, RecursionError) as error:
        raise CFXError(f"{envelope.MessageName!r} cannot be written as JSON: {error}") from error


def _written(envelope: Envelope) -> bytes:
    if envelope.raw is None:
        complete(envelope)
        return msgspec.json.encode(_plain_envelope(envelope))
    came = decode(envelope.raw, max_message=len(envelope.raw))
    before, after = _plain_envelope(came), _plain_envelope(envelope)
    if before == after:
        return envelope.raw
    return write(merged(parse(envelope.raw), before, after))


def _plain_envelope(envelope: Envelope) -> dict[str, Any]:
    names = (name for name in envelope.__struct_fields__ if name not in {"raw", "regular"})
    return {name: plain(getattr(envelope, name), name, tagged=True) for name in names}


AS_IS: Final = frozenset({bool, int, str})
"""Classes whose values JSON has as they are."""


def plain(value: Any, path: str, *, tagged: bool = False) -> Any:
    """A value as JSON has it: what is no number is a text, computed fields are computed.

    Args:
        value: a message, a structure, or what stands in their fields.
        path: where it stands, for errors.
        tagged: `$type` is written, as its place may hold several classes.

    Raises:
        CFXError: for what JSON cannot say.
    """
    if value is None or value.__class__ in AS_IS:
        return value
    if isinstance(value, float):
        return value if isfinite(value) else _not_finite(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | int):
        return value
    if isinstance(value, CFXStructure):
        return _plain_struct(value, path, tagged)
    if isinstance(value, list | tuple):
        return [plain(inner, f"{path}[{place}]", tagged=tagged) for place, inner in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): plain(inner, f"{path}.{key}") for key, inner in value.items()}
    return _plain_other(value, path)


def _plain_other(value: Any, path: str) -> str:
    if isinstance(value, datetime):
        return wire_time(value)
    if isinstance(value, timedelta):
        return wire_duration(value.total_seconds())
    if isinstance(value, UUID):
        return str(value)
    raise CFXError(f"{path}: {type(value).__name__} is nothing that CFX can carry: {value!r:.100}")


def _plain_struct(value: CFXStructure, path: str, tagged: bool) -> dict[str, Any]:
    kind = type(value)
    tree: dict[str, Any] = {"$type": kind.__struct_config__.tag} if tagged else {}
    several, computed, with_nulls = places_for_several(kind), kind.CFX_COMPUTED, not kind.CFX_OMIT_NULLS
    for name in kind.CFX_ORDER or kind.__struct_fields__:
        inner = getattr(value, name)
        if name in computed:
            inner = len(getattr(value, computed[name]) or ())
        if inner is not None or with_nulls:
            known = inner is None or inner.__class__ in AS_IS
            if known or (inner.__class__ is float and isfinite(inner)):
                tree[name] = inner
            else:
                tree[name] = plain(inner, f"{path}.{name}", tagged=name in several)
    return tree


@cache
def places_for_several(kind: type[CFXStructure]) -> frozenset[str]:
    """The fields that may hold objects of several classes, which `$type` tells apart."""
    return frozenset(field.name for field in msgspec.structs.fields(kind) if _holds_several(field.type))


def _holds_several(hint: Any) -> bool:
    if isinstance(hint, Polymorphic):
        return True
    inner = [one for one in get_args(hint) if one is not type(None)]
    structs = [one for one in inner if isinstance(one, type) and issubclass(one, CFXStructure)]
    return len(structs) > 1 or any(_holds_several(one) for one in inner)


def _not_finite(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
