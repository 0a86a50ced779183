"""order_by: messages of one key one after the other, keys side by side (pure).

A key is held from the moment its message is in hand until that message is done or given up,
through crashes and waiting retries; what arrives for it meanwhile waits here, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["KeyOrder"]

M = TypeVar("M")


class KeyOrder(Generic[M]):
    """Which keys are held, and what waits for them."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, deque[M] | None] = {}

    def take(self, key: Hashable, message: M) -> bool:
        """Hold `key` for `message`; False if another holds it, and `message` now waits for it."""
        if self.hold(key):
            return True
        waiting = self._held[key]
        if waiting is None:
            waiting = self._held[key] = deque()
        waiting.append(message)
        return False

    def hold(self, key: Hashable) -> bool:
        """Hold `key` if it is free; False if another holds it."""
        if key in self._held:
            return False
        self._held[key] = None
        return True

    def release(self, key: Hashable) -> M | None:
        """Let go of `key`, or hand it on: the returned message, if any, now holds it."""
        waiting = self._held[key]
        if waiting:
            return waiting.popleft()
        del self._held[key]
        return None

    @property
    def held(self) -> int:
        """How many keys are held."""
        return len(self._held)

    def waits(self, message: M) -> bool:
        """Whether a message waits for its key."""
        return any(waiting is message for queue in self._held.values() for waiting in queue or ())

    def drop_waiting(self) -> M | None:
        """Take out what has waited first for the key that has been held longest; None if nothing waits."""
        return next((queue.popleft() for queue in self._held.values() if queue), None)

    def take_waiting(self) -> list[M]:
        """Take out all that waits, in order per key, and hold nothing any more."""
        messages = [message for queue in self._held.values() for message in queue or ()]
        self._held.clear()
        return messages
