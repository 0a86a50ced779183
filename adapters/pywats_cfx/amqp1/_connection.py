"""One connection as its users see it: links to open, deliveries handed on, requests, and what they wait for.

The bytes are carried by `_carrier`. Each link that is received on has a task that delivers, so that a
receiver who waits holds up its own link only; the link's credit bounds what waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import msgspec
import trio

from pywats_cfx.amqp1._carrier import Carrier
from pywats_cfx.amqp1._endpoints import Delivery, LinkRequest, Receiver, Sender
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._events import (
    Closed,
    CreditChanged,
    EngineEvent,
    Failed,
    LinkClosed,
    LinkOpened,
    LinkRequested,
    Opened,
    Received,
    Settled,
)
from pywats_cfx.amqp1._links import Incoming, InLink, Outcome, OutLink
from pywats_cfx.amqp1.errors import (
    AddressRefused,
    AMQPError,
    ConnectionLost,
    LoginRefused,
    NoReplyLink,
    PeerFault,
    RequestTimeout,
)
from pywats_cfx.amqp1.message import AMQPMessage

__all__ = ["Connection", "OnDelivery", "OnSubscriber", "admit_nothing"]

OnDelivery = Callable[[Delivery], Awaitable[None]]
OnSubscriber = Callable[[Sender], Awaitable[None]]
Admit = Callable[["Connection", LinkRequest, bool], "OnDelivery | OnSubscriber | None"]

_GOODBYE = 2.0
"""How many seconds a peer has to answer a goodbye."""


def admit_nothing(connection: Connection, request: LinkRequest, receives: bool) -> None:
    """Refuse every link that the peer asks for: what a plain client does."""


class Connection:
    """One AMQP connection.

    Args:
        stream: to the peer, TLS done where it is used.
        engine: the protocol, fresh.
        where: the peer's place, for errors, e.g. "amqp://host:5672".
        admit: decides about links that the peer asks for: called with the request and whether we would
            receive on the link; gives the handler, or None to refuse the address.
        serves: whether the peer came to us; then its goodbye is a good end.
        window: how many messages may be in flight on each link that the peer receives on.
        ids: makes unique texts, for link names and reply addresses.

    Attributes:
        peer: the peer's container id, once the connection is open.
        user: as whom the peer, or this client, has logged in.
        product: what the peer that we came to says that it is, such as RabbitMQ; "" if it does not say.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        engine: Engine,
        *,
        where: str,
        admit: Admit,
        serves: bool,
        window: int,
        ids: Callable[[], str],
    ) -> None:
        self.engine = engine
        self.where = where
        self.peer: str = ""
        self.user: str | None = None
        self.product: str = ""
        self.deliveries: int = 0
        self._carrier = Carrier(stream, engine, where=where, on_event=self._on_event, on_end=self._on_end)
        self._admit = admit
        self._serves = serves
        self._window = window
        self._ids = ids
        self._closing = False
        self._inboxes: dict[InLink, trio.MemorySendChannel[Incoming]] = {}
        self._senders: dict[OutLink, Sender] = {}
        self._serving: dict[OutLink, trio.CancelScope] = {}
        self._waiting: dict[InLink | OutLink, _Wait] = {}
        self._reactions: dict[type, Callable[..., None]] = {
            Received: self._on_received,
            Settled: self._on_settled,
            CreditChanged: self._on_credit_changed,
            LinkRequested: self._on_link_requested,
            LinkOpened: self._on_link_opened,
            LinkClosed: self._on_link_closed,
            Opened: self._on_opened,
            Closed: self._on_closed,
            Failed: self._on_failed,
        }

    # -- its life

    @property
    def failure(self) -> BaseException | None:
        """Why the connection ended; None while it lives, and after an end that was asked for."""
        return self._carrier.failure

    async def run(self) -> None:
        """Carry the connection until it ends. What ended it is `failure`, not raised.

        Cancelled: the socket is closed without a goodbye.
        """
        await self._carrier.run()

    async def wait_open(self) -> None:
        """Wait until the peer has opened the connection.

        Raises:
            LoginRefused, WrongProtocol, ConnectionLost, PeerFault: why it does not.
        """
        await self._carrier.opened.wait()
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """Say goodbye, and wait until the peer has too, or for two seconds.

        Cancelled: the goodbye may not have been sent.
        """
        if self._carrier.over.is_set():
            return
        self._closing = True
        self.engine.close()
        self.wake()
        with trio.move_on_after(_GOODBYE):
            await self._carrier.over.wait()
        self._carrier.end(None)

    def wake(self) -> None:
        """There is something to write."""
        self._carrier.wake()

    def when_written(self, sender: Sender) -> None:
        """Notify the sender after the next write."""
        self._carrier.when_written(sender)

    def _on_end(self, gone: AMQPError) -> None:
        """Wake everybody who waits for the peer."""
        for wait in self._waiting.values():
            wait.finish(gone)
        for sender in self._senders.values():
            sender.finish(gone)
        for inbox in self._inboxes.values():
            inbox.close()

    # -- the tasks of its links

    async def _deliver(self, on_delivery: OnDelivery, inbox: trio.MemoryReceiveChannel[Incoming]) -> None:
        async with inbox:
            async for incoming in inbox:
                if incoming.link.open:
                    await on_delivery(Delivery(self, incoming, self.peer))
                else:
                    self.engine.settle(incoming, Outcome.RELEASED)

    async def _serve(self, on_subscriber: OnSubscriber, sender: Sender, scope: trio.CancelScope) -> None:
        with scope:
            await on_subscriber(sender)

    # -- what the engine reports

    def _on_event(self, event: EngineEvent) -> None:
        self._reactions[type(event)](event)

    def _on_received(self, event: Received) -> None:
        self.deliveries += 1
        inbox = self._inboxes.get(event.incoming.link)
        if inbox is not None:
            inbox.send_nowait(event.incoming)

    def _on_settled(self, event: Settled) -> None:
        sender = self._senders.get(event.link)
        if sender is not None:
            sender.conclude(event.tag, event.outcome)

    def _on_credit_changed(self, event: CreditChanged) -> None:
        sender = self._senders.get(event.link)
        if sender is not None:
            sender.notify()

    def _on_opened(self, event: Opened) -> None:
        self.peer, self.user, self.product = event.container, event.user, event.product
        self._carrier.opened.set()

    def _on_failed(self, event: Failed) -> None:
        self._carrier.end(self._placed(event.error))

    def _placed(self, error: AMQPError) -> AMQPError:
        """The engine's error, saying where; a refused login says so already."""
        return (
            type(error)(f"{self.where}: {error}") if isinstance(error, ConnectionLost | PeerFault) else error
        )

    def _on_closed(self, event: Closed) -> None:
        condition, description = event
        if self._closing or (self._serves and not condition):
            self._carrier.end(None)
        elif condition in ("amqp:unauthorized-access", "amqp:not-allowed"):
            self._carrier.end(
                LoginRefused(
                    f"{self.where} closed: {description or condition}. Check user, rights, virtual host"
                )
            )
        elif condition in ("", "amqp:connection:forced"):
            self._carrier.end(
                ConnectionLost(f"{self.where} closed the connection: {description or 'without a reason'}")
            )
        else:
            self._carrier.end(PeerFault(f"{self.where} closed the connection: {description} ({condition})"))

    def _on_link_opened(self, event: LinkOpened) -> None:
        link = event.link
        if link in self._waiting:
            self._waiting.pop(link).finish(None)

    def _on_link_requested(self, event: LinkRequested) -> None:
        link = event.link
        receives = isinstance(link, InLink)
        target = "" if isinstance(link, InLink) else link.target
        request = LinkRequest(link.address, link.name, target, self.peer, self.user)
        handler = self._admit(self, request, receives)
        if handler is None:
            self.engine.refuse(link, "amqp:not-found", f"there is no address {link.address!r}")
            return
        self.engine.admit(link)
        if isinstance(link, InLink):
            self._start_delivering(link, handler)  # type: ignore[arg-type]
        else:
            sender = self._senders[link] = Sender(self, link, peer=self.peer, window=self._window)
            scope = self._serving[link] = trio.CancelScope()
            self._carrier.start(self._serve, handler, sender, scope)

    def _on_link_closed(self, event: LinkClosed) -> None:
        link, condition, description = event
        error = AddressRefused(
            f"{self.where} ended the link to {link.address!r}: {description or condition or 'no reason'}. "
            "Check the address, and the user's rights on it",
            link.address,
            condition,
        )
        wait = self._waiting.pop(link, None)
        if wait is not None:
            wait.finish(error)
        self._drop(link, error)
        if wait is None and isinstance(link, InLink) and link.ours:
            self._carrier.end(error)

    def _drop(self, link: InLink | OutLink, error: AMQPError) -> None:
        """Forget what belongs to a link that is over, and wake who waits to send on it."""
        if isinstance(link, OutLink):
            sender = self._senders.pop(link, None)
            if sender is not None:
                sender.finish(error)
            scope = self._serving.pop(link, None)
            if scope is not None:
                scope.cancel()
        else:
            inbox = self._inboxes.pop(link, None)
            if inbox is not None:
                inbox.close()

    def _start_delivering(self, link: InLink, on_delivery: OnDelivery) -> None:
        # The link's credit bounds it.
        self._inboxes[link], inbox = trio.open_memory_channel[Incoming](math.inf)
        self._carrier.start(self._deliver, on_delivery, inbox)

    # -- what its users ask for

    async def open_sender(self, address: str, *, window: int = 1, name: str | None = None) -> Sender:
        """Open a link to send to an address of the peer.

        Args:
            address: the peer's.
            window: how many messages may be on their way unsettled, at least 1.
            name: of the link; the .NET SDK takes the address, which is the default.

        Raises:
            AddressRefused: the peer has no such address, or not for this user.
            ConnectionLost: the connection ended.

        Cancelled: the link is closed again.
        """
        self._check_alive()
        link = self.engine.open_sender(self.engine.new_session(), name or address, address)
        sender = self._senders[link] = Sender(self, link, peer=self.peer, window=window)
        await self._wait_for(link)
        return sender

    async def open_receiver(
        self, address: str, on_delivery: OnDelivery, *, credit: int | None = None, name: str | None = None
    ) -> Receiver:
        """Open a link to receive from an address of the peer.

        Args:
            address: the peer's.
            on_delivery: awaited for one delivery after the other; settles them then or later. What it raises
                ends the connection.
            credit: how many deliveries may be unsettled; None takes the limits' credit.
            name: of the link; default the address and a unique part.

        Raises:
            AddressRefused: the peer has no such address, or not for this user.
            ConnectionLost: the connection ended.

        Cancelled: the link is closed again.
        """
        self._check_alive()
        window = self.engine.limits.credit if credit is None else credit
        if window < 1:
            raise ValueError(f"credit must be at least 1, not {window!r}")
        name = name or f"{address}-{self._ids()}"
        link = self.engine.open_receiver(self.engine.new_session(), name, address, name, window)
        self._start_delivering(link, on_delivery)
        await self._wait_for(link)
        return Receiver(self, link)

    async def request(self, address: str, request: AMQPMessage, *, timeout: float) -> AMQPMessage:  # noqa: ASYNC109 - part of the request, like ask's
        """Send a request to an address of the peer and wait for the answer.

        Opens links for this one answer, on an address of its own, so that no late answer of another request
        can be taken for it; `request.reply_to` is set to that address.

        Args:
            address: the peer's.
            request: what to ask.
            timeout: seconds until `RequestTimeout`.

        Raises:
            RequestTimeout: no answer came.
            AddressRefused: the peer has no such address.
            ConnectionLost: the connection ended.

        Cancelled: the links are closed; the peer may have handled the request.
        """
        with trio.move_on_after(timeout):
            return await self._request(address, request)
        raise RequestTimeout(f"{self.where}: no answer from {address!r} within {timeout:g} s")

    async def _request(self, address: str, request: AMQPMessage) -> AMQPMessage:
        self._check_alive()
        answers: list[AMQPMessage] = []
        reply_to = self._ids()
        session = self.engine.new_session()
        inward = self.engine.open_receiver(session, f"request-receiver-{reply_to}", address, reply_to, 1)

        async def take(delivery: Delivery) -> None:  # noqa: ASYNC124 - what takes deliveries is async
            delivery.accept()
            answers.append(delivery.message)
            self._waiting.pop(inward).finish(None)

        self._start_delivering(inward, take)
        await self._wait_for(inward)
        outward = self.engine.open_sender(session, f"request-sender-{reply_to}", address)
        sender = self._senders[outward] = Sender(self, outward, peer=self.peer, window=1)
        try:
            await self._wait_for(outward)
            await sender.transmit(msgspec.structs.replace(request, reply_to=reply_to))
            await self._wait_for(inward)
        finally:
            self.abandon(outward)
            self.abandon(inward)
        return answers[0]

    async def reply(self, request: Delivery, answer: AMQPMessage) -> None:
        """Send an answer on the link that the requester opened for it, settled.

        Raises:
            NoReplyLink: there is no such link (any more).
            ConnectionLost: the connection ended.

        Cancelled: the answer was not sent.
        """
        wanted = request.message.reply_to
        theirs = [sender for link, sender in self._senders.items() if not link.ours]
        found = [sender for sender in theirs if wanted and sender.target == wanted]
        if not found:
            found = [sender for sender in theirs if sender.address == request.address]
        if len(found) != 1:
            raise NoReplyLink(
                f"{self.where}: {request.peer!r} has no link to be answered on (reply-to {wanted!r})"
            )
        await found[0].transmit(answer, settled=True)

    def _check_alive(self) -> None:
        if self._carrier.over.is_set():
            raise self.failure or ConnectionLost(f"{self.where}: the connection is closed")

    async def _wait_for(self, link: InLink | OutLink) -> None:
        """Wait for what is due on a link of ours: the peer's attach, or an answer."""
        wait = self._waiting[link] = _Wait()
        self.wake()
        try:
            await wait.done()
        except BaseException:
            self.abandon(link)
            raise

    def abandon(self, link: InLink | OutLink) -> None:
        """Close a link, and forget what belongs to it."""
        self._waiting.pop(link, None)
        self.engine.close_link(link)
        self._drop(link, AddressRefused(f"{link.address}: this side has closed the link", link.address, ""))
        self.wake()


class _Wait:
    """One task's wait for what a peer says about a link."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._error: AMQPError | None = None

    def finish(self, error: AMQPError | None) -> None:
        self._error = error
        self._done.set()

    async def done(self) -> None:
        await self._done.wait()
        if self._error is not None:
            raise self._error
