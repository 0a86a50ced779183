"""A connection to RabbitMQ on the asyncio loop: opened, declared on, closed; its errors in our words.

Everything here runs on the loop, except `library` and `described`. No reconnecting: a connection that
breaks is an error, and the supervisor decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pywats_events.secrets import revealed
from pywats_rabbitmq.config import RabbitConfig
from pywats_rabbitmq.errors import (
    RabbitAccessRefused,
    RabbitConnectionLost,
    RabbitError,
    RabbitLoginRefused,
    RabbitNotFound,
    RabbitNotInstalled,
    RabbitPreconditionFailed,
    RabbitTlsFailed,
    RabbitUnreachable,
    RabbitVhostRefused,
)

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel

__all__ = [
    "CLOSE_TIMEOUT",
    "answered",
    "check_cancelled",
    "connected",
    "declare",
    "declare_exchanges",
    "described",
    "error_kinds",
    "library",
    "lost",
    "open_channel",
]

CLOSE_TIMEOUT = 3.0
"""Seconds; closing to a broker that hangs takes two."""


def library() -> Any:
    """The module aio_pika.

    Raises:
        RabbitNotInstalled: if it is missing; the text says how to get it.
    """
    try:
        import aio_pika
    except ImportError as error:
        raise RabbitNotInstalled(
            'RabbitMQ needs the library aio-pika: pip install "pywats-events[rabbitmq]"'
        ) from error
    return aio_pika


def error_kinds() -> Any:
    """The module of the errors of the library."""
    import aiormq.exceptions

    return aiormq.exceptions


@contextlib.asynccontextmanager
async def connected(config: RabbitConfig) -> AsyncIterator[AbstractConnection]:
    """A connection for the time of the block.

    Raises:
        RabbitError: a kind for each reason why there is none; the text says what to check.
    """
    try:
        context = await asyncio.to_thread(config.ssl_context)
    except OSError as error:
        raise RabbitTlsFailed(
            f"the TLS files for {config.place} cannot be used: {error}; check ca_file, cert_file and key_file"
        ) from error
    try:
        connection: AbstractConnection = await library().connect(
            host=config.host,
            port=config.port,
            login=config.user,
            password=revealed("password", config.password),
            virtualhost=config.vhost,
            ssl=config.tls,
            ssl_context=context,
            timeout=config.connect_timeout,
            heartbeat=config.heartbeat,
            client_properties={"connection_name": config.connection_name},
        )
    except Exception as error:
        raise described(error, config) from error
    try:
        yield connection
    finally:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            # It may be dying; its end is what counts, and what it failed with is known by other ways.
            await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT)


@contextlib.asynccontextmanager
async def answered(config: RabbitConfig) -> AsyncIterator[None]:
    """What the broker is asked in the block, it answers within `connect_timeout`.

    Heartbeats do not notice a broker that lives and whose queue does not answer.

    Raises:
        RabbitUnreachable: if it does not; the block is cancelled then.
    """
    try:
        async with asyncio.timeout(config.connect_timeout):
            yield
    except TimeoutError as error:
        raise described(error, config) from error


def check_cancelled() -> None:
    """Raise the cancellation that was asked for; before each wait without end.

    The library loses one now and then, when it comes while an answer of the broker does.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def open_channel(connection: AbstractConnection) -> AbstractChannel:
    """A raw channel, with confirms; unroutable messages raise where they were published."""
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    return await channel.get_underlay_channel()


async def declare(connection: AbstractConnection, config: RabbitConfig) -> None:
    """Make queue, exchanges and bindings, as far as the configuration says so.

    Raises:
        RabbitError: if something is there in another way, or may not be made.
    """
    await declare_exchanges(connection, config)
    try:
        if config.declare:
            await _declare_queue(connection, config)
        channel = await open_channel(connection)
        for binding in config.bindings:
            for key in binding.keys:
                await channel.queue_bind(config.queue, binding.exchange, key)
        await channel.close()
    except Exception as error:
        raise described(error, config) from error


async def declare_exchanges(connection: AbstractConnection, config: RabbitConfig) -> None:
    """Make the exchanges that are to be made where they are missing.

    Raises:
        RabbitError: if one is there in another way, or may not be made.
    """
    wanted = {one.exchange: one.declare for one in config.bindings if one.declare is not None}
    if not wanted:
        return
    try:
        channel = await open_channel(connection)
        for exchange, kind in wanted.items():
            await channel.exchange_declare(exchange, exchange_type=kind, durable=True)
        await channel.close()
    except Exception as error:
        raise described(error, config) from error


async def _declare_queue(connection: AbstractConnection, config: RabbitConfig) -> None:
    """Make the queue; where the kind is left open, one that is there is taken as it is."""
    kinds = error_kinds()
    if config.quorum is None:
        channel = await open_channel(connection)
        try:
            await channel.queue_declare(config.queue, passive=True)
        except kinds.ChannelNotFoundEntity:
            pass  # to be made; the broker has closed the channel
        else:
            await channel.close()
            return
    arguments = dict(config.arguments)
    if config.quorum or (config.quorum is None and config.durable and _has_quorum(connection)):
        arguments.setdefault("x-queue-type", "quorum")
    channel = await open_channel(connection)
    await channel.queue_declare(config.queue, durable=config.durable, arguments=arguments)
    await channel.close()


def _has_quorum(connection: AbstractConnection) -> bool:
    """Whether the server is a RabbitMQ of 3.8 or later."""
    assert connection.transport is not None
    properties = connection.transport.connection.server_properties
    version = str(properties.get("version", "0")).split(".")
    numbers = tuple(int(part) for part in version[:2] if part.isdigit())
    return properties.get("product") == "RabbitMQ" and numbers >= (3, 8)


def lost(error: BaseException | None, config: RabbitConfig) -> RabbitError:
    """The end of a channel that nobody here had asked for, in our words."""
    if isinstance(error, Exception) and not isinstance(error, ConnectionError):
        return described(error, config)
    return RabbitConnectionLost(f"the connection to {config.place} is lost: {error!r}")


def described(error: Exception, config: RabbitConfig) -> RabbitError:
    """An error of the library as the kind that says what to do; never with a secret in its text."""
    if isinstance(error, RabbitError):
        return error
    kinds = error_kinds()
    where, text = config.place, str(error)
    if isinstance(error, kinds.ProbableAuthenticationError | kinds.AuthenticationError):
        return RabbitLoginRefused(
            f"{where} refused the login: {text}; check user and password, and that the user may connect "
            "from here (RabbitMQ lets 'guest' in from its own machine only)"
        )
    if isinstance(error, kinds.ConnectionNotAllowed) or "Connection.OpenOk" in text:
        return RabbitVhostRefused(
            f"{where} refused the virtual host; check that it exists (rabbitmqctl list_vhosts) and that the "
            "user has permissions on it"
        )
    if isinstance(error, kinds.ChannelPreconditionFailed):
        return RabbitPreconditionFailed(
            f"{where}: {text}; make durable, quorum and arguments those of the queue or exchange that is "
            "there, or use declare=False"
        )
    if isinstance(error, kinds.ChannelAccessRefused):
        return RabbitAccessRefused(f"{where}: {text}; check the user's permissions on the virtual host")
    if isinstance(error, kinds.ChannelNotFoundEntity):
        return RabbitNotFound(f"{where}: {text}; check the name, or have it declared")
    if isinstance(error.__cause__, ssl.SSLError) or isinstance(error, ssl.SSLError):
        return RabbitTlsFailed(f"TLS with {where} failed: {text}; check ca_file, cert_file and the host name")
    if isinstance(error, TimeoutError):
        return RabbitUnreachable(
            f"{where} did not answer within {config.connect_timeout:g} s; check host, port and firewall"
        )
    if isinstance(error, OSError):
        return RabbitUnreachable(f"{where} cannot be reached: {text}; check host and port, and that it runs")
    return RabbitConnectionLost(f"the connection to {where} is lost: {error!r}")
