"""The asyncio side of a publisher: one connection from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pywats_rabbitmq.config import RabbitConfig
from pywats_rabbitmq.connection import (
    check_cancelled,
    connected,
    declare_exchanges,
    error_kinds,
    lost,
    open_channel,
)
from pywats_rabbitmq.delivery import Properties
from pywats_rabbitmq.errors import RabbitConnectionLost, RabbitError, RabbitNotAccepted, RabbitUnroutable

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

__all__ = ["Sending"]


class Sending:
    """One connection that publishes.

    Args:
        config: of the broker.
        up: called on the loop when it can publish.
    """

    def __init__(self, config: RabbitConfig, *, up: Callable[[], object]) -> None:
        self._config = config
        self._up = up
        self._channel: AbstractChannel | None = None
        self._open = 0
        self._begun: set[asyncio.Task[None]] = set()
        self._finishing = False
        self._failure: RabbitError | None = None
        self._due = asyncio.Event()

    async def serve(self) -> None:
        """Connect, and stay so until told to finish and nothing waits for its confirmation.

        Raises:
            RabbitError: why there is no connection, or none any more.
        """
        async with connected(self._config) as connection:
            await declare_exchanges(connection, self._config)
            channel = await open_channel(connection)
            channel.closing.add_done_callback(self._closed)
            self._channel = channel
            self._up()
            try:
                while not (self._finishing and not self._open and not self._begun):
                    if self._failure is not None:
                        raise self._failure
                    self._due.clear()
                    check_cancelled()
                    await self._due.wait()
            except asyncio.CancelledError:
                if self._failure is not None:
                    raise self._failure from None  # noqa: ASYNC104 - a dead link cancels
                raise
            finally:
                self._channel = None

    async def publish(
        self, body: bytes, exchange: str, routing_key: str, properties: Properties, mandatory: bool
    ) -> None:
        """Publish, and wait for the confirmation.

        Raises:
            RabbitError: if the broker has not taken it, or the connection broke.
        """
        channel = self._channel
        if channel is None:
            raise RabbitConnectionLost(f"the connection to {self._config.place} is lost")
        kinds = error_kinds()
        self._open += 1
        try:
            await channel.basic_publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                properties=on_wire(properties),
                mandatory=mandatory,
            )
        except kinds.PublishError as error:
            raise RabbitUnroutable(
                f"no queue of {self._config.place} takes routing key {routing_key!r} of exchange "
                f"{exchange!r}; check the bindings"
            ) from error
        except kinds.DeliveryError as error:
            raise RabbitNotAccepted(
                f"{self._config.place} did not take what was published with routing key {routing_key!r}"
            ) from error
        except Exception as error:
            raise self._failure or lost(error, self._config) from error
        finally:
            self._open -= 1
            if self._finishing:
                self._due.set()

    def begin(
        self,
        body: bytes,
        exchange: str,
        routing_key: str,
        properties: Properties,
        mandatory: bool,
        told: Callable[[RabbitError | None], object],
    ) -> None:
        """Publish without waiting, in the order of the calls.

        Args:
            body: as the following, see `RabbitPublisher.publish`.
            exchange: as above.
            routing_key: as above.
            properties: as above.
            mandatory: as above.
            told: called on the loop with why the broker may not have it, or with None once it has.
        """
        # Tasks begin in the order they are made, and the channel's lock is given in that order too.
        task = asyncio.get_running_loop().create_task(
            self.publish(body, exchange, routing_key, properties, mandatory)
        )
        self._begun.add(task)
        task.add_done_callback(lambda task: self._ended(task, told))

    def _ended(self, task: asyncio.Task[None], told: Callable[[RabbitError | None], object]) -> None:
        self._begun.discard(task)
        if self._finishing:
            self._due.set()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None or isinstance(error, RabbitError):
            told(error)
        else:
            told(self._failure or lost(error, self._config))

    def finish(self) -> None:
        """End when nothing waits for its confirmation any more."""
        self._finishing = True
        self._due.set()

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if closing.cancelled() else closing.exception()
        if self._failure is None:
            self._failure = lost(error, self._config)
        self._due.set()


def on_wire(properties: Properties) -> Any:
    """As the library writes it."""
    from pamqp.commands import Basic

    return Basic.Properties(
        headers=dict(properties.headers) or None,
        content_type=properties.content_type,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        message_type=properties.type,
        app_id=properties.app_id,
        timestamp=properties.timestamp,
        expiration=properties.expiration,
        priority=properties.priority,
        delivery_mode=2 if properties.persistent else 1,
    )
