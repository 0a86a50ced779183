"""A test station that drops files: CSV results of a tester, and finished WATS reports of another program.

The folder is temporary, the server is the stand-in of `pywats_wats.testing`.
`python samples/test_station_with_files.py`
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from pywats_events import Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import RetryPolicy
from pywats_files import FileWatcher, FolderConfig, csv_events, wsjf_events
from pywats_station import SourceProfile, Station
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.report import report_of
from pywats_wats.testing import StandInWATS

TESTER = SourceProfile(
    match="FCT-*",
    location="Bench 3",
    purpose="Test",
    process_codes={"*": 100},
    part_number="P1",
    revision="A",
)
COLUMNS = {"unit_id": "Serial", "result": "Result"}


def watcher_of(folder: Path) -> FileWatcher:
    """What watches the folder: `*.csv` by a map of columns, `*.wsjf` passed on as they are."""
    results = csv_events(EventType.TEST_RESULT, COLUMNS, make=lambda fields: TestResultEvent(**fields))
    converters = {"*.csv": results, "*.wsjf": wsjf_events}
    return FileWatcher(FolderConfig(folder=folder, source="FCT-7", converters=converters, finished="renamed"))


def drop(folder: Path) -> int:
    """Drop what testers drop: good files, a broken one, and a repeat of the first."""
    first = "Serial,Result\nSN-1,pass\nSN-2,fail\n"
    files = {
        "1.csv": first,
        "2.csv": "Serial,Result\nSN-3,pass\n",
        "again.csv": first,
        "broken.csv": "Serial\n",
    }
    event = Event(EventType.TEST_RESULT, TestResultEvent(unit_id="SN-4"), source="FCT-8")
    files["ready.wsjf"] = msgspec.json.encode(report_of(event, TESTER)).decode()
    for name, text in files.items():
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.rename(folder / name)
    return len(files)


async def run(folder: Path) -> bool:
    """Run the station until every file is put aside; returns whether all is where it belongs."""
    async with StandInWATS.serving() as server, WATSClient(server.url, server.token) as wats:
        station = Station(
            "bench-3",
            transports=[watcher_of(folder)],
            handlers=[ReportHandler(wats)],
            sources=[TESTER],
            retry_policy=RetryPolicy(max_retries=3),
            data=folder / "station",
        )
        count = drop(folder)
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            while _aside(folder) < count:  # noqa: ASYNC110 - a folder tells nobody
                await trio.sleep(0.02)
            await station.bus.wait_idle()
            station.request_stop()
    failed = sorted(path.name for path in (folder / "failed").iterdir())
    print(f"{count} files: {len(list((folder / 'done').iterdir()))} done, failed: {', '.join(failed)}")
    print((folder / "failed" / "broken.csv.error.txt").read_text(encoding="utf-8").splitlines()[0])
    print(
        "WATS has",
        ", ".join(sorted(f"{one['sn']} {one['result']}" for one in server.records.reports.values())),
    )
    return len(server.records.reports) == 4


def _aside(folder: Path) -> int:
    names = ("*.csv", "*.wsjf")
    return sum(1 for place in ("done", "failed") for name in names for _ in (folder / place).glob(name))


if __name__ == "__main__":
    logging.getLogger("pywats_files").setLevel(logging.CRITICAL)  # the broken file is meant
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        sys.exit(not trio.run(run, Path(place)))
