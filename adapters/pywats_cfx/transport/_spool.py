"""What is to be published, in order, while the peer takes its time or is away; bounded.

With a store it is written there too, and survives the process: what the peer may not have got is
sent again in the next life.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import trio

from pywats_cfx.amqp1 import AMQPMessage, ConnectionLost, Outcome
from pywats_cfx.errors import CFXError
from pywats_events.settlement import Receipt

if TYPE_CHECKING:  # without a store nobody needs SQLite
    from pywats_events.durability import Spool as Kept
    from pywats_events.durability import Store

__all__ = ["OnItsWay", "Spool", "Transmits"]

MOST: Final = 10_000
_ENCODER: Final = msgspec.msgpack.Encoder()


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
        on_refused: told of a message that the peer will never take; gives the receipt of its dead letter.
        most: how many may wait.
    """

    def __init__(self, on_refused: Callable[[AMQPMessage], Receipt], most: int = MOST) -> None:
        self._on_refused = on_refused
        self._most = most
        self._waiting: deque[AMQPMessage] = deque()
        self._sent: deque[tuple[AMQPMessage, OnItsWay]] = deque()
        self._kept: Kept | None = None
        self._more = trio.Event()
        self._on_its_way = trio.Event()
        self._empty = trio.Event()

    async def open(
        self, store: Store, owner: str, on_unreadable: Callable[[bytes, Exception], object]
    ) -> None:
        """Take up what waited in earlier lives, before what waits now; without effect if it is open.

        Args:
            store: an open one.
            owner: whose it is.
            on_unreadable: told of a message that cannot be read any more, which is taken out.

        Cancelled: nothing has happened.
        """
        if self._kept is not None:
            return
        kept = await store.spool(owner)
        await store.commit().wait()  # what another transport of this name left may not be there yet
        found, broken = [], False
        for encoded in await kept.peek(len(kept)):
            try:
                found.append(AMQPMessage(**msgspec.msgpack.decode(encoded)))
            except (msgspec.MsgspecError, TypeError) as error:
                broken = True
                on_unreadable(encoded, error)
        new = list(self._waiting)
        if broken:  # then all are written anew, in one batch, as they are taken out from the front only
            kept.pop(len(kept))
            new = [*found, *new]
        for message in new:
            kept.append(_ENCODER.encode(message))
        self._waiting.extendleft(reversed(found))
        self._kept = kept
        self._more.set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def check_room(self) -> None:
        """Check that one more may wait.

        Raises:
            CFXError: if as many wait as may.
        """
        if len(self) >= self._most:
            raise CFXError(f"{self._most} messages wait to be published; the peer is away, or too slow")

    def put(self, message: AMQPMessage) -> None:
        """Add a message; on the trio thread.

        Raises:
            CFXError: if as many wait as may.
            StoreClosed: if it is kept in a store, and that was closed.
        """
        self.check_room()
        if self._kept is not None:
            self._kept.append(_ENCODER.encode(message))
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
            if outcome is Outcome.REJECTED:
                await self._refuse(message)
            self._sent.popleft()
            if self._kept is not None:
                self._kept.pop()

    async def _refuse(self, message: AMQPMessage) -> None:
        """Tell of a message that was refused; one that is kept stays so until it is kept elsewhere."""
        receipt = self._on_refused(message)
        if self._kept is not None:
            elsewhere = trio.Event()
            receipt.add_secured_callback(lambda _: elsewhere.set())
            await elsewhere.wait()

    async def wait_empty(self) -> None:
        """Wait until everything is with the peer. Cancelled: nothing has happened."""
        while len(self):
            self._empty = trio.Event()
            await self._empty.wait()
