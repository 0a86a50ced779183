"""The asyncio side of a consumer: one connection from its start to its end.

One task connects, consumes, sends the acknowledgements that are due, pauses and resumes; everything
else only tells it what to do next. So a channel is written to from one place, in one order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from pywats_asyncio import Ack, AckWindow, Nack, Verdict
from pywats_rabbitmq.config import RabbitConfig
from pywats_rabbitmq.connection import (
    CLOSE_TIMEOUT,
    answered,
    check_cancelled,
    connected,
    declare,
    described,
    lost,
    open_channel,
)
from pywats_rabbitmq.errors import RabbitConsumerCancelled, RabbitError

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel, DeliveredMessage

__all__ = ["Receiving"]


class Receiving:  # HOT: tests/benchmarks/bench_rabbit.py
    """One connection that consumes.

    Args:
        config: of the broker and queue.
        window: the verdicts of this consumer; a new epoch of it is opened.
        deliver: called on the loop with each message.
        release: called on the loop with the size of what was settled.
        up: called on the loop when messages can come.
        gone: called on the loop, with the reason, when no verdict can be sent any more.
    """

    def __init__(
        self,
        config: RabbitConfig,
        window: AckWindow,
        *,
        deliver: Callable[[DeliveredMessage], object],
        release: Callable[[int], object],
        up: Callable[[], object],
        gone: Callable[[Exception], object],
    ) -> None:
        self._config = config
        self._window = window
        self._deliver = deliver
        self._release = release
        self._up = up
        self._gone = gone
        self._epoch = 0
        self._due = asyncio.Event()
        self._unsent: deque[Ack | Nack] = deque()
        self._consumer_tag: str | None = None
        self._wanted = True
        self._finishing = False
        self._asking = False
        self._failure: RabbitError | None = None

    async def serve(self) -> None:
        """Connect, consume, and acknowledge, until told to finish.

        Raises:
            RabbitError: why there is no connection, or none any more.
        """
        config = self._config
        async with connected(config) as connection:
            async with answered(config):
                await declare(connection, config)
                channel = await open_channel(connection)
            self._epoch = self._window.reopen()
            self._unsent.clear()
            channel.closing.add_done_callback(self._closed)
            channel.on_consumer_cancel_callbacks.add(self._cancelled_by_broker)
            try:
                async with self._answered():
                    await channel.basic_qos(prefetch_count=config.prefetch)
                await self._consume(channel)
                self._up()
                await self._work(channel)
            except RabbitError:
                raise
            except Exception as error:
                raise self._failure or lost(error, config) from error
            except asyncio.CancelledError:
                if self._failure is not None:
                    raise self._failure from None  # noqa: ASYNC104 - a dead link cancels
                with contextlib.suppress(Exception):  # the cancellation is what counts
                    await asyncio.wait_for(self._end(channel), CLOSE_TIMEOUT)
                raise
            finally:
                self._window.reopen()

    async def _work(self, channel: AbstractChannel) -> None:
        while True:
            check_cancelled()
            await self._due.wait()
            self._due.clear()
            if self._failure is not None:
                raise self._failure
            await self._send(channel)
            if self._wanted and self._consumer_tag is None:
                await self._consume(channel)
            elif not self._wanted and self._consumer_tag is not None:
                tag, self._consumer_tag = self._consumer_tag, None
                async with self._answered():
                    await channel.basic_cancel(tag)
            if self._finishing:
                await self._end(channel)
                return

    async def _end(self, channel: AbstractChannel) -> None:
        """Send what is left to say, and wait until the broker has it.

        It has when it answers that the channel is closed: of a connection that is closed at once, the
        library drops what it has not written yet.
        """
        self._finishing = True
        await self._send(channel)
        async with self._answered():
            await channel.close()

    async def _consume(self, channel: AbstractChannel) -> None:
        async with self._answered():
            answer = await channel.basic_consume(self._config.queue, self._arrived)
        self._consumer_tag = answer.consumer_tag

    @contextlib.asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        """A question that stays open where no answer comes: the library then closes the channel too."""
        self._asking = True
        async with answered(self._config):
            yield
        self._asking = False

    async def _send(self, channel: AbstractChannel) -> None:
        self._unsent += self._window.flush(last=self._finishing)
        while self._unsent:
            frame = self._unsent[0]  # stays there if this is cancelled, which it is before it is written
            if isinstance(frame, Ack):
                await channel.basic_ack(frame.tag, frame.multiple, wait=False)
            else:
                await channel.basic_nack(frame.tag, requeue=frame.requeue, wait=False)
            self._unsent.popleft()

    # Told by the library

    async def _arrived(self, message: DeliveredMessage) -> None:
        assert message.delivery_tag is not None
        try:
            self._window.deliver(message.delivery_tag)
            self._deliver(message)
        except Exception as error:  # noqa: BLE001 - the library would only log it, and the message hang
            self._fail(described(error, self._config))

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if closing.cancelled() else closing.exception()
        if not (self._asking and isinstance(error, asyncio.CancelledError)):
            self._fail(lost(error, self._config))

    def _cancelled_by_broker(self, _: object) -> None:
        self._fail(
            RabbitConsumerCancelled(
                f"{self._config.place} ended the consumer of queue {self._config.queue!r}; "
                "check that it is there"
            )
        )

    def _fail(self, error: RabbitError) -> None:
        if self._failure is None and not self._finishing:
            self._failure = error
            self._gone(error)
        self._due.set()

    # Told by the trio side, on the loop

    @property
    def epoch(self) -> int:
        """Which connection of this consumer it is."""
        return self._epoch

    def settle(self, epoch: int, tag: int, size: int, verdict: Verdict) -> None:
        """Have a verdict sent with the next ones."""
        if self._window.settle(epoch, tag, verdict):
            self._release(size)
            self._due.set()

    def want(self, wanted: bool) -> None:
        """Whether more messages are to come; changes nothing for those that are here."""
        if not self._finishing:
            self._wanted = wanted
            self._due.set()

    def finish(self) -> None:
        """Send the verdicts that are there, and end."""
        self._wanted = False
        self._finishing = True
        self._due.set()
