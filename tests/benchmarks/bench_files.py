"""Files from a folder to a bus and on to `done`, against reading, decoding and renaming them in a plain loop.

Guards the visits that `pywats_files._taking` and `_putting` make to the disk. Both loops work on the same
file system, on files that another program has just written, as testers do; what ours does more is told in
`docs/performance.md`.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import trio

from benchmarks.yardstick import interleaved, peer
from pywats_events import AsyncEventBus, Event, EventType
from pywats_files import FileWatcher, FolderConfig

PROMISES = {"files / plain loop": 0.5}

FILES = 3_000


async def fill(place: str) -> None:
    """Have the files dropped."""
    async with peer("benchmarks.tester", place, FILES):
        pass


def take(path: str, done: str) -> None:
    """Read a file, decode it, rename it."""
    with open(path, "rb") as file:
        Event.from_json(file.read())
    os.rename(path, done)


async def plain() -> float:
    """Files per second of a loop that reads, decodes and renames them."""
    with tempfile.TemporaryDirectory() as place:
        await fill(place)
        (Path(place) / "done").mkdir()
        started = time.perf_counter()
        names = sorted(
            (entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(place) if entry.is_file()
        )
        for _, name in names:
            take(f"{place}/{name}", f"{place}/done/{name}")
        return FILES / (time.perf_counter() - started)


async def watched() -> float:
    """Files per second from the start of a bus until all are done."""
    with tempfile.TemporaryDirectory() as place:
        await fill(place)
        watcher = FileWatcher(FolderConfig(folder=place, finished="renamed"))

        handled = 0
        all_handled = trio.Event()

        async def handle(event: Event) -> None:
            nonlocal handled
            handled += 1
            if handled == FILES:
                all_handled.set()

        async with AsyncEventBus() as bus:
            bus.subscribe(handle, event_types=[EventType.TEST_RESULT])
            started = time.perf_counter()
            bus.register_transport(watcher)
            await all_handled.wait()
            while watcher.get_stats()["done"] < FILES:
                await trio.sleep(0.002)
            return FILES / (time.perf_counter() - started)


def measure(rounds: int) -> dict[str, float]:
    """The ratio of speeds."""
    speeds = interleaved(rounds, watched=watched, plain=plain)
    return {"files / plain loop": speeds["watched"] / speeds["plain"], "files per second": speeds["watched"]}
