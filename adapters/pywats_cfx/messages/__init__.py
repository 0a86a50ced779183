"""All messages of IPC-CFX 2.1, and the structures that they are made of.

Each namespace of the standard is a module, in lower case: `CFX.Production.TestAndInspection` is
`pywats_cfx.messages.production.testandinspection`. Modules load when they are first used; the
messages of the namespace `CFX` itself are here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pywats_cfx.messages._base import CFXMessage, CFXStructure, CodeEnum, TextEnum
from pywats_cfx.messages._index import MESSAGES, STRUCTURES

if TYPE_CHECKING:
    from pywats_cfx.messages.root import (
        AreYouThereRequest,
        AreYouThereResponse,
        EndpointConnected,
        EndpointShuttingDown,
        GetEndpointInformationRequest,
        GetEndpointInformationResponse,
        Heartbeat,
        NotSupportedResponse,
        WhoIsThereRequest,
        WhoIsThereResponse,
    )

__all__ = [
    "AreYouThereRequest",
    "AreYouThereResponse",
    "CFXMessage",
    "CFXStructure",
    "CodeEnum",
    "EndpointConnected",
    "EndpointShuttingDown",
    "GetEndpointInformationRequest",
    "GetEndpointInformationResponse",
    "Heartbeat",
    "NotSupportedResponse",
    "TextEnum",
    "WhoIsThereRequest",
    "WhoIsThereResponse",
    "find",
    "get",
    "names",
]

_found: dict[str, type[CFXStructure]] = {}


def names() -> list[str]:
    """The full names of all messages of the standard, sorted."""
    return sorted(MESSAGES)


def get(name: str) -> type[CFXMessage]:
    """The class of a message.

    Args:
        name: its full name, such as `CFX.Production.TestAndInspection.UnitsTested`.

    Raises:
        LookupError: if the standard has no message of that name; it names similar ones.
    """
    found = find(name)
    if found is None or not issubclass(found, CFXMessage):
        short = name.rpartition(".")[2].casefold()
        similar = [known for known in MESSAGES if known.rpartition(".")[2].casefold() == short]
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise LookupError(f"IPC-CFX has no message {name!r}{hint}")
    return found


def find(name: str) -> type[CFXStructure] | None:
    """The class of a message or structure by its full name; None if the standard has none.

    Args:
        name: as on the wire, so `Feature+Value` for a class inside another.
    """
    found = _found.get(name)
    if found is None:
        place = MESSAGES.get(name) or STRUCTURES.get(name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        found = _found[name] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


def __getattr__(name: str) -> Any:
    """Load what is in the namespace `CFX` itself."""
    if name.startswith("_") or f"CFX.{name}" not in MESSAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return get(f"CFX.{name}")
