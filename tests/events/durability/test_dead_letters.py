"""Dead letters in a store: those in memory and more, for any thread, and there in the next life."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from pywats_events import Event, EventType
from pywats_events.durability import (
    NotAStore,
    SQLiteDeadLetterQueue,
    Store,
    StoreDamaged,
    StoreInUse,
    StoreTooNew,
    StoreUnavailable,
)
from pywats_events.durability._schema import APPLICATION_ID
from pywats_events.policies import DeadLetterQueue
from pywats_events.settlement import Outcome
from pywats_events.testing.conformance import DeadLetterStoreConformance
from support.stores import Disk, kill, open_again, replays, running, sqlite_error


def event(number: int = 1, kind: EventType = EventType.TEST_RESULT) -> Event:
    return Event(kind, {"number": number}, "cfx", id=f"event-{number}")


async def make_store(path: Path) -> None:
    async with running(Store(path)):
        pass


class TestBySeveralCallsEachWritten(DeadLetterStoreConformance):
    """Opened by itself: each change is on the disk when the call returns."""

    @pytest.fixture(autouse=True)
    def _folders(self, tmp_path: Path):
        self.path, self.queues = tmp_path, []
        yield
        for queue in self.queues:
            queue.close()

    def make_queue(self, max_size: int = 1000) -> DeadLetterQueue:
        folder = self.path / str(len(self.queues))
        trio.run(make_store, folder)
        queue = SQLiteDeadLetterQueue.open(folder, max_size)
        self.queues.append(queue)
        return queue


class TestBeforeAStoreIsOpened(DeadLetterStoreConformance):
    """The queue of a store that nobody has opened yet."""

    @pytest.fixture(autouse=True)
    def _folders(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make_queue(self, max_size: int = 1000) -> DeadLetterQueue:
        return Store(self.path, max_dead_letters=max_size).dead_letters


async def test_dead_letters_are_there_in_the_next_life_as_they_were(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        added = [
            store.dead_letters.add(event(1), ValueError("no such unit"), "Reporter", 4),
            store.dead_letters.add(None, ValueError("not JSON"), raw=b"\xff{", source="inbox/7.json"),
        ]
    async with open_again(tmp_path) as store:
        found = list(store.dead_letters)
        assert len(store.dead_letters) == 2
    for before, after in zip(added, found, strict=True):
        assert after.to_dict() == before.to_dict()
        assert isinstance(after.error, Exception)
    assert found[0].event == added[0].event
    assert (found[1].raw, found[1].source, found[1].error_type) == (b"\xff{", "inbox/7.json", "ValueError")


async def test_dead_lettered_and_settled_are_one_transaction(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("event-1", "cfx", None, b"", ("A",)).wait()
        disk = Disk(store)
        before = store._commits.commits
        store.dead_letters.add(event(), ValueError("x"), "A")
        store.journal.settle("event-1", "A", Outcome.DEAD_LETTERED)
        await store.journal.accept("event-2", "cfx", None, b"", ()).wait()
        assert disk.tried == 1
        assert store._commits.commits == before + 1


async def test_what_is_not_written_yet_is_read_like_the_rest(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        queue = store.dead_letters
        queue.add(event(1), ValueError("1"), "A")
        await store.journal.accept("e", "cfx", None, b"", ()).wait()
        disk = Disk(store)
        disk.fail(sqlite_error(10), times=1)
        queue.add(event(2), ValueError("2"), "B")
        assert [one.event_id for one in queue] == ["event-1", "event-2"]
        assert [one.event_id for one in queue.get_entries()] == ["event-2", "event-1"]
        assert [one.event_id for one in queue.find(handler="B")] == ["event-2"]
        popped = [queue.pop(), queue.pop(), queue.pop()]
        assert [one and one.event_id for one in popped] == ["event-1", "event-2", None]
        assert list(queue) == []
    async with open_again(tmp_path) as store:
        assert list(store.dead_letters) == []


async def test_they_are_found_by_what_is_known_of_them(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        queue = store.dead_letters
        for number in range(150):
            error: Exception = KeyError("k") if number % 50 == 0 else ValueError("v")
            kind = EventType.ASSET_FAULT if number % 2 else EventType.TEST_RESULT
            queue.add(event(number, kind), error, f"H{number % 3}")
        last = queue.add(None, ValueError("raw"), raw=b"?", source="mqtt")
        await store.journal.accept("e", "cfx", None, b"", ()).wait()
        assert queue.get(last.id) is not None
        assert queue.get("unknown") is None
        assert [one.raw for one in queue.find(source="mqtt")] == [b"?"]
        assert [one.event_id for one in queue.find(error_type="KeyError")] == [
            "event-100",
            "event-50",
            "event-0",
        ]
        assert [one.event_id for one in queue.find(event_type="asset.fault", handler="H1", limit=2)] == [
            "event-145",
            "event-139",
        ]
        assert len(queue.find(event_id="event-7")) == 1
        with pytest.raises(ValueError, match="limit must be 0 or more"):
            queue.find(limit=-1)


async def test_some_can_be_dropped_marked_as_replayed_and_exported(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        queue = store.dead_letters
        first, second, third = (queue.add(event(n), ValueError(str(n)), "A") for n in range(3))
        assert queue.drop(second.id, "unknown") == 1
        before = datetime.now(UTC).replace(microsecond=0)
        assert queue.mark_replayed(third.id) == 1
        assert [one.replayed_at is not None for one in queue] == [False, True]
        assert queue.export(str(tmp_path / "letters.jsonl")) == 2
    lines = (tmp_path / "letters.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == ["event-0", "event-2"]
    async with open_again(tmp_path) as store:
        assert [one.id for one in store.dead_letters] == [first.id, third.id]
        assert [one.replayed_at and one.replayed_at >= before for one in store.dead_letters] == [None, True]


async def test_other_threads_add_and_drop_while_the_store_writes(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        queue = store.dead_letters

        def work(first: int) -> None:
            for number in range(first, first + 20):
                entry = queue.add(event(number), ValueError("x"), "A")
                assert queue.get(entry.id) is not None
                if number % 2:
                    assert queue.drop(entry.id) == 1

        async with trio.open_nursery() as nursery:
            for first in (0, 100, 200):
                nursery.start_soon(trio.to_thread.run_sync, work, first)
        assert len(queue) == 30
    async with open_again(tmp_path) as store:
        assert len(list(store.dead_letters)) == 30


async def test_an_event_that_cannot_be_written_is_kept_as_text(tmp_path: Path) -> None:
    odd = Event(EventType.TEST_RESULT, {"object": object()}, "cfx", id="odd")
    async with running(Store(tmp_path)) as store:
        store.dead_letters.add(odd, ValueError("half a pair: \ud800"), "A")
    async with open_again(tmp_path) as store:
        (found,) = store.dead_letters
        assert found.event is None
        assert b"object object" in (found.raw or b"")
        assert str(found.error) == "half a pair: \\ud800"


async def test_they_can_be_read_while_a_station_has_them_open_and_not_changed(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no store in"):
        SQLiteDeadLetterQueue.open(tmp_path, read_only=True)
    async with running(Store(tmp_path)) as store:
        store.dead_letters.add(event(), ValueError("x"), "A")
        await store.journal.accept("e", "cfx", None, b"", ()).wait()
        with pytest.raises(StoreInUse):
            SQLiteDeadLetterQueue.open(tmp_path)
        other = SQLiteDeadLetterQueue.open(tmp_path, read_only=True)
        assert [one.event_id for one in other] == ["event-1"]
        with pytest.raises(StoreUnavailable, match="for reading only"):
            other.clear()
        assert len(other) == 1
        other.close()


async def end_uncleanly(path: Path) -> int:
    """One life that ends without closing; says at how many ends in a row its event was in hand."""
    async with running(Store(path)) as store:
        (found,) = await replays(store)
        await store.journal.take("event-1", "A").wait()
        kill(store)
    return found.ends


async def test_looking_between_two_lives_leaves_the_store_as_the_first_one_left_it(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.dead_letters.add(event(), ValueError("x"), "A")
        await store.journal.accept("event-1", "cfx", None, b"", ("A",)).wait()
        kill(store)
    for ends in range(1, 4):
        assert await end_uncleanly(tmp_path) == ends
        queue = SQLiteDeadLetterQueue.open(tmp_path)
        assert queue.drop(*(one.id for one in queue)) == (ends == 1)
        queue.close()


@pytest.mark.parametrize("read_only", [True, False], ids=["to look", "to change"])
def test_what_is_no_store_of_ours_is_told_and_left_as_it_is(tmp_path: Path, read_only: bool) -> None:
    def opening(*, refused: type[Exception], said: str) -> None:
        before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.name == "store.db"}
        with pytest.raises(refused, match=said):
            SQLiteDeadLetterQueue.open(tmp_path, read_only=read_only)
        assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.name == "store.db"} == before
        assert list(tmp_path.glob("*corrupt*")) == []

    opening(refused=StoreUnavailable, said="there is no store in")
    assert list(tmp_path.iterdir()) == []
    database = tmp_path / "store.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    opening(refused=NotAStore, said="another program")
    connection = sqlite3.connect(database)
    connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99;")
    connection.close()
    opening(refused=StoreTooNew, said="version 99")
    database.write_bytes(b"no database at all" * 1000)
    opening(refused=StoreDamaged, said="set aside when a station opens it")


async def test_the_beginning_of_an_id_is_looked_up_in_the_index(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        ids = sorted(store.dead_letters.add(event(number), ValueError("x"), "A").id for number in range(20))
        await store.commit().wait()
    queue = SQLiteDeadLetterQueue.open(tmp_path, read_only=True)
    try:
        for size in range(37):
            beginning = ids[7][:size]
            expected = [one for one in ids if one.startswith(beginning)]
            assert queue.ids_beginning(beginning, 100) == expected
            assert queue.ids_beginning(beginning, 2) == expected[:2]
        assert queue.ids_beginning("zzzz", 2) == []
    finally:
        queue.close()


async def test_large_ones_are_read_one_at_a_time(tmp_path: Path) -> None:
    size, count = 4 << 20, 12
    async with running(Store(tmp_path)) as store:
        for number in range(count):
            store.dead_letters.add(None, ValueError("x"), raw=bytes(size), source=f"s{number}")
            await store.commit().wait()
    queue = SQLiteDeadLetterQueue.open(tmp_path, read_only=True)
    tracemalloc.start()
    try:
        assert sum(len(one.raw or b"") for one in queue) == size * count
        assert [one.source for one in queue.select(limit=2)] == ["s11", "s10"]
        queue.export(tmp_path / "letters.jsonl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        queue.close()
    assert peak < 10 * size


async def test_one_pushed_out_by_too_many_is_counted_and_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Store(tmp_path, max_dead_letters=3)) as store:
        for number in range(10):
            store.dead_letters.add(event(number), ValueError("x"), "A")
        assert (len(store.dead_letters), store.dead_letters.pushed_out) == (3, 7)
    (told,) = [one.getMessage() for one in caplog.records if "dead letters" in one.getMessage()]
    assert "more than 3 dead letters" in told
