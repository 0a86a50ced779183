"""IPC-CFX (IPC-2591) for test stations: messages, the wire, and a real endpoint.

Names load when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from pywats_cfx.errors import CFXDecodeError, CFXError

if TYPE_CHECKING:
    from pywats_cfx.wire import Envelope, decode, decode_batch, decode_each, encode, encode_batch

__all__ = [
    "CFXDecodeError",
    "CFXError",
    "Envelope",
    "decode",
    "decode_batch",
    "decode_each",
    "encode",
    "encode_batch",
]

_WHERE: Final = dict.fromkeys(
    ["Envelope", "decode", "decode_batch", "decode_each", "encode", "encode_batch"], "pywats_cfx.wire"
)


def __getattr__(name: str) -> Any:
    """Load a name on its first use."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
