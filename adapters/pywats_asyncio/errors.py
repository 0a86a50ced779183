"""The errors of the bridge: one base, one kind for each thing a caller can do about it."""

from __future__ import annotations

from typing import Final

__all__ = ["BridgeClosed", "BridgeError", "BridgeFailed", "CallCancelled"]


class BridgeError(Exception):
    """Base of the errors that the bridge raises."""


class BridgeClosed(BridgeError):
    """The bridge does not run: not yet, no more, or in another process."""

    outage: Final = True


class BridgeFailed(BridgeError):
    """The asyncio loop ended, or a callback on the way failed; the cause is chained."""

    outage: Final = True


class CallCancelled(BridgeError):
    """A bridged call was cancelled on the asyncio side, though nobody on trio had asked for it.

    Libraries do that to their own tasks when a connection dies under them.
    """

    outage: Final = True
