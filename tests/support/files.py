"""Dropping files in folders, and waiting for what becomes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from pywats_events import Event
from pywats_files import FolderConfig
from pywats_files._converting import Converting
from pywats_files._folder import Folder
from pywats_files._reading import Content, Later, Taken

__all__ = ["Collected", "config_of", "converted", "drop", "names_in", "result", "until"]


def config_of(folder: Path, **options: Any) -> FolderConfig:
    """A folder whose files are renamed in, looked at often."""
    return FolderConfig(
        **{
            "folder": folder,
            "source": "ICT-01",
            "finished": "renamed",
            "poll_interval": 0.05,
            "retry_after": 0.05,
            **options,
        }
    )


def converted(
    config: FolderConfig, folder: Folder, found: list[Content | Taken | Later]
) -> list[Taken | Later]:
    """Files that were read, converted."""
    converting = Converting(config, folder)
    return [
        converting.convert_quick(each) if isinstance(each, Content) else each
        for each in converting.convert(found)
    ]


def drop(folder: Path, name: str, content: Any) -> None:
    """Put a whole file in a folder, by a rename; what is no bytes is written as JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / ".part").write_bytes(data)
    os.rename(folder / ".part", folder / name)


def result(unit: str) -> dict[str, Any]:
    """An event as a tester writes it."""
    return {"event_type": "test.result", "payload": {"unit_id": unit, "passed": True}}


def names_in(folder: Path) -> list[str]:
    """What is in a folder, but for what is hidden; nothing if there is none."""
    return sorted(name for name in os.listdir(folder) if name[0] != ".") if folder.exists() else []


class Collected:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    async def handle(self, event: Event) -> None:
        self.all.append(event)

    @property
    def units(self) -> list[str]:
        """The units of the events."""
        return [event.payload["unit_id"] for event in self.all]


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so, 10 seconds at the most: a disk tells nobody."""
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)
