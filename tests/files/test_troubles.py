"""What can be wrong with a file or a folder is told once, and the watcher goes on."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pywats_events import EventType
from pywats_events.testing import running_async_bus
from pywats_files import FileWatcher, FolderInUse, FolderLost
from support.files import Collected, config_of, drop, names_in, result, until


async def told(
    tmp_path: Path, kind: str, make: Any, *, then: Any = None, **options: Any
) -> list[dict[str, Any]]:
    """What is told of the trouble that `make` makes, while another file is taken as ever."""
    troubles, events = Collected(), Collected()
    watcher = FileWatcher(config_of(tmp_path, **options))
    async with running_async_bus() as bus:
        bus.subscribe(troubles, event_types=[f"system.file_{kind}"])
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(watcher)
        make()
        await until(lambda: troubles.all)
        drop(tmp_path, "good.json", result("SN1"))
        await until(lambda: "good.json" in names_in(tmp_path / "done"))
        if then is not None:
            then()
            await until(lambda: "bad.json" in names_in(tmp_path / "done"))
        drop(tmp_path, "later.json", result("SN2"))
        await until(lambda: "later.json" in names_in(tmp_path / "done"))
    return [dict(event.payload) for event in troubles.all]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
async def test_a_link_out_of_the_folder_is_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"event_type": "test.result"}')
    (tmp_path / "drop").mkdir()
    link = tmp_path / "drop" / "bad.json"
    (trouble,) = await told(tmp_path / "drop", "refused", lambda: link.symlink_to(secret))
    assert trouble["file"] == "bad.json"
    assert "it is a link" in trouble["reason"]
    assert link.is_symlink()
    assert secret.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such names there")
async def test_a_name_with_control_characters_is_told_and_left(tmp_path: Path) -> None:
    name = "bad\x1b[2J.json"
    (trouble,) = await told(tmp_path, "refused", lambda: drop(tmp_path, name, result("SN0")))
    assert "control characters" in trouble["reason"]
    assert (tmp_path / name).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders there")
async def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    (trouble,) = await told(tmp_path, "refused", lambda: os.mkfifo(tmp_path / "bad.json"))
    assert "neither a file nor a folder" in trouble["reason"]


async def test_an_unreadable_file_is_taken_when_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, locked = os.open, [True]

    def guarded(path: Any, *args: Any, **options: Any) -> int:
        if locked[0] and str(path).endswith("bad.json"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", guarded)
    (trouble,) = await told(
        tmp_path,
        "unreadable",
        lambda: drop(tmp_path, "bad.json", result("SN0")),
        then=lambda: locked.__setitem__(0, False),
    )
    assert "Permission denied" in trouble["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_a_file_that_its_writer_has_open_is_taken_when_it_is_closed(tmp_path: Path) -> None:
    writer = open(tmp_path / "bad.json", "w")  # noqa: SIM115, ASYNC230 - open while others look

    def begin() -> None:
        writer.write('{"event_type": "test.result", ')
        writer.flush()

    def end() -> None:
        writer.write('"payload": {"unit_id": "SN0"}}')
        writer.close()

    (trouble,) = await told(tmp_path, "held", begin, then=end, finished="stable", stable_for=0.05)
    assert "its writer still has it open" in trouble["reason"]


async def test_a_full_disk_leaves_files_in_hand_and_moves_them_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.rename, [True]

    def guarded(source: Any, target: Any) -> None:
        if full[0] and str(target).endswith("done/bad.json"):
            raise OSError(errno.ENOSPC, "No space left on device", target)
        real(source, target)

    monkeypatch.setattr(os, "rename", guarded)
    (trouble,) = await told(
        tmp_path,
        "stuck",
        lambda: drop(tmp_path, "bad.json", result("SN0")),
        then=lambda: full.__setitem__(0, False),
    )
    assert "No space left" in trouble["reason"]


async def test_a_file_that_is_written_to_after_it_was_taken_is_taken_again(tmp_path: Path) -> None:
    def rewrite(event: Any) -> None:
        if event.payload["unit_id"] == "SN0":
            (tmp_path / ".pywats" / "hand" / "bad.json").write_text(
                '{"event_type": "test.result", "payload": {"unit_id": "SN0, whole"}}'
            )

    units: list[str] = []
    troubles = Collected()
    async with running_async_bus() as bus:

        def handle(event: Any) -> None:
            rewrite(event)
            units.append(event.payload["unit_id"])

        bus.subscribe(handle, event_types=["test.result"])
        bus.subscribe(troubles, event_types=["system.file_changed"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "bad.json", result("SN0"))
        await until(lambda: names_in(tmp_path / "done") == ["bad.json"])
    assert units == ["SN0", "SN0, whole"]
    assert len(troubles.all) == 1


async def test_too_large_files_lines_and_lists_fail(tmp_path: Path) -> None:
    watcher = FileWatcher(config_of(tmp_path, max_file=3_000, max_line=500, max_events=3))
    async with running_async_bus() as bus:
        bus.register_transport(watcher)
        drop(tmp_path, "file.json", b"x" * 3_001)
        drop(tmp_path, "line.jsonl", b"x" * 501)
        drop(tmp_path, "list.json", [result("SN")] * 4)
        await until(lambda: watcher.get_stats()["failed"] == 3)
    reasons = {
        name: (tmp_path / "failed" / f"{name}.error.txt").read_text()
        for name in names_in(tmp_path / "failed")
        if not name.endswith("txt")
    }
    assert "max_file" in reasons["file.json"]
    assert "line 1 has more than 500 bytes" in reasons["line.jsonl"]
    assert "max_events" in reasons["list.json"]


async def test_a_folder_that_goes_away_is_told_and_watched_again_when_it_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "drop", tmp_path / "away"
    folder.mkdir()
    events, errors = Collected(), list[Exception]()
    watcher = FileWatcher(config_of(folder))
    watcher.on_error(errors.append)
    async with running_async_bus() as bus:
        troubles = Collected()
        bus.subscribe(troubles, event_types=[EventType.TRANSPORT_ERROR])
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(watcher)
        drop(folder, "a.json", result("SN1"))
        await until(lambda: names_in(folder / "done"))
        folder.rename(away)
        await until(lambda: errors)
        away.rename(folder)
        drop(folder, "b.json", result("SN2"))
        await until(lambda: len(names_in(folder / "done")) == 2)
        assert troubles.all[0].payload["error_type"] == "FolderLost"
    assert isinstance(errors[0], FolderLost)
    assert events.units == ["SN1", "SN2"]


async def test_of_two_watchers_of_a_folder_one_has_it_and_the_other_waits_for_it(tmp_path: Path) -> None:
    events, errors = Collected(), list[Exception]()
    first, second = FileWatcher(config_of(tmp_path)), FileWatcher(config_of(tmp_path), "other")
    second.on_error(errors.append)
    async with running_async_bus() as other:
        other.subscribe(events, event_types=["test.result"])
        async with running_async_bus() as bus:
            bus.subscribe(events, event_types=["test.result"])
            bus.register_transport(first)
            await until(lambda: first.is_connected)
            other.register_transport(second)
            for number in range(50):
                drop(tmp_path, f"{number:02}.json", result(f"SN{number:02}"))
            await until(lambda: errors)
            await until(lambda: len(names_in(tmp_path / "done")) == 50)
        assert isinstance(errors[0], FolderInUse)
        drop(tmp_path, "last.json", result("last"))
        await until(lambda: "last.json" in names_in(tmp_path / "done"))
    assert events.units == [*(f"SN{number:02}" for number in range(50)), "last"]


async def test_where_the_system_has_no_watches_left_the_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*args: Any, **options: Any) -> Any:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.awatch", none_left)
    async with running_async_bus() as bus:
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "a.json", result("SN1"))
        await until(lambda: names_in(tmp_path / "done"))
    assert "watch limit reached" in caplog.text
