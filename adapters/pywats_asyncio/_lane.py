"""One direction of the bridge: calls queued in one thread and made in the other, with one wake for many.

The order of two steps is what keeps a wake from being lost. The sender appends, then looks at the
flag; the receiver clears the flag, then takes what is there. Whatever was appended before the flag
was cleared is taken now; whatever comes later finds it cleared and wakes again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Lane"]


class Lane:  # HOT: tests/benchmarks/bench_rabbit.py
    """Calls on their way to the other thread.

    Args:
        wake: given `drain`, has it called soon in the other thread; called in the sender's.
        on_error: told, in the other thread, what a call raised; the calls behind it are made.
    """

    __slots__ = ("_armed", "_calls", "_on_error", "_wake", "wakes")

    def __init__(
        self, wake: Callable[[Callable[[], None]], object], on_error: Callable[[Exception], object]
    ) -> None:
        self._calls: Final[deque[tuple[Callable[..., object], tuple[Any, ...]]]] = deque()
        self._armed = False
        self._wake = wake
        self._on_error = on_error
        self.wakes: int = 0
        """How often the other thread was woken."""

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Have `fn(*args)` called in the other thread, after all that was posted before."""
        self._calls.append((fn, args))
        if not self._armed:
            self._armed = True
            self.wakes += 1
            self._wake(self.drain)

    def drain(self) -> None:
        """Make the calls that are there; in the other thread."""
        self._armed = False
        calls = self._calls
        for _ in range(len(calls)):
            fn, args = calls.popleft()
            try:
                fn(*args)
            except Exception as error:  # noqa: BLE001 - it belongs to one call; the others must be made
                self._on_error(error)

    def __len__(self) -> int:
        return len(self._calls)
