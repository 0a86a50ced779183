"""Redelivery: a dead letter goes once more to the handler that gave it up.

It stays among the dead letters until its new outcome is known, so that nothing is lost in between
and no journal has to know of it.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from pywats_events.bus._routing_actor import Routes, chosen
from pywats_events.bus._subscriptions import Subscription
from pywats_events.errors import BusStopped, EventsError
from pywats_events.models.event import Event
from pywats_events.policies.dead_letter_queue import DeadLetterEntry
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.settlement import Ledger, Outcome, Receipt
from pywats_supervision.logs import GuardedLogger

__all__ = ["Redelivery"]

logger: Final = GuardedLogger("pywats_events")


class Bus(Protocol):
    """What redelivery needs of its bus."""

    name: str
    subscriptions: list[Subscription]
    routes: Routes
    ledger: Ledger
    error_policy: ErrorPolicy


class Redelivery:
    """The dead letters of one bus that are on their way again.

    Args:
        bus: whose they are.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._under_way: dict[str, Receipt] = {}

    async def replay(self, letter: DeadLetterEntry) -> Receipt:
        """Deliver one again; see `AsyncEventBus.replay_dead_letter`."""
        under_way = self._under_way.get(letter.id)
        if under_way is not None:
            return under_way
        if letter.event is None:
            raise ValueError(
                f"dead letter {letter.id} from {letter.source!r} was no event, so no handler can take it; "
                "export it, and have its source send it again"
            )
        takers, doubtful = self._takers(letter, letter.event)
        receipt = Receipt(letter.event, takers, self._bus.ledger, len(takers), doubtful=doubtful)
        receipt.add_done_callback(lambda _: self._over(letter, receipt))
        self._under_way[letter.id] = receipt
        try:
            for taker in takers:
                await self._room_at(taker)
            self._bus.error_policy.dead_letter_queue.mark_replayed(letter.id)
        except BaseException:
            del self._under_way[letter.id]
            raise
        receipt.routed = len(takers)
        self._bus.ledger.accepted += 1
        for taker in takers:
            taker.mailbox.put(receipt)  # beside what is left on the disk for it: it was given that before
        return receipt

    async def _room_at(self, taker: Subscription) -> None:
        """Wait until a subscription can take one more. Cancelled: nothing has happened."""
        mailbox = taker.mailbox
        while mailbox.full and not mailbox.closed:
            heard = trio.Event()
            mailbox.hear_space(heard, mailbox.capacity)
            try:
                await heard.wait()
            finally:
                mailbox.unhear_space(heard)
        if mailbox.closed:
            raise BusStopped(f"bus {self._bus.name!r} has stopped; the dead letter stays one")

    def _takers(
        self, letter: DeadLetterEntry, event: Event
    ) -> tuple[tuple[Subscription, ...], tuple[str, ...]]:
        """The subscription that gave it up; if nobody had taken it, those that do now, as `chosen` gives."""
        if letter.handler_name is None:
            takers, doubtful = chosen(event, self._bus.routes[event.event_type].takers)
            if takers:
                return takers, doubtful
            raise LookupError(
                f"no subscription of bus {self._bus.name!r} takes the event of dead letter {letter.id}, of "
                f"type {event.type_name or str(event.event_type)!r}"
            )
        for subscription in self._bus.subscriptions:
            if subscription.name == letter.handler_name:
                return (subscription,), ()
        raise LookupError(
            f"bus {self._bus.name!r} has no subscription {letter.handler_name!r}, which dead letter "
            f"{letter.id} belongs to"
        )

    def _over(self, letter: DeadLetterEntry, receipt: Receipt) -> None:
        """It has come to an outcome; one that was handed back is still the dead letter that it was."""
        del self._under_way[letter.id]
        if not receipt.handed_back and Outcome.DROPPED not in receipt.outcomes.values():
            try:
                self._bus.error_policy.dead_letter_queue.drop(letter.id)
            except EventsError as error:
                text = "dead letter %s was replayed and stays one, as it cannot be taken out: %s"
                logger.error(text, letter.id, error)  # noqa: TRY400 - the error says it all
