"""From a folder to a bus, and on to done or failed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import Event
from pywats_events.testing import running_async_bus
from pywats_files import FileWatcher, FolderConfig


def config_of(folder: Path, **options: Any) -> FolderConfig:
    return FolderConfig(
        **{"folder": folder, "source": "ICT-01", "finished": "renamed", "poll_interval": 0.05, **options}
    )


def drop(folder: Path, name: str, content: Any) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / ".part").write_bytes(data)
    os.rename(folder / ".part", folder / name)


def result(unit: str) -> dict[str, Any]:
    return {"event_type": "test.result", "payload": {"unit_id": unit, "passed": True}}


class Collected:
    def __init__(self) -> None:
        self.all: list[Event] = []

    async def handle(self, event: Event) -> None:
        self.all.append(event)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


async def test_a_json_file_becomes_an_event_and_is_moved_to_done(tmp_path: Path) -> None:
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "a.json", result("SN1"))
        await until(lambda: (tmp_path / "done" / "a.json").exists())
    (event,) = events.all
    assert event.payload["unit_id"] == "SN1"
    assert event.source == "ICT-01"
    assert event.custom == {"file": "a.json", "folder": str(tmp_path)}
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("watch", ["notify", "poll"])
async def test_files_waiting_at_start_and_dropped_later_are_taken(tmp_path: Path, watch: Any) -> None:
    events = Collected()
    for number in range(150):
        drop(tmp_path, f"{number:03}.json", result(f"SN{number:03}"))
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, watch=watch)))
        await until(lambda: len(events.all) == 150)
        drop(tmp_path, "150.json", result("SN150"))
        await until(lambda: len(list((tmp_path / "done").iterdir())) == 151)
    assert [event.payload["unit_id"] for event in events.all] == [f"SN{number:03}" for number in range(151)]


async def test_what_is_no_event_goes_to_failed_with_the_reason_beside_it(tmp_path: Path) -> None:
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "bad.json", b"{nonsense")
        await until(lambda: (tmp_path / "failed" / "bad.json").exists())
    assert "no JSON" in (tmp_path / "failed" / "bad.json.error.txt").read_text()
    assert not events.all
