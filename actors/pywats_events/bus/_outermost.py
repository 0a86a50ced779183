"""The outermost policy of a child of the bus's tree: what leaves it starts it again, later and later.

So the failure of one handler, transport, service or observer is nobody else's, and an outage of one
does not slow another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypedDict, final

from pywats_supervision.policies import Backoff
from pywats_supervision.policies.backoff import BackoffState
from pywats_supervision.policies.decision import Decision, Failure

__all__ = ["OUTERMOST", "ToldBackoff"]


class _Delays(TypedDict):
    initial: float
    maximum: float


OUTERMOST: Final[_Delays] = {"initial": 0.5, "maximum": 60.0}
"""Seconds: how such a child comes back."""


@final
@dataclass(frozen=True)
class ToldBackoff(Backoff):
    """A Backoff that tells each failure it hears of.

    Args:
        tell: given the error; must not wait and must not raise.
    """

    tell: Callable[[Exception], None] = field(kw_only=True)

    def failed(self, state: BackoffState, failure: Failure, now: float) -> Decision:
        """Tell it, and decide as any Backoff."""
        self.tell(failure.error)
        return super().failed(state, failure, now)
