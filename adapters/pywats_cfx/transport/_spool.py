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

__all__ = ["Item", "OnItsWay", "Spool", "Transmits"]

GIVEN_BACK: Final = frozenset({Outcome.LOST, Outcome.RELEASED})
_ENCODER: Final = msgspec.msgpack.Encoder()


class OnItsWay(Protocol):
    """A message that was sent."""

    @property
    def outcome(self) -> Outcome | None:
        """What has become of it; None while nobody knows."""
        ...

    async def wait(self) -> Outcome:
        """Wait for what becomes of it."""
        ...


class Transmits(Protocol):
    """What sends, by whatever protocol."""

    async def transmit(self, message: AMQPMessage) -> OnItsWay:
        """Send it as the next one, without waiting for its outcome."""
        ...


class Item(msgspec.Struct, eq=False):
    """A message that waits, or is on its way.

    Attributes:
        message: the message.
        done: the peer has it, or will never take it.
    """

    message: AMQPMessage
    done: bool = False


class Spool:
    """Messages in their order; each is taken out when the peer has it.

    A message that the peer gives back (released, or a broker's nack) goes out again before anything
    that was not on its way yet: the next is only sent while fewer than the window wait behind the
    oldest without outcome. What the peer took of the same window is not undone and not repeated if that
    is known by then; so the order is strict with a window of 1.

    Args:
        on_refused: told of a message that the peer will never take; gives the receipt of its dead letter.
        window: how many may be on their way, at least 1.
        most: how many may wait.
        most_bytes: how many bytes they may have together; one alone may have more.
    """

    def __init__(
        self,
        on_refused: Callable[[AMQPMessage], Receipt],
        window: int,
        most: int = 10_000,
        most_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._on_refused = on_refused
        self._window = window
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: deque[Item] = deque()
        self._sent: deque[tuple[Item, OnItsWay]] = deque()
        self._kept: Kept | None = None
        self._rows: deque[Item] = deque()
        """Those in the store, in its order: one that is done behind one that is not stays there."""
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
                found.append(Item(AMQPMessage(**msgspec.msgpack.decode(encoded))))
            except (msgspec.MsgspecError, TypeError) as error:
                broken = True
                on_unreadable(encoded, error)
        new = list(self._waiting)
        if broken:  # then all are written anew, in one batch, as they are taken out from the front only
            kept.pop(len(kept))
            new = [*found, *new]
        for item in new:
            kept.append(_ENCODER.encode(item.message))
        self._bytes += sum(len(item.message.body) for item in found)
        self._waiting.extendleft(reversed(found))
        self._rows.extend(self._waiting)
        self._kept = kept
        self._more.set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def bytes(self) -> int:
        """How many bytes the messages that wait or are on their way have together."""
        return self._bytes

    def check_room(self, message: AMQPMessage) -> None:
        """Check that one more message may wait.

        Raises:
            CFXError: if as many wait as may.
        """
        if len(self) >= self._most:
            full = f"{len(self)} messages"
        elif len(self) and self._bytes + len(message.body) > self._most_bytes:
            full = f"{self._bytes} bytes"
        else:
            return
        raise CFXError(
            f"{full} wait to be published, and {len(message.body)} bytes more are too many "
            "(max_spooled, max_spooled_bytes); the peer is away, or too slow"
        )

    def put(self, message: AMQPMessage) -> None:
        """Add a message; on the trio thread.

        Raises:
            CFXError: if as many wait as may.
            StoreClosed: if it is kept in a store, and that was closed.
        """
        self.check_room(message)
        item = Item(message)
        self._bytes += len(message.body)
        if self._kept is not None:
            self._kept.append(_ENCODER.encode(message))
            self._rows.append(item)
        self._waiting.append(item)
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
                    while self._waiting and len(self._sent) < self._window and not self._given_back():
                        # It waits until it is on its way: a cancellation here loses nothing.
                        sent = await sender.transmit(self._waiting[0].message)
                        self._sent.append((self._waiting.popleft(), sent))
                        self._on_its_way.set()
                    self._more = trio.Event()
                    await self._more.wait()
        finally:
            while self._sent:
                item, sent = self._sent.pop()
                if sent.outcome is Outcome.REJECTED and self._kept is None:
                    self._on_refused(item.message)
                    self._over(item)
                elif sent.outcome in {None, Outcome.REJECTED, *GIVEN_BACK}:
                    # One that was refused, and is kept, is refused again when its turn comes.
                    self._waiting.appendleft(item)
                else:
                    self._over(item)

    def _given_back(self) -> bool:
        return any(sent.outcome in GIVEN_BACK for _, sent in self._sent)

    async def _settle(self) -> None:
        """Take out what has an outcome, in order."""
        while True:
            if not self._sent:
                if not self._waiting:
                    self._empty.set()
                self._on_its_way = trio.Event()
                await self._on_its_way.wait()
            item, sent = self._sent[0]
            outcome = await sent.wait()
            if outcome in GIVEN_BACK:
                raise ConnectionLost("the peer has not taken what was published; it is sent again")
            if outcome is Outcome.REJECTED:
                await self._refuse(item.message)
            self._sent.popleft()
            self._over(item)
            self._more.set()

    def _over(self, item: Item) -> None:
        """A message is done: take it out of the store, with those done behind it."""
        item.done = True
        self._bytes -= len(item.message.body)
        while self._rows and self._rows[0].done:
            self._rows.popleft()
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
