"""Station software on asyncio: the station runs beside the loop and never holds it up.

The application stays on asyncio; the station is on trio in its own thread. Starting and stopping wait,
so they go to a worker thread. Publishing does not wait (`publish_nowait`), and a receipt's future is
awaited with `asyncio.wrap_future`. A heartbeat shows that the loop keeps its time.
`python samples/embedding_asyncio.py`
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from pywats_events import BaseHandler, Event, EventType
from pywats_events.errors import BusFull
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_station import HandlerSpec, Station

UNITS = 40
BEAT = 0.01
"""Seconds between two heartbeats of the application's loop."""
LONGEST_PAUSE = 0.5
"""Seconds after which people would call the application frozen."""


class SlowReporter(BaseHandler):
    """Reports with blocking code that takes its time; the first attempt of every fourth unit fails."""

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    def handle(self, event: Event) -> None:
        """Report one unit."""
        time.sleep(0.02)
        if event.attempt == 1 and event.payload["number"] % 4 == 0:
            raise ConnectionError("the server did not answer")


class Heart:
    """Beats on the application's loop, and remembers its longest pause."""

    def __init__(self) -> None:
        self.beats = 0
        self.longest = 0.0

    async def beat(self) -> None:
        """Beat until it is cancelled."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(BEAT)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            self.beats += 1
            last = now


async def publish(station: Station, event: Event) -> Receipt:
    """Publish without holding up the loop; while the handler is full, wait in a worker thread."""
    try:
        return station.publish_nowait(event)
    except BusFull:
        receipt: Receipt = await asyncio.to_thread(station.publish, event)
        return receipt


async def report(station: Station, number: int) -> Outcome:
    """Publish one result and wait, on this loop, until it is settled."""
    event = Event(
        EventType.TEST_RESULT, {"unit_id": f"SN-{number:03}", "number": number}, "asyncio application"
    )
    receipt = await publish(station, event)
    await asyncio.wrap_future(receipt.future)
    return receipt.outcomes["SlowReporter"]


async def application() -> bool:
    """Run the application; returns whether all went well."""
    station = Station(
        "beside asyncio",
        handlers=[HandlerSpec(handler=SlowReporter(), concurrency=4)],
        retry_policy=RetryPolicy(max_retries=3, initial_delay=0.05),
        capacity=8,
    )
    heart = Heart()
    beating = asyncio.create_task(heart.beat())
    await asyncio.to_thread(station.start)
    try:
        outcomes = await asyncio.gather(*(report(station, number) for number in range(UNITS)))
    finally:
        await asyncio.to_thread(station.stop)
        beating.cancel()
    handled = outcomes.count(Outcome.HANDLED)
    print(f"{UNITS} results published, {handled} handled, {UNITS // 4} of them at the second attempt")
    lively = heart.beats > 0 and heart.longest < LONGEST_PAUSE
    print(f"the loop {'went on' if lively else 'was held up'}: its longest pause was {heart.longest:.3f} s")
    return handled == UNITS and lively


def main() -> int:
    """Run the application; the exit status says whether all went well."""
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # failures are expected here, and counted
    return 0 if asyncio.run(application()) else 1


if __name__ == "__main__":
    sys.exit(main())
