"""RabbitPublisher: publishes with the broker's confirmation, so many at a time.

A life is one connection, as with the consumer. A publish that its connection leaves without an answer
raises: the broker may or may not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import trio

from pywats_asyncio import AsyncioBridge, CallCancelled
from pywats_rabbitmq._sending import Sending
from pywats_rabbitmq.config import RabbitConfig
from pywats_rabbitmq.connection import library
from pywats_rabbitmq.delivery import Properties
from pywats_rabbitmq.errors import RabbitConnectionLost, RabbitError, RabbitNotConnected
from pywats_supervision.context import ChildContext

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Publication", "RabbitPublisher"]


class Publication:
    """A message on its way to the broker, and what became of it."""

    __slots__ = ("_done", "_error")

    def __init__(self) -> None:
        self._done = trio.Event()
        self._error: RabbitError | None = None

    async def wait(self) -> None:
        """Wait until the broker has it.

        Cancelled: it is on its way all the same.

        Raises:
            RabbitError: as `RabbitPublisher.publish`.
        """
        await self._done.wait()
        if self._error is not None:
            raise self._error

    @property
    def done(self) -> bool:
        """Whether it is known what became of it."""
        return self._done.is_set()

    @property
    def error(self) -> RabbitError | None:
        """Why the broker does not have it; None as long as nothing says so."""
        return self._error

    def conclude(self, error: RabbitError | None) -> None:
        """Say what became of it, once."""
        self._error = error
        self._done.set()


class RabbitPublisher:
    """A publisher to one broker. `run` is a child's start; `publish` may be called by many tasks.

    Args:
        bridge: runs the asyncio side; it must be up.
        config: of the broker; of what it says of a queue only the exchanges are used that are to be made.
        window: so many may wait for their confirmation; more callers wait before they send. At least 1.

    Raises:
        RabbitNotInstalled: if aio-pika is missing.
    """

    def __init__(self, bridge: AsyncioBridge, config: RabbitConfig, *, window: int = 256) -> None:
        if window < 1:
            raise ValueError(f"window must be an int of at least 1, not {window!r}")
        library()
        self._bridge = bridge
        self._config: Final = config
        self._slots = trio.Semaphore(window)
        self._sending: Sending | None = None
        self._on_their_way: set[Publication] = set()

    @property
    def connected(self) -> bool:
        """Whether `publish` can be called."""
        return self._sending is not None

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
        child: ChildContext | None = None,
    ) -> None:
        """Keep a connection until asked to stop; what waits for its confirmation then still gets it.

        Cancelled: the connection is closed; what waits for its confirmation raises.

        Args:
            task_status: told when `publish` can be called.
            child: the life that asks it to stop; None where only a cancellation ends it.

        Raises:
            RabbitError: why there is no connection, or none any more.
            BridgeClosed: if the bridge does not run.
        """
        sending = Sending(self._config, up=lambda: self._bridge.post_to_trio(is_up))

        def is_up() -> None:
            self._sending = sending
            task_status.started()

        def stop() -> None:
            self._sending = None
            self._bridge.post(sending.finish)

        if child is not None:
            child.on_stopping(stop)
        try:
            await self._bridge.call(sending.serve)
        except CallCancelled as error:
            raise self._lost() from error
        finally:
            self._sending = None
            for publication in tuple(self._on_their_way):
                self._conclude(publication, self._lost())

    async def transmit(
        self,
        body: bytes,
        routing_key: str,
        *,
        exchange: str = "",
        properties: Properties | None = None,
        mandatory: bool = True,
    ) -> Publication:
        """Publish without waiting for the broker; what one task transmits keeps its order.

        Waits while as many as the window are on their way. Cancelled: nothing has happened.

        Args:
            body: bytes.
            routing_key: where it goes, at most 255 bytes.
            exchange: "" is the default one.
            properties: what to say of it; None says nothing.
            mandatory: it is an error if no queue takes it.

        Raises:
            RabbitNotConnected: if there is no connection now.
        """
        _check_key(routing_key)
        await self._slots.acquire()
        sending = self._sending
        if sending is None:
            self._slots.release()
            raise RabbitNotConnected(f"there is no connection to {self._config.place} now")
        publication = Publication()
        self._on_their_way.add(publication)

        def told(error: RabbitError | None) -> None:
            self._bridge.post_to_trio(self._conclude, publication, error)

        self._bridge.post(
            sending.begin, body, exchange, routing_key, properties or Properties(), mandatory, told
        )
        return publication

    def _conclude(self, publication: Publication, error: RabbitError | None) -> None:
        if publication in self._on_their_way:
            self._on_their_way.remove(publication)
            self._slots.release()
            publication.conclude(error)

    def _lost(self) -> RabbitConnectionLost:
        return RabbitConnectionLost(f"the connection to {self._config.place} is lost")

    async def publish(
        self,
        body: bytes,
        routing_key: str,
        *,
        exchange: str = "",
        headers: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        type: str | None = None,  # noqa: A002 - the name the protocol gives it
        app_id: str | None = None,
        timestamp: datetime | None = None,
        expiration: str | None = None,
        priority: int | None = None,
        persistent: bool = True,
        mandatory: bool = True,
    ) -> None:
        """Publish, and wait until the broker has taken it.

        Cancelled: before it is sent, nothing has happened; later, the broker may or may not have it.
        Several tasks may publish at once; the order between them is not kept (`transmit` keeps that of
        one task).

        Args:
            body: bytes.
            routing_key: where it goes; for the default exchange the name of the queue.
            exchange: "" is the default one.
            headers: see Properties for this and the following.
            content_type: a MIME type.
            message_id: an id by which receivers know a repeat.
            correlation_id: what this one answers.
            reply_to: where an answer is to go.
            type: of the message.
            app_id: the program that publishes.
            timestamp: aware.
            expiration: milliseconds, as text.
            priority: 0 to 255.
            persistent: it outlives a restart of the broker in a durable queue.
            mandatory: it is an error if no queue takes it.

        Raises:
            RabbitNotConnected: if there is no connection now.
            RabbitConnectionLost: if it broke before the answer.
            RabbitUnroutable: if no queue takes it.
            RabbitNotAccepted: if the broker refuses it.
            RabbitNotFound: if there is no such exchange; the broker closes the channel for that, so this
                life of the publisher ends too.
        """
        _check_key(routing_key)
        properties = Properties(
            headers=headers or {},
            content_type=content_type,
            message_id=message_id,
            correlation_id=correlation_id,
            reply_to=reply_to,
            type=type,
            app_id=app_id,
            timestamp=timestamp,
            expiration=expiration,
            priority=priority,
            persistent=persistent,
        )
        async with self._slots:
            sending = self._sending
            if sending is None:
                raise RabbitNotConnected(f"there is no connection to {self._config.place} now")
            try:
                await self._bridge.call(sending.publish, body, exchange, routing_key, properties, mandatory)
                return
            except CallCancelled as error:
                raise self._lost() from error
            except RabbitConnectionLost as error:
                lost = error
            # Where a whole tree is cancelled its connection may go first: that is no failure.
            await trio.lowlevel.checkpoint_if_cancelled()
            raise lost


def _check_key(routing_key: str) -> None:
    if len(routing_key.encode()) > 255:
        raise ValueError(f"routing_key must have at most 255 bytes, not {len(routing_key.encode())}")
