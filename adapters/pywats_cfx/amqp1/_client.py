"""Connecting to a peer or a broker: from its URL to an open connection, and a plain failure when it is lost.

Nothing here connects again. Who wants that is a supervised child with a Backoff.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import trio

from pywats_cfx.amqp1._connection import Connection, admit_nothing
from pywats_cfx.amqp1._engine import Engine
from pywats_cfx.amqp1._sasl import SaslClient
from pywats_cfx.amqp1.errors import ConnectionLost
from pywats_cfx.amqp1.limits import Limits
from pywats_cfx.amqp1.tls import client_tls
from pywats_supervision.system import current_runtime

__all__ = ["ClientConfig", "connect"]

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Where to connect, and as whom.

    Args:
        url: `amqp://host:port` or `amqps://host:port`, with `user:password@` where it logs in by PLAIN, both
            percent-encoded. A path is a virtual host of RabbitMQ: `/NAME` is `vhost:NAME`.
        container: our name, for machines a CFX handle.
        tls: for amqps; None trusts the system's store. Make one with `client_tls`.
        certified: whether `tls` shows a client certificate; without a user, EXTERNAL is then tried first.
        limits: what the connection may use.
    """

    url: str
    container: str
    tls: ssl.SSLContext | None = None
    certified: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        parts, shown = urlsplit(self.url), _without_login(self.url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"url must start with amqp:// or amqps://, not {shown!r}")
        if not parts.hostname:
            raise ValueError(f"url must name a host, as in amqp://host:5672, not {shown!r}")
        try:
            parts.port  # noqa: B018 - it is read then
        except ValueError:
            raise ValueError(f"the port in url must be 1 to 65535, in {shown!r}") from None
        if self.tls is not None and parts.scheme != "amqps":
            raise ValueError("tls is given, but url starts with amqp://: say amqps://")
        if not self.container:
            raise ValueError("container must not be empty: it is the name that the peer knows us by")

    @property
    def host(self) -> str:
        """The peer's host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The peer's port."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def place(self) -> str:
        """The URL without the password, for errors and logs."""
        parts = urlsplit(self.url)
        user = f"{parts.username}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"

    def sasl(self) -> SaslClient:
        """The login that the URL asks for."""
        parts = urlsplit(self.url)
        user = unquote(parts.username) if parts.username else None
        return SaslClient(user, unquote(parts.password or ""), certified=self.certified, peer=self.place)

    @property
    def hostname(self) -> str:
        """What the open asks for: the virtual host, or the host."""
        path = urlsplit(self.url).path.lstrip("/")
        return f"vhost:{unquote(path)}" if path else self.host


def _without_login(url: str) -> str:
    """A URL that may be none, for an error: what stands before an @ may be a password."""
    scheme, colon, rest = url.rpartition("://")
    return f"{scheme}{colon}{rest.rpartition('@')[2]}"


@asynccontextmanager
async def connect(config: ClientConfig) -> AsyncIterator[Connection]:
    """Connect, and hold the connection for the length of the block.

    When the connection is lost, the block is cancelled and the reason raised in its place.

    Raises:
        ConnectionLost: the peer is not there, or is gone.
        LoginRefused: it does not let us in.
        WrongProtocol: it does not speak AMQP 1.0; `speaks` says what.
        PeerFault: it broke the protocol.

    Cancelled: the socket is closed without a goodbye.
    """
    limits = config.limits
    with trio.move_on_after(limits.handshake) as scope:
        stream = await _dial(config)
    if scope.cancelled_caught:
        raise ConnectionLost(f"{config.place} is not there: no connection within {limits.handshake:g} s")
    engine = Engine(config.sasl(), container=config.container, hostname=config.hostname, limits=limits)
    connection = Connection(
        stream,
        engine,
        where=config.place,
        admit=admit_nothing,
        serves=False,
        window=1,
        ids=current_runtime().ids,
    )
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_carry, connection, nursery.cancel_scope)
        try:
            await connection.wait_open()
            yield connection
            await connection.close()
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the nursery's group
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
    if connection.failure is not None:
        raise connection.failure


async def _carry(connection: Connection, block: trio.CancelScope) -> None:
    await connection.run()
    if connection.failure is not None:
        block.cancel()


async def _dial(config: ClientConfig) -> trio.abc.Stream:
    try:
        stream = await trio.open_tcp_stream(config.host, config.port)
    except OSError as error:
        raise ConnectionLost(
            f"{config.place} is not there: {error}. Check host, port and firewall"
        ) from error
    stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    if not config.url.startswith("amqps"):
        return stream
    secure = trio.SSLStream(
        stream, config.tls or client_tls(), server_hostname=config.host, https_compatible=True
    )
    try:
        await secure.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError, OSError) as error:
        await trio.aclose_forcefully(stream)
        raise ConnectionLost(
            f"{config.place}: TLS fails: {error.__cause__ or error}. Check that the port speaks TLS, and "
            "whom ca_file trusts"
        ) from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure
