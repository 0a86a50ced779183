"""What a message has that the standard has no field for."""

from __future__ import annotations

from typing import Any

from pywats_cfx.messages import find
from pywats_cfx.messages._base import CFXMessage, CFXStructure
from pywats_cfx.wire._tolerant import field_names, struct_for
from pywats_cfx.wire._tree import parse, plain_numbers
from pywats_cfx.wire.envelope import Envelope

__all__ = ["unknown_fields"]

ADDRESS = {"messagename", "version", "timestamp", "uniqueid", "source", "target", "requestid", "messagebody"}


def unknown_fields(envelope: Envelope) -> dict[str, Any]:
    """The fields of a decoded message that its structs have no place for, by their paths.

    Args:
        envelope: what `decode` gave; one built in Python has none.
    """
    if envelope.raw is None:
        return {}
    tree = parse(envelope.raw)
    found = {key: value for key, value in tree.items() if key.casefold() not in ADDRESS}
    body = next((value for key, value in tree.items() if key.casefold() == "messagebody"), None)
    message = type(envelope.MessageBody)
    if isinstance(body, dict) and issubclass(message, CFXMessage) and find(message.CFX_NAME) is message:
        _compare(body, envelope.MessageBody, "", found)
    return {path: plain_numbers(value) for path, value in found.items()}


def _compare(tree: Any, read: Any, path: str, found: dict[str, Any]) -> None:
    if isinstance(tree, dict) and isinstance(read, CFXStructure):
        names = field_names(struct_for((type(read),), tree))
        tag = tree.get("$type")
        if isinstance(tag, str) and tag != type(read).__struct_config__.tag:
            found[f"{path}$type"] = tag
        for key, value in tree.items():
            name = names.get(key.casefold())
            if name is not None:
                _compare(value, getattr(read, name, None), f"{path}{name}.", found)
            elif key != "$type":
                found[f"{path}{key}"] = value
    elif isinstance(tree, list) and isinstance(read, list):
        for place, (value, inner) in enumerate(zip(tree, read, strict=False)):
            _compare(value, inner, f"{path.rstrip('.')}[{place}].", found)
