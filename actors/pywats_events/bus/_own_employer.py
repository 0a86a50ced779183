"""The employer of the bus's own actors, the router and the policy actor: at the end nothing stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pywats_actors.performer import Performer
from pywats_events.bus._policy_actor import Burial, Rejected
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.settlement import Outcome
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies.decision import Failure

__all__ = ["OwnEmployer"]

logger = GuardedLogger("pywats_events")


class OwnEmployer:
    """The employer of the router or of the policy actor: at the end nothing stays open."""

    def __init__(self, policy: ErrorPolicy, make: Callable[[], Performer[Any]]) -> None:
        self._letters = policy.dead_letter_queue
        self._keeps_untaken = policy.dead_letter_unrouted
        self._make = make

    def perform(self) -> Performer[Any]:
        """Make the performer of one life."""
        return self._make()

    def given_up(self, message: Any, failure: Failure) -> None:
        """Not reached: the bus's own actors have no policy that skips."""
        raise AssertionError(f"{message!r} was given up: {failure!r}")

    def left_over(self, message: Any) -> None:
        """The bus ended first: what it held is handed back."""
        if isinstance(message, Burial):
            message.receipt.conclude(message.name, Outcome.HANDED_BACK)
            return
        if isinstance(message, Rejected):
            self._reject(message)
            return
        for taker in message.takers[message.routed :]:
            message.conclude(taker.name, Outcome.HANDED_BACK)
        if message.takers:
            return
        if self._keeps_untaken:
            message.conclude("", Outcome.HANDED_BACK)
        else:
            message.one_less()

    def _reject(self, rejected: Rejected) -> None:
        try:
            self._letters.add(None, rejected.error, raw=rejected.raw, source=rejected.source)
        except Exception as error:  # noqa: BLE001 - a store that is closed, or a queue of the user's
            source = rejected.source
            logger.warning("input from %s is handed back: %s", source, error, extra={"sender": source})
            rejected.receipt.conclude(rejected.source, Outcome.HANDED_BACK)
        else:
            rejected.receipt.conclude(rejected.source, Outcome.DEAD_LETTERED)

    def closed(self) -> None:
        """Nobody watches these."""
