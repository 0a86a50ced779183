"""The values that configure a `CFXTransport`, each with its limits and units.

The field names of pywats-api 0.6 are kept where they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pywats_cfx.config._checks import (
    check_count,
    check_host,
    check_port,
    check_seconds,
    check_secret,
    check_switch,
    check_text,
    texts,
)
from pywats_cfx.config.addresses import destination_of
from pywats_cfx.config.exchange import ExchangeConfig, RetryConfig
from pywats_events.secrets import SecretText, revealed

__all__ = ["AMQPConfig", "CFXConfig", "EndpointConfig"]

LONGEST_HANDLE: Final = 180
"""Bytes; the longest name of a message has 69, and there may be vendors' own."""

SWITCHES: Final = (
    "fail_open",
    "publish_endpoint_connected",
    "publish_endpoint_disconnected",
    "log_messages",
)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MiB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class AMQPConfig:
    """A broker, or another endpoint, that this one connects to.

    Args:
        host: its name or address.
        port: 1 to 65535; None is 5672, or 5671 with TLS.
        username: None logs in as nobody (ANONYMOUS).
        password: never shown; or where it is kept, `env("NAME")` or `file(path)` (`pywats_events.secrets`).
        virtual_host: of a broker; "/" is its default one.
        use_ssl: TLS, with the certificate checked.
        ssl_ca_path: whom to trust, PEM; None trusts the system's store.
        ssl_cert_path: our own certificate, PEM, where the peer asks for one.
        ssl_key_path: its key, where that is not in the same file.
        ssl_verify: must be True: TLS that trusts everybody is not offered; `ssl_ca_path` trusts your own.
        heartbeat: seconds between two signs of life by AMQP 0-9-1, 1 to 65534; AMQP 1.0 has its own.
        connection_timeout: seconds that connecting by AMQP 0-9-1 may take, above 0.
        channel_max: accepted for the name's sake; as many channels as are needed are opened, two at most.
        frame_max: as `channel_max`; the size of frames is agreed with the broker.
        protocol: "amqp1" (AMQP 1.0), "amqp091" (RabbitMQ's own), or "auto": 1.0, and RabbitMQ's own
            where the broker answers that it speaks only that, or is a RabbitMQ that is to give a queue: by
            1.0 it declares none. That is so where nothing is in `subscribe`, and a `queue` is named or
            nothing published.
        subscribe: addresses to receive from by AMQP 1.0; `/amq/queue/NAME` of RabbitMQ 3.
        publish: address to publish to; `/exchange/NAME` of RabbitMQ 3, which is understood by either
            protocol, with the routing key `HANDLE.MessageName`; None publishes nothing.
        exchange: by AMQP 0-9-1, where the queue gets its messages from; "" binds it to nothing.
        topics: topic keys that the queue is bound by, such as `CFX.Production.#`.
        queue: its name; None makes one of the endpoint's handle.
        window: messages that may be on their way unsettled, 1 or more.
        prefetch: messages that may be received and not settled, 1 or more.
    """

    host: str = "localhost"
    port: int | None = None
    username: str | None = None
    password: SecretText = field(default="", repr=False)
    virtual_host: str = "/"
    use_ssl: bool = False
    ssl_ca_path: str | None = None
    ssl_cert_path: str | None = None
    ssl_key_path: str | None = None
    ssl_verify: bool = True
    heartbeat: int = 20
    connection_timeout: float = 10.0
    channel_max: int = 2047
    frame_max: int = 131072
    protocol: Literal["auto", "amqp1", "amqp091"] = "auto"
    subscribe: tuple[str, ...] = ()
    exchange: str = "amq.topic"
    topics: tuple[str, ...] = ("#",)
    queue: str | None = None
    publish: str | None = None
    window: int = 10
    prefetch: int = 100

    def __post_init__(self) -> None:
        check_text("host", self.host)
        check_host(self.host)
        if self.port is not None:
            check_port("port", self.port)
        for name in ("username", "queue", "publish", "ssl_ca_path", "ssl_cert_path", "ssl_key_path"):
            check_text(name, getattr(self, name), optional=True)
        for name in ("virtual_host", "exchange"):
            check_text(name, getattr(self, name), empty=True)
        check_secret("password", self.password)
        for name in ("subscribe", "topics"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        for name, most in (("prefetch", 65_535), ("heartbeat", 65_534)):
            check_count(name, getattr(self, name), most)
        for name in ("window", "channel_max", "frame_max"):
            check_count(name, getattr(self, name))
        check_seconds("connection_timeout", self.connection_timeout)
        self._check_tls()
        self._check_protocol()

    def _check_protocol(self) -> None:
        """Check that what is said of one protocol is not said where another is spoken."""
        if self.protocol not in {"auto", "amqp1", "amqp091"}:
            raise ValueError(f'protocol must be "auto", "amqp1" or "amqp091", not {self.protocol!r}')
        if self.exchange and not self.topics:
            raise ValueError(
                'topics must not be empty where the queue is bound: exchange="" binds it to nothing'
            )
        if self.protocol == "amqp091":
            if self.subscribe:
                raise ValueError(
                    "subscribe is of AMQP 1.0; by AMQP 0-9-1 queue, exchange and topics say what comes"
                )
            if self.publish is not None:
                destination_of(self.publish)

    def _check_tls(self) -> None:
        check_switch("use_ssl", self.use_ssl)
        if self.ssl_key_path is not None and self.ssl_cert_path is None:
            raise ValueError("ssl_key_path needs ssl_cert_path: a key without a certificate shows nothing")
        if self.ssl_verify is not True:
            raise ValueError(
                "ssl_verify must be True: give ssl_ca_path with the certificate to trust instead"
            )

    @property
    def url(self) -> str:
        """The URL with user and password; for connecting, not for showing.

        Raises:
            ValueError: if the password is not where it should be.
        """
        password = quote(revealed("password", self.password), safe="")
        user = f"{quote(self.username, safe='')}:{password}@" if self.username else ""
        path = "" if self.virtual_host in {"", "/"} else f"/{quote(self.virtual_host.lstrip('/'), safe='')}"
        scheme, port = ("amqps", 5671) if self.use_ssl else ("amqp", 5672)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{user}{host}:{self.port or port}{path}"


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """Who this endpoint is, and where machines reach it.

    Args:
        cfx_handle: its name, such as `//Company/WATS/Station1`.
        listen: `amqp://0.0.0.0:5672`, or `amqps://` with `tls_cert`, where machines connect to; port 0
            takes a free one; None does not listen.
        addresses: the addresses that machines may send to; None takes all.
        users: passwords by name, for machines that log in by PLAIN; never shown. Each may be kept
            elsewhere, as that of a broker.
        anonymous: whether machines may come without a name.
        tls_cert: our certificate, PEM, for amqps.
        tls_key: its key, where that is not in the same file.
        tls_client_ca: whose certificates machines must show; None asks for none.
        network_uri: how others reach us, told to those who ask; None tells `listen`.
        vendor: told to those who ask, as the following.
        model_number: as `vendor`.
        serial_number: as `vendor`.
        software_version: as `vendor`.
        number_of_lanes: as `vendor`.
        number_of_stages: accepted for the name's sake; the standard asks for the stages of each lane.
        heartbeat: seconds between two Heartbeats to a broker.
    """

    cfx_handle: str
    listen: str | None = None
    addresses: tuple[str, ...] | None = None
    users: Mapping[str, SecretText] = field(default_factory=dict, repr=False)
    anonymous: bool = True
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    network_uri: str | None = None
    vendor: str = ""
    model_number: str = "pywats-events"
    serial_number: str = ""
    software_version: str = ""
    number_of_lanes: int = 1
    number_of_stages: int = 1
    heartbeat: float = 60.0

    def __post_init__(self) -> None:
        check_text("cfx_handle", self.cfx_handle, empty=True)
        if not self.cfx_handle.strip("/"):
            raise ValueError(
                "cfx_handle must name this endpoint, such as //Company/WATS/Station1, "
                f"not {self.cfx_handle!r}"
            )
        if len(self.cfx_handle.encode()) > LONGEST_HANDLE:
            raise ValueError(
                f"cfx_handle must have at most {LONGEST_HANDLE} bytes, for a broker's routing key is "
                f"HANDLE.MessageName and has at most 255; this one has {len(self.cfx_handle.encode())}"
            )
        check_seconds("heartbeat", self.heartbeat)
        for name in ("vendor", "model_number", "serial_number", "software_version"):
            check_text(name, getattr(self, name), empty=True)
        for name in ("number_of_lanes", "number_of_stages"):
            check_count(name, getattr(self, name))
        for name in ("listen", "network_uri", "tls_cert", "tls_key", "tls_client_ca"):
            check_text(name, getattr(self, name), optional=True)
        if self.addresses is not None:
            object.__setattr__(self, "addresses", texts("addresses", self.addresses))
        self._check_logins()
        if self.listen is not None:
            self._check_listen(self.listen)

    def _check_logins(self) -> None:
        """Check that who may come is said plainly, and that somebody may."""
        check_switch("anonymous", self.anonymous)
        if not isinstance(self.users, Mapping):
            raise TypeError(
                f"users must be a mapping from names to passwords, not {type(self.users).__name__}"
            )
        for name, password in self.users.items():
            check_text("a name in users", name)
            check_secret(f"users[{name!r}]", password)
            if password == "":
                raise ValueError(f"users[{name!r}] must not be empty: anybody could log in by that name")
        for name in ("tls_key", "tls_client_ca"):
            if getattr(self, name) is not None and self.tls_cert is None:
                raise ValueError(f"{name} needs tls_cert: without TLS no certificate is asked for or shown")
        if not self.anonymous and not self.users and self.tls_client_ca is None:
            raise ValueError("nobody could log in: allow anonymous, or give users or tls_client_ca")

    def _check_listen(self, listen: str) -> None:
        parts = urlsplit(listen)
        if "@" in parts.netloc:
            raise ValueError("listen must have no user and password: users= says who may log in")
        if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
            raise ValueError(f"listen must be amqp://HOST:PORT or amqps://HOST:PORT, not {listen!r}")
        try:
            check_port("the port of listen", self.listen_port, least=0)
        except ValueError:
            raise ValueError(f"the port of listen must be between 0 and 65535, in {listen!r}") from None
        if (parts.scheme == "amqps") is not (self.tls_cert is not None):
            raise ValueError("listen on amqps:// needs tls_cert, and tls_cert needs listen on amqps://")

    @property
    def listen_host(self) -> str | None:
        """The interface to listen on; None for all."""
        host = urlsplit(self.listen or "").hostname
        return None if host in {None, "0.0.0.0", "::", "*"} else host  # noqa: S104 - as the user said

    @property
    def listen_port(self) -> int:
        """The port to listen on."""
        parts = urlsplit(self.listen or "")
        port = parts.port
        return port if port is not None else 5671 if parts.scheme == "amqps" else 5672


@dataclass(frozen=True, kw_only=True)
class CFXConfig:
    """All that a `CFXTransport` is told.

    Args:
        endpoint: who it is, and where machines reach it.
        amqp: a broker, or another endpoint, that it connects to; None for none.
        max_message: bytes of one message or batch, unpacked, at the most.
        max_unsettled: bytes of messages of one connection, unpacked, that may wait for their handlers; one
            alone may have more, up to `max_message`.
        max_spooled: messages that may wait to be published while the peer is away, 1 or more.
        max_spooled_bytes: bytes that they may have together; one alone may have more.
        repeat_window: ids of messages by which a repeat is known, 1 or more.
        request_timeout: seconds after which a request is answered without its handler.
        no_results_for: seconds after which a machine that produces and sends no results is told of as a
            system event; None asks for none.
        fail_open: answer requests whose handler failed as if all were well, so that machines go on.
        exchange: the names of pywats-api 0.6 for exchange and queue of a broker.
        retry: its names for the delays between attempts to connect.
        auto_reconnect: must be True: a connection that is lost is always made again.
        publish_endpoint_connected: say EndpointConnected to a broker that is published to.
        publish_endpoint_disconnected: say EndpointShuttingDown to it.
        log_messages: log the name and the sender of each message.
        log_level: at which level; "DEBUG" to "CRITICAL".

    Raises:
        ValueError: if it would neither listen nor connect, or a value is out of its range.
    """

    endpoint: EndpointConfig
    amqp: AMQPConfig | None = None
    max_message: int = 128 * MiB
    max_unsettled: int = 32 * MiB
    max_spooled: int = 10_000
    max_spooled_bytes: int = 256 * MiB
    repeat_window: int = 10_000
    request_timeout: float = 5.0
    no_results_for: float | None = None
    fail_open: bool = False
    exchange: ExchangeConfig | None = None
    retry: RetryConfig = field(default_factory=RetryConfig)
    auto_reconnect: bool = True
    publish_endpoint_connected: bool = True
    publish_endpoint_disconnected: bool = True
    log_messages: bool = False
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if not isinstance(self.endpoint, EndpointConfig):
            raise TypeError(f"endpoint must be an EndpointConfig, not {type(self.endpoint).__name__}")
        if self.amqp is not None and not isinstance(self.amqp, AMQPConfig):
            raise TypeError(f"amqp must be an AMQPConfig or None, not {type(self.amqp).__name__}")
        if self.endpoint.listen is None and self.amqp is None:
            raise ValueError(
                "the endpoint neither listens nor connects: "
                "give EndpointConfig(listen=...) or amqp=AMQPConfig(...)"
            )
        self._check_values()
        if self.exchange is not None:
            self._take_names_of(self.exchange)

    def _check_values(self) -> None:
        for name in ("max_message", "max_unsettled", "max_spooled", "max_spooled_bytes", "repeat_window"):
            check_count(name, getattr(self, name))
        check_seconds("request_timeout", self.request_timeout)
        if self.no_results_for is not None:
            check_seconds("no_results_for", self.no_results_for)
        for name in SWITCHES:
            check_switch(name, getattr(self, name))
        if self.auto_reconnect is not True:
            raise ValueError(
                "auto_reconnect must be True: a connection that is lost is always made again; "
                "stop the transport to stay away"
            )
        if self.log_level not in LEVELS:
            raise ValueError(f"log_level must be one of {', '.join(LEVELS)}, not {self.log_level!r}")
        if not isinstance(self.retry, RetryConfig):
            raise TypeError(f"retry must be a RetryConfig, not {self.retry!r}")

    def _take_names_of(self, exchange: ExchangeConfig) -> None:
        """Say with our names what was said with those of 0.6."""
        if not isinstance(exchange, ExchangeConfig):
            raise TypeError(f"exchange must be an ExchangeConfig, not {exchange!r}")
        if self.amqp is None:
            raise ValueError("exchange is of a broker: give amqp=AMQPConfig(...) with it")
        handle = self.endpoint.cfx_handle.strip("/").replace("/", ".")
        amqp = replace(
            self.amqp,
            exchange=exchange.exchange_name,
            topics=tuple(exchange.binding_keys),
            prefetch=exchange.prefetch_count,
            queue=self.amqp.queue or f"{exchange.queue_name_prefix}.{handle}",
            publish=self.amqp.publish or f"/exchange/{exchange.exchange_name}",
        )
        object.__setattr__(self, "amqp", amqp)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read it from nested mappings, for instance of a YAML file; lists of texts may be lists there.

        Raises:
            TypeError: for a name that there is not, or one that is missing.
        """
        given = dict(values)
        kinds = {
            "endpoint": EndpointConfig,
            "amqp": AMQPConfig,
            "exchange": ExchangeConfig,
            "retry": RetryConfig,
        }
        for name, kind in kinds.items():
            inner = given.get(name)
            if isinstance(inner, Mapping):
                given[name] = kind(**inner)
            elif inner is None:
                given.pop(name, None)  # a key without a value in a file
        return cls(**given)
