"""A station killed at any moment: each file that was dropped is done, each event was handled, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from support.files import drop, names_in, result

KILLS = int(os.environ.get("PYWATS_KILLS", "5"))
"""How often it is killed; hundreds make a soak."""

# Takes files until its input is closed, then until nothing is left. What it handled is written like a call of
# a server, which knows what it has: it is there when the process is killed right after.
STATION = """
import os, sys, trio
from pywats_events import AsyncEventBus
from pywats_events.durability import Store
from pywats_files import FileWatcher, FolderConfig

async def main(folder):
    calls = open(os.path.join(folder, "calls"), "a", buffering=1)

    async def handle(event):
        calls.write(f"{event.payload['unit_id']} {event.id}\\n")

    bus = AsyncEventBus(store=Store(os.path.join(folder, "store"), commit_after=0.001))
    bus.subscribe(handle, event_types=["test.result"], name="calls")
    drop = os.path.join(folder, "drop")
    watcher = FileWatcher(FolderConfig(folder=drop, finished="renamed", poll_interval=0.05, in_flight=20))
    bus.register_transport(watcher)
    async with bus:
        await trio.to_thread.run_sync(sys.stdin.read)
        await bus.wait_replayed()
        while any(name.endswith(".json") for name in os.listdir(drop)) or os.listdir(drop + "/.pywats/hand"):
            await trio.sleep(0.01)
        await bus.wait_idle()

trio.run(main, sys.argv[1])
"""


def handled(place: Path) -> set[str]:
    """The units of the events that were handled."""
    calls = place / "calls"
    return {line.split()[0] for line in calls.read_text().splitlines()} if calls.exists() else set()


def under_way_in(place: Path) -> set[str]:
    """The units that are handled and not done, or done and only stored."""
    return handled(place) ^ {f"SN{int(Path(name).stem)}" for name in names_in(place / "drop" / "done")}


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
async def test_each_file_is_done_once_and_its_event_handled_however_often_the_station_is_killed(
    tmp_path: Path,
) -> None:
    folder, chance = tmp_path / "drop", random.Random(7)
    folder.mkdir()
    start = partial(
        trio.lowlevel.open_process, [sys.executable, "-c", STATION, str(tmp_path)], stdin=subprocess.PIPE
    )
    dropped = under_way = 0
    with trio.fail_after(60 + 5 * KILLS):
        for _ in range(KILLS):
            process = await start()
            begun = len(names_in(folder / "done"))
            try:
                until = begun + chance.randrange(1, 80)
                while len(names_in(folder / "done")) < until and process.returncode is None:
                    for _ in range(10):
                        drop(folder, f"{dropped:05}.json", result(f"SN{dropped}"))
                        dropped += 1
                    await trio.sleep(0.005)
                while not under_way_in(tmp_path) and process.returncode is None:
                    for _ in range(10):
                        drop(folder, f"{dropped:05}.json", result(f"SN{dropped}"))
                        dropped += 1
                    await trio.lowlevel.checkpoint()
            finally:
                process.send_signal(signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    assert await process.wait() == -signal.SIGKILL
                under_way += len(under_way_in(tmp_path))
        process = await start()
        assert process.stdin is not None
        await process.stdin.aclose()
        assert await process.wait() == 0
    assert under_way > 0  # else nothing was tried
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert {unit for unit, _ in calls} == {f"SN{number}" for number in range(dropped)}
    assert len({identity for _, identity in calls}) == dropped
    # One more call for each event in hand at a kill: what a server that knows ids answers as known.
    assert len(calls) <= dropped + 100 * KILLS
    assert names_in(folder / "done") == [f"{number:05}.json" for number in range(dropped)]
    assert names_in(folder / "failed") == []
