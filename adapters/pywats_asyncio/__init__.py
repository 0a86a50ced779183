"""The bridge from trio to asyncio libraries: one asyncio loop in one thread, batched both ways."""

from __future__ import annotations

from pywats_asyncio._ack_window import Ack, AckWindow, Nack, Verdict
from pywats_asyncio.bridge import AsyncioBridge
from pywats_asyncio.errors import BridgeClosed, BridgeError, BridgeFailed, CallCancelled
from pywats_asyncio.inbox import Inbox

__all__ = [
    "Ack",
    "AckWindow",
    "AsyncioBridge",
    "BridgeClosed",
    "BridgeError",
    "BridgeFailed",
    "CallCancelled",
    "Inbox",
    "Nack",
    "Verdict",
]
