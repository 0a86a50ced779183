"""What a bus gives up, on its way to the policy actor: nothing of it is settled before it is kept."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

from pywats_actors.workers import Workers
from pywats_events.bus._own_employer import OwnEmployer
from pywats_events.bus._policy_actor import Burial, PolicyPerformer, Rejected
from pywats_events.bus._system_events import SystemEvents
from pywats_events.errors import BusNotRunning, Untaken
from pywats_events.models.event import Event
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.settlement import Ledger, Outcome, Receipt
from pywats_supervision.policies.decision import Failure

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.bus._journaling import Journaling

__all__ = ["DeadLetters"]


class Bus(Protocol):
    """Whose they are."""

    name: str
    running: bool
    error_policy: ErrorPolicy
    ledger: Ledger
    journaling: Journaling | None
    system: SystemEvents


class DeadLetters:
    """The dead letters of one bus.

    Args:
        bus: whose they are.

    Attributes:
        workers: the policy actor, with what waits for it.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.workers: Workers[Burial | Rejected] = Workers(
            "store",
            OwnEmployer(bus.error_policy, partial(PolicyPerformer, bus.error_policy, self)),
            shared=True,
            capacity=inf,
            ordered=True,
        )

    def bury(self, receipt: Receipt, name: str, failure: Failure) -> None:
        """A subscription gave an event up."""
        receipt.give_up(name)
        self.workers.mailbox.put(Burial(receipt, name, failure))

    def rejecting(self) -> Receipt:
        """The receipt for input that is no event, on its way to `reject`; from any thread.

        Raises:
            BusNotRunning: if the bus does not run.
        """
        if not self._bus.running:
            raise BusNotRunning(f"bus {self._bus.name!r} is not running; it keeps no dead letters")
        return Receipt(None, (), self._bus.ledger, 1)

    def reject(self, receipt: Receipt, raw: bytes, error: Exception, source: str) -> None:
        """Input is no event; the receipt is settled when it is kept."""
        self._bus.ledger.accepted += 1
        if self._bus.running:
            self.workers.mailbox.put(Rejected(receipt, raw, error, source))
        else:
            receipt.conclude(source, Outcome.HANDED_BACK)  # a thread gave it while the bus was ending

    def untaken(self, receipt: Receipt) -> None:
        """No subscription takes an event."""
        self._bus.ledger.unrouted += 1
        if not self._bus.error_policy.dead_letter_unrouted:
            receipt.one_less()
            return
        event_type = receipt.event.type_name or str(receipt.event.event_type)
        error = Untaken(f"no subscription of bus {self._bus.name!r} takes {event_type!r}")
        self.bury(receipt, "", Failure(error))

    # What the policy actor reports

    def kept(self, receipt: Receipt, name: str) -> None:
        """What had no handler is among the dead letters: an event that nobody takes, or no event."""
        told = partial(receipt.ended, name, Outcome.DEAD_LETTERED)
        if self._bus.journaling is None:
            told()
        else:
            self._bus.journaling.kept(receipt, told)

    def dead_lettered(self, event: Event, name: str, error: Exception, attempts: int) -> None:
        """An event is among the dead letters."""
        self._bus.system.dead_lettered(event, name, error, attempts)

    def rejected(self, source: str, error: Exception) -> None:
        """Input that is no event is among the dead letters."""
        self._bus.system.rejected(source, error)
