"""What is to be published, in order, while the peer takes its time or is away; bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from pywats_cfx.amqp1 import AMQPMessage, ConnectionLost, Outcome
from pywats_cfx.errors import CFXError

__all__ = ["OnItsWay", "Spool", "Transmits"]

MOST: Final = 10_000


class OnItsWay(Protocol):
    """A message that was sent."""

    async def wait(self) -> Outcome:
        """Wait for what becomes of it."""
        ...


class Transmits(Protocol):
    """What sends, by whatever protocol."""

    async def transmit(self, message: AMQPMessage) -> OnItsWay:
        """Send it as the next one, without waiting for its outcome."""
        ...


class Spool:
    """Messages in their order; each is taken out when the peer has it.

    Args:
        on_refused: told of a message that the peer will never take.
        most: how many may wait.
    """

    def __init__(self, on_refused: Callable[[AMQPMessage], object], most: int = MOST) -> None:
        self._on_refused = on_refused
        self._most = most
        self._waiting: deque[AMQPMessage] = deque()
        self._sent: deque[tuple[AMQPMessage, OnItsWay]] = deque()
        self._more = trio.Event()
        self._on_its_way = trio.Event()
        self._empty = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def put(self, message: AMQPMessage) -> None:
        """Add a message; on the trio thread.

        Raises:
            CFXError: if as many wait as may.
        """
        if len(self) >= self._most:
            raise CFXError(f"{self._most} messages wait to be published; the peer is away, or too slow")
        self._waiting.append(message)
        self._more.set()

    async def run(self, sender: Transmits) -> None:
        """Send what is there and what comes, until the link is over.

        Raises:
            Exception: why it is over, in a group; what has no outcome yet is sent again by the next run.

        Cancelled: as when the link is over.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._settle)
                while True:
                    while self._waiting:
                        # It waits until it is on its way: a cancellation here loses nothing.
                        sent = await sender.transmit(self._waiting[0])
                        self._sent.append((self._waiting.popleft(), sent))
                        self._on_its_way.set()
                    self._more = trio.Event()
                    await self._more.wait()
        finally:
            while self._sent:
                self._waiting.appendleft(self._sent.pop()[0])

    async def _settle(self) -> None:
        """Take out what has an outcome, in order."""
        while True:
            if not self._sent:
                if not self._waiting:
                    self._empty.set()
                self._on_its_way = trio.Event()
                await self._on_its_way.wait()
            message, sent = self._sent[0]
            outcome = await sent.wait()
            if outcome in {Outcome.LOST, Outcome.RELEASED}:
                raise ConnectionLost("the peer has not taken what was published; it is sent again")
            self._sent.popleft()
            if outcome is Outcome.REJECTED:
                self._on_refused(message)

    async def wait_empty(self) -> None:
        """Wait until everything is with the peer. Cancelled: nothing has happened."""
        while len(self):
            self._empty = trio.Event()
            await self._empty.wait()
