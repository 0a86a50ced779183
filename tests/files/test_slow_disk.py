"""A disk that does not answer keeps the folder no longer than until it answers."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import AsyncEventBus, Event
from pywats_files import FileWatcher
from pywats_files._folder import Folder
from pywats_files._pages import Pages
from support.files import config_of, drop, names_in, result, until


class SlowDisk:
    """Looks at the folder wait here while it is closed."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.waiting = False
        self._look = Folder.look

    def look(self, folder: Folder, *args: Any) -> Any:
        self.waiting = not self.answers.is_set()
        assert self.answers.wait(30)
        return self._look(folder, *args)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    """A disk that answers again at the end, so that no thread stays behind."""
    disk = SlowDisk()
    monkeypatch.setattr(Folder, "look", lambda *args: disk.look(*args))
    yield disk
    disk.answers.set()


async def is_free(folder: Path) -> bool:
    """Whether no watcher has it."""
    return (await FileWatcher(config_of(folder)).check())[0].level == "ok"


async def hold(bus: AsyncEventBus, watcher: FileWatcher, disk: SlowDisk) -> None:
    """Have the disk not answer while the watcher waits for it."""
    bus.register_transport(watcher)
    await until(lambda: watcher.is_connected)
    disk.answers.clear()
    await until(lambda: disk.waiting)


async def test_a_life_whose_time_to_stop_is_over_lets_the_folder_go_when_the_disk_answers(
    tmp_path: Path, disk: SlowDisk
) -> None:
    watcher = FileWatcher(config_of(tmp_path))
    async with AsyncEventBus() as bus, trio.open_nursery() as nursery:
        watcher.set_event_bus(bus)
        await watcher.start_async()
        disk.answers.clear()
        nursery.start_soon(watcher.serve)
        await until(lambda: disk.waiting)
        nursery.cancel_scope.cancel()
        nursery.start_soon(_answer_soon, disk)
        await watcher.stop_async()
    assert await is_free(tmp_path)


async def _answer_soon(disk: SlowDisk) -> None:
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    disk.answers.set()


async def test_a_bus_whose_grace_is_over_ends_at_once_and_the_folder_is_free_when_the_disk_answers(
    tmp_path: Path, disk: SlowDisk
) -> None:
    watcher = FileWatcher(config_of(tmp_path))
    with trio.fail_after(10):
        async with AsyncEventBus() as bus:
            await hold(bus, watcher, disk)
            await bus.stop(timeout=0.1)
    assert not await is_free(tmp_path)
    disk.answers.set()
    with trio.fail_after(10):
        while not await is_free(tmp_path):
            await trio.lowlevel.checkpoint()
    drop(tmp_path, "a.json", result("SN1"))
    async with AsyncEventBus() as bus:
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        await until(lambda: names_in(tmp_path / "done"))


async def test_a_large_file_that_a_thread_left_behind_still_reads_is_not_closed_under_it() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def events() -> Iterator[Event]:
        begun.set()
        assert go_on.wait(30)
        yield Event("test.result")

    stream = io.BytesIO()
    pages = Pages(events(), 10, stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, pages.next)
        try:
            await until(begun.is_set)
            pages.close()
            assert not stream.closed
        finally:
            go_on.set()
    pages.close()
    assert stream.closed
