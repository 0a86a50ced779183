"""What a full mailbox does with one message more (pure).

For mailboxes outside the bus; the bus keeps its own door and never overflows.
"""

from __future__ import annotations

import enum

__all__ = ["BLOCK", "DEAD_LETTER", "DROP_NEWEST", "DROP_OLDEST", "Overflow", "Verdict", "verdict"]


class Overflow(enum.Enum):
    """The rule of one mailbox."""

    BLOCK = "block"
    """`tell` waits; `tell_nowait` raises MailboxFull, with the message in it."""
    DEAD_LETTER = "dead_letter"
    """The new message becomes a dead letter."""
    DROP_OLDEST = "drop_oldest"
    """The oldest queued message is dropped, and counted."""
    DROP_NEWEST = "drop_newest"
    """The new message is dropped, and counted."""


BLOCK = Overflow.BLOCK
DEAD_LETTER = Overflow.DEAD_LETTER
DROP_OLDEST = Overflow.DROP_OLDEST
DROP_NEWEST = Overflow.DROP_NEWEST


class Verdict(enum.Enum):
    """What is to be done with one new message."""

    PUT = "put"
    WAIT = "wait"
    DEAD_LETTER = "dead_letter"
    DROP = "drop"
    REPLACE = "replace"


_FULL = {
    Overflow.BLOCK: Verdict.WAIT,
    Overflow.DEAD_LETTER: Verdict.DEAD_LETTER,
    Overflow.DROP_OLDEST: Verdict.REPLACE,
    Overflow.DROP_NEWEST: Verdict.DROP,
}


def verdict(rule: Overflow, size: int, capacity: float) -> Verdict:
    """What to do with a new message when `size` of `capacity` are queued."""
    return Verdict.PUT if size < capacity else _FULL[rule]
