"""Listening for machines: each connection a task of its own, and a bad peer ends only its own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from pywats_cfx.amqp1._connection import Connection, OnDelivery, OnSubscriber
from pywats_cfx.amqp1._endpoints import LinkRequest
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._sasl import SaslServer
from pywats_cfx.amqp1.errors import AMQPError, ConnectionLost
from pywats_cfx.amqp1.limits import Limits
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["Listener", "ListenerConfig", "ListenerStatistics", "gives_nothing", "takes_nothing"]

_log = GuardedLogger(__name__)


def takes_nothing(request: LinkRequest) -> OnDelivery | None:
    """Refuse everybody who wants to send."""
    return None


def gives_nothing(request: LinkRequest) -> OnSubscriber | None:
    """Refuse everybody who wants to receive."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """Where to listen, and who may come.

    Args:
        container: our name, a CFX handle.
        port: 0 to 65535; 0 takes a free one, which `Listener.run` tells.
        host: the interface, as a name or address; None takes all.
        tls: for amqps; None listens without. Make one with `server_tls`.
        users: passwords by name, for PLAIN.
        anonymous: whether peers without a name may come in. A client certificate is a name.
        max_connections: how many peers at once; more are closed as they come.
        window: how many messages may be in flight on each link that a peer receives on.
        limits: what each connection may use.
    """

    container: str
    port: int = 5672
    host: str | None = None
    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = True
    max_connections: int = 256
    window: int = 100
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.container:
            raise ValueError("container must not be empty: it is the name that peers know us by")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, not {self.port!r}")
        for name in ("max_connections", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if not self.anonymous and not self.users and self.tls is None:
            raise ValueError("nobody could log in: allow anonymous, or give users or tls")


class ListenerStatistics(NamedTuple):
    """What a listener has seen since it was made.

    Attributes:
        connections: that are there now.
        accepted: how many have come in all.
        turned_away: how many of them were too many.
        failed: how many ended by an error, their own or the network's.
        deliveries: how many messages have come.
        unsettled_bytes: of the deliveries that wait for their settlement.
    """

    connections: int
    accepted: int
    turned_away: int
    failed: int
    deliveries: int
    unsettled_bytes: int


class Listener:
    """Takes connections of machines on one port.

    Args:
        config: where, and who may come.
        takes: asked when a peer wants to send to an address: gives what is awaited for each delivery, in
            order per link, or None for an address that is not known here.
        gives: asked when a peer wants to receive from an address: gives a task that is run with the link
            for as long as it is there, or None. The .NET SDK opens such a link for an answer, too:
            `Delivery.reply` finds it by itself.
    """

    def __init__(
        self,
        config: ListenerConfig,
        *,
        takes: Callable[[LinkRequest], OnDelivery | None] = takes_nothing,
        gives: Callable[[LinkRequest], OnSubscriber | None] = gives_nothing,
    ) -> None:
        self._config = config
        self._takes = takes
        self._gives = gives
        self._connections: set[Connection] = set()
        self._accepting: trio.CancelScope | None = None
        self._coming = 0
        self._accepted = self._turned_away = self._failed = self._deliveries = 0

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; `started` is told the port.

        Raises:
            OSError: the port cannot be opened.

        Cancelled: all connections are closed without a goodbye; what is not settled will come again.
        """
        config = self._config
        listeners = await trio.open_tcp_listeners(config.port, host=config.host)
        port = listeners[0].socket.getsockname()[1]
        if config.port == 0:
            # Each address family got a free port of its own: keep the first.
            for other in listeners[1:]:
                await other.aclose()
            listeners = listeners[:1]
        async with trio.open_nursery() as carrying:
            with trio.CancelScope() as self._accepting:
                task_status.started(port)
                await trio.serve_listeners(self._take, listeners, handler_nursery=carrying)
            await trio.sleep_forever()  # those that are being closed have their time

    def statistics(self) -> ListenerStatistics:
        """What it has seen."""
        return ListenerStatistics(
            len(self._connections),
            self._accepted,
            self._turned_away,
            self._failed,
            self._deliveries + sum(connection.deliveries for connection in self._connections),
            sum(connection.engine.held_bytes for connection in self._connections),
        )

    async def close_connections(self) -> None:
        """Say goodbye to all peers, and wait until they have said it too, or for two seconds.

        No more are accepted: one that is told goodbye may come back at once.

        Cancelled: some may not have been told.
        """
        if self._accepting is not None:
            self._accepting.cancel()
        async with trio.open_nursery() as nursery:
            for connection in list(self._connections):
                nursery.start_soon(connection.close)

    async def _take(self, stream: trio.SocketStream) -> None:
        """The life of one connection, whatever the peer does."""
        self._accepted += 1
        if self._coming >= self._config.max_connections:
            self._turned_away += 1
            _log.warning("a peer was turned away: %d connections are there", self._coming)
            await trio.aclose_forcefully(stream)
            return
        self._coming += 1
        where = "a peer that was gone at once"
        try:
            where = "{}:{}".format(*stream.socket.getpeername()[:2])
            stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
            await self._carry(stream, where)
        except (AMQPError, OSError, ssl.SSLError, trio.BrokenResourceError) as error:
            self._failed += 1
            _log.info("%s: %s", where, error.__cause__ or error)
        finally:
            self._coming -= 1
            await trio.aclose_forcefully(stream)

    async def _carry(self, stream: trio.SocketStream, where: str) -> None:
        config = self._config
        secure, certified = await self._secure(stream, where)
        sasl = SaslServer(config.users, anonymous=config.anonymous, certified=certified)
        connection = Connection(
            secure,
            Engine(sasl, container=config.container, hostname=None, limits=config.limits),
            where=where,
            admit=self._admit,
            serves=True,
            window=config.window,
            ids=current_runtime().ids,
        )
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._deliveries += connection.deliveries
        self._report(connection)

    def _report(self, connection: Connection) -> None:
        """Log how a connection ended; the listener and its other connections go on."""
        failure = connection.failure
        name = connection.peer or "a peer"
        if failure is None:
            return
        self._failed += 1
        if isinstance(failure, ConnectionLost):
            _log.info("%s: %s", name, failure)
        elif isinstance(failure, AMQPError):
            _log.warning("%s: %s", name, failure)
        else:
            _log.error("%s: what it sent was not handled", name, exc_info=failure)

    async def _secure(self, stream: trio.SocketStream, where: str) -> tuple[trio.abc.Stream, str | None]:
        """The stream with TLS, where that is on, and the name in the client's certificate."""
        tls = self._config.tls
        if tls is None:
            return stream, None
        secure = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        seconds = self._config.limits.handshake
        with trio.move_on_after(seconds) as scope:
            await secure.do_handshake()
        if scope.cancelled_caught:
            raise ConnectionLost(f"{where}: no TLS handshake within {seconds:g} s")
        return secure, _common_name(secure.getpeercert())

    def _admit(
        self, connection: Connection, request: LinkRequest, receives: bool
    ) -> OnDelivery | OnSubscriber | None:
        return self._takes(request) if receives else self._gives(request)


def _common_name(certificate: Mapping[str, object] | None) -> str | None:
    """Whom a client's certificate is made out to; None without one."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    for parts in subject:
        for name, value in parts:
            if name == "commonName":
                return str(value)
    return None
