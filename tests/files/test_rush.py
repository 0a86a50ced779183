"""What a watcher leaves alone while it has much to do, or while a converter takes its time."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import trio
import watchfiles

from pywats_events import Event
from pywats_events.testing import running_async_bus
from pywats_files import FileInfo, FileWatcher, json_events
from support.files import config_of, drop, names_in, result, until

MANY = 300


class Heeded:
    """`awatch`, and whether it is asked now."""

    def __init__(self) -> None:
        self.now = False
        self._real = watchfiles.awatch

    async def awatch(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        self.now = True
        try:
            async for changes in self._real(*args, **options):
                yield changes
        finally:
            self.now = False


async def test_the_system_is_not_heeded_while_many_files_are_worked_off_and_wakes_the_watcher_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heeded, when_converting = Heeded(), list[bool]()
    monkeypatch.setattr(watchfiles, "awatch", heeded.awatch)

    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        when_converting.append(heeded.now)
        yield from json_events(stream, info)

    async def file_alone(name: str) -> None:
        await until(lambda: heeded.now)
        drop(tmp_path, name, result(name))
        await until(lambda: name in names_in(tmp_path / "done"))

    for number in range(MANY):
        drop(tmp_path, f"{number:03}.json", result(f"SN{number}"))
    async with running_async_bus() as bus:
        watcher = FileWatcher(config_of(tmp_path, converters={"*.json": convert}, poll_interval=3600))
        bus.register_transport(watcher)
        await until(lambda: watcher.get_stats()["done"] == MANY)
        assert not any(when_converting)
        await file_alone("alone.json")
        assert when_converting[MANY:] == [True]
        (tmp_path / "more").mkdir()
        for number in range(MANY):
            drop(tmp_path / "more", f"{number:03}.json", result(f"more {number}"))
        for each in (tmp_path / "more").iterdir():
            each.rename(tmp_path / f"more-{each.name}")
        await until(lambda: watcher.get_stats()["done"] == 2 * MANY + 1)
        await file_alone("alone-again.json")


async def test_a_converter_that_takes_its_time_does_not_keep_another_file_from_being_put_aside(
    tmp_path: Path,
) -> None:
    begun, go_on, settled = threading.Event(), threading.Event(), trio.Event()

    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        if info.name == "slow.json":
            begun.set()
            assert go_on.wait(30)
        yield from json_events(stream, info)

    async def handle(event: Event) -> None:
        await settled.wait()

    async with running_async_bus() as bus:
        bus.subscribe(handle, event_types=["test.result"])
        watcher = FileWatcher(config_of(tmp_path, converters={"*.json": convert}))
        bus.register_transport(watcher)
        try:
            drop(tmp_path, "a.json", result("SN1"))
            await until(lambda: watcher.get_stats()["events"] == 1)
            drop(tmp_path, "slow.json", result("SN2"))
            await until(begun.is_set)
            settled.set()
            await until(lambda: names_in(tmp_path / "done") == ["a.json"])
        finally:
            go_on.set()
        await until(lambda: names_in(tmp_path / "done") == ["a.json", "slow.json"])


@pytest.mark.parametrize("steps", range(6))
async def test_whoever_is_stopped_as_the_system_begins_to_be_heeded_ends_at_once(
    steps: int, tmp_path: Path
) -> None:
    """The system is asked in a thread, which hears of no cancellation and would answer after five seconds."""
    watcher = FileWatcher(config_of(tmp_path, watch="notify"))
    begun = time.monotonic()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher._heed_changes)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert time.monotonic() - begun < 2.5


async def test_a_file_whose_events_are_settled_is_put_aside_while_the_next_waits_at_a_full_door(
    tmp_path: Path,
) -> None:
    """They were read by one visit to the disk, and belong to one group."""
    let_go = trio.Event()

    async def handle(event: Event) -> None:
        if event.payload["unit_id"] != "SN0":
            await let_go.wait()

    for number in range(5):
        drop(tmp_path, f"{number}.json", result(f"SN{number}"))
    async with running_async_bus() as bus:
        bus.subscribe(handle, event_types=["test.result"], capacity=1)
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        await until(lambda: names_in(tmp_path / "done") == ["0.json"])
        let_go.set()
        await until(lambda: len(names_in(tmp_path / "done")) == 5)
