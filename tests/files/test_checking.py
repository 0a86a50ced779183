"""What can be found out of a folder before it is watched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pywats_events.checks import Finding
from pywats_events.testing import running_async_bus
from pywats_files import FileWatcher
from support.files import config_of, until


async def found_of(folder: Path, **options: Any) -> Finding:
    """What is said first."""
    return (await FileWatcher(config_of(folder, **options)).check())[0]


async def test_a_folder_that_can_be_watched_is_left_as_it_is(tmp_path: Path) -> None:
    assert (await found_of(tmp_path)).level == "ok"
    assert os.listdir(tmp_path) == []


async def test_a_folder_that_is_away_or_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, text in (("none", "is not there"), ("file", "is no folder")):
        found = await found_of(tmp_path / name)
        assert found.level == "error"
        assert text in found.text


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="there is no other file system to be sure of")
@pytest.mark.parametrize("name", ["done", "failed", "state"])
async def test_a_place_on_another_file_system_is_an_error(tmp_path: Path, name: str) -> None:
    found = await found_of(tmp_path, **{name: "/proc/pywats"})
    assert found.level == "error"
    assert "not on the file system" in found.text


async def test_a_place_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "done").touch()
    found = await found_of(tmp_path)
    assert found.level == "error"
    assert f"{tmp_path / 'done'} is no folder" in found.text


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can be another user")
def test_a_folder_that_this_user_may_not_write_to_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as folder:  # others may not look into those of the tests
        os.chmod(folder, 0o755)
        program = (
            "import os; from pywats_files import FolderConfig; from pywats_files._checking import findings\n"
            f"os.setuid(65534); print(findings(FolderConfig(folder={folder!r}))[0].text)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder
        )
    assert done.returncode == 0, done.stderr
    assert f"nothing can be written to {folder}" in done.stdout


async def test_a_folder_that_has_a_watcher_is_a_warning(tmp_path: Path) -> None:
    watcher = FileWatcher(config_of(tmp_path))
    async with running_async_bus() as bus:
        bus.register_transport(watcher)
        await until(lambda: watcher.is_connected)
        found = await found_of(tmp_path)
        assert found.level == "warning"
        assert "a watcher has it now" in found.text
    assert (await found_of(tmp_path)).level == "ok"


async def test_without_watchfiles_it_is_said_that_the_folder_is_only_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pywats_files._checking.find_spec", lambda name: None)
    found = await found_of(tmp_path)
    assert found.level == "warning"
    assert "pywats-events[files]" in found.text
    assert (await found_of(tmp_path, watch="poll")).level == "ok"
