"""The file watcher does what every transport does, and acknowledges by moving to done."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pywats_events import Event
from pywats_events.testing.conformance import AcknowledgingTransportConformance
from pywats_files import FileWatcher, FolderConfig
from support.files import until


class TestFileWatcher(AcknowledgingTransportConformance):
    """In a folder of its own each."""

    root: Path

    @pytest.fixture(autouse=True)
    def _folders(self) -> Iterator[None]:
        self.root = Path(tempfile.mkdtemp())
        yield
        shutil.rmtree(self.root)

    def make_transport(self) -> FileWatcher:
        folder = self.root / "drop"
        folder.mkdir()
        return FileWatcher(FolderConfig(folder=folder, finished="renamed", poll_interval=0.1))

    async def send(self, transport: Any, number: int) -> None:
        folder = transport.config.path
        unfinished = folder / f"{number:03}.part"
        unfinished.write_text(json.dumps({"event_type": "test.result", "payload": {"number": number}}))
        os.rename(unfinished, folder / f"{number:03}.json")

    def number_of(self, event: Event) -> int:
        return int(event.payload["number"])

    async def lose(self, transport: Any) -> None:
        folder, away = transport.config.path, self.root / "away"
        folder.rename(away)
        await until(lambda: not transport.is_connected)
        away.rename(folder)

    def acknowledged(self, transport: Any) -> list[int]:
        done = transport.config.done_path
        return sorted(int(path.stem) for path in done.iterdir()) if done.exists() else []
