"""On a disk that is really full nothing is lost, and all goes on when there is room."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from pywats_events import AsyncEventBus
from pywats_files import FileWatcher
from support.files import Collected, config_of, drop, names_in, result, until

UNITS = [f"SN{number}" for number in range(20)]
REFUSED = [f"bad{number}.json" for number in range(5)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux":
        pytest.skip("small disks are mounted on Linux")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> None:
    """Write until nothing more goes."""
    with open(disk / "ballast", "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * size)


def drop_all(disk: Path) -> None:
    for unit in UNITS:
        drop(disk, f"{unit}.json", result(unit))
    for name in REFUSED:
        drop(disk, name, name.encode())


def are_put_aside(disk: Path) -> bool:
    return len(names_in(disk / "done")) == len(UNITS) and len(names_in(disk / "failed")) == 2 * len(REFUSED)


async def test_files_stay_in_hand_while_it_is_full_and_are_put_aside_when_there_is_room(disk: Path) -> None:
    events, troubles, watcher = Collected(), Collected(), FileWatcher(config_of(disk))
    drop_all(disk)
    fill(disk)
    async with AsyncEventBus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.subscribe(troubles, event_types=["system.file_stuck"])
        bus.register_transport(watcher)
        await until(lambda: watcher.get_stats()["stuck"] == len(UNITS) + len(REFUSED))
        await until(lambda: len(troubles.all) == len(UNITS) + len(REFUSED))
        (disk / "ballast").unlink()
        await until(lambda: are_put_aside(disk))
    assert Counter(events.units) == Counter(UNITS)
    assert all("No space left" in event.payload["reason"] for event in troubles.all)


async def test_a_stop_while_it_is_full_is_prompt_and_the_next_life_puts_aside_what_is_in_hand(
    disk: Path,
) -> None:
    drop_all(disk)
    fill(disk)
    watcher = FileWatcher(config_of(disk))
    async with AsyncEventBus() as bus:
        bus.subscribe(Collected(), event_types=["test.result"])
        bus.register_transport(watcher)
        await until(lambda: watcher.get_stats()["stuck"] == len(UNITS) + len(REFUSED))
        with trio.fail_after(5):  # of a grace of 30
            await bus.stop()
    assert len(names_in(disk / ".pywats" / "hand")) == len(UNITS) + len(REFUSED)
    (disk / "ballast").unlink()
    async with AsyncEventBus() as bus:
        bus.subscribe(Collected(), event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(disk)))
        await until(lambda: are_put_aside(disk))
