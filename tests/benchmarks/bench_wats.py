"""Reports through a bus and a ReportHandler, against a bare httpx2 loop that posts the same reports.

Both send the same bytes with the same headers and keep as many calls in flight, to the same stand-in for
WATS in a process of its own. Both have made a call before they are measured: what opening a pool costs
(20 ms for certificates) comes once in the life of a station.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import httpx2
import msgspec
import trio

from benchmarks.yardstick import timed
from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.models.result_events import TestMeasurement, TestResultEvent, TestStep
from pywats_wats import ReportHandler, SourceProfile, WATSClient, report_of

PROMISES = {"wats_reports": 0.7}
COUNT = 1_000
AT_ONCE = 4
PROFILE = SourceProfile(machine="ICT-01", process_codes={"*": 10}, part_number="P", revision="A")


def events() -> list[Event]:
    """Test results of ten steps, each of a unit of its own."""
    steps = [
        TestStep(
            name=f"R{number}",
            status="pass",
            measurements=[TestMeasurement(name="R", value=1.0, low_limit=0.5, high_limit=2.0, unit="Ohm")],
        )
        for number in range(10)
    ]
    return [
        Event(EventType.TEST_RESULT, TestResultEvent(unit_id=f"SN-{number}", steps=steps), source="tester")
        for number in range(COUNT)
    ]


async def bare(url: str, token: str) -> float:
    """Reports per second of httpx2 alone, made and encoded before."""
    bodies = iter([msgspec.json.encode(report_of(event, PROFILE)) for event in events()])
    headers = {
        "Accept": "application/json",
        "Authorization": f"Basic {token}",
        "Content-Type": "application/json",
    }
    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False) as client:
        (await client.get("/api/App/Processes")).raise_for_status()

        async def post() -> None:
            for body in bodies:
                answer = await client.post("/api/Report/WSJF", content=body)
                answer.raise_for_status()

        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(post)
        return COUNT / (time.perf_counter() - started)


async def handled(url: str, token: str) -> float:
    """Reports per second through the bus, each made of its event."""
    made = events()
    async with WATSClient(url, token, connections=AT_ONCE) as wats, AsyncEventBus() as bus:
        handler = ReportHandler(wats, profiles=[PROFILE])
        bus.subscribe(handler, concurrency=AT_ONCE, order_by=handler.unit_of)
        await wats.processes()
        started = time.perf_counter()
        receipts = [await bus.publish(event) for event in made]
        for receipt in receipts:
            await receipt.wait_settled()
        elapsed = time.perf_counter() - started
        await bus.stop(timeout=5)
    if handler.statistics.submitted != COUNT:
        raise AssertionError(f"{handler.statistics} of {COUNT}")
    return COUNT / elapsed


def measure(rounds: int) -> dict[str, float]:
    """The ratio of the two, taken in turn."""
    ways: dict[str, Callable[[str, str], Awaitable[float]]] = {"bare": bare, "handled": handled}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    command = [sys.executable, "-m", "pywats_wats.testing", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            if server.stdout is None:
                raise AssertionError("the stand-in has no output")
            url, token = (word.partition("=")[2] for word in server.stdout.readline().split()[-2:])
            for _ in range(rounds):
                for name, way in ways.items():

                    async def once(way: Callable[[str, str], Awaitable[float]] = way) -> float:
                        return await way(url, token)

                    speeds[name].append(timed(once))
        finally:
            server.terminate()
    return {
        "wats_reports": median(speeds["handled"]) / median(speeds["bare"]),
        "wats_reports_per_second": median(speeds["handled"]),
    }
