"""CFX on RabbitMQ's own protocol, AMQP 0-9-1: a queue of the endpoint's, and an exchange to publish to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from pywats_asyncio import AsyncioBridge
from pywats_cfx.amqp1 import AMQPMessage, Outcome
from pywats_cfx.config import AMQPConfig, CFXConfig
from pywats_cfx.config.addresses import destination_of
from pywats_cfx.transport._allowance import Allowance
from pywats_cfx.transport._intake import Mail
from pywats_rabbitmq import (
    Binding,
    Properties,
    Publication,
    RabbitConfig,
    RabbitConsumer,
    RabbitDelivery,
    RabbitError,
    RabbitNotAccepted,
    RabbitPublisher,
)

__all__ = ["RabbitSender", "consumer_of", "publisher_of", "routing_keys"]

ALL: Final = "#"
TLS_FILES: Final = {"ca_file": "ssl_ca_path", "cert_file": "ssl_cert_path", "key_file": "ssl_key_path"}


def routing_keys(topics: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that a queue is bound by for some topics.

    Through RabbitMQ's AMQP 1.0 plugin the routing key is `HANDLE.MessageName`, so a topic is bound
    with anything before it, too.
    """
    keys = [key for topic in topics for key in (topic, topic if topic.startswith(ALL) else f"{ALL}.{topic}")]
    return tuple(dict.fromkeys(keys))


def queue_of(config: CFXConfig, amqp: AMQPConfig) -> str:
    """The name of the endpoint's queue."""
    return amqp.queue or f"pywats.{config.endpoint.cfx_handle.strip('/').replace('/', '.')}"


def consumer_of(
    bridge: AsyncioBridge, config: CFXConfig, amqp: AMQPConfig, take: Callable[[Mail], Awaitable[None]]
) -> RabbitConsumer:
    """A consumer of the endpoint's queue, which it declares and binds.

    Args:
        bridge: to asyncio.
        config: of the endpoint.
        amqp: of the broker.
        take: awaited for one message after the other.
    """
    rabbit = _broker_of(
        config,
        amqp,
        queue=queue_of(config, amqp),
        bindings=_bindings_of(config, amqp),
    )
    here, allowance = config.endpoint.cfx_handle, Allowance(config.max_unsettled)

    async def on_message(delivery: RabbitDelivery) -> None:
        if delivery.properties.app_id == here:
            delivery.token.ack()  # what we publish ourselves is no news to us
        else:
            await take(_Mail(delivery, allowance))

    # What is too large is told by its first bytes like anything else that cannot be read.
    return RabbitConsumer(bridge, rabbit, on_message, on_oversize=on_message)


def _bindings_of(config: CFXConfig, amqp: AMQPConfig) -> tuple[Binding, ...]:
    if not amqp.exchange:
        return ()
    declare = None if config.exchange is None else config.exchange.exchange_type
    return (Binding(amqp.exchange, routing_keys(amqp.topics), declare),)


def publisher_of(bridge: AsyncioBridge, config: CFXConfig, amqp: AMQPConfig) -> RabbitPublisher:
    """A publisher to the broker, with the endpoint's window.

    Args:
        bridge: to asyncio.
        config: of the endpoint.
        amqp: of the broker.
    """
    rabbit = _broker_of(config, amqp, bindings=_bindings_of(config, amqp))
    return RabbitPublisher(bridge, rabbit, window=amqp.window)


def _broker_of(
    config: CFXConfig, amqp: AMQPConfig, *, queue: str = "", bindings: tuple[Binding, ...] = ()
) -> RabbitConfig:
    return RabbitConfig(
        host=amqp.host,
        port=amqp.port,
        user=amqp.username or "guest",
        password=amqp.password or "guest",
        vhost=amqp.virtual_host,
        tls=amqp.use_ssl,
        **({name: getattr(amqp, given) for name, given in TLS_FILES.items()} if amqp.use_ssl else {}),
        heartbeat=amqp.heartbeat,
        connect_timeout=amqp.connection_timeout,
        arguments=_arguments_of(config),
        connection_name=config.endpoint.cfx_handle,
        queue=queue,
        bindings=bindings,
        prefetch=amqp.prefetch,
        prefetch_bytes=config.max_unsettled,
        max_message=config.max_message,
    )


def _arguments_of(config: CFXConfig) -> dict[str, int]:
    ttl = None if config.exchange is None else config.exchange.message_ttl
    return {} if ttl is None else {"x-message-ttl": ttl}


class RabbitSender:
    """Publishes as a link of AMQP 1.0 sends.

    Args:
        publisher: connected.
        address: where to; see `destination_of`.
        here: the handle of this endpoint.
    """

    def __init__(self, publisher: RabbitPublisher, address: str, here: str) -> None:
        self.address: Final = address
        self._publisher = publisher
        self._exchange, self._key = destination_of(address)
        self._here = here

    async def transmit(self, message: AMQPMessage) -> _OnItsWay:
        """Send it as the next one; waits while as many as the window are on their way.

        Raises:
            RabbitNotConnected: if there is no connection now.
        """
        publication = await self._publisher.transmit(
            message.body,
            self._key or message.subject or "",
            exchange=self._exchange,
            properties=self._properties_of(message),
            mandatory=False,  # as by AMQP 1.0: whether somebody listens is not the endpoint's affair
        )
        return _OnItsWay(publication)

    async def send(self, message: AMQPMessage) -> Outcome:
        """Send one message, and wait for its outcome.

        Raises:
            RabbitNotConnected: if there is no connection now.
        """
        return await (await self.transmit(message)).wait()

    def _properties_of(self, message: AMQPMessage) -> Properties:
        made = message.creation_time
        return Properties(
            headers=dict(message.application_properties or {}),
            content_type=message.content_type,
            message_id=None if message.message_id is None else str(message.message_id),
            correlation_id=None if message.correlation_id is None else str(message.correlation_id),
            reply_to=message.reply_to,
            app_id=self._here,
            timestamp=None if made is None else datetime.fromtimestamp(made / 1000, UTC),
        )


class _OnItsWay:
    """A publication, with an outcome of AMQP 1.0."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication

    @property
    def outcome(self) -> Outcome | None:
        """What has become of it; None while nobody knows."""
        return _outcome_of(self._publication.error) if self._publication.done else None

    async def wait(self) -> Outcome:
        """Wait for what becomes of it. Cancelled: it is on its way all the same."""
        try:
            await self._publication.wait()
        except RabbitError as error:
            return _outcome_of(error)
        return Outcome.ACCEPTED


def _outcome_of(error: RabbitError | None) -> Outcome:
    if error is None:
        return Outcome.ACCEPTED
    return Outcome.RELEASED if isinstance(error, RabbitNotAccepted) else Outcome.LOST


class _Mail:
    """A delivery as the intake sees it."""

    def __init__(self, delivery: RabbitDelivery, allowance: Allowance) -> None:
        self._delivery = delivery
        self.allowance: Allowance = allowance
        self.body: bytes = delivery.body
        self.source: str = delivery.routing_key

    def accept(self) -> None:
        """It is safe here."""
        self._delivery.token.ack()

    async def reply(self, answer: AMQPMessage) -> None:
        """Requests are not made through a queue."""
        del answer
        raise LookupError("a request that came through a queue has no link for its answer")
