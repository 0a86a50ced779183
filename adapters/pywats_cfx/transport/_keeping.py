"""What earlier messages told, beyond the process: a transport's context on a shelf of its bus's store.

Only what has changed is written, with the store's next batch, so a message that changes nothing costs
nothing. It is written after the events of its message, and before the message is accepted: one whose
context was lost comes again, and finds its events known and the context as it was before it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pywats_cfx.convert.context import (
    Change,
    Context,
    OpenFault,
    Part,
    Place,
    Recipe,
    Transaction,
    WorkOrderInfo,
)
from pywats_supervision.logs import GuardedLogger

if TYPE_CHECKING:  # without a store nobody needs SQLite
    from pywats_events.durability import Commit, Shelf, Store

__all__ = ["KeptContext"]

logger: Final = GuardedLogger("pywats_cfx")

_PLACE: Final = msgspec.json.Decoder(tuple[Part, str, str | int | None])
_VALUES: Final[dict[Part, msgspec.msgpack.Decoder[Any]]] = {
    "order": msgspec.msgpack.Decoder(tuple[datetime, WorkOrderInfo]),
    "transaction": msgspec.msgpack.Decoder(tuple[datetime, Transaction]),
    "fault": msgspec.msgpack.Decoder(tuple[datetime, OpenFault]),
    "recipe": msgspec.msgpack.Decoder(tuple[datetime, Recipe]),
    "operator": msgspec.msgpack.Decoder(tuple[datetime, str]),
    "state": msgspec.msgpack.Decoder(str),
}


class KeptContext:
    """A context that outlives the process.

    Args:
        context: what is known of all sources.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._context.noting = True
        self._shelf: Shelf | None = None

    async def open(self, store: Store, owner: str) -> None:
        """Take up what was known in earlier lives, and keep what changes; without effect if it is open.

        Args:
            store: an open one.
            owner: whose shelf it is.

        Cancelled: nothing has happened.
        """
        if self._shelf is not None:
            return
        # The context has bounds of its own, and what it forgets goes from the shelf too.
        shelf = await store.shelf(owner, max_count=sys.maxsize)
        self._context.noting = False
        unreadable = []
        for key, value in shelf.items():
            try:
                self._restore(Place(*_PLACE.decode(key)), value)
            except (msgspec.MsgspecError, TypeError, ValueError) as error:
                logger.warning(
                    "what was known of a source as %s cannot be read: %s; it is forgotten", key, error
                )
                unreadable.append(key)
        for key in unreadable:
            shelf.forget(key)
        self._context.noting = True
        self._shelf = shelf

    @property
    def durable(self) -> bool:
        """Whether there is a store that it is written to."""
        return self._shelf is not None

    def check(self, changes: Mapping[Place, Change]) -> None:
        """Check that what a message has changed can be written down.

        Raises:
            Exception: if it cannot; it says why.
        """
        if self._shelf is not None:
            for place, change in changes.items():
                msgspec.json.encode(place)
                msgspec.msgpack.encode(change.after)

    def keep(self, places: Iterable[Place]) -> Commit | None:
        """Write down what is known now at some places; after this commit it survives. None for nothing.

        Raises:
            StoreClosed: if the store was closed.
        """
        shelf, commit = self._shelf, None
        if shelf is None:
            return None
        for place in places:
            key = msgspec.json.encode(place).decode()
            value = self._context.at(place)
            if value is None:
                commit = shelf.forget(key) or commit
            else:
                commit = shelf.put(key, msgspec.msgpack.encode(value))
        return commit

    def _restore(self, place: Place, encoded: bytes) -> None:
        value, key = _VALUES[place.part].decode(encoded), place.key
        if place.part == "order":
            self._context.work_orders.put(str(key), value[1], value[0])
        else:
            self._context.of(place.source).put(place.part, key, value)
