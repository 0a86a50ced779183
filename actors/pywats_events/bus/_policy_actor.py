"""The policy actor: error policy and dead letters, as an actor of its own ("store" in the tree).

Every event whose handler gave up comes here, and settles only when its dead letter is kept:
while the queue of dead letters fails, nothing is settled and the event stays in hand.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from pywats_actors.performer import Performer
from pywats_events.models.event import Event
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_supervision.errors import said_by
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies.decision import Failure

__all__ = ["Burial", "PolicyPerformer", "Rejected"]

logger = GuardedLogger("pywats_events")


class Burial(msgspec.Struct, frozen=True):
    """An event that one subscription gave up, or that none takes.

    Attributes:
        receipt: of the event.
        name: of the subscription; empty if none takes it.
        failure: the last one, with the error and the number of attempts.
    """

    receipt: Receipt
    name: str
    failure: Failure


class Rejected(msgspec.Struct, frozen=True):
    """Input that could not be made an event.

    Attributes:
        receipt: for its source; settled when it is kept.
        raw: the input as it came.
        error: what is wrong with it.
        source: where it came from.
    """

    receipt: Receipt
    raw: bytes
    error: Exception
    source: str


class Announces(Protocol):
    """What the policy actor needs of its bus."""

    def dead_lettered(self, event: Event, name: str, error: Exception, attempts: int) -> None: ...

    def rejected(self, source: str, error: Exception) -> None: ...

    def kept(self, receipt: Receipt, name: str) -> None: ...


class PolicyPerformer(Performer[Burial | Rejected]):
    """One life of the policy actor."""

    __slots__ = ("_bus", "_policy")

    def __init__(self, policy: ErrorPolicy, bus: Announces) -> None:
        self._policy = policy
        self._bus = bus

    async def handle(self, message: Burial | Rejected) -> None:
        """Keep a dead letter; that of an event settles it."""
        if isinstance(message, Rejected):
            source = message.source
            logger.error(
                "input from %r is no event: %s",
                source,
                said_by(message.error),
                extra={"sender": source},
            )
            self._policy.dead_letter_queue.add(None, message.error, raw=message.raw, source=message.source)
            self._bus.kept(message.receipt, message.source)
            self._bus.rejected(message.source, message.error)
        elif message.name:
            self._bury(message)
        else:
            self._bury_untaken(message)

    def _bury(self, burial: Burial) -> None:
        receipt, failure = burial.receipt, burial.failure
        attempts = failure.attempt
        logger.error(
            "event %s: %r gave up after %s: %s",
            receipt.event.id,
            burial.name,
            "1 attempt" if attempts == 1 else f"{attempts} attempts",
            type(failure.error).__name__,
            extra={"event_id": receipt.event.id, "actor": burial.name, "attempt": attempts},
        )
        self._policy.dead_letter(receipt.event, failure.error, burial.name, attempts)
        receipt.conclude(burial.name, Outcome.DEAD_LETTERED)
        self._bus.dead_lettered(receipt.event, burial.name, failure.error, attempts)

    def _bury_untaken(self, burial: Burial) -> None:
        receipt, error = burial.receipt, burial.failure.error
        logger.error("event %s: %s", receipt.event.id, error, extra={"event_id": receipt.event.id})
        self._policy.dead_letter(receipt.event, error)
        self._bus.kept(receipt, burial.name)
        self._bus.dead_lettered(receipt.event, burial.name, error, receipt.event.attempt)
