"""What AMQP 1.0 does on one connection, without I/O: bytes in, bytes and events out, time as an argument.

proton speaks the protocol; here is what it leaves to its user: the login before it (`_sasl`), which link an
event belongs to, putting deliveries together, and the two bounds on what is taken in.

- By count: the credit that a link is granted and its unsettled deliveries together never exceed its `window`.
- By bytes: while `max_unsettled_bytes` are unsettled, nothing more is read out of proton; its session window
  then closes, and the peer holds the rest. A delivery that is alone may exceed that, or it could never come.

What happened is taken with `events()`, after `receive`, `tick` and every settlement. One thread, no locks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
from pywats_cfx.amqp1._proton import (
    Collector,
    Condition,
    Endpoint,
    Event,
    Link,
    ProtonEvent,
    ProtonException,
    Session,
    Terminus,
    Transport,
)
from pywats_cfx.amqp1._proton import Connection as ProtonConnection
from pywats_cfx.amqp1._proton import Delivery as ProtonDelivery
from pywats_cfx.amqp1._sasl import SaslClient, SaslServer
from pywats_cfx.amqp1.errors import AMQPError, ConnectionLost, PeerFault
from pywats_cfx.amqp1.limits import Limits

__all__ = ["Engine"]

_OUTCOMES: Final[dict[int, Outcome]] = {
    int(ProtonDelivery.ACCEPTED): Outcome.ACCEPTED,
    int(ProtonDelivery.REJECTED): Outcome.REJECTED,
    int(ProtonDelivery.RELEASED): Outcome.RELEASED,
    int(ProtonDelivery.MODIFIED): Outcome.MODIFIED,
}
_OVERRUN = 4
"""How many times its window a peer may send unsettled before its link is ended: one that ignores credit."""


class Engine:
    """The protocol's state of one connection.

    Args:
        sasl: the login; its class says which side this is.
        container: our name, a CFX handle.
        hostname: what a client asks for in its open, e.g. "vhost:NAME"; None leaves it out.
        limits: what the connection may use.
    """

    def __init__(
        self, sasl: SaslServer | SaslClient, *, container: str, hostname: str | None, limits: Limits
    ) -> None:
        self.limits: Limits = limits
        self.held_bytes: int = 0
        self.finished: bool = False
        self._sasl = sasl
        self._events: list[EngineEvent] = []
        self._links: dict[Link, InLink | OutLink] = {}
        self._held_back: list[InLink] = []
        self._giant: InLink | None = None
        self._settled: dict[InLink, None] = {}
        self._unsettled = 0
        self._collector = Collector()
        self._connection = ProtonConnection()
        self._connection.collect(self._collector)
        self._connection.container = container
        if hostname is not None:
            self._connection.hostname = hostname
        server = isinstance(sasl, SaslServer)
        self._transport = Transport(Transport.SERVER if server else Transport.CLIENT)
        self._transport.max_frame_size = limits.max_frame
        self._transport.channel_max = limits.max_sessions - 1
        self._transport.idle_timeout = limits.idle_timeout
        self._transport.bind(self._connection)
        if not server:
            self._connection.open()
        self._handlers: dict[object, Callable[[ProtonEvent], None]] = {
            Event.DELIVERY: self._on_delivery,
            Event.LINK_FLOW: self._on_flow,
            Event.CONNECTION_REMOTE_OPEN: self._on_open,
            Event.CONNECTION_REMOTE_CLOSE: self._on_close,
            Event.SESSION_REMOTE_OPEN: self._on_session_open,
            Event.SESSION_REMOTE_CLOSE: self._on_session_close,
            Event.LINK_REMOTE_OPEN: self._on_link_open,
            Event.LINK_REMOTE_CLOSE: self._on_link_close,
            Event.LINK_REMOTE_DETACH: self._on_link_close,
            Event.TRANSPORT_ERROR: self._on_transport_error,
        }

    def receive(self, data: bytes, now: float) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        """Take bytes that came from the peer, at the time `now` in seconds."""
        try:
            if not self._sasl.done:
                self._sasl.feed(data)
                data = self._sasl.rest
            at, end = 0, len(data)
            while at < end:
                room = self._transport.capacity()
                if room <= 0:
                    # The peer went on after its close, or after its fault.
                    break
                self._transport.push(data[at : at + room] if at or room < end else data)
                at += room
                self._dispatch()
            if end:
                self._transport.tick(now)
        except AMQPError as error:
            self._fail(error)
        except ProtonException as error:
            self._fail(PeerFault(f"the peer's bytes cannot be read: {error}"))
        self._dispatch()

    def receive_end(self) -> None:
        """The peer sends no more bytes."""
        if not self._sasl.done:
            self._fail(ConnectionLost("the peer closed the connection during the login"))
        elif not self.finished:
            self._fail(ConnectionLost("the peer closed the connection without saying why"))

    def tick(self, now: float) -> float | None:
        """Do what is due at `now`: keep-alives, and giving up a silent peer.

        Returns:
            When to call again at the latest, in seconds; None for no time.
        """
        if not self._sasl.done:
            return None
        deadline = self._transport.tick(now)
        self._dispatch()
        return deadline or None

    def output(self, limit: int) -> bytes:
        """Take up to `limit` bytes that are to be sent; they count as sent."""
        if not self._sasl.done:
            return self._sasl.output()
        early = self._sasl.output()
        if self._settled:
            self._grant()
        try:
            pending = self._transport.pending()
            if pending <= 0:
                return early
            data = bytes(self._transport.peek(min(pending, limit)) or b"")
            self._transport.pop(len(data))
        except ProtonException as error:
            self._fail(PeerFault(f"there is no more to say to the peer: {error}"))
            return early
        return early + data if early else data

    def events(self) -> list[EngineEvent]:
        """Take what happened since the last call, in order."""
        self._dispatch()
        events, self._events = self._events, []
        return events

    def close(self, condition: str | None = None, description: str = "") -> None:
        """Say goodbye, with a reason where there is one."""
        if condition is not None:
            self._connection.condition = Condition(condition, description)
        self._connection.close()

    # -- links

    def new_session(self) -> Session:
        """Begin a session of our own; it ends with the last of its links.

        Raises:
            AMQPError: both sides' limits allow no more sessions.
        """
        try:
            session = self._connection.session()
        except ProtonException as error:
            raise AMQPError(f"this connection has all the sessions that it may have: {error}") from error
        session.incoming_capacity = self.limits.session_bytes
        session.open()
        return session

    def open_sender(self, session: Session, name: str, address: str) -> OutLink:
        """Attach to send to the peer's `address`."""
        proton = session.sender(name)
        proton.source.address = self._connection.container
        proton.target.address = address
        link = OutLink(proton, name=name, address=address, ours=True)
        self._links[proton] = link
        proton.open()
        return link

    def open_receiver(self, session: Session, name: str, address: str, target: str, window: int) -> InLink:
        """Attach to receive from the peer's `address`.

        Args:
            session: the session to attach in.
            name: of the link.
            address: the peer's.
            target: ours; for answers the unique address that they are sent to.
            window: how many deliveries may be unsettled.
        """
        proton = session.receiver(name)
        proton.source.address = address
        proton.target.address = target
        proton.max_message_size = self.limits.max_message
        link = InLink(proton, name=name, address=address, window=window, ours=True)
        self._links[proton] = link
        proton.open()
        proton.flow(window)
        return link

    def admit(self, link: InLink | OutLink) -> None:
        """Attach a link that the peer asked for."""
        proton = link.proton
        proton.source.copy(proton.remote_source)
        proton.target.copy(proton.remote_target)
        if isinstance(link, InLink):
            proton.max_message_size = self.limits.max_message
            proton.open()
            proton.flow(link.window)
        else:
            proton.open()

    def refuse(self, link: InLink | OutLink, condition: str, description: str) -> None:
        """Attach without a terminus and detach at once: the standard's way to say no (2.6.3)."""
        proton = link.proton
        proton.source.type = Terminus.UNSPECIFIED
        proton.target.type = Terminus.UNSPECIFIED
        proton.open()
        self.close_link(link, condition, description)

    def close_link(self, link: InLink | OutLink, condition: str | None = None, description: str = "") -> None:
        """Detach a link for good, with a reason where there is one. Its events end."""
        if not link.open:
            return
        if condition is not None:
            link.proton.condition = Condition(condition, description)
        link.proton.close()
        self._forget(link)
        session = link.proton.session
        if link.ours and not any(other.proton.session == session for other in self._links.values()):
            session.close()

    # -- deliveries

    def send(
        self, link: OutLink, payload: bytes, *, settled: bool
    ) -> str:  # HOT: tests/benchmarks/bench_amqp1.py
        """Hand a message to proton, which keeps it until the peer's windows let it go.

        Returns:
            The delivery's tag, by which `Settled` names it.
        """
        link.sent += 1
        tag = str(link.sent)
        delivery = link.proton.delivery(tag)
        link.proton.stream(payload)
        if settled:
            delivery.settle()
        else:
            link.proton.advance()
            link.unsettled += 1
        return tag

    def settle(self, incoming: Incoming, outcome: Outcome) -> bool:  # HOT: tests/benchmarks/bench_amqp1.py
        """Tell the peer what became of a delivery, and make its place free.

        Returns:
            False if there is nobody left to tell: the link or the connection is gone.
        """
        if incoming.done:
            return False
        incoming.done = True
        link = incoming.link
        self._unsettled -= 1
        self.held_bytes -= incoming.size
        link.unsettled -= 1
        told = link.open and not self.finished
        if told:
            if not incoming.settled:
                delivery = incoming.proton
                delivery.update(
                    ProtonDelivery.ACCEPTED if outcome is Outcome.ACCEPTED else ProtonDelivery.RELEASED
                )
                delivery.settle()
            self._settled[link] = None
        if self._held_back:
            self._read_on()
        return told

    def _grant(self) -> None:
        """Top up the credit of links that have used theirs up.

        Never earlier: RabbitMQ 3 sends too much when a flow crosses its deliveries, and takes the
        credit, which is negative then, for four billions.
        """
        settled, self._settled = self._settled, {}
        for link in settled:
            free = link.window - link.unsettled
            if free > 0 and link.open and (credit := link.proton.credit) <= 0:
                link.proton.flow(free - credit)

    # -- what proton reports

    def _dispatch(self) -> None:
        collector, handlers = self._collector, self._handlers
        while (event := collector.peek()) is not None:
            handler = handlers.get(event.type)
            if handler is not None:
                handler(event)
            collector.pop()

    def _fail(self, error: AMQPError) -> None:
        if not self.finished:
            self.finished = True
            self._events.append(Failed(error))

    def _on_transport_error(self, event: ProtonEvent) -> None:
        name, text = _reason(self._transport.condition)
        if "idle" in text:
            self._fail(ConnectionLost(f"the peer was silent for {self.limits.idle_timeout:g} s"))
        else:
            self._fail(PeerFault(f"{name}: {text}"))

    def _on_open(self, event: ProtonEvent) -> None:
        if isinstance(self._sasl, SaslServer):
            self._connection.open()
        self._events.append(
            Opened(self._connection.remote_container or "", self._connection.remote_hostname, self._sasl.user)
        )

    def _on_close(self, event: ProtonEvent) -> None:
        condition = self._connection.remote_condition
        self._connection.close()
        self.finished = True
        self._events.append(Closed(*_reason(condition)))

    def _on_session_open(self, event: ProtonEvent) -> None:
        session = event.session
        if session.state & Endpoint.LOCAL_UNINIT:
            session.incoming_capacity = self.limits.session_bytes
            session.open()

    def _on_session_close(self, event: ProtonEvent) -> None:
        """All that waits on the session's links must hear of it: RabbitMQ refuses links this way."""
        session = event.session
        condition = session.remote_condition
        for link in [link for link in self._links.values() if link.proton.session == session]:
            self._forget(link)
            self._events.append(LinkClosed(link, *_reason(condition)))
        session.close()
        session.free()

    def _on_link_open(self, event: ProtonEvent) -> None:
        proton = event.link
        link = self._links.get(proton)
        if link is None:
            self._on_link_requested(proton)
            return
        far_end = proton.remote_target if isinstance(link, OutLink) else proton.remote_source
        link.refused = far_end.type == Terminus.UNSPECIFIED or far_end.address is None
        self._events.append(LinkOpened(link))

    def _on_link_requested(self, proton: Link) -> None:
        name = proton.name
        link: InLink | OutLink
        if proton.is_receiver:
            address = proton.remote_target.address or ""
            link = InLink(proton, name=name, address=address, window=self.limits.credit, ours=False)
        else:
            link = OutLink(proton, name=name, address=proton.remote_source.address or "", ours=False)
            link.target = proton.remote_target.address or ""
        self._links[proton] = link
        if len(self._links) > self.limits.max_links:
            self.refuse(link, "amqp:resource-limit-exceeded", f"at most {self.limits.max_links} links")
        elif proton.remote_source.dynamic or proton.remote_target.dynamic:
            self.refuse(link, "amqp:not-implemented", "addresses are not made up here: choose one")
        else:
            self._events.append(LinkRequested(link))

    def _on_link_close(self, event: ProtonEvent) -> None:
        proton = event.link
        link = self._links.get(proton)
        condition = proton.remote_condition
        if event.type is Event.LINK_REMOTE_DETACH:
            proton.detach()
        else:
            proton.close()
        if link is not None:
            self._forget(link)
            self._events.append(LinkClosed(link, *_reason(condition)))
        proton.free()

    def _forget(self, link: InLink | OutLink) -> None:
        link.open = False
        self._links.pop(link.proton, None)
        if isinstance(link, InLink):
            self.held_bytes -= link.drop_parts()
            if link is self._giant:
                self._giant = None
            if link in self._held_back:
                self._held_back.remove(link)

    def _on_flow(self, event: ProtonEvent) -> None:
        link = self._links.get(event.link)
        if isinstance(link, OutLink):
            if link.proton.drain_mode:
                link.proton.drained()
            self._events.append(CreditChanged(link))

    def _on_delivery(self, event: ProtonEvent) -> None:
        delivery = event.delivery
        link = self._links.get(delivery.link)
        if isinstance(link, InLink):
            self._read(link)
        elif link is not None and delivery.updated:
            self._conclude(link, delivery)

    def _conclude(self, link: OutLink, delivery: ProtonDelivery) -> None:
        """Read the outcome of a delivery that we sent."""
        outcome = _OUTCOMES.get(int(delivery.remote_state))
        if outcome is None and not delivery.settled:
            return
        link.unsettled -= 1
        tag = delivery.tag
        delivery.settle()
        # Settled without a state: the peer has taken charge and says no more (3.4).
        self._events.append(Settled(link, tag, outcome or Outcome.ACCEPTED))

    def _read(self, link: InLink) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        """Take what came on a link out of proton, as far as the bounds allow."""
        while link.open:
            delivery = link.proton.current
            if delivery is None:
                return
            if delivery.aborted:
                self.held_bytes -= link.drop_parts()
                delivery.settle()
                continue
            size = delivery.pending
            if size and not self._may_read(link):
                if link not in self._held_back:
                    self._held_back.append(link)
                return
            if link.size + size > self.limits.max_message:
                self._close_with(
                    link, "amqp:link:message-size-exceeded", f"at most {self.limits.max_message} bytes"
                )
                return
            partial = delivery.partial
            if size:
                self.held_bytes += link.add_part(link.proton.recv(size) or b"")
            if partial:
                return
            self._complete(link, delivery)

    def _complete(self, link: InLink, delivery: ProtonDelivery) -> None:
        """Hand over a delivery that is all there."""
        payload = link.take_parts()
        if link is self._giant:
            self._giant = None
        settled = bool(delivery.settled)
        link.unsettled += 1
        self._unsettled += 1
        link.proton.advance()
        incoming = Incoming(link, delivery, payload, settled=settled)
        if settled:
            delivery.settle()
        if link.unsettled > link.window * _OVERRUN:
            incoming.done = True
            self._unsettled -= 1
            self.held_bytes -= incoming.size
            self._close_with(link, "amqp:link:transfer-limit-exceeded", f"the credit was {link.window}")
            return
        self._settled[link] = None
        self._events.append(Received(incoming))

    def _close_with(self, link: InLink, condition: str, description: str) -> None:
        """End a link because of what the peer sent on it."""
        self.close_link(link, condition, description)
        self._events.append(LinkClosed(link, condition, description))

    def _may_read(self, link: InLink) -> bool:
        """Whether the bound on bytes lets more of this link in; a delivery that is alone may exceed it."""
        if self.held_bytes < self.limits.max_unsettled_bytes:
            return True
        if self._unsettled == 0 and self._giant in (None, link):
            self._giant = link
            return True
        return False

    def _read_on(self) -> None:
        held_back, self._held_back = self._held_back, []
        for link in held_back:
            self._read(link)


def _reason(condition: Condition | None) -> tuple[str, str]:
    """A condition's name and description; both are empty where there is none."""
    return (condition.name or "", condition.description or "") if condition else ("", "")
