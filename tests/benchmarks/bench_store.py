"""What does it cost to write events down before their source is told?

Guards the group commit: `pywats_events.durability._group_commit` and `journal`. The folder is on the
disk that the temporary folder is on; a disk in memory would flatter every figure.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

import trio

from benchmarks.yardstick import peer
from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.durability import Commit, Store
from pywats_events.settlement import Outcome

PROMISES = {
    "store: accepted, events/s": 10_000.0,
    "store: accepted, of one fsync each": 10.0,
    "store: accepted, of persist-queue": 10.0,
    "store: a bus with it, events/s": 8_000.0,
    "store: into a backlog, events/s": 8_000.0,
    "store: out of a backlog, events/s": 8_000.0,
}
MOST = {
    "store: p99 at 5,000/s, ms": 25.0,
    "store: 100,000 replayed, s": 15.0,
    "store: 100,000 replayed, MB at most": 150.0,
}

PAYLOAD = bytes(1000)
DATA = {"unit": "5CA3-0017", "steps": "x" * 900}
HANDLERS = ("Reporter",)

SECONDS = 2.0
REPLAYED = 100_000
EVENTS = 10_000
BACKLOG = 20_000
WINDOW = 500


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """A store that writes."""
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


async def accepted(folder: Path, sources: int = 20, window: int = 100) -> float:
    """Events per second: each source hands in a window of events, and settles it when it is on the disk."""
    count = 0

    async def source(name: str) -> None:
        nonlocal count
        first = 0
        while True:
            await store.room()
            names = [f"{name}-{number:024}" for number in range(first, first + window)]
            for event in names:
                commit = store.journal.accept(event, name, None, PAYLOAD, HANDLERS)
            await commit.wait()
            for event in names:
                store.journal.settle(event, "Reporter", Outcome.HANDLED)
            first += window
            count += window

    async with running(Store(folder, min_free=0)) as store:
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for number in range(sources):
                    nursery.start_soon(source, f"source-{number}")
    return count / SECONDS


async def latencies(folder: Path, rate: int = 5_000) -> list[float]:
    """Milliseconds from accepting to the commit, at a steady rate."""
    found: list[float] = []

    async def tell(commits: list[tuple[float, Commit]]) -> None:
        for at, commit in commits:
            await commit.wait()
            found.append((time.perf_counter() - at) * 1000)

    async with running(Store(folder, min_free=0)) as store, trio.open_nursery() as nursery:
        start = trio.current_time()
        sent = 0
        while (passed := trio.current_time() - start) < SECONDS:
            commits: list[tuple[float, Commit]] = []
            while sent < passed * rate:
                commit = store.journal.accept(f"event-{sent:032}", "bench", None, PAYLOAD, HANDLERS)
                commits.append((time.perf_counter(), commit))
                if sent >= 20:
                    store.journal.settle(f"event-{sent - 20:032}", "Reporter", Outcome.HANDLED)
                sent += 1
            if commits:
                nursery.start_soon(tell, commits)
            await trio.sleep(0.001)
    return found


def one_fsync_each(folder: Path) -> float:
    """Events per second of the same tables with a transaction for each event."""
    connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY, event_id TEXT, encoded BLOB)")
    count, until = 0, time.perf_counter() + SECONDS / 2
    while time.perf_counter() < until:
        connection.execute("INSERT INTO journal VALUES (?, ?, ?)", (count, f"event-{count}", PAYLOAD))
        count += 1
    connection.close()
    return count / (SECONDS / 2)


def persist_queue(folder: Path) -> float | None:
    """Events per second into persist-queue's SQLite queue; None if it is not installed."""
    try:
        import persistqueue
    except ImportError:
        return None
    queue = persistqueue.SQLiteQueue(str(folder / "peer"), auto_commit=True)
    count, until = 0, time.perf_counter() + SECONDS / 2
    while time.perf_counter() < until:
        queue.put(PAYLOAD)
        count += 1
    queue.close()
    return count / (SECONDS / 2)


async def filled(folder: Path, count: int) -> None:
    """Accept events that nobody settles."""
    async with running(Store(folder, min_free=0)) as store:
        for _ in range(count):
            await store.room()
            event = Event(EventType.TEST_RESULT, DATA)
            commit = store.journal.accept(event.id, "bench", None, event.to_msgpack(), HANDLERS)
        await commit.wait()


async def replayed(folder: Path) -> tuple[int, float]:
    """How many events a bus replays and settles of what was left, and the seconds from its start on."""
    count = 0

    async def handle(_: Event) -> None:
        nonlocal count
        count += 1

    bus = AsyncEventBus(store=Store(folder, min_free=0))
    bus.subscribe(handle, event_types=[EventType.TEST_RESULT], name="Reporter")
    started = time.perf_counter()
    async with bus:
        await bus.wait_replayed()
        await bus.wait_idle()
        return count, time.perf_counter() - started


async def recovery(folder: Path) -> tuple[float, float]:
    """Seconds, and the most memory in MB, of a process whose bus replays what another left."""
    await filled(folder, REPLAYED)
    async with peer("benchmarks.bench_store", folder) as said:
        replays, seconds, peak = said.split()
    if int(replays) != REPLAYED:
        raise RuntimeError(f"{replays} of {REPLAYED} events were replayed")
    return float(seconds), float(peak)


def recover(folder: Path) -> None:
    """Be that process."""
    replays, seconds = trio.run(replayed, folder)
    sys.stdout.write(f"{replays} {seconds} {most_memory()}\n")


def most_memory() -> float:
    """The most MB that this process has had in memory so far; 0 where that is not known."""
    if sys.platform == "linux":  # where getrusage tells the parent's too
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e3  # type: ignore[index] # always there
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


async def bus_with_store(folder: Path) -> float:
    """Events per second through a bus that writes them down: published, written, handled, settled."""

    async def handle(_: Event) -> None:
        """Nothing to do."""

    bus = AsyncEventBus(store=Store(folder, min_free=0))
    bus.subscribe(handle, event_types=[EventType.TEST_RESULT], name="Reporter")
    async with bus:
        started = time.perf_counter()
        for _ in range(EVENTS // WINDOW):
            for _ in range(WINDOW):
                receipt = bus.publish_nowait(Event(EventType.TEST_RESULT, DATA))
            await receipt.wait_secured()
        await bus.wait_idle()
        return EVENTS / (time.perf_counter() - started)


async def backlog(folder: Path) -> tuple[float, float]:
    """Events per second into a backlog on the disk, while another handler keeps up; and out of it again."""
    opened = trio.Event()

    async def blocked(_: Event) -> None:
        await opened.wait()

    async def handle(_: Event) -> None:
        """Nothing to do."""

    bus = AsyncEventBus(store=Store(folder, min_free=0))
    bus.subscribe(blocked, event_types=[EventType.TEST_RESULT], name="Reporter")
    bus.subscribe(handle, event_types=[EventType.TEST_RESULT], name="Display")
    async with bus:
        started = time.perf_counter()
        for _ in range(BACKLOG // WINDOW):
            for _ in range(WINDOW):
                receipt = bus.publish_nowait(Event(EventType.TEST_RESULT, DATA))
            await receipt.wait_secured()
        filled_at = time.perf_counter()
        opened.set()
        del receipt
        await bus.wait_idle()
        return BACKLOG / (filled_at - started), BACKLOG / (time.perf_counter() - filled_at)


def measure(rounds: int) -> dict[str, float]:
    """The median of each figure; ratios are of readings taken one after the other."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rate = trio.run(accepted, folder / "accepted")
            late = trio.run(latencies, folder / "latencies")
            peer = persist_queue(folder)
            seconds, peak = trio.run(recovery, folder / "replayed")
            into, out = trio.run(backlog, folder / "backlog")
            readings = {
                "store: accepted, events/s": rate,
                "store: accepted, of one fsync each": rate / one_fsync_each(folder),
                "store: median at 5,000/s, ms": median(late),
                "store: p99 at 5,000/s, ms": quantiles(late, n=100)[98],
                "store: a bus with it, events/s": trio.run(bus_with_store, folder / "bus"),
                "store: into a backlog, events/s": into,
                "store: out of a backlog, events/s": out,
                "store: 100,000 replayed, s": seconds,
                "store: 100,000 replayed, MB at most": peak,
            }
            if peer is not None:
                readings["store: accepted, of persist-queue"] = rate / peer
            for figure, value in readings.items():
                figures.setdefault(figure, []).append(value)
    return {figure: median(values) for figure, values in figures.items()}


if __name__ == "__main__":
    recover(Path(sys.argv[1]))
