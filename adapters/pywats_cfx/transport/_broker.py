"""The connection that an endpoint makes: by AMQP 1.0 to a broker or endpoint, or to RabbitMQ by its own.

It fails plainly, with the one error that says what to check, and is made again by its supervisor's Backoff.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import trio

from pywats_cfx.amqp1 import ClientConfig, Connection, Limits, WrongProtocol, client_tls, connect
from pywats_cfx.config import AMQPConfig, CFXConfig
from pywats_cfx.transport._intake import Intake
from pywats_cfx.transport._publishing import Publishing
from pywats_supervision import ChildContext
from pywats_supervision.logs import GuardedLogger

__all__ = ["Broker", "the_one", "tls_of"]

logger: Final = GuardedLogger("pywats_cfx")

RABBITMQ: Final = "RabbitMQ"
"""What it says that it is, by AMQP 1.0."""


def tls_of(amqp: AMQPConfig) -> ssl.SSLContext:
    """Whom to trust, and what to show, as the configuration says.

    Raises:
        OSError: if a file is not there, or is no certificate.
    """
    return client_tls(ca_file=amqp.ssl_ca_path, cert_file=amqp.ssl_cert_path, key_file=amqp.ssl_key_path)


class Broker:
    """The peer of `CFXConfig.amqp`.

    Args:
        name: of the transport.
        config: who this endpoint is.
        amqp: where the peer is.
        limits: what the connection may use.
        intake: takes what comes.
        publishing: has what goes out.
        on_up: called when messages can come.
        on_failed: told why there is no connection (any more).
    """

    def __init__(
        self,
        name: str,
        config: CFXConfig,
        amqp: AMQPConfig,
        *,
        limits: Limits,
        intake: Intake,
        publishing: Publishing,
        on_up: Callable[[], object],
        on_failed: Callable[[Exception], object],
    ) -> None:
        self._name = name
        self._config = config
        self._amqp = amqp
        self._limits = limits
        self._intake = intake
        self._publishing = publishing
        self._on_up = on_up
        self._on_failed = on_failed

    async def run(  # noqa: ASYNC114 - a child
        self, *, task_status: trio.TaskStatus[None], child: ChildContext
    ) -> None:
        """Connect, receive and publish until asked to stop.

        Raises:
            Exception: why there is no connection (any more), never in a group.

        Cancelled: what is not accepted comes again; what has no outcome stays in the spool.
        """
        task_status.started()
        failure: Exception | None = None
        try:
            if self._amqp.protocol == "amqp091":
                await self._consume(child)
            else:
                await self._converse(child)
        except* Exception as group:  # noqa: BLE001 - raised again, out of its group
            failure = the_one(group)
        if failure is not None:
            self._on_failed(failure)
            raise failure

    async def _converse(self, child: ChildContext) -> None:
        """Speak AMQP 1.0; or what the broker speaks, where the configuration leaves that open."""
        amqp = self._amqp
        config = ClientConfig(
            url=amqp.url,
            container=self._config.endpoint.cfx_handle,
            tls=tls_of(amqp) if amqp.use_ssl else None,
            certified=amqp.ssl_cert_path is not None,
            limits=self._limits,
        )
        extra = {"transport": self._name}
        try:
            async with connect(config) as connection:
                own = self._wants_a_queue and connection.product == RABBITMQ
                if not own:
                    await self._take_and_publish(connection, child)
                    return
            logger.info("%s: its own protocol is used, to declare a queue", self._name, extra=extra)
        except WrongProtocol as error:
            if amqp.protocol != "auto" or error.speaks != "AMQP 0-9-1":
                raise
            logger.info("%s: the broker speaks %s, so that is used", self._name, error.speaks, extra=extra)
        await self._consume(child)

    @property
    def _wants_a_queue(self) -> bool:
        """Whether what is to come can only be had from a queue that RabbitMQ's own protocol declares."""
        amqp = self._amqp
        if amqp.protocol != "auto" or amqp.subscribe:
            return False
        return amqp.queue is not None or amqp.publish is None

    async def _take_and_publish(self, connection: Connection, child: ChildContext) -> None:
        amqp = self._amqp
        for address in amqp.subscribe:
            await connection.open_receiver(address, self._intake.take_from_peer, credit=amqp.prefetch)
        self._on_up()
        if amqp.publish is not None:
            sender = await connection.open_sender(amqp.publish, window=amqp.window)
            await self._publishing.run(sender, child)
            return
        if not amqp.subscribe:
            text = "%s: nothing comes from %s, and nothing goes there: AMQPConfig(subscribe=..., publish=...)"
            logger.warning(text, self._name, amqp.host, extra={"transport": self._name})
        await child.wait_stopping()

    async def _consume(self, child: ChildContext) -> None:
        """Take from a queue of RabbitMQ by its own protocol, and publish."""
        from pywats_asyncio import AsyncioBridge  # only who uses it needs its extra
        from pywats_cfx.transport._rabbitmq import RabbitSender, consumer_of, publisher_of

        amqp = self._amqp
        bridge = AsyncioBridge(f"{self._name} bridge")
        consumer = consumer_of(bridge, self._config, amqp, self._intake.take)
        async with trio.open_nursery() as around:
            await around.start(bridge.run)
            sender = None
            if amqp.publish is not None:
                publisher = publisher_of(bridge, self._config, amqp)
                sender = RabbitSender(publisher, amqp.publish, self._config.endpoint.cfx_handle)
                await around.start(publisher.run)  # cancelled at last: goodbye goes through it
            async with trio.open_nursery() as nursery:
                if sender is not None:  # not after the consumer: its queue may take long to be there
                    nursery.start_soon(self._publishing.run, sender, child)
                await nursery.start(partial(consumer.run, child=child))
                self._on_up()
            around.cancel_scope.cancel()


def the_one(group: ExceptionGroup[Exception]) -> Exception:
    """The first error in nurseries' groups; those that came with it are noted in it."""
    first, *others = _leaves(group)
    for other in others:
        first.add_note(f"with it came {type(other).__name__}: {other}")
    return first


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
