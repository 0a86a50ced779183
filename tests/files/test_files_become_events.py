"""From a folder to a bus, and on to done or failed."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import trio

from pywats_events import Event
from pywats_events.testing import running_async_bus
from pywats_files import FileInfo, FileWatcher, json_events
from support.files import Collected, config_of, drop, names_in, result, until


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
    assert events.units == [f"SN{number:03}" for number in range(151)]


async def test_what_is_no_event_goes_to_failed_with_the_reason_beside_it(tmp_path: Path) -> None:
    events = Collected()
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "bad.json", b"{nonsense")
        await until(lambda: (tmp_path / "failed" / "bad.json").exists())
    assert "no JSON" in (tmp_path / "failed" / "bad.json.error.txt").read_text()
    assert not events.all


async def test_a_large_file_of_lines_is_read_in_pages(tmp_path: Path) -> None:
    events = Collected()
    lines = b"".join(
        b'{"event_type": "test.result", "payload": {"unit_id": "SN%d", "note": "%s"}}\n'
        % (number, b"x" * 900)
        for number in range(2_000)
    )
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "many.jsonl", lines)
        await until(lambda: names_in(tmp_path / "done"))
    assert events.units == [f"SN{number}" for number in range(2_000)]
    assert len({event.id for event in events.all}) == 2_000


async def test_a_large_file_that_is_wrong_in_its_middle_says_how_much_of_it_is_published(
    tmp_path: Path,
) -> None:
    events = Collected()
    line = b'{"event_type": "test.result", "payload": {"unit_id": "SN", "note": "%s"}}\n' % (b"x" * 2000)
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "many.jsonl", line * 600 + b"{nonsense\n" + line)
        await until(lambda: len(names_in(tmp_path / "failed")) == 2)
    told = (tmp_path / "failed" / "many.jsonl.error.txt").read_text()
    assert "line 601 is no JSON" in told
    assert f"its first {len(events.all)} events are published" in told
    assert len(events.all) == 512


async def test_a_name_that_is_in_done_already_gets_a_number(tmp_path: Path) -> None:
    async with running_async_bus() as bus:
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        for number in range(3):
            drop(tmp_path, "a.json", result(f"SN{number}"))
            await until(lambda: len(names_in(tmp_path / "done")) == number + 1)  # noqa: B023 - awaited here
    assert names_in(tmp_path / "done") == ["a-2.json", "a-3.json", "a.json"]


async def test_the_same_content_again_is_no_second_event_even_after_a_restart(tmp_path: Path) -> None:
    events = Collected()
    for number in range(2):
        watcher = FileWatcher(config_of(tmp_path))
        async with running_async_bus() as bus:
            bus.subscribe(events, event_types=["test.result"])
            bus.register_transport(watcher)
            for copy in range(3):
                drop(tmp_path, f"{number}-{copy}.json", result("SN1"))
            await until(lambda: watcher.get_stats()["done"] == 3)  # noqa: B023 - awaited here
        assert watcher.get_stats()["repeats"] == 3 - (number == 0)
    assert events.units == ["SN1"]
    assert len(names_in(tmp_path / "done")) == 6


async def test_where_nothing_is_remembered_files_of_the_same_content_each_have_their_events(
    tmp_path: Path,
) -> None:
    events = Collected()
    for name in ("a.json", "b.json"):
        drop(tmp_path, name, result("SN1"))
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, remember=0)))
        await until(lambda: names_in(tmp_path / "done") == ["a.json", "b.json"])
    assert events.units == ["SN1", "SN1"]


async def test_a_file_with_a_marker_is_taken_when_the_marker_is_there_and_the_marker_goes(
    tmp_path: Path,
) -> None:
    events = Collected()
    watcher = FileWatcher(config_of(tmp_path, finished="marker", marker=".ok"))
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(watcher)
        drop(tmp_path, "a.json", result("SN1"))
        drop(tmp_path, "b.json", result("SN2"))
        drop(tmp_path, "b.json.ok", b"")
        await until(lambda: names_in(tmp_path / "done") == ["b.json"])
        assert names_in(tmp_path) == ["a.json", "done", "failed"]
        drop(tmp_path, "a.json.ok", b"")
        await until(lambda: names_in(tmp_path / "done") == ["a.json", "b.json"])
    assert events.units == ["SN2", "SN1"]
    assert names_in(tmp_path) == ["done", "failed"]


async def test_a_report_is_passed_on_as_it_is(tmp_path: Path) -> None:
    events = Collected()
    report = {"id": "0d6b1d3c-5a7e-4f7e-9d53-3f2b62a0f001", "sn": "SN1", "root": {"steps": [1.5, None, "ä"]}}
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["wats.report"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "SN1.wsjf", report)
        await until(lambda: names_in(tmp_path / "done"))
    assert events.all[0].payload == {"wsjf": report}


async def test_ten_thousand_files_waiting_are_worked_off_in_order_of_time_with_a_line_of_progress(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events, count = Collected(), 10_000
    for number in range(count):
        path = tmp_path / f"{count - number:05}.json"
        path.write_bytes(b'{"event_type":"test.result","payload":{"unit_id":%d}}' % number)
        os.utime(path, (number, number))
    watcher = FileWatcher(config_of(tmp_path, in_flight=100))
    most = 0
    with caplog.at_level("INFO", "pywats_files"), trio.fail_after(60):
        async with running_async_bus() as bus:
            bus.subscribe(events, event_types=["test.result"])
            bus.register_transport(watcher)
            while watcher.get_stats()["done"] < count:
                most = max(most, watcher.get_stats()["in_hand"])
                await trio.sleep(0.01)
    assert events.units == list(range(count))
    assert most <= 100
    assert "10000 files are waiting" in caplog.text


async def test_files_that_are_converted_in_different_places_keep_their_order(tmp_path: Path) -> None:
    """Small ones on trio, others and those of a user's converter in a thread."""
    threads: dict[str, int] = {}

    def noted(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        threads[info.name] = threading.get_ident()
        yield from json_events(stream, info)

    def quick(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        return noted(stream, info)

    quick.is_quick = True  # type: ignore[attr-defined]
    events, here = Collected(), threading.get_ident()
    for number in range(30):
        name = f"{number:02}.{'user' if number % 3 == 2 else 'json'}"
        unit = {"unit_id": number, "note": "x" * (20_000 if number % 3 == 1 else 0)}
        drop(tmp_path, name, {"event_type": "test.result", "payload": unit})
        os.utime(tmp_path / name, (number, number))
    config = config_of(tmp_path, converters={"*.json": quick, "*.user": noted})
    async with running_async_bus() as bus:
        bus.subscribe(events, event_types=["test.result"])
        bus.register_transport(FileWatcher(config))
        await until(lambda: len(names_in(tmp_path / "done")) == 30)
    assert events.units == list(range(30))
    on_trio = [thread == here for _, thread in sorted(threads.items())]
    assert on_trio == [True, False, False] * 10


async def test_small_files_that_are_converted_on_trio_let_others_have_their_turn(tmp_path: Path) -> None:
    turn, turns, ended = 0, list[int](), trio.Event()

    def quick(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        turns.append(turn)
        return json_events(stream, info)

    quick.is_quick = True  # type: ignore[attr-defined]

    async def take_turns() -> None:
        nonlocal turn
        while not ended.is_set():
            turn += 1
            await trio.lowlevel.checkpoint()

    for number in range(100):
        drop(tmp_path, f"{number}.json", result(f"SN{number}") | {"custom": {"note": "x" * 10_000}})
    async with running_async_bus() as bus, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        bus.subscribe(Collected(), event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path, converters={"*.json": quick})))
        await until(lambda: len(names_in(tmp_path / "done")) == 100)
        ended.set()
    # Seven of 10 kB are just over 64 KiB, and those who are ready have their turn in any order.
    assert max(Counter(turns).values()) <= 2 * 7


async def test_a_file_whose_event_is_not_settled_soon_is_taken_into_hand_and_a_namesake_waits_for_it(
    tmp_path: Path,
) -> None:
    units, gate = list[str](), trio.Event()

    async def handle(event: Any) -> None:
        units.append(event.payload["unit_id"])
        await gate.wait()

    async with running_async_bus() as bus:
        bus.subscribe(handle, event_types=["test.result"])
        bus.register_transport(FileWatcher(config_of(tmp_path)))
        drop(tmp_path, "a.json", result("SN1"))
        await until(lambda: names_in(tmp_path / ".pywats" / "hand") == ["a.json"])
        assert names_in(tmp_path) == ["done", "failed"]
        drop(tmp_path, "a.json", result("SN2"))
        gate.set()
        await until(lambda: names_in(tmp_path / "done") == ["a-2.json", "a.json"])
    assert units == ["SN1", "SN2"]
