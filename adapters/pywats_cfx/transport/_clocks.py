"""Whose clock is off (pure): more than a minute from ours, told once until it is right again.

A date in the future is wrong whatever sent it. One in the past may be of a message that waited at
its sender, so only a heartbeat, which nobody keeps, tells that a clock is slow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

__all__ = ["Clocks"]

TOLERANCE: Final = 60.0
"""Seconds."""
MOST: Final = 10_000


class Clocks:
    """How far the clocks of sources are off.

    Attributes:
        off: seconds by source, positive for a clock that is ahead; only those that are off.
    """

    def __init__(self) -> None:
        self.off: dict[str, float] = {}

    def heard(self, source: str, name: str, sent: datetime, received: datetime) -> bool:
        """A message has come; whether that is news of a clock that is off.

        Args:
            source: its CFX handle.
            name: of the message, without its namespace.
            sent: when it was sent, by the sender's clock; aware.
            received: when it came, by ours; aware.
        """
        seconds = (sent - received).total_seconds()
        if -TOLERANCE <= seconds <= TOLERANCE:
            self.off.pop(source, None)
            return False
        if seconds < 0 and name != "Heartbeat":
            return False
        news = source not in self.off and len(self.off) < MOST
        if news or source in self.off:
            self.off[source] = seconds
        return news
