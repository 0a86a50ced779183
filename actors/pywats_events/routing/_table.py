"""The routing table: who takes which type of event, compiled when subscriptions change (pure).

The order of dispatch is by priority, lower first, then by the order of subscribing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from pywats_events.models.event_types import EventType

__all__ = ["RoutingTable", "Taker"]


class Taker(Protocol):
    """A subscription, as far as the table is concerned."""

    @property
    def event_types(self) -> tuple[EventType, ...]:
        """What it takes; empty for all."""
        ...

    @property
    def priority(self) -> int:
        """Lower is dispatched to first."""
        ...


TakerT = TypeVar("TakerT", bound=Taker)


class RoutingTable(Generic[TakerT]):
    """An immutable table; a change of subscriptions makes a new one."""

    __slots__ = ("_order",)

    def __init__(self, order: tuple[TakerT, ...]) -> None:
        self._order = order

    @classmethod
    def compile(cls, takers: Iterable[TakerT]) -> RoutingTable[TakerT]:
        """Make the table of some subscriptions, given in the order of subscribing."""
        return cls(tuple(sorted(takers, key=lambda taker: taker.priority)))

    def lookup(self, event_type: EventType) -> tuple[TakerT, ...]:
        """Those that take events of a type, in the order of their dispatch.

        A handler that takes all events is spared those of the bus itself, which it has to name.
        """
        return tuple(
            taker
            for taker in self._order
            if event_type in taker.event_types or (not taker.event_types and not event_type.is_system)
        )
