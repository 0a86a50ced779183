"""What can be wrong with a file or a folder is told once, and the watcher goes on."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import AsyncEventBus, EventType
from pywats_events.durability import Store
from pywats_events.testing import running_async_bus
from pywats_files import FileWatcher, FolderInUse, FolderLost, _folder
from pywats_files._folder import Folder
from pywats_files._reading import Later, Reader, Taken
from support.files import Collected, config_of, converted, drop, names_in, result, until


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
    monkeypatch.setattr(_folder, "move_to_free", guarded)
    (trouble,) = await told(
        tmp_path,
        "stuck",
        lambda: drop(tmp_path, "bad.json", result("SN0")),
        then=lambda: full.__setitem__(0, False),
    )
    assert "No space left" in trouble["reason"]


async def test_a_file_that_cannot_be_moved_holds_up_neither_the_others_nor_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def guarded(source: Any, target: Any) -> None:
        if str(target).endswith("bad.json") and "done" in str(target):
            raise PermissionError(errno.EPERM, "Operation not permitted", target)
        real(source, target)

    monkeypatch.setattr(os, "rename", guarded)
    monkeypatch.setattr(_folder, "move_to_free", guarded)
    watcher = FileWatcher(config_of(tmp_path, retry_after=3600, in_flight=1))
    async with AsyncEventBus() as bus:
        bus.subscribe(Collected(), event_types=["test.result"])
        bus.register_transport(watcher)
        drop(tmp_path, "bad.json", result("SN0"))
        await until(lambda: watcher.get_stats()["stuck"])
        for number in range(3):
            drop(tmp_path, f"{number}.json", result(f"SN{number}"))
            await until(lambda name=f"{number}.json": name in names_in(tmp_path / "done"))
        with trio.fail_after(5):  # of a grace of 30
            await bus.stop()
    assert names_in(tmp_path / ".pywats" / "hand") == ["bad.json"]


LONG = pytest.mark.skipif(sys.platform == "win32", reason="paths are too short there for such names")


@LONG
@pytest.mark.parametrize(("stem", "cut"), [("n" * 250, "n" * 248), ("\u00fc" * 125, "\u00fc" * 124)])
async def test_files_with_the_longest_names_are_put_aside_under_shorter_ones(
    tmp_path: Path, stem: str, cut: str
) -> None:
    watcher = FileWatcher(config_of(tmp_path, retry_after=3600))
    async with running_async_bus() as bus:
        bus.subscribe(Collected(), event_types=["test.result"])
        bus.register_transport(watcher)
        for number, content in enumerate([result("SN1"), result("SN2"), b"no JSON", b"none either"], 1):
            drop(tmp_path, f"{stem}.json", content)
            await until(lambda number=number: names_put_aside(tmp_path) == number)
    assert set(names_in(tmp_path / "done")) == {f"{stem}.json", f"{cut}-2.json"}
    failed = names_in(tmp_path / "failed")
    assert sorted(f"{name}.error.txt" for name in failed if name.endswith("json")) == failed[1::2]


def names_put_aside(folder: Path) -> int:
    return sum(name.endswith("json") for place in ("done", "failed") for name in names_in(folder / place))


@LONG
async def test_a_name_without_room_for_its_marker_is_told_and_left(tmp_path: Path) -> None:
    troubles, long = Collected(), f"{'n' * 250}.json"
    async with running_async_bus() as bus:
        bus.subscribe(troubles, event_types=["system.file_unreadable"])
        bus.register_transport(FileWatcher(config_of(tmp_path, finished="marker")))
        drop(tmp_path, long, result("SN0"))
        await until(lambda: troubles.all)
        drop(tmp_path, "good.json", result("SN1"))
        (tmp_path / "good.json.ready").touch()
        await until(lambda: names_in(tmp_path / "done") == ["good.json"])
    assert "too long" in troubles.all[0].payload["reason"]
    assert long in names_in(tmp_path)


def where_it_is(folder: Path, name: str) -> Path:
    """A file that is being worked on: in hand, or where it was dropped."""
    hand = folder / ".pywats" / "hand" / name
    return hand if hand.exists() else folder / name


def write_over(folder: Path, name: str, text: str) -> None:
    """Write to a file that is being worked on, and that may be taken into hand at any moment."""
    try:
        file = open(folder / name, "r+")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        file = open(folder / ".pywats" / "hand" / name, "r+")  # noqa: SIM115 - closed below
    with file:
        file.write(text)
        file.truncate()


def read_again(reader: Reader, folder: Folder) -> Any:
    """What is read at the next look."""
    sight = folder.look(frozenset(), 1)
    return reader.read(sight.in_hand, in_hand=True) + reader.read(sight.waiting)


@pytest.mark.parametrize("finished", ["renamed", "stable", "marker"])
async def test_a_file_that_is_written_to_after_it_was_taken_is_read_again(
    tmp_path: Path, finished: str
) -> None:
    def rewrite(event: Any) -> None:
        if event.payload["unit_id"] == "SN0":
            whole = '{"event_type": "test.result", "payload": {"unit_id": "SN0, whole"}}'
            write_over(tmp_path, "bad.json", whole)

    units: list[str] = []
    troubles = Collected()
    async with running_async_bus() as bus:

        def handle(event: Any) -> None:
            rewrite(event)
            units.append(event.payload["unit_id"])

        bus.subscribe(handle, event_types=["test.result"])
        bus.subscribe(troubles, event_types=["system.file_changed"])
        bus.register_transport(FileWatcher(config_of(tmp_path, finished=finished, stable_for=0.05)))
        drop(tmp_path, "bad.json", result("SN0"))
        (tmp_path / "bad.json.ready").touch()
        # What was written to is in `done` for a moment, until that is seen.
        await until(lambda: len(units) == 2 and names_in(tmp_path / "done") == ["bad.json"])
    assert units == ["SN0", "SN0, whole"]
    assert len(troubles.all) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_a_file_that_is_renamed_in_and_appended_to_is_taken_when_it_is_closed(tmp_path: Path) -> None:
    events, watcher = Collected(), FileWatcher(config_of(tmp_path))
    lines = [json.dumps(result(f"SN{number}")) + "\n" for number in range(40)]
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(watcher)
        with open(tmp_path / "log.part", "w") as writer:  # noqa: ASYNC230 - open while others look
            writer.writelines(lines[:20])
            writer.flush()
            (tmp_path / "log.part").rename(tmp_path / "log.jsonl")
            await until(lambda: watcher.get_stats()["waiting"])
            writer.writelines(lines[20:])
        await until(lambda: names_in(tmp_path / "done") == ["log.jsonl"])
    assert events.units == [f"SN{number}" for number in range(40)]


@pytest.mark.parametrize("lines", [10, 20_000])
def test_a_file_that_grows_while_it_is_read_is_read_again_before_anything_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    config = config_of(tmp_path)
    text = "".join(json.dumps(result(f"SN{number}")) + "\n" for number in range(lines)).encode()
    drop(tmp_path, "log.jsonl", text)
    folder = Folder(config)
    folder.open()
    (seen,) = folder.look(frozenset(), 1).waiting
    monkeypatch.setattr(_folder, "hold", lambda descriptor: False)  # as on a share, which knows no leases
    real, calls = os.fstat, list[int]()

    def growing(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:  # the first was to take it, this one is to see whether it has changed since
            with open(where_it_is(tmp_path, "log.jsonl"), "ab") as writer:
                writer.write(text[: text.index(b"\n") + 1])
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    reader = Reader(config, folder)
    (later,) = converted(config, folder, reader.read([seen]))
    assert isinstance(later, Later)
    assert later.trouble is not None
    assert later.trouble.kind == "changed"
    (taken,) = converted(config, folder, read_again(reader, folder))
    assert isinstance(taken, Taken)
    assert taken.events
    if taken.pages is not None:
        taken.pages.close()
    folder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a file")
def test_nobody_writes_to_a_file_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path)
    drop(tmp_path, "a.json", result("SN1"))
    folder = Folder(config)
    folder.open()
    reader = Reader(config, folder)
    real, refused = os.read, list[str]()

    def intruded(descriptor: int, size: int) -> bytes:
        with pytest.raises(BlockingIOError):  # who does not say O_NONBLOCK waits until the file is read
            os.open(tmp_path / "a.json", os.O_WRONLY | os.O_NONBLOCK)
        refused.append("a.json")
        return real(descriptor, size)

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", intruded)
        (taken,) = converted(config, folder, reader.read(folder.look(frozenset(), 1).waiting))
    assert isinstance(taken, Taken)
    assert taken.error is None
    assert refused == ["a.json"]
    os.close(os.open(tmp_path / "a.json", os.O_WRONLY | os.O_NONBLOCK))
    folder.close()


def test_a_file_of_which_the_disk_gives_less_than_there_is_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path)
    drop(tmp_path, "a.json", result("SN1"))
    folder = Folder(config)
    folder.open()
    reader = Reader(config, folder)
    real = os.read
    with monkeypatch.context() as patched:
        patched.setattr(os, "read", lambda descriptor, size: real(descriptor, size // 2))
        (later,) = converted(config, folder, reader.read(folder.look(frozenset(), 1).waiting))
    assert isinstance(later, Later)
    assert later.trouble is not None
    assert later.trouble.kind == "changed"
    (taken,) = converted(config, folder, read_again(reader, folder))
    assert isinstance(taken, Taken)
    assert taken.error is None
    folder.close()


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


async def test_a_file_with_an_event_that_the_store_cannot_write_fails_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    bad = {"event_type": "test.result", "payload": {"unit_id": "SN2", "count": 2**64}}
    lines = [json.dumps(result(f"SN-{number}")).encode() for number in range(20_000)]
    lines[700] = json.dumps(bad).encode()
    events = Collected()
    async with running_async_bus(store=Store(tmp_path / "store")) as bus:
        bus.subscribe(events, event_types=["test.result"], name="events")
        bus.register_transport(FileWatcher(config_of(folder)))
        drop(folder, "1.json", bad)
        drop(folder, "2.json", [result("SN1"), bad])
        drop(folder, "3.jsonl", b"\n".join(lines))  # large: in pages
        drop(folder, "4.json", result("SN3"))
        await until(lambda: names_in(folder / "done") == ["4.json"])
        await until(lambda: len(names_in(folder / "failed")) == 6)
        await bus.wait_idle()
    said = {path.name: path.read_text() for path in (folder / "failed").glob("*.error.txt")}
    for name, published in {"1.json": 0, "2.json": 1, "3.jsonl": 700}.items():
        assert "cannot be written" in said[f"{name}.error.txt"]
        assert f"its first {published} events are published" in said[f"{name}.error.txt"]
    assert sorted(events.units) == sorted(["SN1", "SN3", *(f"SN-{number}" for number in range(700))])


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


async def test_a_folder_that_is_away_for_one_moment_leaves_no_file_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that comes and goes between two calls looks as if somebody had taken the file out of it."""
    real, blinked = os.stat, []

    def blinking(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("hand/one.json") and not blinked:
            blinked.append(path)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", blinking)
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, finished="marker")))
        drop(tmp_path, "one.json", result("SN1"))
        (tmp_path / "one.json.ready").touch()
        await until(lambda: names_in(tmp_path / "done") == ["one.json"])
    assert blinked
    assert events.units == ["SN1"]


async def test_a_folder_that_is_replaced_by_another_is_told_and_what_was_in_hand_stays_with_its_own(
    tmp_path: Path,
) -> None:
    folder, old, new = tmp_path / "drop", tmp_path / "old", tmp_path / "new"
    folder.mkdir()
    new.mkdir()
    drop(new, "b.json", result("SN2"))
    units, gate = list[str](), trio.Event()
    troubles = Collected()

    async def handle(event: Any) -> None:
        units.append(event.payload["unit_id"])
        await gate.wait()

    def replace(aside: Path, by: Path) -> None:
        folder.rename(aside)
        by.rename(folder)

    watcher = FileWatcher(config_of(folder))
    async with running_async_bus() as bus:
        bus.subscribe(troubles, event_types=[EventType.TRANSPORT_ERROR])
        bus.subscribe(handle, event_types=["test.result"])
        bus.register_transport(watcher)
        drop(folder, "a.json", result("SN1"))
        await until(lambda: units)
        await watcher._disk.run(replace, old, new)  # between two steps, so that none finds no folder at all
        await until(lambda: troubles.all)
        gate.set()
        await until(lambda: names_in(folder / "done") == ["b.json"])
        assert where_it_is(old, "a.json").exists()
        await watcher._disk.run(replace, new, old)
        await until(lambda: names_in(folder / "done") == ["a.json"])
    assert "another folder than before" in troubles.all[0].payload["error_message"]
    assert set(units) == {"SN1", "SN2"}


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


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
async def test_after_a_name_that_is_no_text_the_system_still_wakes_the_watcher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = FileWatcher(config_of(tmp_path, poll_interval=3600))
    async with running_async_bus() as bus:
        bus.register_transport(watcher)
        drop(tmp_path, "a.json", result("SN1"))
        await until(lambda: "a.json" in names_in(tmp_path / "done"))
        drop(tmp_path, os.fsdecode(b"bad\xff.txt"), b"")
        await until(lambda: "does not tell" in caplog.text)
        drop(tmp_path, "b.json", result("SN2"))
        await until(lambda: "b.json" in names_in(tmp_path / "done"))
        drop(tmp_path, "c.json", result("SN3"))
        await until(lambda: "c.json" in names_in(tmp_path / "done"))
