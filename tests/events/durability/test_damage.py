"""Whatever is damaged in a store's folder, the next lives work, and nothing is lost unseen.

Each case is a whole folder as a station leaves it, closed or killed, with one thing damaged in it. Lives
follow on it as a supervisor makes them, which read all that there is. In the end either everything was
found, or the damage was reported and what was damaged is still there under another name.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from pywats_events.durability import Store, StoreUnavailable
from pywats_events.settlement import Outcome
from support.stores import replays, running

PAGE = 8192
EVENTS = 30
LARGE = 3
LETTERS = 20
LIVES = 2
"""Of which the last one has to work: one may find the damage, and the next begins anew."""


async def fill(path: Path) -> None:
    """A store with something in each of its tables, and beside them; and a copy as a kill leaves it."""
    async with running(Store(path / "closed", large=50_000)) as store:
        shelf, spool = await store.shelf("machine"), await store.spool("line")
        for number in range(EVENTS):
            size = 60_000 if number < LARGE else 20_000 if number % 5 == 0 else 600
            commit = store.journal.accept(f"e{number}", "cfx", None, bytes(size), ("A", "B"))
            store.journal.settle(f"e{number}", "A", Outcome.HANDLED)
            if number == EVENTS // 2:
                await commit.wait()
                store._database.checkpoint()
        for number in range(LETTERS):
            store.dead_letters.add(None, ValueError("no event"), "A", raw=bytes(3000), source=f"f{number}")
        for number in range(LETTERS):
            shelf.put(f"key {number}", bytes(1000))
            commit = spool.append(bytes(1000))
        await commit.wait()
        shutil.copytree(store.path, path / "killed", ignore=shutil.ignore_patterns("*-shm", "reserve"))
    store.folder.give_up_reserve()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores")
    trio.run(fill, path)
    return path


class Found(msgspec.Struct):
    """What the lives on a folder have found."""

    events: set[str] = msgspec.field(default_factory=set)
    letters: int = 0
    keys: int = 0
    values: int = 0
    cut: int = 0
    set_aside: list[Path] = msgspec.field(default_factory=list)

    @property
    def reported(self) -> bool:
        return bool(self.cut or self.set_aside)

    @property
    def is_all(self) -> bool:
        # What was no event any more is a dead letter.
        return (len(self.events) + self.letters, self.keys, self.values) == (
            EVENTS + LETTERS,
            LETTERS,
            LETTERS,
        )


async def live(path: Path, found: Found) -> None:
    """Read all that there is, and write something new."""
    async with running(Store(path, large=50_000)) as store:
        assert store.opened is not None
        found.cut += store.opened.cut
        found.events = {one.event_id for one in await replays(store)}
        found.keys = len(await store.shelf("machine"))
        spool = await store.spool("line")
        found.values = len(await spool.peek(len(spool)))
        await store.journal.accept("new", "cfx", None, b"", ()).wait()
        found.letters = len(list(store.dead_letters))


async def lives(path: Path) -> Found:
    found = Found()
    for number in range(LIVES):
        try:
            await live(path, found)
        except* StoreUnavailable:
            assert number < LIVES - 1
    return found


def outcome(path: Path) -> Found:
    logging.disable(logging.CRITICAL)
    try:
        found = trio.run(lives, path)
    finally:
        logging.disable(logging.NOTSET)
    found.set_aside = list(path.glob("*-corrupt-*"))
    return found


def garbage(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_an_undamaged_store_is_all_there_and_reports_nothing(stores: Path, tmp_path: Path, end: str) -> None:
    shutil.copytree(stores / end, tmp_path / "store")
    found = outcome(tmp_path / "store")
    assert found.is_all
    assert not found.reported


@pytest.mark.parametrize("damage", [garbage, bytes], ids=["garbage", "zeros"])
@pytest.mark.parametrize("end", ["closed", "killed"])
def test_damage_in_any_page_is_found_and_set_aside_and_nothing_is_deleted(
    stores: Path, tmp_path: Path, end: str, damage: Callable[[int], bytes]
) -> None:
    whole = (stores / end / "store.db").read_bytes()
    set_aside = 0
    for start in range(0, len(whole), PAGE):
        path = tmp_path / f"page-{start // PAGE}"
        shutil.copytree(stores / end, path)
        damaged = whole[:start] + damage(PAGE) + whole[start + PAGE :]
        (path / "store.db").write_bytes(damaged)
        found = outcome(path)
        assert found.is_all or found.reported
        if found.set_aside:
            set_aside += 1
            (kept,) = path.glob("store-corrupt-*.db")
            if end == "closed":  # else the page in the log may have gone over it
                assert kept.read_bytes()[start : start + PAGE] == damaged[start : start + PAGE]
            assert len(list(path.glob("large-corrupt-*/*"))) == LARGE
        shutil.rmtree(path)
    assert set_aside > 5


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 10])


def cut_to_ten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def replaced_by_garbage(path: Path) -> None:
    path.write_bytes(garbage(path.stat().st_size))


def garbage_in_its_head(path: Path) -> None:
    path.write_bytes(garbage(32) + path.read_bytes()[32:])


@pytest.mark.parametrize(
    "damage", [removed, emptied, truncated, cut_to_ten, replaced_by_garbage, garbage_in_its_head]
)
@pytest.mark.parametrize("end", ["closed", "killed"])
def test_damage_to_any_file_is_found_and_reported(
    stores: Path, tmp_path: Path, end: str, damage: Callable[[Path], None]
) -> None:
    source = stores / end
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert {name.parts[0] for name in names} >= {"store.db", "lock", "large"}
    assert (end == "killed") == (Path("store.db-wal") in names)
    for name in names:
        path = tmp_path / name.name
        shutil.copytree(source, path)
        damage(path / name)
        found = outcome(path)
        if (name.name, damage) == ("store.db-wal", truncated):
            continue  # a log that ends at a commit is the log of an earlier moment, and nothing tells it
        assert found.is_all or found.reported
        if name.parts[0] == "lock":
            assert found.is_all
            assert not found.reported
        elif name.parts[0] == "large":
            assert found.is_all
        elif damage in (removed, emptied):
            assert found.reported, name


def test_events_whose_rows_are_lost_with_the_log_keep_their_files(stores: Path, tmp_path: Path) -> None:
    shutil.copytree(stores / "killed", tmp_path / "store")
    orphan = tmp_path / "store" / "large" / "00000000000000ff"
    orphan.write_bytes(b"its row was in the log")
    (tmp_path / "store" / "store.db-wal").unlink()
    assert outcome(tmp_path / "store").cut
    (kept,) = (tmp_path / "store").glob("large-corrupt-*/00000000000000ff")
    assert kept.read_bytes() == b"its row was in the log"
