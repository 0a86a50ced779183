"""The way in: from a delivery to events on the bus, and back to its acknowledgement.

A delivery is accepted when every event of it is settled, or what came is among the dead letters:
never earlier, and never rejected for its content, as senders send what was rejected again for
ever. What was handed back is not accepted, and comes again with the next connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import trio

from pywats_cfx.amqp1 import AMQPError, AMQPMessage, Delivery
from pywats_cfx.errors import CFXDecodeError, CFXError
from pywats_cfx.transport._allowance import Allowance, Share
from pywats_cfx.transport._presence import Presence
from pywats_cfx.transport._reading import Converted, Reading
from pywats_cfx.transport._repeats import Key, Repeats
from pywats_cfx.transport._requests import Requests, is_request
from pywats_cfx.wire import Envelope, seconds_of
from pywats_events import Event
from pywats_events.errors import BusStopped
from pywats_events.settlement import Receipt
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.system import current_runtime

__all__ = ["FromPeer", "Intake", "Mail"]

logger: Final = GuardedLogger("pywats_cfx")

HOLD: Final = 0.001
"""Seconds for which the messages of one batch may hold the loop."""


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

    @property
    def allowance(self) -> Allowance:
        """How many bytes of its connection may be here."""
        ...

    def accept(self) -> object:
        """Tell its sender that it is safe here."""
        ...

    async def reply(self, answer: AMQPMessage) -> None:
        """Answer it; raises LookupError where it cannot be."""
        ...


class FromPeer:
    """A delivery by AMQP 1.0."""

    __slots__ = ("_delivery", "accept", "allowance", "body")

    def __init__(self, delivery: Delivery, allowance: Allowance) -> None:
        self._delivery = delivery
        self.allowance: Allowance = allowance
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
        reading: makes messages of bytes, and events of messages.
        requests: answers those that want an answer.
        presence: hears who is there.
        repeats: knows what came before.
        max_unsettled: bytes of messages of one connection that may be here, unpacked.
        answer_within: seconds in which a peer takes the answer that it asked for.

    Attributes:
        messages: how many have come.
        broken: how many could not be read or converted, and became dead letters.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        reading: Reading,
        requests: Requests,
        presence: Presence,
        repeats: Repeats,
        max_unsettled: int,
        answer_within: float,
    ) -> None:
        self._bus = bus
        self._reading = reading
        self._requests = requests
        self._presence = presence
        self._repeats = repeats
        self._max_unsettled = max_unsettled
        self._answer_within = answer_within
        self._allowances: WeakKeyDictionary[object, Allowance] = WeakKeyDictionary()
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
        allowance = self._allowances.get(delivery.connection)
        if allowance is None:
            allowance = self._allowances[delivery.connection] = Allowance(self._max_unsettled)
        await self.take(FromPeer(delivery, allowance))

    async def take(self, delivery: Mail) -> None:
        """Take one delivery.

        Waits while as much of its connection is here as may be, and at the bus's door while its handlers
        are full.

        Cancelled: it is not accepted, and comes again.
        """
        await delivery.allowance.wait_room()
        if self._closing or not await self._took(delivery):
            await trio.sleep_forever()  # it is not accepted, and comes again

    async def _took(self, delivery: Mail) -> bool:
        """Take it; False where the bus takes no more, which it does sooner than its transports are told."""
        body, source = delivery.body, delivery.source
        self._open += 1
        share = Share(delivery.allowance)
        fate = _Fate(partial(self._done, delivery, share))
        safe = False
        try:
            found = await self._reading.messages(body, share)
            ticks = current_runtime().ticks
            until = ticks() + HOLD
            for envelope in found:
                if isinstance(envelope, CFXDecodeError):
                    self._reject(envelope.raw or body, envelope, source, fate)
                else:
                    await self._take_one(envelope, delivery, fate)
                if len(found) > 1 and ticks() >= until:
                    await trio.lowlevel.checkpoint()
                    until = ticks() + HOLD
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

    def _done(self, delivery: Mail, share: Share, safe: bool) -> None:
        share.give_back()
        if safe:
            delivery.accept()
        self._open -= 1
        if not self._open:
            self._idle.set()

    def _reject(self, raw: bytes, error: Exception, source: str, fate: _Fate) -> None:
        self.broken += 1
        fate.begin()
        self._bus.reject(raw, error, source).add_secured_callback(lambda receipt: fate.end(receipt.secured))

    async def _take_one(self, envelope: Envelope, delivery: Mail, fate: _Fate) -> None:
        self._hear(envelope)
        if is_request(envelope):
            await self._answer(envelope, delivery, fate)
        else:
            await self._take_message(envelope, fate)

    async def _take_message(self, envelope: Envelope, fate: _Fate) -> None:
        self.messages += 1
        fate.begin()
        # Some machines count their messages instead of giving them ids that no other's have.
        key = (envelope.Source, envelope.UniqueID) if envelope.UniqueID else None
        if not self._repeats.is_new(key, fate.end):
            return
        whole, safe = _Fate(partial(self._conclude, key, fate)), False
        try:
            try:
                converted = await self._reading.convert(envelope)
            except Exception as error:  # noqa: BLE001 - also a user's converter; the message is kept
                self._reject(envelope.raw or b"", error, envelope.Source or "", whole)
            else:
                await self._publish(envelope, converted, whole)
            safe = True
        finally:
            whole.end(safe)  # not safe: the bus takes no more, or this life ends, and it comes again

    async def _publish(self, envelope: Envelope, converted: Converted, whole: _Fate) -> None:
        events, changes = converted
        self._bus.heard(envelope, events)
        done = False
        try:
            for event in events:
                receipt = await self._bus.publish_event_async(event)
                whole.begin()
                receipt.add_secured_callback(lambda receipt: whole.end(receipt.secured))
            told = await self._reading.keep(changes) if changes else None
            done = True
        finally:
            if not done:
                self._reading.undo(changes)
        if told is not None:
            whole.begin()
            told.add_done_callback(partial(whole.end, True))

    def _conclude(self, key: Key | None, fate: _Fate, safe: bool) -> None:
        self._repeats.conclude(key, safe=safe)
        fate.end(safe)

    async def _answer(self, envelope: Envelope, delivery: Mail, fate: _Fate) -> None:
        """Answer a request on the link that it came with, whatever its handler does."""
        try:
            answer = await self._requests.answer(envelope)
        except CFXError as error:  # for instance half a character in its id
            self._reject(envelope.raw or b"", error, envelope.Source or "", fate)
            return
        reason: object = f"its sender has not taken an answer within {self._answer_within:g} s"
        with trio.move_on_after(self._answer_within):
            try:
                await delivery.reply(answer)
            except (LookupError, AMQPError) as error:
                reason = error
            else:
                return
        sender = envelope.Source
        extra = {"sender": sender}
        logger.warning("%s: %s cannot be answered: %s", sender, envelope.MessageName, reason, extra=extra)

    def _hear(self, envelope: Envelope) -> None:
        source, name = envelope.Source, envelope.short_name
        if not source or not _is_whole(source):
            return
        if name in {"EndpointShuttingDown", "StationOffline"}:
            self._presence.left(source)
            return
        heartbeat = None
        if name == "Heartbeat":
            heartbeat = seconds_of(getattr(envelope.MessageBody, "HeartbeatFrequency", None))
        if self._presence.heard(source, trio.current_time(), heartbeat):
            self._bus.back(source)


def _is_whole(text: str) -> bool:
    """Whether a text can be written; one with half a character cannot, and nobody has such a name."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
