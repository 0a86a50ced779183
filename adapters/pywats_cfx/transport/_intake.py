"""The way in: from a delivery to events on the bus, and back to its acknowledgement.

A delivery is accepted when every event of it is settled, or what came is among the dead letters:
never earlier, and never rejected for its content, as senders send what was rejected again for
ever. What was handed back is not accepted, and comes again with the next connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import trio

from pywats_cfx.amqp1 import AMQPMessage, Delivery
from pywats_cfx.convert import Converter
from pywats_cfx.errors import CFXDecodeError
from pywats_cfx.transport._keeping import KeptContext
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.transport._presence import Presence
from pywats_cfx.transport._repeats import Repeats
from pywats_cfx.transport._requests import Requests, is_request
from pywats_cfx.wire import Envelope, decode_each, seconds_of
from pywats_events import Event
from pywats_events.errors import BusStopped
from pywats_events.settlement import Receipt
from pywats_supervision.system import current_runtime

__all__ = ["FromPeer", "Intake", "Mail"]

logger: Final = logging.getLogger("pywats_cfx")

LARGE: Final = 1024 * 1024
"""Bytes from which on a message is decoded in a thread."""


class Mail(Protocol):
    """One delivery, whatever protocol it came by."""

    @property
    def body(self) -> bytes:
        """What was sent."""
        ...

    @property
    def source(self) -> str:
        """Who sent it, as far as the protocol tells."""
        ...

    def accept(self) -> object:
        """Tell its sender that it is safe here."""
        ...

    async def reply(self, answer: AMQPMessage) -> None:
        """Answer it; raises LookupError where it cannot be."""
        ...


class FromPeer:
    """A delivery by AMQP 1.0."""

    __slots__ = ("_delivery", "accept", "body")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.body: bytes = delivery.message.body
        self.accept: Callable[[], object] = delivery.accept

    async def reply(self, answer: AMQPMessage) -> None:
        """Answer it, on the link that its sender has opened for that."""
        await self._delivery.reply(answer)

    @property
    def source(self) -> str:
        """The peer's name, else the address."""
        return self._delivery.peer or self._delivery.address


class Bus(Protocol):
    """What the intake needs of its transport."""

    async def publish_event_async(self, event: Event) -> Receipt: ...
    def reject(self, raw: bytes, error: Exception, source: str = "") -> Receipt: ...
    def heard(self, envelope: Envelope, events: list[Event]) -> None: ...
    def back(self, source: str) -> None: ...


class _Fate:
    """What becomes of something with parts: `done` is told whether all of them are safe."""

    __slots__ = ("_done", "_open", "_safe")

    def __init__(self, done: Callable[[bool], object]) -> None:
        self._done = done
        self._open = 1
        self._safe = True

    def begin(self) -> None:
        """One more part."""
        self._open += 1

    def end(self, safe: bool) -> None:
        """A part is safe, or not."""
        self._open -= 1
        self._safe = self._safe and safe
        if self._open == 0:
            self._done(self._safe)


class Intake:
    """Takes deliveries.

    Args:
        bus: the transport that this is the way in of.
        converter: makes events of messages.
        requests: answers those that want an answer.
        presence: hears who is there.
        repeats: knows what came before.
        keeping: keeps what the messages told for later ones.
        max_message: bytes of JSON in one delivery, at the most.

    Attributes:
        messages: how many have come.
        broken: how many could not be read or converted, and became dead letters.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        converter: Converter,
        requests: Requests,
        presence: Presence,
        repeats: Repeats,
        keeping: KeptContext,
        max_message: int,
    ) -> None:
        self._bus = bus
        self._converter = converter
        self._requests = requests
        self._presence = presence
        self._repeats = repeats
        self._keeping = keeping
        self._max_message = max_message
        self.messages = self.broken = 0
        self._closing = False
        self._open = 0
        self._idle = trio.Event()

    async def drain(self) -> None:
        """Take nothing more, and wait until what was taken is settled.

        Cancelled: some of it is not acknowledged, and will come again.
        """
        self._closing = True
        while self._open:
            self._idle = trio.Event()
            await self._idle.wait()

    def open_again(self) -> None:
        """Take deliveries again, in another life."""
        self._closing = False
        self._open = 0

    async def take_from_peer(self, delivery: Delivery) -> None:
        """Take one delivery by AMQP 1.0, as `take`."""
        await self.take(FromPeer(delivery))

    async def take(self, delivery: Mail) -> None:
        """Take one delivery; waits at the bus's door while its handlers are full.

        Cancelled: it is not accepted, and comes again.
        """
        if self._closing or not await self._took(delivery):
            await trio.sleep_forever()  # it is not accepted, and comes again

    async def _took(self, delivery: Mail) -> bool:
        """Take it; False where the bus takes no more, which it does sooner than its transports are told."""
        body, source = delivery.body, delivery.source
        self._open += 1
        fate = _Fate(partial(self._done, delivery))
        safe = False
        try:
            for envelope in await self._decoded(body):
                if isinstance(envelope, CFXDecodeError):
                    self._reject(body, envelope, source, fate)
                elif is_request(envelope):
                    await self._answer(envelope, delivery)
                else:
                    await self._take_message(envelope, fate)
            safe = True
        except CFXDecodeError as error:
            self._reject(body, error, source, fate)
            safe = True
        except BusStopped:
            text = "%s: a delivery came while the bus stops, and is left to come again"
            logger.debug(text, source, extra={"sender": source})
        finally:
            fate.end(safe)
        return safe

    def _done(self, delivery: Mail, safe: bool) -> None:
        if safe:
            delivery.accept()
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def _decoded(self, body: bytes) -> list[Envelope | CFXDecodeError]:
        if len(body) < LARGE:
            return decode_each(body, max_message=self._max_message)
        decode = partial(decode_each, body, max_message=self._max_message)
        return await current_runtime().run_blocking(decode)

    def _reject(self, raw: bytes, error: Exception, source: str, fate: _Fate) -> None:
        self.broken += 1
        fate.begin()
        self._bus.reject(raw, error, source).add_secured_callback(lambda receipt: fate.end(receipt.secured))

    async def _take_message(self, envelope: Envelope, fate: _Fate) -> None:
        self.messages += 1
        self._hear(envelope)
        fate.begin()
        key = envelope.UniqueID or None
        if not self._repeats.is_new(key, fate.end):
            return
        try:
            events = self._converter.convert(envelope)
        except Exception as error:  # noqa: BLE001 - also a user's converter; the message is kept
            self._reject(envelope.raw or b"", error, envelope.Source or "", fate)
            self._conclude(key, fate, True)
            return
        changes = self._keeping.changes()
        self._bus.heard(envelope, events)
        whole = _Fate(partial(self._conclude, key, fate))
        safe = False
        try:
            for event in events:
                receipt = await self._bus.publish_event_async(event)
                whole.begin()
                receipt.add_secured_callback(lambda receipt: whole.end(receipt.secured))
            told = self._keeping.keep(changes) if changes else None
            if told is not None:
                whole.begin()
                told.add_done_callback(partial(whole.end, True))
            safe = True
        finally:
            whole.end(safe)  # not safe: the bus takes no more, or this life ends, and it comes again

    def _conclude(self, key: str | None, fate: _Fate, safe: bool) -> None:
        self._repeats.conclude(key, safe=safe)
        fate.end(safe)

    async def _answer(self, envelope: Envelope, delivery: Mail) -> None:
        """Answer a request on the link that it came with, whatever its handler does."""
        answer = await self._requests.answer(envelope)
        try:
            await delivery.reply(mail_of(answer))
        except LookupError as error:
            sender = envelope.Source
            extra = {"sender": sender}
            logger.warning("%s: %s cannot be answered: %s", sender, envelope.MessageName, error, extra=extra)

    def _hear(self, envelope: Envelope) -> None:
        source, name = envelope.Source, envelope.short_name
        if not source:
            return
        if name in {"EndpointShuttingDown", "StationOffline"}:
            self._presence.left(source)
            return
        heartbeat = None
        if name == "Heartbeat":
            heartbeat = seconds_of(getattr(envelope.MessageBody, "HeartbeatFrequency", None))
        if self._presence.heard(source, trio.current_time(), heartbeat):
            self._bus.back(source)
