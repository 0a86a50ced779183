"""A disk that is really full is a state: nothing is lost, what settles makes room, and new work follows."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from pywats_events.durability import Store, StoreState, StoreUnavailable
from pywats_events.settlement import Outcome
from support.disks import fill_up, free, small_disk
from support.stores import kill, open_again, replays, running

LARGE = 1_500_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24 << 20) as path:
        yield path


async def wait_for(store: Store, state: StoreState) -> None:
    while store.state is not state:
        await trio.sleep(0.01)


@pytest.mark.parametrize("left", [700_000, 0], ids=["some room", "no room"])
async def test_what_settles_makes_room_for_a_payload_that_did_not_fit(disk: Path, left: int) -> None:
    async with running(Store(disk / "store", min_free=0)) as store:
        for number in range(5):
            store.journal.accept(f"large{number}", "cfx", None, bytes(LARGE), ("A",))
        for number in range(100):
            commit = store.journal.accept(f"e{number}", "cfx", None, bytes(2000), ("A",))
        await commit.wait()
        await store._look()
        fill_up(disk, left)
        too_large = store.journal.accept("too large", "cfx", None, bytes(LARGE), ("A",))
        await wait_for(store, StoreState.FULL)
        assert [path.name for path in store.folder.payloads.glob("*.part")] == []
        with trio.move_on_after(0) as no_room:
            await store.room()
        assert no_room.cancelled_caught
        for number in range(5):
            store.journal.settle(f"large{number}", "A", Outcome.HANDLED)
        for number in range(90):
            store.journal.settle(f"e{number}", "A", Outcome.HANDLED)
        await too_large.wait()
        await wait_for(store, StoreState.HEALTHY)
        await store.room()
        assert store.folder.reserve.exists()
        assert free(disk) > LARGE
    async with open_again(disk / "store") as store:
        assert [one.event_id for one in await replays(store)] == [
            *(f"e{number}" for number in range(90, 100)),
            "too large",
        ]


async def test_a_store_that_fills_its_disk_with_small_events_takes_its_own_way_out(disk: Path) -> None:
    async with running(Store(disk / "store", min_free=0, commit_after=0.001)) as store:
        await store._look()
        names: list[str] = []
        while store.state is not StoreState.FULL:
            for _ in range(50):
                names.append(f"e{len(names):06}")
                store.journal.accept(names[-1], "cfx", None, bytes(3000), ("A",))
            while store._commits.pending and store.state is StoreState.HEALTHY:
                await trio.sleep(0.001)
        for name in names[:-10]:
            store.journal.settle(name, "A", Outcome.HANDLED)
        await wait_for(store, StoreState.HEALTHY)
        await store.room()
    async with open_again(disk / "store") as store:
        assert [one.event_id for one in await replays(store)] == names[-10:]


async def test_a_store_that_was_killed_on_a_full_disk_opens_when_its_half_written_payload_is_gone(
    disk: Path,
) -> None:
    async with running(Store(disk / "store", min_free=0)) as store:
        await store.journal.accept("e1", "cfx", None, b"one", ("A",)).wait()
        kill(store)
    (disk / "store" / "large" / "00000000000000ff.part").write_bytes(bytes(500_000))
    fill_up(disk, 0)
    async with open_again(disk / "store", min_free=0) as store:
        assert [one.event_id for one in await replays(store)] == ["e1"]


async def test_a_disk_that_is_full_at_the_start_is_told_so(disk: Path) -> None:
    fill_up(disk, 0)
    with pytest.raises(StoreUnavailable, match=r"full.*make room") as caught:
        await Store(disk / "store").open()
    assert "right to write" not in str(caught.value)


async def test_a_payload_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pywats_events.durability import _files

    store = Store(tmp_path)
    calls: list[int] = []
    fsync = _files.os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            assert len(list(store.folder.payloads.glob("*.part"))) == 1
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    async with running(store):
        monkeypatch.setattr(_files.os, "fsync", full)
        store.journal.accept("large", "cfx", None, bytes(LARGE), ("A",))
        await wait_for(store, StoreState.FULL)
        assert list(store.folder.payloads.iterdir()) == []
        await wait_for(store, StoreState.HEALTHY)
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["large"]
