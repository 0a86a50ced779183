"""A station killed at any moment: each unit of a real machine has its report, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
import trio

from pywats_cfx.simulate import Machine, MachineConfig, Simulation
from support.rabbitmq import free_ports

KILLS = int(os.environ.get("PYWATS_KILLS", "5"))
"""How often it is killed; hundreds make a soak."""
LONG = 60 + 5 * KILLS
"""Seconds that it may take."""

# Takes reports until its input is closed, then until nothing is left. A report is written like a call of a
# server: it is there when the process is killed right after.
STATION = """
import os, sys, trio
from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_events import AsyncEventBus
from pywats_events.durability import Store
from pywats_events.policies import RetryPolicy
from pywats_wats import ReportHandler, SourceProfile

class Server:
    def __init__(self, path):
        self.file = open(path, "a")
        self.calls = 0

    async def submit(self, report):
        self.calls += 1
        await trio.sleep(0.001)
        if self.calls % 17 == 0:
            raise ConnectionError("now and then it is away")
        self.file.write(f"{report['sn']} {report['id']}\\n")
        self.file.flush()
        await trio.sleep(0.001)

async def main(folder, port):
    bus = AsyncEventBus(store=Store(folder, commit_after=0.001), retry_policy=RetryPolicy(initial_delay=0.01))
    profile = SourceProfile(process_codes={"*": 1}, part_number="P", revision="A")
    handler = ReportHandler(Server(os.path.join(folder, "reports")), profiles=[profile])
    bus.subscribe(handler, concurrency=4, order_by=handler.unit_of)
    endpoint = EndpointConfig(cfx_handle="//Acme/WATS/Station1", listen=f"amqp://127.0.0.1:{port}")
    bus.register_transport(CFXTransport(CFXConfig(endpoint=endpoint)))
    async with bus:
        await trio.to_thread.run_sync(sys.stdin.read)
        await bus.wait_replayed()
        await bus.wait_idle()

trio.run(main, sys.argv[1], sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
async def test_each_unit_that_a_machine_reported_has_one_report_however_often_the_station_is_killed(
    tmp_path: Path,
) -> None:
    folder, (port,), chance = tmp_path / "store", free_ports(1), random.Random(11)
    folder.mkdir()
    machine = Machine(MachineConfig(panel=3))
    work = Simulation(machine, f"amqp://127.0.0.1:{port}", "/", rate=float("inf"), count=40 * (KILLS + 1))
    command = [sys.executable, "-c", STATION, str(folder), str(port)]
    start = partial(trio.lowlevel.open_process, command, stdin=subprocess.PIPE)
    with trio.fail_after(LONG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work.run)
            for life in range(KILLS):
                process = await start()
                try:
                    until = 40 * life + chance.randrange(5, 60)
                    while work.sent < until and process.returncode is None:
                        await trio.sleep(0.002)
                finally:
                    process.send_signal(signal.SIGKILL)
                    with trio.CancelScope(shield=True):
                        assert await process.wait() == -signal.SIGKILL
            process = await start()
        assert process.stdin is not None
        await process.stdin.aclose()
        assert await process.wait() == 0
    reports: dict[str, set[str]] = defaultdict(set)
    for line in (folder / "reports").read_text().splitlines():
        serial, identity = line.split()
        reports[serial].add(identity)
    assert work.lost >= KILLS
    # The last panel may have been begun and not told.
    assert machine.units - 3 <= len(reports) <= machine.units
    assert all(len(identities) == 1 for identities in reports.values())
    panels = {serial.rpartition("-")[0] for serial in reports}
    assert len(reports) == 3 * len(panels)
