"""What AMQP 1.0 does on one connection, without I/O: bytes in, bytes and events out, time as an argument.

proton speaks the protocol; here is what it leaves to its user: the login before it (`_sasl`), which link an
event belongs to, and whom to tell. How much is taken in is decided in `_intake`.

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
from pywats_cfx.amqp1._intake import Intake
from pywats_cfx.amqp1._links import Incoming, InLink, Outcome, OutLink
from pywats_cfx.amqp1._outgoing import Outgoing
from pywats_cfx.amqp1._proton import (
    PN_CONNECTION_REMOTE_CLOSE,
    PN_CONNECTION_REMOTE_OPEN,
    PN_DELIVERY,
    PN_LINK_FLOW,
    PN_LINK_REMOTE_CLOSE,
    PN_LINK_REMOTE_DETACH,
    PN_LINK_REMOTE_OPEN,
    PN_SESSION_REMOTE_CLOSE,
    PN_SESSION_REMOTE_OPEN,
    PN_TRANSPORT_ERROR,
    Collector,
    Condition,
    Connection,
    Endpoint,
    Event,
    Link,
    ProtonEvent,
    ProtonException,
    Raw,
    Session,
    Terminus,
    Transport,
    addressof,
    pn_collector_peek,
    pn_collector_pop,
    pn_delivery_link,
    pn_delivery_updated,
    pn_event_delivery,
    pn_event_link,
    pn_event_type,
    pn_link_get_drain,
    raw,
)
from pywats_cfx.amqp1._sasl import SaslClient, SaslServer
from pywats_cfx.amqp1.errors import AMQPError, ConnectionLost, PeerFault
from pywats_cfx.amqp1.limits import Limits
from pywats_supervision.logs import GuardedLogger

__all__ = ["Engine"]

_log = GuardedLogger(__name__)


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
        self.limits = limits
        self.finished: bool = False
        self._sasl = sasl
        self._events: list[EngineEvent] = []
        self._links: dict[int, InLink | OutLink] = {}
        self._attached: dict[InLink | OutLink, Link] = {}
        self._doubtful: list[InLink | OutLink] = []
        self._outgoing = Outgoing(self._on_settled)
        self._intake = Intake(limits, self._on_received, self._close_with)
        self._collector = Collector()
        self._happening = raw(self._collector)
        self._connection = Connection()
        self._connection.collect(self._collector)
        self._connection.container = container
        if hostname is not None:
            self._connection.hostname = hostname
        server = isinstance(sasl, SaslServer)
        self._transport = Transport(Transport.SERVER if server else Transport.CLIENT)
        self._transport.tracer = _log_what_proton_says
        self._transport.max_frame_size = limits.max_frame
        self._transport.channel_max = limits.max_sessions - 1
        self._transport.idle_timeout = limits.idle_timeout
        self._transport.bind(self._connection)
        if not server:
            self._connection.open()

    @property
    def held_bytes(self) -> int:
        """How many bytes came in and are not settled, of deliveries in part too."""
        return self._intake.held_bytes

    def receive(self, data: bytes) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        """Take bytes that came from the peer."""
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
        self._intake.grant()
        self._outgoing.send_pieces()
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

    @property
    def has_output(self) -> bool:
        """Whether `output` would give anything."""
        if not self._sasl.done:
            return self._sasl.has_output
        self._intake.grant()
        self._outgoing.send_pieces()
        return self._sasl.has_output or self._transport.pending() > 0

    def events(self) -> list[EngineEvent]:
        """Take what happened since the last call, in order."""
        self._dispatch()
        if self._doubtful:
            # An attach that names no address announces a detach. Where none came with it, this peer only does
            # not repeat addresses; a detach that comes later ends the link like any other.
            self._events += [LinkOpened(link) for link in self._doubtful if link.open]
            self._doubtful.clear()
        events, self._events = self._events, []
        return events

    def close(self, condition: str | None = None, description: str = "") -> None:
        """Say goodbye, with a reason where there is one."""
        if condition is not None:
            self._connection.condition = Condition(condition, description)
        self._connection.close()

    def release(self) -> None:
        """Free all that is proton's, once the connection is over; nothing but `settle` may be called after.

        proton must be told, in this order. Python's collector frees in any order, and a link that is freed
        after its connection takes its session with it while the session still frees it: the process ends.
        """
        self.finished = True
        for link in list(self._attached):
            self._forget(link)
        self._connection.free()
        self._transport.unbind()
        del self._transport, self._connection, self._happening, self._collector

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
        self._attach(link, proton)
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
        self._attach(link, proton)
        proton.open()
        proton.flow(window)
        return link

    def admit(self, link: InLink | OutLink) -> None:
        """Attach a link that the peer asked for, unless it has gone meanwhile."""
        proton = self._attached.get(link)
        if proton is None:
            return
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
        proton = self._attached.get(link)
        if proton is None:
            return
        proton.source.type = Terminus.UNSPECIFIED
        proton.target.type = Terminus.UNSPECIFIED
        proton.open()
        self.close_link(link, condition, description)

    def close_link(self, link: InLink | OutLink, condition: str | None = None, description: str = "") -> None:
        """Detach a link for good, with a reason where there is one. Its events end."""
        proton = self._attached.get(link)
        if proton is None:
            return
        if condition is not None:
            proton.condition = Condition(condition, description)
        proton.close()
        self._forget(link)
        session = proton.session
        if link.ours and not any(other.session == session for other in self._attached.values()):
            session.close()

    def _attach(self, link: InLink | OutLink, proton: Link) -> None:
        self._links[link.key] = link
        self._attached[link] = proton

    # -- deliveries

    def send(
        self, link: OutLink, payload: bytes, *, settled: bool
    ) -> str:  # HOT: tests/benchmarks/bench_amqp1.py
        """Hand a message to proton, which keeps it until the peer's windows let it go.

        Returns:
            The delivery's tag, by which `Settled` names it.
        """
        return self._outgoing.send(link, payload, settled=settled)

    def settle(self, incoming: Incoming, outcome: Outcome) -> bool:  # HOT: tests/benchmarks/bench_amqp1.py
        """Tell the peer what became of a delivery, and make its place free.

        Returns:
            False if there is nobody left to tell: the link or the connection is gone.
        """
        return self._intake.settle(incoming, outcome, tell=not self.finished)

    # -- what proton reports

    def _dispatch(self) -> None:
        happening = self._happening
        while event := pn_collector_peek(happening):
            kind = pn_event_type(event)
            try:
                if kind == PN_DELIVERY:
                    self._on_delivery(pn_event_delivery(event))
                elif kind == PN_LINK_FLOW:
                    self._on_flow(pn_event_link(event))
                elif kind in self._REACTIONS:
                    self._REACTIONS[kind](self, Event.wrap(event))  # type: ignore[no-untyped-call]
            except UnicodeDecodeError as error:
                # proton does not look into the names and addresses that it passes on.
                self._fail(PeerFault(f"a name or address of the peer is no UTF-8: {error}"))
            pn_collector_pop(happening)

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
            Opened(
                self._connection.remote_container or "",
                self._connection.remote_hostname,
                self._sasl.user,
                "" if isinstance(self._sasl, SaslServer) else _product_of(self._connection),
            )
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
        for link in [link for link, proton in self._attached.items() if proton.session == session]:
            self._forget(link)
            self._events.append(LinkClosed(link, *_reason(condition)))
        session.close()
        session.free()

    def _on_link_open(self, event: ProtonEvent) -> None:
        proton = event.link
        link = self._links.get(addressof(raw(proton)))
        if link is None:
            self._on_link_requested(proton)
            return
        far_end = proton.remote_target if isinstance(link, OutLink) else proton.remote_source
        if far_end.type == Terminus.UNSPECIFIED or far_end.address is None:
            self._doubtful.append(link)
        else:
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
        self._attach(link, proton)
        if len(self._links) > self.limits.max_links:
            self.refuse(link, "amqp:resource-limit-exceeded", f"at most {self.limits.max_links} links")
        elif proton.remote_source.dynamic or proton.remote_target.dynamic:
            self.refuse(link, "amqp:not-implemented", "addresses are not made up here: choose one")
        else:
            self._events.append(LinkRequested(link))

    def _on_link_close(self, event: ProtonEvent) -> None:
        event.link.close()
        self._on_link_over(event.link)

    def _on_link_detach(self, event: ProtonEvent) -> None:
        event.link.detach()
        self._on_link_over(event.link)

    def _on_link_over(self, proton: Link) -> None:
        link = self._links.get(addressof(raw(proton)))
        if link is not None:
            self._forget(link)
            self._events.append(LinkClosed(link, *_reason(proton.remote_condition)))
        proton.free()

    def _forget(self, link: InLink | OutLink) -> None:
        link.open = False
        self._links.pop(link.key, None)
        self._attached.pop(link, None)
        if isinstance(link, InLink):
            self._intake.forget(link)
        else:
            self._outgoing.forget(link)

    def _close_with(self, link: InLink, condition: str, description: str) -> None:
        """End a link because of what the peer sent on it."""
        self.close_link(link, condition, description)
        self._events.append(LinkClosed(link, condition, description))

    def _on_flow(self, pointer: Raw) -> None:
        link = self._links.get(addressof(pointer))
        if isinstance(link, OutLink):
            if pn_link_get_drain(pointer):
                self._attached[link].drained()
            self._events.append(CreditChanged(link))

    def _on_delivery(self, delivery: Raw) -> None:
        link = self._links.get(addressof(pn_delivery_link(delivery)))
        if isinstance(link, InLink):
            self._intake.read(link)
        elif link is not None and pn_delivery_updated(delivery):
            self._outgoing.conclude(link, delivery)

    def _on_settled(self, link: OutLink, tag: str, outcome: Outcome) -> None:
        self._events.append(Settled(link, tag, outcome))

    def _on_received(self, incoming: Incoming) -> None:
        self._events.append(Received(incoming))

    _REACTIONS: Final[dict[int, Callable[[Engine, ProtonEvent], None]]] = {
        PN_CONNECTION_REMOTE_OPEN: _on_open,
        PN_CONNECTION_REMOTE_CLOSE: _on_close,
        PN_SESSION_REMOTE_OPEN: _on_session_open,
        PN_SESSION_REMOTE_CLOSE: _on_session_close,
        PN_LINK_REMOTE_OPEN: _on_link_open,
        PN_LINK_REMOTE_CLOSE: _on_link_close,
        PN_LINK_REMOTE_DETACH: _on_link_detach,
        PN_TRANSPORT_ERROR: _on_transport_error,
    }


def _log_what_proton_says(transport: Transport, text: str) -> None:
    """What it would write to the console itself; with PN_TRACE_FRM=1 each frame."""
    _log.debug("%s", text)


def _product_of(connection: Connection) -> str:
    """What a broker says that it is, such as RabbitMQ; nothing where it says none that can be read."""
    try:
        said = connection.remote_properties
    except (
        ProtonException,
        ValueError,
        TypeError,
        LookupError,
    ):  # maps of whatever, with texts that are none
        return ""
    product = said.get("product") if isinstance(said, dict) else None
    return str(product) if isinstance(product, str) else ""


def _reason(condition: Condition | None) -> tuple[str, str]:
    """A condition's name and description; both are empty where there is none."""
    return (condition.name or "", condition.description or "") if condition else ("", "")
