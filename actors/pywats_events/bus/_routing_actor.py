"""The routing actor: takes accepted events and gives each to the subscriptions that take it.

It never waits: back-pressure is at the door (`Door`), where a publish from outside waits while a
subscription it goes to is full. A restarted router resumes where it was: what it had in hand is
in its mailbox, and how far it had come is in the receipt.

HOT: tests/benchmarks/bench_route.py.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

import trio

from pywats_actors.mailbox import Mailbox
from pywats_actors.performer import Performer
from pywats_events.bus._subscriptions import Subscription
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.routing._table import RoutingTable
from pywats_events.settlement import Receipt

__all__ = ["INBOX", "MARK", "Door", "Route", "RouterPerformer", "Routes", "chosen"]

INBOX: Final = 1024
"""Accepted events that wait for the router; it is woken at once, so this only bounds a burst."""


class Route:
    """Where one type of event goes.

    Attributes:
        takers: the subscriptions, in the order of their dispatch.
        filtered: one of them has a filter.
        open_until: while the bus has accepted fewer events in all, none of them can be full.
    """

    __slots__ = ("_bounding", "filtered", "open_until", "takers")

    def __init__(self, takers: tuple[Subscription, ...]) -> None:
        self.takers = takers
        self._bounding = tuple(taker.mailbox for taker in takers if taker.cursor is None)
        """Those that have nowhere else to leave what they have no room for."""
        self.filtered = any(taker.wants is not None for taker in takers)
        self.open_until = -inf

    def margin(self, inbox: Mailbox[Receipt]) -> float:
        """How many events can be accepted now before a taker, or the router's inbox, is full."""
        waiting = inbox.size
        least = inbox.capacity - waiting
        for mailbox in self._bounding:
            least = min(least, mailbox.capacity - mailbox.size - waiting)
        return least

    @property
    def full(self) -> Mailbox[Receipt] | None:
        """The first that is full."""
        return next((mailbox for mailbox in self._bounding if mailbox.full), None)


class Routes(dict[EventType, Route]):
    """The routes by event type, each compiled when it is first looked up."""

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        super().__init__()
        self._table: RoutingTable[Subscription] = RoutingTable.compile(subscriptions)

    def __missing__(self, event_type: EventType) -> Route:
        route = self[event_type] = Route(self._table.lookup(event_type))
        return route


class Door:
    """Where publishers from outside wait.

    Attributes:
        open: whether the bus runs and its inputs are not stopped.
    """

    __slots__ = ("_waiting", "inbox", "open")

    def __init__(self, inbox: Mailbox[Receipt]) -> None:
        self.inbox = inbox
        self.open = False
        self._waiting: dict[trio.Event, None] = {}

    def close(self) -> None:
        """Let nobody in any more."""
        self.open = False
        self.look_up()

    def look_up(self) -> None:
        """Have those that wait ask again: it has closed, or events go elsewhere now."""
        waiting, self._waiting = self._waiting, {}
        for heard in waiting:
            heard.set()

    async def wait(self, route: Route, accepted: int) -> None:
        """Wait until it is worth asking again whether an event on `route` can be accepted.

        Sets `Route.open_until` if it can. Returns also when the door closes, or routes change.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        margin = route.margin(self.inbox)
        if margin > 0:
            route.open_until = accepted + margin
            return
        full = route.full
        if (full or self.inbox).closed or not self.open:
            return
        if full is not None:
            await self._space_or_news(full, full.capacity)
        else:
            # No handler is full, but what waits for the router may fill one: it empties the
            # inbox in its next turn, or when it has been started again.
            await self._space_or_news(self.inbox, self.inbox.size)

    async def _space_or_news(self, mailbox: Mailbox[Receipt], below: float) -> None:
        heard = trio.Event()
        self._waiting[heard] = None
        mailbox.hear_space(heard, below)
        try:
            await heard.wait()
        finally:
            mailbox.unhear_space(heard)
            self._waiting.pop(heard, None)


class RouterPerformer(Performer[Receipt]):
    """One life of the routing actor.

    Args:
        untaken: given the receipt of an event that nobody takes.
    """

    __slots__ = ("_untaken",)

    def __init__(self, untaken: Callable[[Receipt], None]) -> None:
        self._untaken = untaken

    async def handle(self, receipt: Receipt) -> None:
        """Give one event to its takers. HOT."""
        takers = receipt.takers
        position = receipt.routed
        try:
            for taker in takers if not position else takers[position:]:
                put = taker.put  # an attribute, not a method: called at once it is looked up as one
                put(receipt)
                position += 1
        finally:
            receipt.routed = position
        if not takers:
            self._untaken(receipt)


class Mark:
    """Stands in the router's inbox where a subscription left: when it comes out, all before it is routed."""

    name: Final = ""

    def put(self, receipt: Receipt) -> None:
        """It came out."""
        receipt.one_less()

    def holds(self, receipt: Receipt) -> bool:
        """It never does."""
        del receipt
        return False


MARK: Final = Mark()


def chosen(
    event: Event, takers: tuple[Subscription, ...]
) -> tuple[tuple[Subscription, ...], tuple[str, ...]]:
    """The takers whose filter lets the event through, and the names of those whose filter raised.

    A filter is user code: one that raises is its own subscription's failure, so the event goes
    there, and raises again where that subscription's policy hears of it.
    """
    wanted, doubtful = [], []
    for taker in takers:
        try:
            if taker.wants is None or taker.wants(event):
                wanted.append(taker)
        except Exception:  # noqa: BLE001 - raised again by the worker, for its own policy
            wanted.append(taker)
            doubtful.append(taker.name)
    return tuple(wanted), tuple(doubtful)
