"""Envelope: one CFX message with its address, as Python sees it."""

from __future__ import annotations

from typing import Any

import msgspec

from pywats_cfx.messages._base import CFXMessage

__all__ = ["VERSION", "Envelope"]

VERSION = "2.1"
"""Of the standard that messages are written in."""
GUID_DIGITS = 32


def _set_id(text: str) -> str | None:
    """An id; None for a GUID of zeros, which .NET writes for one that was not set."""
    return None if text.count("0") == GUID_DIGITS and not text.strip("0-{} ") else text


class Envelope(msgspec.Struct, kw_only=True):
    """A CFX message on its way; the fields have the names of the wire.

    What was decoded remembers the text that it came as, and is encoded to that again, but for
    what was changed in Python.

    Attributes:
        MessageName: the full name, such as `CFX.Heartbeat`.
        Version: of the standard that the sender speaks.
        TimeStamp: as on the wire (`times.time_of` reads it); None: now, when it is encoded.
        UniqueID: of this message, by which a repeat is known; None: a new one, when it is encoded. One
            of zeros only, as .NET has for an id that was not set, is read as None.
        Source: the CFX handle of the sender.
        Target: the CFX handle of the addressee of a request; None for all.
        RequestID: the request that this asks or answers; None for neither.
        MessageBody: the message; a dict where the standard has no message of that name.
        raw: the JSON that it was decoded from; None if it was built in Python.
        regular: it is as the standard says; False if something in it is not.
    """

    MessageName: str = ""
    Version: str | None = VERSION
    TimeStamp: str | None = None
    UniqueID: str | None = None
    Source: str | None = None
    Target: str | None = None
    RequestID: str | None = None
    MessageBody: CFXMessage | dict[str, Any] | None = None
    raw: bytes | None = None
    regular: bool = True

    @classmethod
    def of(
        cls,
        body: CFXMessage,
        *,
        source: str | None = None,
        target: str | None = None,
        request_id: str | None = None,
    ) -> Envelope:
        """An envelope for a message that was built in Python.

        Args:
            body: the message.
            source: the CFX handle of the sender.
            target: of the addressee of a request.
            request_id: the request that this asks or answers.
        """
        return cls(
            MessageName=body.CFX_NAME, Source=source, Target=target, RequestID=request_id, MessageBody=body
        )

    def __post_init__(self) -> None:
        if self.UniqueID is not None and self.UniqueID[:3].strip("{0") == "":
            self.UniqueID = _set_id(self.UniqueID)

    @property
    def short_name(self) -> str:
        """The name of the message without its namespace."""
        return self.MessageName.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"Envelope({self.MessageName!r} from {self.Source!r}, {self.UniqueID})"
