"""What a message has that the standard has no field for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pywats_cfx.messages import find
from pywats_cfx.messages._base import CFXMessage, CFXStructure
from pywats_cfx.wire._tolerant import field_names, struct_for
from pywats_cfx.wire._tree import parse, plain_numbers
from pywats_cfx.wire.envelope import Envelope

__all__ = ["UnknownField", "unknown_fields"]

ADDRESS = {"messagename", "version", "timestamp", "uniqueid", "source", "target", "requestid", "messagebody"}


class UnknownField(NamedTuple):
    """A field that the standard does not have.

    Attributes:
        owner: the structure that was read without it; None for the envelope.
        place: where that stands, with the dot that follows: "" for the body itself.
        name: of the field.
        value: as plain values.
    """

    owner: CFXStructure | None
    place: str
    name: str
    value: Any


def unknown_fields(envelope: Envelope) -> list[UnknownField]:
    """The fields of a decoded message that its structs have no place for.

    Args:
        envelope: what `decode` gave; one built in Python has none.
    """
    if envelope.raw is None:
        return []
    tree = parse(envelope.raw)
    found = [
        UnknownField(None, "", key, plain_numbers(value))
        for key, value in tree.items()
        if key.casefold() not in ADDRESS
    ]
    body = next((value for key, value in tree.items() if key.casefold() == "messagebody"), None)
    message = type(envelope.MessageBody)
    if isinstance(body, dict) and issubclass(message, CFXMessage) and find(message.CFX_NAME) is message:
        found += _compared(body, envelope.MessageBody, "")
    return found


def _compared(tree: Any, read: Any, path: str) -> Iterator[UnknownField]:
    if isinstance(tree, dict) and isinstance(read, CFXStructure):
        names = field_names(struct_for((type(read),), tree))
        tag = tree.get("$type")
        if isinstance(tag, str) and tag != type(read).__struct_config__.tag:
            yield UnknownField(read, path, "$type", tag)
        for key, value in tree.items():
            name = names.get(key.casefold())
            if name is not None:
                yield from _compared(value, getattr(read, name, None), f"{path}{name}.")
            elif key != "$type":
                yield UnknownField(read, path, key, plain_numbers(value))
    elif isinstance(tree, list) and isinstance(read, list):
        for place, (value, inner) in enumerate(zip(tree, read, strict=False)):
            yield from _compared(value, inner, f"{path.rstrip('.')}[{place}].")
