"""What users of a connection hold: a delivery that came, a link to send on, a message that was sent.

All of it belongs to one trio thread. Settling and sending never wait for the network themselves: they tell
the engine and wake the connection's writer.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

import trio

from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._links import Incoming, InLink, Outcome, OutLink
from pywats_cfx.amqp1._proton import pn_link_queued, pn_link_remote_max_message_size
from pywats_cfx.amqp1.errors import AMQPError, ConnectionLost, MessageTooLarge
from pywats_cfx.amqp1.message import AMQPMessage

__all__ = ["Delivery", "LinkRequest", "Receiver", "Sender", "Sent", "Wire"]


class Wire(Protocol):
    """What an endpoint needs of the connection that it is on."""

    engine: Engine

    @property
    def failure(self) -> BaseException | None:
        """Why the connection is over; None while it is not."""
        ...

    def wake(self) -> None:
        """There is something to write."""
        ...

    def when_written(self, sender: Sender) -> None:
        """Notify the sender after the next write."""
        ...

    def abandon(self, link: InLink | OutLink) -> None:
        """Close a link, and forget what belongs to it."""
        ...

    async def reply(self, request: Delivery, answer: AMQPMessage) -> None:
        """Send an answer on the link that the requester opened for it."""
        ...


class LinkRequest(NamedTuple):
    """What a peer asks for when it attaches.

    Attributes:
        address: the one on our side that it wants to send to or receive from.
        name: the link's; the .NET SDK calls the link for its answers "request-receiver".
        target: for a link that it receives on, the address on its side.
        peer: its container id, for machines their CFX handle.
        user: as whom it logged in; None where it made no login.
    """

    address: str
    name: str
    target: str
    peer: str
    user: str | None


class Delivery:
    """A message that a peer sent, until it is settled.

    Settle it at any time, in any order, from the trio thread. While it is not settled it holds a place in
    its link's credit, and its bytes count against the connection's bound. Those that
    are not settled when their connection ends are the peer's to send again.

    Attributes:
        message: what was sent.
        address: the one that it was sent to, or received from.
        peer: the sender's container id.
        settled: whether the sender has settled it already and will not send it again, whatever comes.
    """

    __slots__ = ("_incoming", "_wire", "address", "message", "peer", "settled")

    def __init__(self, wire: Wire, incoming: Incoming, peer: str) -> None:
        self._wire = wire
        self._incoming = incoming
        self.message: AMQPMessage = AMQPMessage.decode(incoming.payload)
        incoming.payload = b""
        self.address: str = incoming.link.address
        self.peer: str = peer
        self.settled: bool = incoming.settled

    @property
    def connection(self) -> object:
        """The connection that it came by; tells whether two came by the same."""
        return self._wire

    @property
    def size(self) -> int:
        """How many bytes it counts for."""
        return self._incoming.size

    def accept(self) -> bool:
        """Tell the peer that the message is safe here.

        Returns:
            False if the peer can no longer be told: it will send the message again.
        """
        return self._settle(Outcome.ACCEPTED)

    def release(self) -> bool:
        """Give the message back. Beware: the .NET SDK then sends it again at once, for ever.

        Returns:
            False if the peer can no longer be told.
        """
        return self._settle(Outcome.RELEASED)

    def _settle(self, outcome: Outcome) -> bool:
        told = self._wire.engine.settle(self._incoming, outcome)
        self._wire.wake()
        return told

    async def reply(self, answer: AMQPMessage) -> None:
        """Answer this request, on the link that its sender has opened for answers.

        Raises:
            NoReplyLink: there is no such link (any more).
            ConnectionLost: the connection ended.

        Cancelled: the answer was not sent.
        """
        await self._wire.reply(self, answer)


class Sent:
    """A message on its way, and what became of it."""

    __slots__ = ("_done", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self._done: trio.Event | None = None

    async def wait(self) -> Outcome:
        """Wait for the outcome. Several tasks may wait.

        Cancelled: the message is on its way all the same.
        """
        if self.outcome is None:
            if self._done is None:
                self._done = trio.Event()
            await self._done.wait()
            assert self.outcome is not None
        return self.outcome

    def conclude(self, outcome: Outcome) -> None:
        """Say what became of it, once."""
        self.outcome = outcome
        if self._done is not None:
            self._done.set()


class _Turn:
    """The place of one task in the queue of those that want to send."""

    __slots__ = ("look",)

    def __init__(self) -> None:
        self.look = trio.Event()


class Sender:
    """A link to send on: either we asked the peer for it, or a peer that receives from us opened it.

    Attributes:
        address: the peer's where we asked, ours where the peer did.
        target: the peer's address where it asked, e.g. for answers.
        peer: its container id.
        window: how many messages may be on their way unsettled.
    """

    def __init__(self, wire: Wire, link: OutLink, *, peer: str, window: int) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window!r}")
        self.window = window
        self.peer = peer
        self._wire = wire
        self._link = link
        self._sent: dict[str, Sent] = {}
        self._turns: deque[_Turn] = deque()
        self._closed: AMQPError | None = None

    @property
    def address(self) -> str:
        """The address that the link was asked for with."""
        return self._link.address

    @property
    def target(self) -> str:
        """The peer's address for what is sent, where the peer opened the link."""
        return self._link.target

    @property
    def name(self) -> str:
        """The link's name."""
        return self._link.name

    @property
    def credit(self) -> int:
        """How many messages the peer wants at the moment."""
        return self._link.credit

    @property
    def in_flight(self) -> int:
        """How many messages are on their way without an outcome."""
        return len(self._sent)

    async def transmit(
        self, message: AMQPMessage, *, settled: bool = False
    ) -> Sent:  # HOT: tests/benchmarks/bench_amqp1.py
        """Send a message, without waiting for what becomes of it.

        Waits for a place in the window and for the peer's credit; tasks that wait get theirs in order.

        Args:
            message: what to send.
            settled: send it without asking for an outcome: it may be lost. Answers are sent so.

        Raises:
            MessageTooLarge: for this peer; nothing was sent.
            ConnectionLost: the connection ended; nothing was sent.
            AddressRefused: the peer has ended the link; nothing was sent.

        Cancelled: nothing was sent.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        payload = message.encode()
        most = pn_link_remote_max_message_size(self._link.raw) if self._link.open else 0
        if most and len(payload) > most:
            raise MessageTooLarge(f"{self.address}: {len(payload)} bytes, and the peer takes at most {most}")
        if self._turns or not self._may_send():
            await self._wait_turn()
        if self._closed is not None:
            raise self._closed
        sent = Sent()
        tag = self._wire.engine.send(self._link, payload, settled=settled)
        if settled:
            sent.conclude(Outcome.ACCEPTED)
        else:
            self._sent[tag] = sent
        self._wire.wake()
        return sent

    async def send(self, message: AMQPMessage) -> Outcome:
        """Send a message and wait for what becomes of it.

        Returns:
            The peer's answer, never `Outcome.LOST`.

        Raises:
            ConnectionLost: the connection or the link ended; whether the peer has the message is not known.
            MessageTooLarge: for this peer; nothing was sent.
            AddressRefused: the peer has ended the link.

        Cancelled: the message was sent or not.
        """
        sent = await self.transmit(message)
        outcome = await sent.wait()
        if outcome is Outcome.LOST:
            raise self._closed or ConnectionLost(f"{self.address}: the link ended before the outcome came")
        return outcome

    def _may_send(self) -> bool:
        link = self._link
        if self._closed is not None:
            return True
        if len(self._sent) >= self.window or link.credit <= 0:
            return False
        if pn_link_queued(link.raw) >= self.window:
            self._wire.when_written(self)
            return False
        return True

    async def _wait_turn(self) -> None:
        """Wait until the one at the head of the queue may send and is this task."""
        turn = _Turn()
        self._turns.append(turn)
        try:
            while not (self._turns[0] is turn and self._may_send()):
                turn.look = trio.Event()
                await turn.look.wait()
        finally:
            self._turns.remove(turn)
            self.notify()

    def notify(self) -> None:
        """There may be a place now: let the first in the queue look."""
        if self._turns:
            self._turns[0].look.set()

    def conclude(self, tag: str, outcome: Outcome) -> None:
        """The peer has said what became of a message."""
        sent = self._sent.pop(tag, None)
        if sent is not None:
            sent.conclude(outcome)
        self.notify()

    def finish(self, error: AMQPError) -> None:
        """The link is over: wake all that wait."""
        if self._closed is None:
            self._closed = error
            for sent in self._sent.values():
                sent.conclude(Outcome.LOST)
            self._sent.clear()
            self.notify()

    def close(self) -> None:
        """Detach. What is on its way without an outcome counts as lost."""
        self._wire.abandon(self._link)


class Receiver:
    """A link to receive on, which we asked the peer for."""

    def __init__(self, wire: Wire, link: InLink) -> None:
        self._wire = wire
        self._link = link

    @property
    def address(self) -> str:
        """The peer's address that is received from."""
        return self._link.address

    @property
    def unsettled(self) -> int:
        """How many deliveries wait for their settlement."""
        return self._link.unsettled

    def close(self) -> None:
        """Detach. What is not settled will be sent again, to whoever receives then."""
        self._wire.abandon(self._link)
