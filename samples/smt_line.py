"""An SMT line: three machines talk IPC-CFX to one station, which reports what they test to WATS.

The machines are simulated, and so is the server (`pywats_wats.testing`); the station is as it would
be on a line. `python samples/smt_line.py`
"""

from __future__ import annotations

import logging
import sys

import trio

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_cfx.simulate import Machine, MachineConfig, Simulation
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_station import SourceProfile, Station
from pywats_wats import AssetHandler, ProductionHandler, ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS

MACHINES = ("//Acme/Line1/SPI", "//Acme/Line1/AOI", "//Acme/Line1/ICT")
MESSAGES = 40
"""That each machine sends."""


def station_of(wats: WATSClient, cfx: CFXTransport) -> Station:
    """The station of the line."""
    return Station(
        "line-1",
        transports=[cfx],
        handlers=[ReportHandler(wats), AssetHandler(wats), ProductionHandler(wats)],
        sources=[
            SourceProfile(
                match="//Acme/Line1/*",
                location="Line 1",
                purpose="Production",
                process_codes={"ICT": 10, "AOI": 110, "SPI": 120, "*": 10},
                part_number="PCBA-1",
                revision="A",
                tz="Europe/Oslo",
            )
        ],
        retry_policy=RetryPolicy(max_retries=5, initial_delay=0.1),
        breaker=CircuitBreaker(failure_threshold=5, reset_timeout=1),
    )


async def run() -> bool:
    """Run the line until each machine has said what it has to say; returns whether the books balance."""
    cfx = CFXTransport(
        CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/Line1", listen="amqp://127.0.0.1:0"))
    )
    machines = [Machine(MachineConfig(handle=name, seed=seed)) for seed, name in enumerate(MACHINES)]
    async with StandInWATS.serving() as server, WATSClient(server.url, server.token) as wats:
        station = station_of(wats, cfx)
        server.fail(503, times=5, path="/api/Report")  # it is overloaded at first
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            while cfx.listen_port is None:  # noqa: ASYNC110 - it listens in a moment
                await trio.sleep(0.01)
            url = f"amqp://127.0.0.1:{cfx.listen_port}"
            async with trio.open_nursery() as line:
                for machine, name in zip(machines, MACHINES, strict=True):
                    simulation = Simulation(machine, url, "cfx", rate=200, count=MESSAGES, handle=name)
                    line.start_soon(simulation.run)
            await station.bus.wait_idle()
            dead = station.dead_letters.size
            station.request_stop()
    tested = sum(machine.units for machine in machines)
    reports = server.records.reports.values()
    print(f"{len(machines)} machines tested {tested} units")
    print(f"WATS has {len(reports)} reports by {len({report['machineName'] for report in reports})} machines")
    print(f"{dead} dead letters")
    return tested == len(reports) and not dead


if __name__ == "__main__":
    logging.getLogger("pywats_events").setLevel(logging.CRITICAL)  # the overload is meant, and counted
    sys.exit(not trio.run(run))
