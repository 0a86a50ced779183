"""One connection on trio: one task reads, one writes, one delivers for each link that is received on.

The engine decides, this carries out. Whatever ends the connection (the peer, the network, user code, the
caller's cancellation) ends it once: `failure` says why, everybody who waits is woken, and neither task nor
socket is left behind.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Callable

import msgspec
import trio

from pywats_cfx.amqp1._endpoints import Delivery, LinkRequest, Receiver, Sender
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._events import (
    Closed,
    CreditChanged,
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

_READ_AT_ONCE = 64 * 1024
_WRITE_AT_ONCE = 256 * 1024
_LAST_WORDS = 2.0
_REFUSED = ("amqp:not-found", "amqp:unauthorized-access", "amqp:not-allowed", "amqp:invalid-field")


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
        self.deliveries: int = 0
        self._stream = stream
        self._admit = admit
        self._serves = serves
        self._window = window
        self._ids = ids
        self._failure: BaseException | None = None
        self._closing = False
        self._opened = trio.Event()
        self._over = trio.Event()
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._inboxes: dict[InLink, trio.MemorySendChannel[Incoming]] = {}
        self._senders: dict[OutLink, Sender] = {}
        self._serving: dict[OutLink, trio.CancelScope] = {}
        self._waiting: dict[InLink | OutLink, _Wait] = {}
        self._doubtful: list[InLink | OutLink] = []
        self._until_written: list[Sender] = []
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
        return self._failure

    async def run(self) -> None:
        """Carry the connection until it ends. What ended it is `failure`, not raised.

        Cancelled: the socket is closed without a goodbye.
        """
        try:
            async with trio.open_nursery() as outer:
                outer.start_soon(self._guard, self._write)
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._guard, self._read)
                    nursery.start_soon(self._guard, self._mind_handshake)
                # The writer ends by itself once it has said all, such as why the connection ends.
                outer.cancel_scope.deadline = trio.current_time() + _LAST_WORDS
        finally:
            self._end(ConnectionLost(f"{self.where}: the connection was cancelled"))
            await trio.aclose_forcefully(self._stream)

    async def wait_open(self) -> None:
        """Wait until the peer has opened the connection.

        Raises:
            LoginRefused, WrongProtocol, ConnectionLost, PeerFault: why it does not.
        """
        await self._opened.wait()
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Say goodbye, and wait until the peer has too, or for two seconds.

        Cancelled: the goodbye may not have been sent.
        """
        if self._over.is_set():
            return
        self._closing = True
        self.engine.close()
        self.wake()
        with trio.move_on_after(_LAST_WORDS):
            await self._over.wait()
        self._end(None)

    def abort(self, condition: str, description: str) -> None:
        """End the connection at once, telling the peer why."""
        self.engine.close(condition, description)
        self._end(PeerFault(f"{self.where}: {description} ({condition})"))

    def wake(self) -> None:
        """There is something to write."""
        self._wake.set()

    def when_written(self, sender: Sender) -> None:
        """Notify the sender after the next write."""
        if sender not in self._until_written:
            self._until_written.append(sender)

    def _end(self, failure: BaseException | None) -> None:
        """End the connection, once, and wake everybody who waits for it."""
        if self._over.is_set():
            return
        self._failure = failure
        self._over.set()
        self._opened.set()
        gone = (
            failure
            if isinstance(failure, AMQPError)
            else ConnectionLost(f"{self.where}: the connection ended")
        )
        for wait in self._waiting.values():
            wait.finish(gone)
        for sender in self._senders.values():
            sender.finish(gone)
        for inbox in self._inboxes.values():
            inbox.close()
        self.engine.finished = True
        self.wake()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task of the connection; however it fails, the connection ends by it."""
        try:
            await work(*args)
        except AMQPError as error:
            self._end(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ssl.SSLError) as error:
            self._end(ConnectionLost(f"{self.where}: the connection broke: {error.__cause__ or error}"))
        except Exception as error:  # noqa: BLE001 - the user's handler failed; whoever runs the connection hears
            self.engine.close("amqp:internal-error", "the receiver failed")
            self._end(error)

    # -- its tasks

    async def _mind_handshake(self) -> None:
        seconds = self.engine.limits.handshake
        with trio.move_on_after(seconds):
            await self._opened.wait()
        if not self._opened.is_set():
            raise ConnectionLost(f"{self.where}: the peer did not log in and open within {seconds:g} s")

    async def _read(self) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        while True:
            data = await self._stream.receive_some(_READ_AT_ONCE)
            if not data:
                self.engine.receive_end()
                self._react()
                return
            self.engine.receive(bytes(data), trio.current_time())
            self._react()
            self.wake()

    async def _write(self) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        engine, stall = self.engine, self.engine.limits.stall
        while True:
            self._wake = trio.Event()
            self._react()
            data = engine.output(_WRITE_AT_ONCE)
            if data:
                with trio.move_on_after(stall) as scope:
                    await self._stream.send_all(data)
                if scope.cancelled_caught:
                    raise ConnectionLost(f"{self.where}: the peer has read nothing for {stall:g} s")
                written, self._until_written = self._until_written, []
                for sender in written:
                    sender.notify()
            elif self._over.is_set():
                return
            else:
                await self._wait_for_work(engine.tick(trio.current_time()))

    async def _wait_for_work(self, deadline: float | None) -> None:
        """Wait until there is something to write, or a keep-alive is due."""
        with trio.move_on_at(math.inf if deadline is None else deadline) as scope:
            await self._wake.wait()
        if scope.cancelled_caught:
            self.engine.tick(trio.current_time())

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

    def _react(self) -> None:
        while not self._over.is_set() and (events := self.engine.events()):
            for event in events:
                if not self._over.is_set():
                    self._reactions[type(event)](event)
        while self._doubtful:
            # No detach came with the attach: this peer only does not repeat addresses. A detach that comes
            # later ends the link like any other.
            wait = self._waiting.pop(self._doubtful.pop(), None)
            if wait is not None:
                wait.finish(None)

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
        self.peer, self.user = event.container, event.user
        self._opened.set()

    def _on_failed(self, event: Failed) -> None:
        self._end(self._placed(event.error))

    def _placed(self, error: AMQPError) -> AMQPError:
        """The engine's error, saying where; a refused login says so already."""
        return (
            type(error)(f"{self.where}: {error}") if isinstance(error, ConnectionLost | PeerFault) else error
        )

    def _on_closed(self, event: Closed) -> None:
        condition, description = event
        if self._closing or (self._serves and not condition):
            self._end(None)
        elif condition in ("amqp:unauthorized-access", "amqp:not-allowed"):
            self._end(
                LoginRefused(
                    f"{self.where} closed: {description or condition}. Check user, rights, virtual host"
                )
            )
        elif condition in ("", "amqp:connection:forced"):
            self._end(
                ConnectionLost(f"{self.where} closed the connection: {description or 'without a reason'}")
            )
        else:
            self._end(PeerFault(f"{self.where} closed the connection: {description} ({condition})"))

    def _on_link_opened(self, event: LinkOpened) -> None:
        link = event.link
        if link.refused:
            self._doubtful.append(link)
        elif link in self._waiting:
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
            self._start(self._serve, handler, sender, scope)

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
            if wait is None and link.ours:
                self._end(error)

    def _start(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guard, work, *args)

    def _start_delivering(self, link: InLink, on_delivery: OnDelivery) -> None:
        # The link's credit bounds it.
        self._inboxes[link], inbox = trio.open_memory_channel[Incoming](math.inf)
        self._start(self._deliver, on_delivery, inbox)

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

        async def take(delivery: Delivery) -> None:  # noqa: ASYNC124 - awaited for each delivery
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
            self._abandon(outward)
            self._abandon(inward)
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
        if self._over.is_set():
            raise self._failure or ConnectionLost(f"{self.where}: the connection is closed")

    async def _wait_for(self, link: InLink | OutLink) -> None:
        """Wait for what is due on a link of ours: the peer's attach, or an answer."""
        wait = self._waiting[link] = _Wait()
        self.wake()
        try:
            await wait.done()
        except BaseException:
            self._abandon(link)
            raise

    def _abandon(self, link: InLink | OutLink) -> None:
        """Close a link of ours, and forget what waits for it."""
        self._waiting.pop(link, None)
        self.engine.close_link(link)
        if isinstance(link, OutLink):
            self._senders.pop(link, None)
        else:
            inbox = self._inboxes.pop(link, None)
            if inbox is not None:
                inbox.close()
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
