"""The window of message ids by which a repeat is known (pure).

An endpoint that had no answer sends again what it sent, with the same UniqueID. What is still on
its way here joins the first one; what is settled is accepted at once. What was handed back is not
known: it must come again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeAlias

__all__ = ["Key", "Repeats"]

Key: TypeAlias = Hashable
"""What tells a message from others: its source and its UniqueID."""
Told: TypeAlias = Callable[[bool], None]
"""Hears whether the message is safe."""


class Repeats:
    """Which messages are known, and who waits to hear what becomes of one.

    Args:
        most: how many settled ids are remembered; the oldest are forgotten.

    Attributes:
        seen: how many repeats there were.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._waiting: dict[Key, list[Told]] = {}
        self.seen = 0

    def is_new(self, key: Key | None, told: Told) -> bool:
        """Whether the message is to be handled; if not, `told` is called when its fate is known.

        Args:
            key: what tells it from others; None for a message without id, which is always new.
            told: called at once for one that is settled.
        """
        if key is None:
            return True
        if key in self._settled:
            self.seen += 1
            told(True)
            return False
        if key in self._waiting:
            self.seen += 1
            self._waiting[key].append(told)
            return False
        self._waiting[key] = []
        return True

    def conclude(self, key: Key | None, *, safe: bool) -> None:
        """Say what became of a message that was new."""
        if key is None:
            return
        if safe:
            self._settled[key] = None
            if len(self._settled) > self._most:
                self._settled.popitem(last=False)
        for told in self._waiting.pop(key, ()):
            told(safe)
