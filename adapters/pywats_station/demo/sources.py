"""What comes in: a machine that talks IPC-CFX, and a tester that drops files. Both simulated."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import trio

from pywats_events import EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.transports import BaseTransport
from pywats_files import FileWatcher, FolderConfig, csv_events
from pywats_station.cli.showing import counted
from pywats_supervision.system import system_runtime

__all__ = ["CFXSource", "FileSource"]

HANDLE: Final = "//Acme/Line1/ICT1"
TESTER: Final = "FCT-7"
BROKEN_EVERY: Final = 25
"""Of so many files one has a line that cannot be read."""
UNITS: Final = 5
"""Units in a file."""


class CFXSource:
    """A machine with panels, failures, faults and state changes, that goes away now and then.

    Attributes:
        name: in the books.
        transport: what it talks to.
    """

    name: Final = "machine"

    def __init__(self, rate: float) -> None:
        from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
        from pywats_cfx.simulate import Machine, MachineConfig

        endpoint = EndpointConfig(cfx_handle="//Acme/WATS/Demo", listen="amqp://127.0.0.1:0")
        self._cfx = CFXTransport(CFXConfig(endpoint=endpoint))
        self.transport: BaseTransport = self._cfx
        self._machine = Machine(MachineConfig(handle=HANDLE, faults=0.1, seed=2591))
        self._rate = 3 * rate  # of messages: three for each panel
        self._left = 0

    @property
    def units(self) -> int:
        """How many it has tested."""
        return self._machine.units

    async def work(self, until: trio.Event) -> None:
        """Work until it is over, then finish what is being said."""
        from pywats_cfx.simulate import Simulation

        while self._cfx.listen_port is None:  # noqa: ASYNC110 - it listens in a moment
            await trio.sleep(0.02)
        url = f"amqp://127.0.0.1:{self._cfx.listen_port}"
        simulation = Simulation(self._machine, url, "cfx", rate=self._rate, outages=0.02, handle=HANDLE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(simulation.run)
            await until.wait()
            simulation.finish()
        self._left = simulation.left

    def told(self) -> str:
        """What it has done, for the books."""
        machine, went = self._machine, counted(self._left, "time")
        return (
            f"{counted(machine.units, 'unit')} on {counted(machine.panels, 'panel')}, over AMQP 1.0; "
            f"{machine.failed} failed.\n"
            f"{counted(machine.faults, 'fault')} came and went. It went away {went}."
        )


class FileSource:
    """A tester that drops a CSV file for every few units; now and then one is broken.

    Attributes:
        name: in the books.
        transport: what watches its folder.
    """

    name: Final = "tester"

    def __init__(self, folder: Path, rate: float) -> None:
        columns = {
            "unit_id": "Serial",
            "result": "Result",
            "process": "Method",
            "part_number": "Part",
            "revision": "Rev",
        }
        convert = csv_events(EventType.TEST_RESULT, columns, make=_result)
        config = FolderConfig(
            folder=folder, source=TESTER, converters={"*.csv": convert}, finished="renamed", poll_interval=1.0
        )
        self.transport: BaseTransport = FileWatcher(config)
        self.folder = folder
        self._pause = 1 / rate
        self._chance = system_runtime(seed=2591).random.random
        self._files = self._broken = 0
        self.units: int = 0

    async def work(self, until: trio.Event) -> None:
        """Work until it is over."""
        runtime = system_runtime()
        for number in itertools.count(1):
            await runtime.run_blocking(self._drop, number)
            with trio.move_on_after(self._pause):
                await until.wait()
                return

    def _drop(self, number: int) -> None:
        """Drop one file: it gets its name when it is whole."""
        self._files += 1
        rows = ["Serial,Result,Method,Part,Rev"]
        if number % BROKEN_EVERY == 0:
            self._broken += 1
            rows.append(f"F{number:06}-1,MAYBE,FCT,PCBA-2,B")
        else:
            for place in range(1, UNITS + 1):
                self.units += 1
                result = "PASS" if self._chance() > 0.05 else "FAIL"
                rows.append(f"F{number:06}-{place},{result},FCT,PCBA-2,B")
        part = self.folder / f"{number:06}.part"
        part.write_text("\n".join(rows) + "\n", encoding="utf-8")
        part.rename(part.with_suffix(".csv"))

    @property
    def waiting(self) -> bool:
        """Whether there are files that nobody has taken."""
        return any(self.folder.glob("*.csv"))

    def told(self) -> str:
        """What it has done, for the books."""
        done, failed = self._moved("done"), self._moved("failed")
        units, files = counted(self.units, "unit"), counted(self._files, "file")
        return f"{units} in {files}, {self._broken} of them broken: {done} are in done/, {failed} in failed/."

    @property
    def balanced(self) -> bool:
        """Whether every file is where it belongs."""
        done, failed = self._moved("done"), self._moved("failed")
        return failed == self._broken and done + failed == self._files

    def _moved(self, where: str) -> int:
        return sum(1 for _ in (self.folder / where).glob("*.csv"))


def _result(fields: dict[str, Any]) -> TestResultEvent:
    verdicts = {"PASS": "pass", "FAIL": "fail"}
    if fields["result"] not in verdicts:
        raise ValueError(f"Result must be PASS or FAIL, not {fields['result']!r}")
    return TestResultEvent(**{**fields, "result": verdicts[fields["result"]]})
