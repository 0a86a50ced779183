"""From a delivery's bytes to its messages, and from each message to its events, without holding the loop.

What is small is read and converted at once. What is large, unpacked, goes to a thread: one at a time, as
they would only wait for each other there. The converter with all that it remembers belongs to the trio
thread; it is lent to such a thread for one message, and who else wants to convert meanwhile waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from pywats_cfx.convert import Converter
from pywats_cfx.convert.context import Change, Place
from pywats_cfx.errors import CFXDecodeError, CFXTooLarge
from pywats_cfx.transport._allowance import Share
from pywats_cfx.transport._keeping import KeptContext
from pywats_cfx.wire import Envelope
from pywats_cfx.wire.decoding import decode_unpacked, unpacked
from pywats_events import Event
from pywats_supervision.system import current_runtime

if TYPE_CHECKING:  # without a store nobody needs SQLite
    from pywats_events.durability import Commit

__all__ = ["LARGE", "Converted", "Reading"]

LARGE: Final = 64 * 1024
"""Bytes from which on a message goes to a thread: reading it takes some 5 ms, going there much less."""


class Converted(NamedTuple):
    """What a message has become.

    Attributes:
        events: at least one.
        changes: what it has changed of what is remembered.
    """

    events: list[Event]
    changes: Mapping[Place, Change]


class Reading:
    """Reads and converts for one transport; belongs to the trio thread.

    Args:
        converter: makes events of messages.
        keeping: keeps what the messages told for later ones.
        max_message: bytes of JSON in one delivery, at the most.
    """

    def __init__(self, converter: Converter, keeping: KeptContext, *, max_message: int) -> None:
        self._converter = converter
        self._keeping = keeping
        self._max_message = max_message
        self._unpacking = trio.Lock()
        self._lent = trio.Lock()
        self._threads = trio.CapacityLimiter(2)  # one that unpacks, and one that converts
        self._to_undo: list[Mapping[Place, Change]] = []

    async def messages(self, body: bytes, share: Share) -> list[Envelope | CFXDecodeError]:
        """The messages of a delivery; waits, if it is large, until there is room for it.

        Args:
            body: as it was sent.
            share: where its bytes, unpacked, are counted.

        Raises:
            CFXDecodeError: if not even the single messages can be told apart.

        Cancelled: it is not counted.
        """
        try:
            text = unpacked(body, max_message=min(LARGE, self._max_message))
        except CFXTooLarge:
            return await self._large(body, share)
        share.take(len(text))
        return decode_unpacked(text)

    async def _large(self, body: bytes, share: Share) -> list[Envelope | CFXDecodeError]:
        while True:
            async with self._unpacking:
                if share.allowance.has_room:
                    read = self._unpacked_and_read
                    size, found = await current_runtime().run_blocking(read, body, limiter=self._threads)
                    share.take(size)
                    return found
            await share.allowance.wait_room()

    def _unpacked_and_read(self, body: bytes) -> tuple[int, list[Envelope | CFXDecodeError]]:
        text = unpacked(body, max_message=self._max_message)
        return len(text), decode_unpacked(text)

    async def convert(self, envelope: Envelope) -> Converted:
        """The events of a message; what it tells for later ones is remembered if it has any.

        Raises:
            Exception: if it makes no events, or, with a store, some that cannot be written down.

        Cancelled: as if it had not come.
        """
        large = len(envelope.raw or b"") >= LARGE
        if not large and not self._lent.locked():
            return self._converted(envelope)
        async with self._lent:
            try:
                if not large:
                    return self._converted(envelope)
                convert = self._converted
                return await current_runtime().run_blocking(convert, envelope, limiter=self._threads)
            finally:
                self._undo_all()

    def _converted(self, envelope: Envelope) -> Converted:
        context = self._converter.context
        changes: Mapping[Place, Change] = {}
        try:
            events = self._converter.convert(envelope)
            changes = context.take_changes()
            self._check(envelope, events)
            self._keeping.check(changes)
        except Exception:
            context.undo(changes or context.take_changes())
            raise
        return Converted(events, changes)

    def _check(self, envelope: Envelope, events: list[Event]) -> None:
        """Check that all of a message's events can enter the bus, before the first of them does."""
        for event in events:
            if not isinstance(event, Event):
                raise TypeError(f"the converter of {envelope.MessageName!r} made {event!r:.100}, no Event")
            if self._keeping.durable:
                event.to_msgpack()

    def undo(self, changes: Mapping[Place, Change]) -> None:
        """Forget what a message told that will come again."""
        self._to_undo.append(changes)
        if not self._lent.locked():
            self._undo_all()

    def _undo_all(self) -> None:
        while self._to_undo:
            self._converter.context.undo(self._to_undo.pop())

    async def keep(self, places: Iterable[Place]) -> Commit | None:
        """Write down what is remembered now at some places, as `KeptContext.keep`.

        Cancelled: it is not written down.
        """
        if not self._lent.locked():
            return self._keeping.keep(places)
        async with self._lent:
            return self._keeping.keep(places)
