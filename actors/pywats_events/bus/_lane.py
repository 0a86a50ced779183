"""The lane: events that threads have published, and that the bus's thread has not seen yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from pywats_events.bus._core import BusCore
from pywats_events.bus._routing_actor import Route
from pywats_events.models.event import Event
from pywats_events.settlement import Receipt
from pywats_supervision.logs import GuardedLogger

__all__ = ["LANE", "Lane"]

LANE: Final = 1024
"""Events in the lane before publishers wait."""

logger: Final = GuardedLogger("pywats_events")


class Lane:
    """The lane of one bus. Any thread puts events in; the bus's thread takes them out, all at once.

    Args:
        core: of the bus.
        call_soon: calls a function on the bus's thread.
    """

    def __init__(self, core: BusCore, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._core = core
        self._call_soon = call_soon
        self._waiting: deque[Receipt] = deque()
        self._armed = False
        """Whether the bus's thread has been told to take them."""

    def __len__(self) -> int:
        return len(self._waiting)

    def leaves_room(self, route: Route) -> bool:
        """Whether one more event on that route surely finds room."""
        lane = len(self._waiting)
        return lane < LANE and route.margin(self._core.inbox) > lane

    def put(self, event: Event) -> Receipt:
        """Put an event in, from any thread; with a store it has to be one that can be written."""
        receipt = self._core.entering(event)
        self._waiting.append(receipt)
        if not self._armed:
            try:
                self._armed = True
                self._call_soon(self.take)
            except BaseException:
                self._armed = False  # Ctrl-C, and perhaps the bus was not told: the next one tells it
                raise
        return receipt

    def take(self) -> None:
        """Have the bus accept what is in it; on the bus's thread."""
        self._armed = False  # before the lane is emptied: who comes later arms it again
        waiting = self._waiting
        while waiting:
            self._core.enter((waiting.popleft(),), None)

    def hand_back(self) -> None:
        """The bus has ended, and never saw what is left."""
        if self._waiting:
            logger.warning(
                "bus %r ended before it saw %d events of other threads; they are handed back",
                self._core.name,
                len(self._waiting),
            )
            self.take()
