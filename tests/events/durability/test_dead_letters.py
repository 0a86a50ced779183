"""Dead letters in a store: those in memory and more, for any thread, and there in the next life."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from pywats_events import Event, EventType
from pywats_events.durability import SQLiteDeadLetterQueue, Store, StoreInUse, StoreUnavailable
from pywats_events.policies import DeadLetterQueue
from pywats_events.settlement import Outcome
from pywats_events.testing.conformance import DeadLetterStoreConformance
from support.stores import Disk, open_again, running, sqlite_error


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
