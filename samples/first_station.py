"""A small station: IPC-CFX from a machine and from files becomes test results, each accounted for.

It makes its own traffic: a machine that talks AMQP 1.0 to the station and goes away now and then,
and a tester that drops `UnitsTested` messages into a folder, now and then a broken one. A handler
"reports" each unit and fails now and then, a retry policy gets it through, and what cannot be read
becomes a dead letter. At the end the books must balance: `python samples/first_station.py --seconds 10`.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import trio

from pywats_cfx import CFXError, Converter, decode
from pywats_events import AsyncEventBus, BaseHandler, Event, EventType
from pywats_events.errors import EventsError
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.transports import BaseTransport, TransportState

POLL = 0.05
"""Seconds between two looks at the folder."""
RATE = 40
"""Message files that the tester drops per second."""


class Tester:
    """A machine that drops one CFX message file after the other; every twentieth is broken."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self.files = 0
        self.units = 0
        self.broken = 0

    async def run(self, seconds: float) -> None:
        """Work for some seconds."""
        with trio.move_on_after(seconds):
            while True:
                self.drop()
                await trio.sleep(1 / RATE)

    def drop(self) -> None:
        """Drop one file; it appears under its name only when it is whole."""
        self.files += 1
        if self.files % 20 == 0:
            self.broken += 1
            text = '{"MessageName": "CFX.Production.TestAndInspection.UnitsTested", "MessageBody": {'
        else:
            text = json.dumps(self._units_tested())
        part = self._folder / f"{self.files:06}.part"
        part.write_text(text, encoding="utf-8")
        part.rename(part.with_suffix(".json"))

    def _units_tested(self) -> dict[str, Any]:
        tested = []
        for position in range(1, self._chance.randint(1, 4) + 1):
            self.units += 1
            passed = self._chance.random() > 0.1
            tested.append(
                {
                    "UnitIdentifier": f"SN-{self.units:06}",
                    "UnitPositionNumber": position,
                    "OverallResult": "Passed" if passed else "Failed",
                    "Tests": [{"TestName": "VCC", "Result": "Passed" if passed else "Failed"}],
                }
            )
        return {
            "MessageName": "CFX.Production.TestAndInspection.UnitsTested",
            "Version": "2.1",
            "Source": "Acme.ICT.1",
            "UniqueID": f"00000000-0000-4000-8000-{self.files:012}",
            "MessageBody": {"TestMethod": "ICT", "TestedUnits": tested},
        }


class FolderTransport(BaseTransport):
    """Reads the message files of a folder; a file goes to `done` when its events are settled."""

    def __init__(self, folder: Path) -> None:
        super().__init__("folder")
        self._folder = folder
        self._done = folder / "done"
        self._converter = Converter()
        self.events = 0
        self.unreadable = 0

    def start(self) -> None:
        """Make the folder of files that are done."""
        self._done.mkdir(exist_ok=True)
        self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        """Say that nobody watches any more."""
        self._set_state(TransportState.DISCONNECTED)

    async def serve(self) -> None:
        """Look at the folder, again and again."""
        while True:
            await self.take_all()
            await trio.sleep(POLL)

    async def take_all(self) -> None:
        """Take every file that is there, oldest first; none waits for another one's retries."""
        async with trio.open_nursery() as nursery:
            for path in sorted(self._folder.glob("*.json")):
                nursery.start_soon(self._take, path)

    async def _take(self, path: Path) -> None:
        raw = path.read_bytes()
        try:
            events = self._converter.convert(decode(raw))
        except (CFXError, EventsError) as error:
            self.unreadable += 1
            self.reject(raw, error, source=path.name)
        else:
            receipts = [await self.publish_event_async(event) for event in events]
            self.events += len(events)
            for receipt in receipts:
                await receipt.wait_settled()
                if receipt.handed_back:
                    return  # the station stops: the file stays, and is taken again next time
        path.rename(self._done / path.name)


class Reporter(BaseHandler):
    """Stands for the report to a server that is not always there."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.results: Counter[str] = Counter()
        self.failures = 0

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        """Report one unit; one call in ten fails, and a unit whose number ends in 99 always does."""
        await trio.sleep(0.001)
        if event.payload["unit_id"].endswith("99"):
            self.failures += 1
            raise ValueError(f"the server refuses {event.payload['unit_id']}")
        if self._chance.random() < 0.1:
            self.failures += 1
            raise ConnectionError("the server did not answer")
        self.results[event.payload["result"]] += 1


class CfxMachine:
    """A simulated machine that talks AMQP 1.0 to the station, and the transport that listens to it."""

    def __init__(self) -> None:
        from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
        from pywats_cfx.simulate import Machine, MachineConfig

        endpoint = EndpointConfig(cfx_handle="//Acme/WATS/FirstStation", listen="amqp://127.0.0.1:0")
        self.transport = CFXTransport(CFXConfig(endpoint=endpoint))
        self.machine = Machine(MachineConfig(faults=0.2, seed=2591))
        self.lost = 0

    async def run(self, seconds: float) -> None:
        """Work for some seconds, then finish what is on its way."""
        from pywats_cfx.simulate import Simulation

        while self.transport.listen_port is None:  # noqa: ASYNC110 - it listens in a moment
            await trio.sleep(POLL)
        url = f"amqp://127.0.0.1:{self.transport.listen_port}"
        simulation = Simulation(self.machine, url, "cfx", rate=RATE, outages=0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(simulation.run)
            await trio.sleep(seconds)
            simulation.finish()
        self.lost = simulation.lost


def cfx_machine() -> CfxMachine | None:
    """The machine; None, and the reason said, where AMQP 1.0 is not installed."""
    try:
        return CfxMachine()
    except ImportError as error:
        print(f"no machine over AMQP 1.0: {error}")
        return None


async def run(folder: Path, seconds: float) -> bool:
    """Run machine, tester and station for some seconds; returns whether the books balance."""
    chance = random.Random(2591)
    tester, cfx = Tester(folder, chance), cfx_machine()
    transport = FolderTransport(folder)
    reporter = Reporter(chance)
    letters = DeadLetterQueue()
    bus = AsyncEventBus(
        "first station",
        retry_policy=RetryPolicy(max_retries=3, initial_delay=0.05, max_delay=0.5).no_retry_on(ValueError),
        error_policy=ErrorPolicy(letters, CircuitBreaker(failure_threshold=5, reset_timeout=0.5)),
    )
    bus.subscribe(reporter, concurrency=4)
    bus.register_transport(transport)
    if cfx is not None:
        bus.register_transport(cfx.transport)

    async with bus:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tester.run, seconds)
            if cfx is not None:
                nursery.start_soon(cfx.run, seconds)
        print(f"the tester has dropped {tester.files} files; the station catches up")
        while any(folder.glob("*.json")):  # noqa: ASYNC110 - a folder tells nobody
            await trio.sleep(POLL)
        await bus.wait_idle()
    return balanced(tester, cfx, transport, reporter, letters, len(list((folder / "done").iterdir())))


def balanced(
    tester: Tester,
    cfx: CfxMachine | None,
    transport: FolderTransport,
    reporter: Reporter,
    letters: DeadLetterQueue,
    done: int,
) -> bool:
    """Add up what came in and what became of it."""
    handled = sum(reporter.results.values())
    units = [letter for letter in letters.get_entries() if letter.event is not None]
    files = [letter for letter in letters.get_entries() if letter.event is None]
    tested = tester.units + (cfx.machine.units if cfx is not None else 0)
    if cfx is not None:
        print(f"machine   {cfx.machine.panels:6} panels over AMQP 1.0, {cfx.machine.faults} faults")
    print(
        f"files     {tester.files:6}  of them {done} done, "
        f"{tester.broken} broken: {len(files)} dead letters\n"
        f"units     {tested:6}  of them {handled} reported "
        f"({reporter.results['pass']} pass, {reporter.results['fail']} fail), {len(units)} dead letters\n"
        f"attempts  {handled + reporter.failures:6}  of them {reporter.failures} failed"
    )
    for letter in letters.get_entries(limit=3):
        what = letter.event.payload["unit_id"] if letter.event is not None else letter.source
        print(f"  for instance: {what}, {type(letter.error).__name__}: {letter.error}")
    missing = tested - handled - len(units)
    all_there = missing == 0 and len(files) == tester.broken == transport.unreadable
    print("unaccounted for: nothing" if all_there else f"unaccounted for: {missing} units")
    return all_there


def main() -> int:
    """Run the demonstration; the exit status says whether nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the tester works (default 10)")
    seconds = parser.parse_args().seconds
    # Failed attempts are expected here, and counted; a real station would log them.
    for name in ("pywats_events", "pywats_supervision", "pywats_cfx"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="first-station-") as folder:
        print(f"a tester drops {RATE} CFX message files a second into {folder} for {seconds:g} s")
        return 0 if trio.run(run, Path(folder), seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
