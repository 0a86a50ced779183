"""What sources keep between lives: shelves of values by key, spools in order, and the ids that are known."""

from __future__ import annotations

from pathlib import Path

import trio

from pywats_events.durability import Store
from pywats_events.durability.keepsakes import Shelf, Spool
from pywats_events.durability.seen_events import SeenEvents
from support.stores import Disk, open_again, running, sqlite_error


async def test_a_shelf_keeps_the_last_value_of_each_key_and_each_owner_has_its_own(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        cfx, mqtt = await store.shelf("cfx"), await store.shelf("mqtt")
        cfx.put("a", b"1")
        cfx.put("a", b"2")
        cfx.put("b", b"3")
        cfx.forget("b")
        cfx.put("c", b"4")
        cfx.forget("c")
        cfx.put("c", b"5")
        cfx.forget("unknown")
        await mqtt.put("a", b"6").wait()
        assert [cfx.get(key) for key in "abc"] == [b"2", None, b"5"]
    async with open_again(tmp_path) as store:
        cfx, mqtt = await store.shelf("cfx"), await store.shelf("mqtt")
        assert [cfx.get(key) for key in "abc"] == [b"2", None, b"5"]
        assert (len(cfx), mqtt.get("a")) == (2, b"6")


async def test_a_shelf_that_is_full_pushes_out_what_was_put_longest_ago(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        shelf = await store.shelf("cfx", max_count=3)
        for key in "abcad":
            shelf.put(key, key.encode())
        assert [shelf.get(key) for key in "abcd"] == [b"a", None, b"c", b"d"]
    async with open_again(tmp_path) as store:
        assert len(await store.shelf("cfx")) == 3
        assert len(await store.shelf("cfx", max_count=2)) == 2


async def test_a_value_that_is_too_old_is_forgotten(tmp_path: Path) -> None:
    now = [0]
    async with running(Store(tmp_path)) as store:
        shelf = Shelf("cfx", store._commits, lambda: now[0], max_count=10, max_age=60)
        shelf.put("a", b"1")
        now[0] += 59 * 10**9
        assert shelf.get("a") == b"1"
        now[0] += 2 * 10**9
        assert shelf.get("a") is None
        shelf.put("b", b"2")
        assert len(shelf) == 1


async def test_a_spool_gives_back_in_order_what_was_not_taken_out(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        spool = await store.spool("cfx")
        for number in range(10):
            commit = spool.append(b"%d" % number)
        await commit.wait()
        assert await spool.peek(3) == [b"0", b"1", b"2"]
        assert await spool.peek(3, skip=8) == [b"8", b"9"]
        spool.pop(4)
        assert len(spool) == 6
        assert await spool.peek(1) == [b"4"]
        await (await store.spool("mqtt")).append(b"other").wait()
    async with open_again(tmp_path) as store:
        spool = await store.spool("cfx")
        assert len(spool) == 6
        await spool.append(b"new").wait()
        assert await spool.peek(100) == [b"4", b"5", b"6", b"7", b"8", b"9", b"new"]
        spool.pop(100)
        assert len(spool) == 0
    async with open_again(tmp_path) as store:
        assert await (await store.spool("cfx")).peek(10) == []
        assert await (await store.spool("mqtt")).peek(10) == [b"other"]


async def test_what_comes_and_goes_while_the_disk_fails_is_right_afterwards(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        shelf, spool = await store.shelf("cfx"), await store.spool("cfx")
        disk = Disk(store)
        disk.fail(sqlite_error(10), times=1)
        shelf.put("a", b"1")
        shelf.put("b", b"1")
        spool.append(b"1")
        spool.append(b"2")
        while not disk.tried:
            await trio.lowlevel.checkpoint()
        shelf.forget("a")
        shelf.forget("b")
        shelf.put("b", b"2")
        spool.pop()
        await spool.append(b"3").wait()
    async with open_again(tmp_path) as store:
        shelf = await store.shelf("cfx")
        assert (shelf.get("a"), shelf.get("b")) == (None, b"2")
        assert await (await store.spool("cfx")).peek(10) == [b"2", b"3"]


async def test_ids_are_known_in_the_next_life_once_they_were_written(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.seen.add("a")
        await store.seen.add("b").wait()
        store.seen.add("a")
        assert store.seen.known(["a", "b", "c"]) == {"a", "b"}
    async with open_again(tmp_path) as store:
        assert store.seen.known(["a", "b", "c"]) == {"a", "b"}
        assert len(store.seen) == 2


async def test_the_window_of_known_ids_is_bounded_by_count_in_memory_and_on_the_disk(tmp_path: Path) -> None:
    async with running(Store(tmp_path, seen_count=100)) as store:
        for number in range(5000):
            store.seen.add(f"e{number}")
        await store.seen.add("last").wait()
        assert len(store.seen) <= 100 + 1024
        assert f"e{5000 - 100}" in store.seen
        assert "e0" not in store.seen
        assert len(store._database.rows("SELECT * FROM seen")) == len(store.seen)
    async with open_again(tmp_path, seen_count=100) as store:
        assert len(store.seen) == 100
        assert "last" in store.seen


async def test_the_window_of_known_ids_is_bounded_by_age(tmp_path: Path) -> None:
    now = [0]
    async with running(Store(tmp_path)) as store:
        seen = SeenEvents(store._commits, lambda: now[0], max_count=10**6, max_age=60)
        for number in range(3000):
            now[0] = number * 10**9
            seen.add(f"e{number}")
        assert "e2990" in seen
        assert len(seen) < 60 + 1024


async def test_all_who_ask_for_one_owner_s_get_the_same_shelf_and_spool(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        shelves: list[Shelf] = []
        spools: list[Spool] = []

        async def ask() -> None:
            shelves.append(await store.shelf("cfx"))
            spools.append(await store.spool("cfx"))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        assert (len(set(shelves)), len(set(spools))) == (1, 1)
        shelves[0].put("a", b"1")
        shelves[0].put("b", b"2")
        assert list((await store.shelf("cfx", max_count=1)).items()) == [("b", b"2")]
