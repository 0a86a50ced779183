"""The routing table: who takes which type of event, compiled when subscriptions change (pure).

The order of dispatch is by priority, lower first, then by the order of subscribing. A lookup is one
`dict` access; a type that nobody named is worked out when it is first looked up.

HOT: tests/benchmarks/bench_route.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar, final

from pywats_events.models.event_types import EventType

__all__ = ["RoutingTable", "Taker", "is_pattern", "takes"]


class Taker(Protocol):
    """A subscription, as far as the table is concerned."""

    @property
    def event_types(self) -> Sequence[str]:
        """Event types, and patterns such as "test.*"; empty for all but the bus's own."""
        ...

    @property
    def priority(self) -> int:
        """Lower is dispatched to first."""
        ...


TakerT = TypeVar("TakerT", bound=Taker)


def is_pattern(name: str) -> bool:
    """Whether a name stands for all event types that begin with it: "test.*"."""
    return name.endswith(".*") and "*" not in name[:-1]


@final
class RoutingTable(dict[EventType, tuple[TakerT, ...]]):
    """Those who take events of a type, by type; a change of subscriptions makes a new one."""

    __slots__ = ("_order",)

    _order: tuple[TakerT, ...]

    @classmethod
    def compile(cls, takers: Iterable[TakerT]) -> RoutingTable[TakerT]:
        """Make the table of some subscriptions.

        Args:
            takers: in the order of subscribing.
        """
        table: RoutingTable[TakerT] = cls()
        table._order = tuple(sorted(takers, key=lambda taker: taker.priority))
        for taker in table._order:
            for name in taker.event_types:
                if isinstance(name, EventType):
                    table[name] = table[name]
        return table

    def lookup(self, event_type: EventType) -> tuple[TakerT, ...]:
        """Those that take events of a type, in the order of their dispatch."""
        return self[event_type]

    def __missing__(self, event_type: EventType) -> tuple[TakerT, ...]:
        takers = tuple(taker for taker in self._order if takes(taker.event_types, event_type))
        self[event_type] = takers
        return takers


def takes(names: Sequence[str], event_type: EventType) -> bool:
    """Whether a subscription to some types, and patterns of types, takes a type.

    One that names nothing takes all events but those of the bus itself, which have to be named.
    """
    if not names:
        return not event_type.is_system
    return any(
        name == event_type or (is_pattern(name) and event_type.startswith(name[:-1])) for name in names
    )
