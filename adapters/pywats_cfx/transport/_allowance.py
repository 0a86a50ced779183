"""How many bytes of one connection's messages may be here, unpacked and not settled.

A connection counts what it carries, and a few gzipped kilobytes may be a hundred megabytes. So the next
message is unpacked only while those that are here have fewer bytes than are allowed; one alone may have
more, or it could never come.
"""

from __future__ import annotations

import trio

__all__ = ["Allowance", "Share"]


class Allowance:
    """Of one connection; belongs to the trio thread.

    Args:
        most: bytes, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._freed: trio.Event | None = None

    @property
    def has_room(self) -> bool:
        """Whether another message may be unpacked."""
        return self._held < self._most

    async def wait_room(self) -> None:
        """Wait until another message may be unpacked; no checkpoint if it may.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        while not self.has_room:
            if self._freed is None:
                self._freed = trio.Event()
            await self._freed.wait()

    def count(self, size: int) -> None:
        """Count bytes that are here now, or with a negative size no more."""
        self._held += size
        if self._freed is not None and self.has_room:
            self._freed.set()
            self._freed = None


class Share:
    """What one message has of its connection's allowance, until it is settled."""

    __slots__ = ("_size", "allowance")

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._size = 0

    def take(self, size: int) -> None:
        """Count its bytes, unpacked."""
        self._size = size
        self.allowance.count(size)

    def give_back(self) -> None:
        """It is settled, or gone."""
        self.allowance.count(-self._size)
        self._size = 0
