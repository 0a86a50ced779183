"""Backoff: a child that fails lives again after a growing delay, for ever.

The one formula of growing delays (`growing_delay`) stands here, for items (`RetryPolicy`) as for
children. A delay grows by a factor with each failure in a row up to a maximum; chance then
spreads it around that value, never above the maximum, so that many who failed together do not
all come back together, not even at the maximum.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from pywats_supervision.policies.checks import checked_number
from pywats_supervision.policies.decision import Decision, Failure, Restart, RestartPolicy, Retry, Verdict

__all__ = ["Backoff", "BackoffState", "asked_delay", "growing_delay"]


def growing_delay(
    count: int, *, initial: float, maximum: float, factor: float, jitter: float, chance: float
) -> float:
    """The delay after the `count`-th failure in a row, in seconds; between 0 and `maximum`.

    Args:
        count: 1 for the first failure; gives `initial`.
        initial: seconds.
        maximum: seconds; no delay is longer.
        factor: by which each delay is longer than the one before, at least 1.
        jitter: the part of the delay, 0 to 1, by which chance may shorten or lengthen it.
        chance: a number in [0, 1).
    """
    if initial == 0.0:
        return 0.0
    try:
        grown = initial * float(factor) ** (count - 1)
    except OverflowError:
        grown = inf
    delay = min(grown, maximum)
    low, high = delay * (1.0 - jitter), min(delay * (1.0 + jitter), maximum)
    return min(low + (high - low) * chance, high)


def asked_delay(error: Exception) -> float:
    """The seconds that `error.retry_after` asks for; 0.0 if it has none, or one that makes no sense."""
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return 0.0
    return float(asked) if 0.0 <= asked <= sys.float_info.max else 0.0


@dataclass(eq=False, slots=True)
class BackoffState:
    """What one user of a `Backoff` keeps.

    Attributes:
        chance: gives numbers in [0, 1).
        failures: how many there were in a row.
    """

    chance: Callable[[], float]
    failures: int = 0


@dataclass(frozen=True)
class Backoff(RestartPolicy[BackoffState]):
    """Restart a failed child after a growing delay; no limit, never escalating.

    It decides every failure, so none counts toward a supervisor's restart intensity. An item in
    hand stays with the child: it is never skipped. `error.retry_after` lengthens a delay, beyond
    `maximum` if need be.

    Args:
        initial: delay after the first failure, in seconds, more than 0.
        maximum: longest delay, in seconds, at least `initial`.
        factor: by which each delay is longer than the one before, at least 1.
        jitter: the part of a delay, 0 to 1, by which chance may shorten or lengthen it.
        healthy_after: seconds, more than 0; a child that was up as long begins again at `initial`.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a number out of its range.
    """

    initial: float = 0.5
    maximum: float = 60.0
    factor: float = 2.0
    jitter: float = 0.1
    healthy_after: float = 60.0

    def __post_init__(self) -> None:
        checked_number("initial", self.initial, above_least=True)
        checked_number("maximum", self.maximum, least=self.initial)
        checked_number("factor", self.factor, least=1.0)
        checked_number("jitter", self.jitter, most=1.0)
        checked_number("healthy_after", self.healthy_after, above_least=True)

    def new_state(self, chance: Callable[[], float]) -> BackoffState:
        """Make the state for one user; no failure yet."""
        return BackoffState(chance)

    def delay_for(self, count: int, chance: float) -> float:
        """The delay after the `count`-th failure in a row, in seconds.

        Args:
            count: 1 for the first.
            chance: a number in [0, 1).
        """
        return growing_delay(
            count,
            initial=self.initial,
            maximum=self.maximum,
            factor=self.factor,
            jitter=self.jitter,
            chance=chance,
        )

    def failed(self, state: BackoffState, failure: Failure, now: float) -> Decision:
        """Restart the child, later with each failure in a row; one that blames the item is not counted."""
        del now
        if failure.verdict is Verdict.BLAMED:
            return Decision()
        if failure.uptime >= self.healthy_after:
            state.failures = 0
        state.failures += 1
        delay = self.delay_for(state.failures, state.chance())
        return Decision(Retry(), Restart(max(delay, asked_delay(failure.error))))

    def describe(self, state: BackoffState) -> dict[str, Any]:
        """How many failures there were in a row."""
        return {"failures": state.failures}
