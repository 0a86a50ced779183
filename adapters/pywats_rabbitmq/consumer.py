"""RabbitConsumer: hands each message of a queue to a callback on trio, and settles what the callback says.

A life is one connection. It ends with an error when the connection does, and the supervisor begins
the next; verdicts on messages of an earlier life are dropped, since the broker delivers them again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from pywats_asyncio import AckWindow, AsyncioBridge, CallCancelled, Inbox, Verdict
from pywats_rabbitmq._receiving import Receiving
from pywats_rabbitmq.config import RabbitConfig
from pywats_rabbitmq.connection import library
from pywats_rabbitmq.delivery import Properties, RabbitDelivery, Token
from pywats_rabbitmq.errors import RabbitConnectionLost
from pywats_supervision.context import ChildContext
from pywats_supervision.logs import GuardedLogger

if TYPE_CHECKING:
    from aiormq.abc import DeliveredMessage

__all__ = ["RabbitConsumer"]

logger: Final = GuardedLogger("pywats_rabbitmq")

Callback = Callable[[RabbitDelivery], Awaitable[object] | object]


class RabbitConsumer:
    """A consumer of one queue, with manual acknowledgement.

    `run` is a child's start. The callback is called for one message after the other, in the order of
    the queue; it need not wait until the message is settled: up to `prefetch` may be open.

    Args:
        bridge: runs the asyncio side; it must be up.
        config: of the broker and queue.
        on_message: sync or async, on trio. What it raises ends this life: the messages that are not
            settled then are delivered again.
        on_oversize: called instead for a message above `max_message`; None rejects such a message, so
            that the queue's dead letter exchange gets it, and logs an error.

    Raises:
        RabbitNotInstalled: if aio-pika is missing.
    """

    def __init__(
        self,
        bridge: AsyncioBridge,
        config: RabbitConfig,
        on_message: Callback,
        *,
        on_oversize: Callback | None = None,
    ) -> None:
        if not config.queue:
            raise ValueError("queue of the configuration must name the queue to consume from, not ''")
        library()
        self._bridge = bridge
        self._config = config
        self._on_message = on_message
        self._on_oversize = on_oversize or self._reject
        self._window = AckWindow(config.prefetch)
        self._running = False

    async def run(  # noqa: ASYNC128 - started() is called when the loop says that it is up
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
        child: ChildContext | None = None,
    ) -> None:
        """Consume until asked to stop.

        Asked to stop, it asks for no more messages, waits until those in the callback's hands are settled,
        and sends the verdicts. What was not handed over stays in the queue.

        Cancelled: the verdicts that are there are sent and the connection is closed; what is not settled by
        then is delivered again.

        Args:
            task_status: told when messages can come.
            child: the life that asks it to stop; None where only a cancellation ends it.

        Raises:
            RabbitError: why there is no connection, or none any more.
            BridgeClosed: if the bridge does not run.
        """
        if self._running:
            raise RuntimeError(f"the consumer of queue {self._config.queue!r} is running already")
        self._running = True
        life = _Life(self._bridge, self._config, self._window)
        try:
            await life.run(self._hand_over, task_status, child)
        finally:
            self._running = False

    async def _hand_over(self, delivery: RabbitDelivery) -> None:
        oversize = len(delivery.body) > self._config.max_message
        answer = (self._on_oversize if oversize else self._on_message)(delivery)
        if isinstance(answer, Awaitable):
            await answer

    def _reject(self, delivery: RabbitDelivery) -> None:
        logger.error(
            "queue %r: a message of %d bytes was rejected, above max_message=%d; routing key %r",
            self._config.queue,
            len(delivery.body),
            self._config.max_message,
            delivery.routing_key,
            extra={"sender": self._config.queue},
        )
        delivery.token.reject()


class _Life:  # HOT: tests/benchmarks/bench_rabbit.py
    """One connection, seen from trio."""

    def __init__(self, bridge: AsyncioBridge, config: RabbitConfig, window: AckWindow) -> None:
        self._bridge = bridge
        self._config = config
        self._inbox: Inbox[RabbitDelivery] = Inbox(
            bridge,
            max_items=2 * config.prefetch,  # prefetch itself bounds the number
            max_bytes=config.prefetch_bytes,
            on_full=lambda: self._receiving.want(False),
            on_room=lambda: self._receiving.want(True),
        )
        self._receiving = Receiving(
            config,
            window,
            deliver=self._deliver,
            release=self._inbox.release,
            up=lambda: bridge.post_to_trio(self._is_up),
            gone=lambda error: bridge.post_to_trio(self._inbox.close, error),
        )
        self._task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        self._in_hand = 0
        self._stopping = False
        self._all_settled = trio.Event()

    async def run(  # noqa: ASYNC128 - as above
        self,
        hand_over: Callable[[RabbitDelivery], Awaitable[None]],
        task_status: trio.TaskStatus[None],
        child: ChildContext | None,
    ) -> None:
        """Live it."""
        self._task_status = task_status
        failure: list[Exception] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, nursery.cancel_scope, failure)
            if child is not None:
                child.on_stopping(self._stop)
            try:
                await self._hand_on(hand_over)
            except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery's group
                failure.append(error)
                nursery.cancel_scope.cancel()
            else:
                await self._all_settled.wait()
                self._bridge.post(self._receiving.finish)
        if failure:
            raise failure[0]

    async def _serve(self, scope: trio.CancelScope, failure: list[Exception]) -> None:
        try:
            await self._bridge.call(self._receiving.serve)
        except CallCancelled as error:
            failure.append(RabbitConnectionLost(f"the connection to {self._config.place} is lost: {error}"))
        except Exception as error:  # noqa: BLE001 - raised by run, outside of the nursery's group
            failure.append(error)
        scope.cancel()

    async def _hand_on(self, hand_over: Callable[[RabbitDelivery], Awaitable[None]]) -> None:
        while not self._stopping:
            deliveries = await self._receive()
            while deliveries and not self._stopping:
                self._in_hand += 1
                await hand_over(deliveries.popleft())

    async def _receive(self) -> deque[RabbitDelivery]:
        try:
            return deque(await self._inbox.receive())
        except _Stopping:
            return deque()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._bridge.post(self._receiving.want, False)
            self._inbox.close(_Stopping())
            self._check_settled()

    def _check_settled(self) -> None:
        if self._stopping and not self._in_hand:
            self._all_settled.set()

    def _is_up(self) -> None:
        self._task_status.started()

    def settle(self, token: Token, verdict: Verdict) -> None:
        """Pass a verdict on to the loop; on trio."""
        self._in_hand -= 1
        self._bridge.post(self._receiving.settle, token.epoch, token.tag, token.size, verdict)
        self._check_settled()

    def _deliver(self, message: DeliveredMessage) -> None:
        """On the loop: a message as plain values into the inbox."""
        size = len(message.body)
        tag = message.delivery_tag
        assert tag is not None
        token = Token(self, self._receiving.epoch, tag, size)
        delivery = RabbitDelivery(
            message.body,
            message.exchange or "",
            message.routing_key or "",
            bool(message.redelivered),
            _properties_of(message.header.properties),
            token,
        )
        self._inbox.put(delivery, size)


class _Stopping(Exception):
    """Ends the waiting for messages when the life is to stop."""


def _properties_of(wire: Any) -> Properties:
    """What the library parsed, as ours."""
    return Properties(
        headers=wire.headers or {},
        content_type=wire.content_type,
        content_encoding=wire.content_encoding,
        message_id=wire.message_id,
        correlation_id=wire.correlation_id,
        reply_to=wire.reply_to,
        type=wire.message_type,
        app_id=wire.app_id,
        user_id=wire.user_id,
        timestamp=wire.timestamp,
        expiration=wire.expiration,
        priority=wire.priority,
        persistent=wire.delivery_mode == 2,
    )
