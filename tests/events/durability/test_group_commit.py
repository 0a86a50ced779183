"""Operations of many callers are one transaction and one fsync; a failing disk is a state, not a loss."""

from __future__ import annotations

import errno
import logging
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest
import trio
import trio.testing

from pywats_events.durability import Commit, Store, StoreClosed, StoreState
from pywats_events.settlement import Outcome
from support.house import ROOT
from support.programs import missing
from support.stores import Disk, open_again, replays, running, sqlite_error

FULL = sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
FAILURES = (
    FULL,
    sqlite_error(sqlite3.SQLITE_IOERR, "disk I/O error"),
    sqlite_error(sqlite3.SQLITE_BUSY, "database is locked"),
    sqlite_error(sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
)


def accept(store: Store, name: str) -> Commit:
    return store.journal.accept(name, "cfx", None, name.encode(), ("A",))


async def wait_for(state: StoreState, store: Store) -> None:
    changed = trio.Event()
    store.on_state(lambda now: changed.set() if now is state else None)
    if store.state is not state:
        await changed.wait()


async def test_all_who_come_within_the_time_share_one_commit(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        before = store._commits.commits
        commits = {id(accept(store, f"e{number}")) for number in range(500)}
        await accept(store, "last").wait()
        assert len(commits) == 1
        assert store._commits.commits == before + 1


async def test_a_batch_that_is_long_enough_does_not_wait_for_its_time(tmp_path: Path) -> None:
    async with running(Store(tmp_path, commit_after=60, commit_count=10)) as store:
        for number in range(4):
            commit = accept(store, f"e{number}")
        with trio.move_on_after(0.2) as soon:
            await commit.wait()
        assert soon.cancelled_caught
        for number in range(4, 10):
            commit = accept(store, f"e{number}")
        await commit.wait()


async def test_while_one_batch_is_at_the_disk_the_next_one_fills(tmp_path: Path) -> None:
    async with running(Store(tmp_path, commit_after=0)) as store:
        disk = Disk(store)
        first = accept(store, "e1")
        while not disk.tried:
            await trio.lowlevel.checkpoint()
        second = accept(store, "e2")
        assert second is not first
        await second.wait()
        assert first.done


@pytest.mark.parametrize("error", FAILURES, ids=str)
async def test_a_disk_that_fails_is_a_state_and_everything_is_there_afterwards(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "pywats_events")
    async with running(Store(tmp_path)) as store:
        disk = Disk(store)
        disk.fail(error, times=3)
        failed = StoreState.FULL if "full" in str(error) or "space" in str(error) else StoreState.FAILING
        first = accept(store, "e1")
        await wait_for(failed, store)
        assert not first.done
        second = accept(store, "e2")
        with trio.move_on_after(0) as no_room:
            await store.room()
        assert no_room.cancelled_caught
        await second.wait()
        assert first.done
        await wait_for(StoreState.HEALTHY, store)
        await store.room()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1", "e2"]


@pytest.mark.parametrize("call", ["usage", "checkpoint", "close"])
async def test_a_disk_that_fails_in_what_is_no_write_ends_nothing(
    tmp_path: Path, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[str] = []
    async with running(Store(tmp_path)) as store:
        database = store._database

        def fail(*_: object) -> None:
            failed.append(call)
            if call == "close":
                database.abandon()
            raise FAILURES[1]

        setattr(database, call, fail)
        database._logged = 1 << 30
        await accept(store, "e1").wait()
        await store._look()
        await accept(store, "e2").wait()
    assert failed
    assert "disk I/O error" in caplog.text
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert store.opened.clean == (call != "close")
        assert [one.event_id for one in await replays(store)] == ["e1", "e2"]


async def test_a_cancelled_waiter_does_not_withdraw_what_it_waits_for(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        with trio.move_on_after(0):
            await accept(store, "e1").wait()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1"]


async def test_the_writer_may_be_cancelled_anywhere_and_run_again(tmp_path: Path) -> None:
    store = Store(tmp_path, commit_after=0)
    for checkpoints in range(25):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            commit = accept(store, f"e{checkpoints:02}")
            for _ in range(checkpoints):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert commit.done
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == [f"e{n:02}" for n in range(25)]


async def test_a_writer_that_crashes_writes_the_batch_in_hand_in_its_next_life(tmp_path: Path) -> None:
    store = Store(tmp_path)
    disk = Disk(store)
    disk.fail(RuntimeError("a bug"), times=1)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            commit = accept(store, "e1")
            await trio.sleep_forever()
    assert caught.group_contains(RuntimeError, match="a bug")
    assert not commit.done
    second = accept(store, "e2")
    async with running(store):
        await second.wait()
        assert commit.done
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1", "e2"]


async def test_what_settles_while_the_disk_is_full_makes_room(tmp_path: Path) -> None:
    store = Store(tmp_path, large=100_000)
    store._database._max_pages = 60
    async with running(store):
        names = [f"e{number:02}" for number in range(100)]
        for name in names:
            store.journal.accept(name, "cfx", None, bytes(8000), ("A",))
        await wait_for(StoreState.FULL, store)
        for name in names[:90]:
            store.journal.settle(name, "A", Outcome.HANDLED)
        await wait_for(StoreState.HEALTHY, store)
        await store.room()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == names[90:]


async def test_who_waits_for_what_a_closed_store_never_wrote_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path, close_within=0.2)
    disk = Disk(store)
    disk.fail(FULL)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        commit = accept(store, "e1")
        await wait_for(StoreState.FULL, store)
        nursery.cancel_scope.cancel()
    with pytest.raises(StoreClosed, match="closed before this was written"):
        await commit.wait()
    with pytest.raises(StoreClosed):
        accept(store, "e2")


async def test_a_trio_thread_that_never_rests_does_not_starve_the_writer(tmp_path: Path) -> None:
    async def never_rest() -> None:
        while True:
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
            await trio.lowlevel.checkpoint()

    async with running(Store(tmp_path)) as store, trio.open_nursery() as nursery:
        nursery.start_soon(never_rest)
        with trio.fail_after(5):
            for number in range(5):
                await accept(store, f"e{number}").wait()
        nursery.cancel_scope.cancel()


async def test_who_waits_for_room_is_told_when_the_store_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path, close_within=0.2)
    Disk(store).fail(FULL)
    told: list[str] = []

    async def wait() -> None:
        with pytest.raises(StoreClosed):
            await store.room()
        told.append("closed")

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            accept(store, "e1")
            await wait_for(StoreState.FULL, store)
            outer.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert told == ["closed"]


async def test_too_much_that_waits_to_be_written_holds_up_new_work(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store._commits._max_pending = 10
        for number in range(10):
            commit = accept(store, f"e{number}")
        assert not store._commits.has_room
        await store.room()
        assert commit.done


async def test_callbacks_of_a_commit_are_called_once_when_it_is_done(tmp_path: Path) -> None:
    called: list[str] = []
    async with running(Store(tmp_path)) as store:
        commit = accept(store, "e1")
        commit.add_done_callback(lambda: called.append("before"))
        assert called == []
        await commit.wait()
        commit.add_done_callback(lambda: called.append("after"))
    assert called == ["before", "after"]


PROGRAM = """
import sys, trio
from pywats_events.durability import Store

async def main():
    async with trio.open_nursery() as nursery:
        store = Store(sys.argv[1])
        await nursery.start(store.run)
        for batch in range(20):
            print("begin", file=sys.stderr, flush=True)
            for number in range(50):
                commit = store.journal.accept(f"e{batch}-{number}", "cfx", None, bytes(1000), ("A",))
            await commit.wait()
            print("told", file=sys.stderr, flush=True)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def test_a_batch_costs_one_fsync_and_nobody_is_told_before_it(tmp_path: Path) -> None:
    if which("strace") is None:
        missing("strace is not installed")
    trace = tmp_path / "trace"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store")]
    calls = "trace=fsync,fdatasync,write,msync"
    done = subprocess.run(
        ["strace", "-f", "-e", calls, "-o", str(trace), *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    syncs: list[int] = []
    for line in trace.read_text().splitlines():
        if '"begin' in line:
            syncs.append(0)
        elif '"told' in line:
            assert syncs[-1] > 0
        elif ("fsync(" in line or "fdatasync(" in line) and syncs:
            syncs[-1] += 1
    assert len(syncs) == 20
    # The first batch of a log syncs the log's head too, and the last count holds what closing takes.
    assert sorted(syncs[:-1])[:18] == [1] * 18
