"""What can go wrong with IPC-CFX, each with what to do about it."""

from __future__ import annotations

__all__ = ["CFXConvertError", "CFXDecodeError", "CFXError", "CFXTooLarge"]


class CFXError(Exception):
    """Base of all errors of this package."""


class CFXDecodeError(CFXError):
    """Bytes that are no CFX message: says where and why.

    Attributes:
        path: where in the message, such as `MessageBody.TestedUnits[0].Tests`; "" for the whole.
        reason: why.
        raw: its JSON, where it is one of a batch; None where it is all that came.
        blames_item: no retry can succeed, so a retry policy gives the message up at once.
    """

    blames_item = True

    def __init__(self, reason: str, path: str = "", raw: bytes | None = None) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path
        self.raw = raw


class CFXTooLarge(CFXDecodeError):
    """A message or batch that has more bytes, unpacked, than are allowed."""


class CFXConvertError(CFXError):
    """A message that no events can be made of: says which, and why; what happened is the cause.

    Attributes:
        blames_item: no retry can succeed, so a retry policy gives the message up at once.
    """

    blames_item = True
