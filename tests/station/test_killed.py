"""A station killed at any moment, beside a server that fails: each result is at the server, once.

A real process runs the station; machines over AMQP 1.0, machines over a RabbitMQ and a tester that drops
files go on meanwhile.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from pywats_cfx.simulate import Machine, MachineConfig, Simulation
from pywats_events.durability import SQLiteDeadLetterQueue, Store
from pywats_station._wire import Question
from pywats_station.cli.asking import ask
from pywats_station.cli.errors import NotRunning
from pywats_wats.testing import StandInWATS
from support.rabbitmq import RabbitServer, free_ports

KILLS = int(os.environ.get("PYWATS_KILLS", "20"))
"""How often it is killed; hundreds make a soak."""
LONG = 60 + 10 * KILLS
"""Seconds that it may take."""
STEP = 8
"""Messages, and files, of each source in one life of the station."""
SERIALS = 4
"""Units that the tester tests again and again."""
CATCHES_UP = 3
"""One life in so many is not killed before all is done that was there when it began: what is in hand at
five kills in a row is given up, as it should be."""

STATION = """
import os
from pathlib import Path
from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig
from pywats_events import EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_files import FileWatcher, FolderConfig, csv_events
from pywats_station import HandlerSpec, SourceProfile, Station
from pywats_wats import ReportHandler, WATSClient

here = Path(__file__).parent
columns = {"unit_id": "Serial", "operator_id": "Number"}
results = csv_events(EventType.TEST_RESULT, columns, make=lambda fields: TestResultEvent(**fields))
watcher = FolderConfig(
    folder=here / "drop", converters={"*.csv": results}, finished="renamed", poll_interval=0.2
)

def cfx(name, **amqp):
    endpoint = EndpointConfig(cfx_handle=f"//Acme/WATS/{name}", listen=amqp.pop("listen", None))
    return CFXTransport(CFXConfig(endpoint=endpoint, amqp=AMQPConfig(**amqp) if amqp else None), name)

station = Station(
    "killed",
    transports=[
        cfx("machines", listen=f"amqp://127.0.0.1:{os.environ['LISTEN']}"),
        cfx("broker", host="127.0.0.1", port=int(os.environ["BROKER"]), username="guest", password="guest",
            protocol="amqp091", queue="killed-station"),
        FileWatcher(watcher),
    ],
    handlers=[HandlerSpec(handler=ReportHandler(WATSClient.from_env(timeout=1.0)), drain_rate=float("inf"))],
    sources=[SourceProfile(process_codes={"*": 10}, part_number="P", revision="A")],
    # Each kill is an attempt of what was in hand, and may hit the same event as the last.
    retry_policy=RetryPolicy(max_retries=1000, initial_delay=0.02, max_delay=0.2),
    breaker=CircuitBreaker(failure_threshold=3, reset_timeout=0.2, success_threshold=1),
    data=here / "data",
)
"""


class Bench:
    """Drops files, each with the next test of every unit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = 0

    def drop(self) -> None:
        """Drop one more."""
        self.files += 1
        rows = [f"F{serial},{self.files:05}" for serial in range(SERIALS)]
        part = self.folder / f"{self.files:05}.part"
        part.write_text("\n".join(["Serial,Number", *rows]))
        part.rename(part.with_suffix(".csv"))


def units_of(machines: Sequence[Machine], tester: Bench) -> set[str]:
    """The units that they have tested so far; those of the tester with its last test."""
    return {
        *(
            f"P{seed}-{panel:06}-{place}"
            for seed, machine in enumerate(machines, 1)
            for panel in range(1, machine.panels + 1)
            for place in range(1, 4)
        ),
        *(f"F{serial} {tester.files:05}" for serial in range(SERIALS) if tester.files),
    }


def units_at(server: StandInWATS) -> set[str]:
    """The units that the server has reports of, as above."""
    reports = [(report["sn"], report["uut"].get("user")) for report in server.records.reports.values()]
    return {f"{serial} {test}" if serial[0] == "F" else serial for serial, test in reports}


async def misbehave(server: StandInWATS, chance: random.Random) -> None:
    """Fail in one way after the other."""
    ways: Sequence[Callable[[], object]] = (
        lambda: server.fail(503, times=5),
        lambda: server.be_slow(0.02),
        lambda: server.drop(times=2),
        lambda: server.fail(429, times=3, retry_after=0.1),
        server.leave,
        lambda: server.hang(times=1),
    )
    while True:
        chance.choice(ways)()
        await trio.sleep(0.3)
        server.recover()
        server.return_()
        await trio.sleep(0.3)


async def until(what: Callable[[], bool], process: trio.Process) -> None:
    """Wait for something that a running station does."""
    while not what():
        assert process.returncode is None, "the station has ended by itself"
        await trio.sleep(0.01)


async def is_connected(data: Path, transport: str) -> bool:
    """Whether a station runs there, and one of its transports is connected."""
    try:
        (tree,) = await ask(data, Question("tree"))
    except NotRunning:
        return False
    (transports,) = [child for child in tree["children"] if child["name"] == "transports"]
    (found,) = [child for child in transports["detail"]["children"] if child["name"] == transport]
    return (found["detail"] or {}).get("is_connected") is True


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
async def test_each_result_of_each_source_is_one_report_however_often_the_station_is_killed(
    tmp_path: Path, amqp1_broker: RabbitServer
) -> None:
    (port,), chance = free_ports(1), random.Random(11)
    (tmp_path / "line.py").write_text(STATION)
    (tmp_path / "drop").mkdir()
    tester = Bench(tmp_path / "drop")
    direct = Machine(MachineConfig(handle="//Acme/Line1/ICT1", panel=3, faults=0, seed=1))
    through = Machine(MachineConfig(handle="//Acme/Line1/ICT2", panel=3, faults=0, seed=2))
    # A panel is three messages; before the first comes a heartbeat.
    count = 1 + 3 * STEP * (KILLS + 1)
    works = [
        Simulation(direct, f"amqp://127.0.0.1:{port}", "cfx", rate=float("inf"), count=count, patience=0.1),
        Simulation(through, amqp1_broker.url, "/exchange/amq.topic/x.CFX", rate=float("inf"), count=count),
    ]
    with trio.fail_after(LONG):
        async with StandInWATS.serving() as server, trio.open_nursery() as nursery:
            environment = {
                **os.environ,
                "LISTEN": str(port),
                "BROKER": str(amqp1_broker.port),
                "WATS_BASE_URL": server.url,
                "WATS_TOKEN": server.token,
            }

            async def start() -> trio.Process:
                command = [sys.executable, "-m", "pywats_station", "run", str(tmp_path / "line.py")]
                with (tmp_path / "log").open("ab") as log:
                    life = partial(trio.run_process, command, env=environment, stderr=log, check=False)
                    process: trio.Process = await nursery.start(life)
                return process

            nursery.start_soon(misbehave, server, chance)
            process = await start()
            # RabbitMQ drops what is published before a queue is bound there.
            while not await is_connected(tmp_path / "data", "broker"):
                assert process.returncode is None
                await trio.sleep(0.01)
            for work in works:
                nursery.start_soon(work.run)
            for life in range(KILLS):
                earlier = units_of((direct, through), tester) if life % CATCHES_UP == 0 else set()
                for _ in range(STEP):
                    tester.drop()
                goal = min(count, 3 * STEP * life + chance.randrange(5, 3 * STEP + 5))
                await until(lambda goal=goal: works[0].sent >= goal, process)  # type: ignore[misc]
                await until(lambda earlier=earlier: earlier <= units_at(server), process)  # type: ignore[misc]
                await trio.sleep(chance.random() * 0.1)
                process.send_signal(signal.SIGKILL)
                assert await process.wait() == -signal.SIGKILL
                process = await start()
            expected = 2 * 3 * STEP * (KILLS + 1) + SERIALS * tester.files
            await until(lambda: len(server.records.reports) >= expected, process)
            await until(lambda: not list((tmp_path / "drop").glob("*.csv")), process)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            nursery.cancel_scope.cancel()
    said = defaultdict(list)
    for report in server.records.reports.values():
        said[report["sn"]].append(report["uut"].get("user"))
    tested_again = {serial: said.pop(serial) for serial in [f"F{serial}" for serial in range(SERIALS)]}
    # Every file's test of every unit, once, and in order.
    assert set(map(tuple, tested_again.values())) == {
        tuple(f"{number:05}" for number in range(1, tester.files + 1))
    }
    assert len(list((tmp_path / "drop" / "done").glob("*.csv"))) == tester.files
    # Every unit of every panel of both machines, once.
    assert direct.panels == through.panels == STEP * (KILLS + 1)
    assert {len(reports) for reports in said.values()} == {1}
    panels = defaultdict(set)
    for serial in said:
        panel, place = re.fullmatch(r"(P\d-\d+)-(\d)", serial).groups()  # type: ignore[union-attr]
        panels[panel].add(place)
    assert len(panels) == 2 * STEP * (KILLS + 1)
    assert all(places == {"1", "2", "3"} for places in panels.values())
    # And the store holds nothing that is not done.
    with closing(SQLiteDeadLetterQueue.open(tmp_path / "data", read_only=True)) as letters:
        assert list(letters) == []
    store = Store(tmp_path / "data")
    opened = await store.open()
    await store.close()
    assert opened.unsettled == 0
