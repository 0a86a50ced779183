"""A store opens what it can, sets aside what is corrupt, and says clearly what it cannot open."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pywats_events.durability import (
    Alarm,
    NotAStore,
    Store,
    StoreDamaged,
    StoreError,
    StoreInUse,
    StoreState,
    StoreTooNew,
    StoreUnavailable,
)
from pywats_events.durability._database import Usage
from pywats_events.durability._schema import VERSION
from pywats_events.settlement import Outcome
from support.programs import missing
from support.stores import image, kill, open_again, replays, running

STORES = Path(__file__).parent / "stores"


async def filled(path: Path, count: int = 20) -> None:
    async with running(Store(path)) as store:
        for number in range(count):
            store.journal.accept(f"e{number}", "cfx", None, bytes(5000), ("A",))


# Who may open it


async def test_two_stores_on_one_folder_are_told_so(tmp_path: Path) -> None:
    async with running(Store(tmp_path)):
        with pytest.raises(StoreInUse, match="another store of this process") as caught:
            await Store(tmp_path).open()
        assert str(tmp_path) in str(caught.value)
        assert "a folder of its own" in str(caught.value)
    async with open_again(tmp_path):
        pass


HOLD = """
import sys, trio
from pywats_events.durability import Store

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(Store(sys.argv[1]).run)
        print("open", flush=True)

trio.run(main)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)


async def test_a_store_that_another_process_has_open_names_it_until_it_is_killed(tmp_path: Path) -> None:
    other = hold(tmp_path)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse, match=f"in use by process {other.pid}"):
            await Store(tmp_path).open()
    finally:
        other.kill()
        other.wait()
        if other.stdout is not None:
            other.stdout.close()
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert not store.opened.clean


async def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnavailable, match=r"cannot be written to.*another folder"):
        await Store(tmp_path / "file" / "store").open()


OPEN = """
import sys, trio
from pywats_events.durability import Store, StoreUnavailable

try:
    trio.run(Store(sys.argv[1]).open)
except StoreUnavailable as error:
    print(error)
"""

# Root may write everywhere, unless that right is taken from it (PR_CAPBSET_DROP, CAP_DAC_OVERRIDE).
AS_ANYBODY = """
import ctypes, os, sys

if os.geteuid() == 0 and ctypes.CDLL(None).prctl(24, 1, 0, 0, 0):
    sys.exit("the right to write everywhere cannot be given up")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def open_as_anybody(path: Path) -> str:
    """What is said to a user who has only the rights that the files give."""
    if sys.platform != "linux" and (os.name == "nt" or os.geteuid() == 0):
        missing("this user may write everywhere")
    command = [sys.executable, "-c", AS_ANYBODY, "-c", OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["", "lock", "store.db"], ids=["folder", "lock file", "database"])
async def test_what_is_read_only_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    await filled(tmp_path / "store")
    place = tmp_path / "store" / name
    rights = place.stat().st_mode
    place.chmod(0o500 if place.is_dir() else 0o400)
    try:
        said = open_as_anybody(tmp_path / "store")
    finally:
        place.chmod(rights)
        for suffix in ("-wal", "-shm"):  # SQLite gives them the rights of their database
            (tmp_path / "store" / f"store.db{suffix}").unlink(missing_ok=True)
    assert str(tmp_path / "store") in said
    assert "give this user the right to write there" in said
    assert open_as_anybody(tmp_path / "store") == ""


@pytest.mark.parametrize("name", ["lock", "store.db", "large"])
async def test_what_stands_in_the_place_of_a_file_is_told_by_name(tmp_path: Path, name: str) -> None:
    if name == "large":
        (tmp_path / name).write_text("no folder")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(StoreUnavailable, match=r"another folder") as caught:
        await Store(tmp_path).open()
    assert str(tmp_path) in str(caught.value)
    assert name != "large" or f"move {tmp_path / name} away" in str(caught.value)


async def test_a_file_in_the_place_of_the_folder_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StoreUnavailable, match=rf"; move {re.escape(str(tmp_path / 'data'))} away, or give"):
        await Store(tmp_path / "data").open()


async def test_a_damaged_lock_file_is_made_anew_and_who_holds_it_goes_on_holding_it(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "lock").write_bytes(b"no lock" * 1000)
    async with running(Store(tmp_path)):
        (tmp_path / "lock").write_bytes(b"no lock" * 1000)
        with pytest.raises(StoreInUse):
            await Store(tmp_path).open()
    async with open_again(tmp_path) as store:
        assert len(await replays(store)) == 20


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_size": 0}, ValueError),
        ({"max_size": "10 GB"}, TypeError),
        ({"min_free": 1.5}, ValueError),
        ({"commit_after": -1}, ValueError),
        ({"commit_after": float("nan")}, ValueError),
        ({"commit_count": 0}, ValueError),
        ({"commit_count": True}, TypeError),
        ({"large": 0}, ValueError),
        ({"seen_age": -1}, ValueError),
        ({"max_dead_letters": 0}, ValueError),
        ({"close_within": -1}, ValueError),
    ],
    ids=str,
)
def test_a_bad_argument_is_told_by_name(
    tmp_path: Path, options: dict[str, object], error: type[Exception]
) -> None:
    (name,) = options
    with pytest.raises(error, match="max_size" if name == "max_dead_letters" else name):
        Store(tmp_path, **options)  # type: ignore[arg-type]


# Versions


def load(dump: Path, database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.executescript(dump.read_text(encoding="utf-8"))
    connection.close()


@pytest.mark.parametrize("path", sorted(STORES.glob("version-*.sql")), ids=lambda path: path.stem)
async def test_a_store_of_every_released_version_opens(path: Path, tmp_path: Path) -> None:
    load(path, tmp_path / "store.db")
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert store.opened.version == int(path.stem.partition("-")[2])
        assert store._database.rows("PRAGMA user_version") == [(VERSION,)]
        assert [(one.event_id, one.handlers, one.encoded) for one in await replays(store)] == [
            ("event-1", ("Reporter", "Assets"), b"one"),
            ("event-2", ("Assets",), b"two"),
        ]
        assert store.seen.known(["event-1", "event-2", "event-3"]) == {"event-1", "event-2", "event-3"}
        (letter,) = store.dead_letters.get_entries()
        assert (letter.event_id, letter.handler, str(letter.error)) == ("event-3", "Reporter", "no such unit")
        assert (await store.shelf("cfx")).get("machine") == b"idle"
        assert await (await store.spool("cfx")).peek(10) == [b"first", b"second"]


def test_every_version_has_a_store_among_the_tests() -> None:
    assert {path.stem for path in STORES.glob("version-*.sql")} == {
        f"version-{number}" for number in range(1, VERSION + 1)
    }


async def test_a_newer_store_is_refused_and_the_way_back_is_told(tmp_path: Path) -> None:
    await filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreTooNew, match=f"version {VERSION + 1}.*Install that version again"):
        await Store(tmp_path).open()
    assert (tmp_path / "store.db").read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(NotAStore, match="another program"):
        await Store(tmp_path).open()
    assert (tmp_path / "store.db").read_bytes() == before


# Damage


async def test_a_file_that_is_no_database_is_set_aside_and_a_new_store_begun(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all" * 1000)
    async with open_again(tmp_path) as store:
        opened = store.opened
        assert opened is not None
        assert opened.set_aside is not None
        assert opened.set_aside.read_bytes() == b"no database at all" * 1000
        assert "not a database" in str(opened.damage)
        await store.journal.accept("e1", "cfx", None, b"", ("A",)).wait()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1"]


async def test_a_corrupt_store_is_set_aside_after_an_unclean_end(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for number in range(50):
            commit = store.journal.accept(f"e{number}", "cfx", None, bytes(5000), ("A",))
        await commit.wait()
        store._database.checkpoint()
        kill(store)
    data = bytearray((tmp_path / "store.db").read_bytes())
    for position in range(8192 + 100, len(data), 8192):
        data[position - 100 : position] = b"\xff" * 100
    (tmp_path / "store.db").write_bytes(data)
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert store.opened.set_aside is not None
        assert store.opened.set_aside.exists()
        assert await replays(store) == []


async def test_a_database_that_turns_out_to_be_corrupt_is_set_aside_in_the_next_life_of_its_writer(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    write = store._database.write
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(batch: object) -> None:
        store._database.write = write  # type: ignore[method-assign]
        raise error

    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            store._database.write = fail  # type: ignore[method-assign]
            commit = store.journal.accept("e1", "cfx", None, b"", ("A",))
            await trio.sleep_forever()
    assert caught.group_contains(StoreDamaged)
    async with running(store):
        await commit.wait()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1"]


async def image_of_a_busy_store(path: Path) -> None:
    """The files of a store that has something in its database and something in its log."""
    async with running(Store(path / "busy")) as store:
        for number in range(30):
            commit = store.journal.accept(f"e{number}", "cfx", None, bytes(3000), ("A", "B"))
            store.journal.settle(f"e{number}", "A", Outcome.HANDLED)
        await commit.wait()
        store._database.checkpoint()
        for number in range(30, 40):
            await store.journal.accept(f"e{number}", "cfx", None, bytes(3000), ("A", "B")).wait()
        image(store, path)
    shutil.rmtree(path / "busy")


async def test_a_damaged_end_of_the_log_is_cut_and_reported(tmp_path: Path) -> None:
    await image_of_a_busy_store(tmp_path)
    data = bytearray((tmp_path / "store.db-wal").read_bytes())
    data[-20_000] ^= 1
    (tmp_path / "store.db-wal").write_bytes(data)
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert store.opened.cut > 0
        assert store.opened.set_aside is None
        found = [one.event_id for one in await replays(store)]
        assert found == [f"e{number}" for number in range(len(found))]
        assert 30 <= len(found) < 40


async def test_an_undamaged_log_is_not_reported(tmp_path: Path) -> None:
    await image_of_a_busy_store(tmp_path)
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert (store.opened.clean, store.opened.cut, store.opened.unsettled) == (False, 0, 40)


async def test_damage_that_is_found_in_reading_sets_the_store_aside_too(tmp_path: Path) -> None:
    await filled(tmp_path, 50)
    data = bytearray((tmp_path / "store.db").read_bytes())
    for start in range(8192, len(data), 8192):
        # The leaves with one large row are the journal's; opening counts their rows and does not read them.
        if data[start] == 0x0D and data[start + 3 : start + 5] == b"\0\1" and data[start + 5] < 0x10:
            cell = start + int.from_bytes(data[start + 8 : start + 10], "big")
            data[cell : cell + 2] = b"\xff\x7f"  # it is said to be longer, and goes on nowhere
    (tmp_path / "store.db").write_bytes(data)
    store = Store(tmp_path)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            with pytest.raises(StoreUnavailable, match="cannot be read"):
                await store.journal.page(None, 0)
            await trio.sleep_forever()
    assert caught.group_contains(StoreDamaged)
    async with running(store):
        assert store.opened is not None
        assert store.opened.set_aside is not None
        assert await replays(store) == []
        await store.journal.accept("new", "cfx", None, b"", ("A",)).wait()


@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=20),
    name=st.sampled_from(["store.db", "store.db-wal"]),
)
@settings(max_examples=30, deadline=None)
def test_whatever_bits_flip_a_store_opens_and_sets_aside_what_it_cannot_read(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[float, int]], name: str
) -> None:
    path = tmp_path_factory.mktemp("flips")

    async def open_it() -> None:
        async with open_again(path) as store:
            assert store.opened is not None
            if store.opened.set_aside is not None:
                assert store.opened.set_aside.exists()
            await replays(store)
            await store.journal.accept("new", "cfx", None, b"", ("A",)).wait()

    trio.run(image_of_a_busy_store, path)
    data = bytearray((path / name).read_bytes())
    for where, bit in flips:
        data[int(where * len(data))] ^= 1 << bit
    (path / name).write_bytes(data)
    logging.disable(logging.CRITICAL)
    try:
        trio.run(open_it)
    except* StoreError:
        # Refused with a reason, and nothing touched: a flip in the version, or in the application's id.
        assert (path / "store.db").exists()
    finally:
        logging.disable(logging.NOTSET)


# Room


async def test_a_store_that_fills_raises_alarms_and_then_takes_nothing_new(tmp_path: Path) -> None:
    store = Store(tmp_path, max_size=1 << 30, min_free=0.1)
    size = [0]
    store._database.usage = lambda: Usage(size[0], 900 << 30, 1000 << 30)  # type: ignore[method-assign]
    alarms: list[Alarm] = []
    store.on_alarm(alarms.append)
    async with running(store):
        for part in (0.1, 0.55, 0.54, 0.85, 0.96, 1.01):
            size[0] = int((1 << 30) * part)
            await store._look()
        assert [alarm.level for alarm in alarms] == [0.5, 0.8, 0.95]
        assert store.state is StoreState.FULL
        with trio.move_on_after(0) as no_room:
            await store.room()
        assert no_room.cancelled_caught
        size[0] = 0
        await store._look()
        assert store.state is StoreState.HEALTHY
        assert alarms[-1].level == 0.0
        await store.room()


async def test_the_free_part_of_the_disk_is_a_bound_too(tmp_path: Path) -> None:
    store = Store(tmp_path, min_free=0.1)
    store._database.usage = lambda: Usage(1 << 20, 9 << 30, 100 << 30)  # type: ignore[method-assign]
    async with running(store):
        await store._look()
        assert store.state is StoreState.FULL


async def test_the_room_of_settled_events_is_used_again(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for round_ in range(10):
            for number in range(200):
                commit = store.journal.accept(f"e{round_}-{number}", "cfx", None, bytes(5000), ("A",))
            await commit.wait()
            for number in range(200):
                store.journal.settle(f"e{round_}-{number}", "A", Outcome.HANDLED)
    assert (tmp_path / "store.db").stat().st_size < 3 * 200 * 5000


def test_importing_events_does_not_import_sqlite() -> None:
    code = "import sys, pywats_events; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
