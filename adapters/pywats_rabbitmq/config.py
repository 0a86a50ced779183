"""How to reach a RabbitMQ, what to declare there, and how much may be under way.

Values only, checked when they are made; passwords are in no text of them.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from pywats_events.secrets import SecretText, revealed

__all__ = ["Binding", "RabbitConfig"]

EXCHANGE_TYPES = ("topic", "direct", "fanout", "headers")


@dataclass(frozen=True, slots=True)
class Binding:
    """What a queue gets from an exchange.

    Args:
        exchange: its name; it must be there unless `declare` says of which type it is.
        keys: routing keys, or patterns of them for a topic exchange.
        declare: "topic", "direct", "fanout" or "headers" has it made, durable, where it is missing.
    """

    exchange: str
    keys: tuple[str, ...] = ("#",)
    declare: str | None = None

    def __post_init__(self) -> None:
        if not self.exchange or not isinstance(self.exchange, str):
            raise ValueError(
                f"exchange must be a name, not {self.exchange!r}; the default one needs no binding"
            )
        keys: object = self.keys
        if not isinstance(keys, tuple | list) or not keys or not all(isinstance(key, str) for key in keys):
            raise ValueError(f"keys must be a tuple of one str or more, not {keys!r}")
        object.__setattr__(self, "keys", tuple(keys))
        if self.declare is not None and self.declare not in EXCHANGE_TYPES:
            raise ValueError(f"declare must be one of {', '.join(EXCHANGE_TYPES)}, not {self.declare!r}")


@dataclass(frozen=True, slots=True)
class RabbitConfig:
    """One broker and, for a consumer, one queue.

    Args:
        url: "amqp://user:password@host:port/vhost", or "amqps://"; what it says wins over the fields.
        host: name or address of the broker.
        port: 1 to 65535; None means 5672, with TLS 5671.
        user: to log in as.
        password: of that user; or where it is kept, `env("NAME")` or `file(path)` (`pywats_events.secrets`).
        vhost: the virtual host.
        tls: encrypt, and check the broker's certificate.
        ca_file: certificates to trust, in PEM; None trusts what the system trusts.
        cert_file: our certificate, in PEM, where the broker asks for one.
        key_file: its key, in PEM; None where it is in `cert_file`.
        key_password: of the key; likewise.
        heartbeat: seconds, 1 to 65534; a hung broker is noticed after three of them.
        connect_timeout: seconds that connecting may take, and then each of declaring and consuming,
            above 0.
        connection_name: shown in RabbitMQ's management.
        queue: to consume from; required for a consumer.
        declare: make the queue where it is missing; False takes it as it is.
        durable: the queue outlives a restart of the broker.
        quorum: a quorum queue; None means: where the server has it (3.8), and unless the queue is there
            already as another kind.
        arguments: more of the queue's declaration, such as {"x-dead-letter-exchange": "dead"}.
        bindings: where the queue gets its messages from; none leaves it with its name as routing key.
        prefetch: so many messages may be unsettled, 1 to 65535.
        prefetch_bytes: with so many bytes unsettled, no more are asked for until half is settled. What the
            broker has sent by then still comes, `prefetch` messages at most.
        max_message: bytes of the largest message that is handed over.
    """

    url: InitVar[str | None] = None
    host: str = "localhost"
    port: int | None = None
    user: str = "guest"
    password: SecretText = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: SecretText | None = field(default=None, repr=False)
    heartbeat: int = 20
    connect_timeout: float = 10.0
    connection_name: str = "pywats"
    queue: str = ""
    declare: bool = True
    durable: bool = True
    quorum: bool | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    prefetch: int = 1000
    prefetch_bytes: int = 64 * 1024 * 1024
    max_message: int = 128 * 1024 * 1024

    def __post_init__(self, url: str | None) -> None:
        if url is not None:
            for name, value in _parts(url).items():
                object.__setattr__(self, name, value)
        if self.port is None:
            object.__setattr__(self, "port", 5671 if self.tls else 5672)
        object.__setattr__(self, "bindings", tuple(self.bindings))
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))
        for name in ("host", "user", "vhost"):
            value = getattr(self, name)
            if not value or not isinstance(value, str):
                raise ValueError(f"{name} must be a str that is not empty, not {value!r}")
        self._check_numbers()
        self._check_tls()
        if self.quorum and not self.durable:
            raise ValueError("quorum=True needs durable=True: a quorum queue is always durable")
        if not all(isinstance(binding, Binding) for binding in self.bindings):
            raise TypeError(f"bindings must be Binding values, not {self.bindings!r}")

    def _check_numbers(self) -> None:
        for name, low, high in (
            ("port", 1, 65535),
            ("heartbeat", 1, 65534),
            ("prefetch", 1, 65535),
            ("prefetch_bytes", 1, None),
            ("max_message", 1, None),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int, not {value!r}")
            if value < low or (high is not None and value > high):
                raise ValueError(
                    f"{name} must be at least {low}{f' and at most {high}' * bool(high)}, not {value!r}"
                )
        if not (isfinite(self.connect_timeout) and self.connect_timeout > 0):
            raise ValueError(f"connect_timeout must be above 0 and finite, not {self.connect_timeout!r}")

    def _check_tls(self) -> None:
        given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name) is not None]
        if given and not self.tls:
            raise ValueError(f"{given[0]} needs tls=True, or a URL that begins with amqps://")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file, the certificate it is the key of")

    @property
    def place(self) -> str:
        """Where it is, for texts: no secrets."""
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.host}:{self.port} (vhost {self.vhost!r}, user {self.user!r})"

    def ssl_context(self) -> ssl.SSLContext | None:
        """What TLS checks and shows; None without TLS. Reads the files: call it off the loop.

        Raises:
            OSError: if a file cannot be read, or is no PEM (ssl.SSLError).
        """
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            key_password = None if self.key_password is None else revealed("key_password", self.key_password)
            context.load_cert_chain(self.cert_file, self.key_file, key_password)
        return context


def _parts(url: str) -> dict[str, Any]:
    """The fields that a URL gives; its text is in no error, since it may hold a password."""
    split = urlsplit(url)
    if split.scheme not in {"amqp", "amqps"} or not split.hostname:
        raise ValueError("url must be like amqp://user:password@host:port/vhost, or begin with amqps://")
    if split.query or split.fragment:
        raise ValueError("url must end with the vhost; give options as fields")
    try:
        port = split.port
    except ValueError:
        raise ValueError("port of url must be a number, 1 to 65535") from None
    found: dict[str, Any] = {"host": split.hostname, "tls": split.scheme == "amqps"}
    if port is not None:
        found["port"] = port
    if split.username is not None:
        found["user"] = unquote(split.username)
    if split.password is not None:
        found["password"] = unquote(split.password)
    if split.path not in {"", "/"}:
        found["vhost"] = unquote(split.path[1:])
    return found
