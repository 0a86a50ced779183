"""CFX on RabbitMQ's own protocol, AMQP 0-9-1: a queue of the endpoint's, and manual acknowledgements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from pywats_asyncio import AsyncioBridge
from pywats_cfx.amqp1.message import AMQPMessage
from pywats_cfx.config import AMQPConfig, CFXConfig
from pywats_cfx.transport._intake import Mail
from pywats_rabbitmq import Binding, RabbitConfig, RabbitConsumer, RabbitDelivery

__all__ = ["consumer_of", "routing_keys"]

ALL: Final = "#"


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
    rabbit = RabbitConfig(
        host=amqp.host,
        port=amqp.port,
        user=amqp.username or "guest",
        password=amqp.password or "guest",
        vhost=amqp.virtual_host,
        tls=amqp.use_ssl,
        ca_file=amqp.ssl_ca_path,
        cert_file=amqp.ssl_cert_path,
        key_file=amqp.ssl_key_path,
        connection_name=config.endpoint.cfx_handle,
        queue=queue_of(config, amqp),
        bindings=(Binding(amqp.exchange, routing_keys(amqp.topics)),) if amqp.exchange else (),
        prefetch=amqp.prefetch,
        prefetch_bytes=config.max_unsettled,
        max_message=config.max_message,
    )

    async def on_message(delivery: RabbitDelivery) -> None:
        await take(_Mail(delivery))

    # What is too large is told by its first bytes like anything else that cannot be read.
    return RabbitConsumer(bridge, rabbit, on_message, on_oversize=on_message)


class _Mail:
    """A delivery as the intake sees it."""

    def __init__(self, delivery: RabbitDelivery) -> None:
        self._delivery = delivery
        self.body: bytes = delivery.body
        self.source: str = delivery.routing_key

    def accept(self) -> None:
        """It is safe here."""
        self._delivery.token.ack()

    async def reply(self, answer: AMQPMessage) -> None:
        """Requests are not made through a queue."""
        del answer
        raise LookupError("a request that came through a queue has no link for its answer")
