"""What an asyncio library delivers, received by a trio task in batches; bounded by count and bytes.

What is put counts as held until it is released, which is when it was settled, not when it was
received: it lies in a mailbox until then. The source is told when the bound is passed and when half
of it is free again; what it does about it (stop reading, cancel a consumer, disconnect) is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import trio

from pywats_asyncio.bridge import AsyncioBridge

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):  # HOT: tests/benchmarks/bench_rabbit.py
    """From one source on the asyncio loop to one task on trio.

    Args:
        bridge: over which it goes; it must run.
        max_items: so many held at once is full; at least 1.
        max_bytes: so many held at once is full; at least 1.
        on_full: called on the loop when it is full; more that is put is taken all the same.
        on_room: called on the loop when, after that, no more than half is held.
    """

    __slots__ = (
        "_arrived",
        "_bridge",
        "_error",
        "_full",
        "_items",
        "_max_bytes",
        "_max_items",
        "_on_full",
        "_on_room",
        "held_bytes",
        "held_items",
    )

    def __init__(
        self,
        bridge: AsyncioBridge,
        *,
        max_items: int,
        max_bytes: int,
        on_full: Callable[[], object],
        on_room: Callable[[], object],
    ) -> None:
        for name, value in (("max_items", max_items), ("max_bytes", max_bytes)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        self._bridge: Final = bridge
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._on_room = on_room
        self._full = False
        self._items: list[T] = []
        self._arrived = trio.Event()
        self._error: Exception | None = None
        self.held_items: int = 0
        """Put and not released; as the loop sees it."""
        self.held_bytes: int = 0
        """The sizes of those."""

    # On the loop

    def put(self, item: T, size: int) -> None:
        """Send an item to the trio task; on the loop, never waits.

        Args:
            item: anything.
            size: bytes it holds.
        """
        self.held_items += 1
        self.held_bytes += size
        self._bridge.post_to_trio(self._arrive, item)
        if not self._full and (self.held_bytes >= self._max_bytes or self.held_items >= self._max_items):
            self._full = True
            self._on_full()

    def release(self, size: int) -> None:
        """Say that an item of this size is settled; on the loop."""
        self.held_items -= 1
        self.held_bytes -= size
        if self._full and self.held_bytes <= self._max_bytes // 2 and self.held_items <= self._max_items // 2:
            self._full = False
            self._on_room()

    # On trio

    async def receive(self) -> list[T]:
        """Wait for items, and take all that are there.

        Cancelled: nothing was taken. One task at a time.

        Raises:
            Exception: what `close` was given; what had not been received is gone then.
        """
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._error is not None:
                raise self._error
            self._arrived = trio.Event()
            await self._arrived.wait()
        if self._error is not None:
            raise self._error
        items, self._items = self._items, []
        return items

    def close(self, error: Exception) -> None:
        """Make `receive` raise; on trio. The first error stays."""
        if self._error is None:
            self._error = error
        self._items.clear()
        self._arrived.set()

    def _arrive(self, item: T) -> None:
        if self._error is None:
            self._items.append(item)
            self._arrived.set()
