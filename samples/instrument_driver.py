"""A supervised instrument: its driver is a child of the station, and comes back when the instrument fails.

The instrument (simulated) loses its connection now and then. The driver is an actor that handlers ask.
Each failure ends a life of it; its next life connects anew, and is given the question in hand again.
`python samples/instrument_driver.py`
"""

from __future__ import annotations

import logging
import random
import sys

import trio

from pywats_actors import Actor, ActorRef
from pywats_events import BaseHandler, Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import RetryPolicy
from pywats_station import Station

UNITS = 40


class Voltmeter:
    """An instrument on a bad cable."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.connected = 0

    async def connect(self) -> None:
        """Connect; takes a moment."""
        await trio.sleep(0.001)
        self.connected += 1

    async def read(self) -> float:
        """Read a voltage, or lose the connection."""
        await trio.sleep(0.001)
        if self._chance.random() < 0.1:
            raise ConnectionError("the voltmeter does not answer")
        return round(self._chance.gauss(3.3, 0.02), 4)


class Driver(Actor[str]):
    """Has the instrument to itself: connects in each life, and reads when it is asked."""

    def __init__(self, instrument: Voltmeter) -> None:
        self._instrument = instrument

    async def on_start(self) -> None:
        """Connect."""
        await self._instrument.connect()

    async def receive(self, message: str) -> float:
        """Read."""
        del message
        return await self._instrument.read()


class Tester(BaseHandler):
    """Measures each unit that arrives, and publishes its result."""

    def __init__(self, meter: ActorRef[str]) -> None:
        super().__init__()
        self._meter = meter
        self.station: Station | None = None

    @property
    def event_types(self) -> list[EventType]:
        """Units that arrive."""
        return [EventType.UNIT_ARRIVED]

    async def handle(self, event: Event) -> None:
        """Measure a unit."""
        volts = await self._meter.ask("read", timeout=5)
        verdict = "pass" if 3.2 < volts < 3.4 else "fail"
        result = TestResultEvent(unit_id=event.payload["unit_id"], result=verdict)
        assert self.station is not None
        await self.station.publish(Event(EventType.TEST_RESULT, result))


class Counter(BaseHandler):
    """Counts results."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[str] = []

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        """Count one."""
        await trio.lowlevel.checkpoint()
        self.results.append(event.payload["unit_id"])


async def run() -> bool:
    """Test some units; returns whether each has one result."""
    voltmeter = Voltmeter(random.Random(3))
    again = RetryPolicy(max_retries=10, initial_delay=0.01)
    meter = ActorRef("voltmeter", lambda: Driver(voltmeter), policy=again)
    tester, counter = Tester(meter), Counter()
    station = tester.station = Station(
        "bench",
        services=[meter.spec()],
        handlers=[tester, counter],
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(station.run)
        for number in range(UNITS):
            await station.publish(Event(EventType.UNIT_ARRIVED, {"unit_id": f"SN-{number}"}))
        await station.bus.wait_idle()
        dead = station.dead_letters.size
        station.request_stop()
    print(f"{len(counter.results)} units tested, {dead} dead letters")
    print(f"the voltmeter was connected {voltmeter.connected} times")
    return len(set(counter.results)) == len(counter.results) == UNITS and voltmeter.connected > 1


if __name__ == "__main__":
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # what fails is meant to
    sys.exit(not trio.run(run))
