"""How late is a timer while a bus is flooded with handlers of 50 microseconds?

Guards the millisecond rule of `pywats_actors._cell`.
"""

from __future__ import annotations

import time
from statistics import median, quantiles

import trio

from benchmarks.yardstick import timed
from pywats_events import AsyncEventBus, BaseHandler, Event, EventType

MOST = {"timer late, median ms": 2.0, "timer late, p99 ms": 5.0}
HANDLER = 50e-6
SECONDS = 2.0


class Busy(BaseHandler):
    """Holds the thread for 50 microseconds."""

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        """Be busy."""
        until = time.perf_counter() + HANDLER
        while time.perf_counter() < until:
            pass


async def lateness() -> list[float]:
    """Milliseconds by which a timer of 5 ms is late, again and again."""
    late: list[float] = []
    bus = AsyncEventBus()
    bus.subscribe(Busy())

    async def flood() -> None:
        while True:
            await bus.publish(Event(event_type=EventType.TEST_RESULT))

    async with bus, trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        end = trio.current_time() + SECONDS
        while (due := trio.current_time() + 0.005) < end:
            await trio.sleep_until(due)
            late.append((trio.current_time() - due) * 1000)
        nursery.cancel_scope.cancel()
    return late


def measure(rounds: int) -> dict[str, float]:
    """Milliseconds, over all rounds."""
    late = [reading for _ in range(rounds) for reading in timed(lateness)]
    return {"timer late, median ms": median(late), "timer late, p99 ms": quantiles(late, n=100)[98]}
