"""Surroundings: where a handler runs, for what it has to remember beyond a life."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pywats_events.handlers._handler_actor import CURRENT_HAND

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability.store import Store

__all__ = ["Surroundings", "surroundings"]


class Surroundings(NamedTuple):
    """Where a handler runs."""

    name: str
    """That of its subscription: unique in its bus, and the same in the next life of the process."""
    store: Store | None
    """That of its bus; None if it has none."""


def surroundings() -> Surroundings | None:
    """Where the handler runs that calls this, in a hook or in `handle`; None outside of a bus.

    For instance, to remember something beyond the process::

        async def on_start(self):
            here = surroundings()
            if here is not None and here.store is not None:
                self._shelf = await here.store.shelf(f"handler:{here.name}")
    """
    hand = CURRENT_HAND.get()
    return None if hand is None else Surroundings(hand.office.name, hand.office.store)
