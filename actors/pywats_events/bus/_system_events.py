"""System events: what happens in the bus becomes events, once, and cannot loop.

They have a bounded lane of their own that drops the oldest, are never journaled, and hold up
nothing: a subscription that is full does not get them. A failure while one is handled is logged
and counted, and makes no other. They are made where somebody would hear of them: a subscription
that names their type, or a callback, which is told before them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from pywats_actors.mailbox import Mailbox
from pywats_actors.performer import Performer
from pywats_actors.workers import Workers
from pywats_events.bus._routing_actor import Routes, chosen
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.settlement import Ledger, Receipt
from pywats_supervision import ChildSpec
from pywats_supervision.errors import SupervisionFailed, error_text, said_by
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies.decision import Failure

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability import Alarm, Opened

__all__ = ["LANE", "SystemEvents"]

logger: Final = GuardedLogger("pywats_events")

LANE: Final = 1024
"""System events that may wait to be routed; beyond it the oldest are dropped, and counted."""


class Bus(Protocol):
    """What the system events need of their bus."""

    name: str
    routes: Routes
    ledger: Ledger
    running: bool
    on_system_event: list[Callable[[Event], object]]

    def tell(self, callbacks: list[Callable[..., object]], *args: Any) -> None: ...


class SystemEvents(Performer[Event]):
    """Makes system events and routes them.

    Attributes:
        made: how many were made.
        failed: how many could not be handled.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.made = 0
        self.failed = 0
        self.workers: Workers[Event] = Workers(
            "system events", self, shared=True, capacity=LANE, ordered=True
        )
        self._mailbox: Mailbox[Event] = self.workers.mailbox

    def spec(self) -> ChildSpec:
        """The child that routes them."""
        return self.workers.spec()

    @property
    def dropped(self) -> int:
        """How many were dropped because nobody took them fast enough."""
        return self._mailbox.dropped

    def announce(self, event_type: EventType, payload: dict[str, Any]) -> None:
        """Make a system event, if anybody hears of it; never waits."""
        if not self._bus.running or not (self._bus.on_system_event or self._bus.routes[event_type].takers):
            return
        self.made += 1
        if self._mailbox.full:
            self._mailbox.drop_oldest()
        self._mailbox.put(Event(event_type=event_type, payload=payload, source=self._bus.name))

    def handler_failed(self, name: str, event: Event, error: Exception) -> None:
        """One attempt of a handler failed."""
        if event.event_type.is_system:
            self.failed += 1
            return
        self.announce(
            EventType.HANDLER_ERROR,
            {
                "handler": name,
                "event_id": event.id,
                "event_type": str(event.event_type),
                "attempt": event.attempt,
                "error_type": type(error).__name__,
                "error_message": said_by(error),
            },
        )

    def dead_lettered(self, event: Event, name: str, error: Exception, attempts: int) -> None:
        """An event is among the dead letters."""
        if event.event_type.is_system:
            return
        self.announce(
            EventType.EVENT_DEAD_LETTER,
            {
                "handler": name or None,
                "event_id": event.id,
                "event_type": str(event.event_type),
                "attempts": attempts,
                "source": event.source,
                "error_type": type(error).__name__,
                "error_message": said_by(error),
            },
        )

    def rejected(self, source: str, error: Exception) -> None:
        """Input that is no event is among the dead letters."""
        self.announce(
            EventType.EVENT_DEAD_LETTER,
            {
                "handler": None,
                "event_id": None,
                "event_type": None,
                "attempts": 1,
                "source": source,
                "error_type": type(error).__name__,
                "error_message": said_by(error),
            },
        )

    def child_failed(self, branch: str, name: str, error: Exception) -> None:
        """A child of a branch failed as a whole, and is started again after a while."""
        while isinstance(error, SupervisionFailed):
            error = error.exceptions[-1]  # the newest of those that were too many for it
        logger.warning(
            "%r of the %s failed, and is started again: %s",
            name,
            branch,
            error_text(error),
            extra={"actor": name},
        )
        self.announce(
            EventType.CHILD_FAILED,
            {
                "branch": branch,
                "child": name,
                "error_type": type(error).__name__,
                "error_message": said_by(error),
            },
        )

    def store_fills(self, alarm: Alarm) -> None:
        """The store fills, or has room again."""
        self.announce(
            EventType.STORE_ALARM,
            {
                "level": alarm.level,
                "part": alarm.part,
                "hours_left": None if alarm.hours_left == inf else alarm.hours_left,
                "size": alarm.size,
                "bound": alarm.bound,
            },
        )

    def store_damaged(self, opened: Opened) -> None:
        """The store was damaged."""
        self.announce(
            EventType.STORE_DAMAGED,
            {
                "damage": opened.damage,
                "set_aside": None if opened.set_aside is None else str(opened.set_aside),
                "cut": opened.cut,
            },
        )

    # The routing of them, as an actor (see Employer, Performer)

    def perform(self) -> SystemEvents:
        """It routes them itself, in every life."""
        return self

    async def handle(self, event: Event) -> None:
        """Tell the callbacks of one, and give it to its takers, unless they are full."""
        if self._bus.on_system_event:
            self._bus.tell(self._bus.on_system_event, event)
        wanted, doubtful = chosen(event, self._bus.routes[event.event_type].takers)
        takers = [taker for taker in wanted if not taker.mailbox.full and not taker.mailbox.closed]
        if not takers:
            self._mailbox.dropped += bool(wanted)
            return
        receipt = Receipt(
            event, tuple(takers), self._bus.ledger, len(takers), routed=len(takers), doubtful=doubtful
        )
        self._bus.ledger.accepted += 1
        for taker in takers:
            taker.mailbox.put(receipt)

    # What its mailbox reports (see Owner)

    def given_up(self, message: Event, failure: Failure) -> None:
        """It could not be routed."""
        self.failed += 1

    def left_over(self, message: Event) -> None:
        """The bus ended first."""
        self._mailbox.dropped += 1

    def closed(self) -> None:
        """Nobody watches it."""
