"""What was accepted is there after any end of the process, and goes only to those who had not finished."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
import trio

from pywats_events.durability import Store, StoreClosed, StoreUnavailable
from pywats_events.settlement import Outcome
from support.stores import kill, open_again, replays, running

BIG = bytes(range(256)) * 8192


async def test_what_was_accepted_and_not_settled_is_replayed_in_order(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for number in range(10):
            commit = store.journal.accept(f"e{number}", "cfx", "unit", b"%d" % number, ("A", "B"))
        await commit.wait()
        store.journal.settle("e3", "A", Outcome.HANDLED)
        store.journal.settle("e4", "A", Outcome.HANDLED)
        store.journal.settle("e4", "B", Outcome.DEAD_LETTERED)
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert (store.opened.clean, store.opened.unsettled) == (True, 9)
        found = await replays(store, limit=4)
        assert [(one.event_id, one.encoded) for one in found] == [
            (f"e{n}", b"%d" % n) for n in range(10) if n != 4
        ]
        assert {(one.source, one.key) for one in found} == {("cfx", "unit")}
        assert [one.handlers for one in found if one.event_id in ("e2", "e3")] == [("A", "B"), ("B",)]
        assert store.seen.known(["e3", "e4", "x"]) == {"e3", "e4"}


async def test_a_replayed_event_that_settles_is_gone_for_the_next_life(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "cfx", None, b"1", ("A", "B"))
        store.journal.settle("e1", "B", Outcome.HANDLED)
    async with open_again(tmp_path) as store:
        (found,) = await replays(store)
        store.journal.settle("e1", found.handlers[0], Outcome.HANDLED)
    async with open_again(tmp_path) as store:
        assert await replays(store) == []
        for table in ("journal", "settled", "hands"):
            assert store._database.rows(f"SELECT * FROM {table}") == []


async def test_what_comes_during_the_replay_is_not_replayed(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for number in range(3):
            store.journal.accept(f"old{number}", "cfx", None, b"", ("A",))
    async with open_again(tmp_path) as store:
        await store.journal.accept("new", "cfx", None, b"", ("A",)).wait()
        assert [one.event_id for one in await replays(store, limit=1)] == ["old0", "old1", "old2"]


async def test_an_event_that_settles_before_it_was_written_is_only_made_known(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "cfx", None, BIG, ("A", "B"))
        store.journal.settle("e1", "A", Outcome.HANDLED)
        store.journal.settle("e1", "B", Outcome.HANDLED)
    async with open_again(tmp_path) as store:
        assert await replays(store) == []
        assert "e1" in store.seen
        assert store._database.rows("SELECT * FROM settled") == []
        assert list(store.folder.payloads.iterdir()) == []


async def test_settling_is_idempotent_per_event_and_handler(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "cfx", None, b"", ("A", "B"))
        for _ in range(2):
            store.journal.settle("e1", "A", Outcome.HANDLED)
        store.journal.settle("e1", "unknown", Outcome.HANDLED)
        store.journal.settle("unknown", "A", Outcome.HANDLED)
        assert "e1" in store.journal
    async with open_again(tmp_path) as store:
        assert [one.handlers for one in await replays(store)] == [("B",)]


async def test_what_was_handed_back_is_not_settled(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "cfx", None, b"", ("A",))
        store.journal.settle("e1", "A", Outcome.HANDED_BACK)
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e1"]


async def test_an_event_accepted_twice_is_written_once(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "cfx", None, b"first", ("A",))
        await store.journal.accept("e1", "cfx", None, b"second", ("A",)).wait()
    async with open_again(tmp_path) as store:
        assert [one.encoded for one in await replays(store)] == [b"first"]


async def test_an_event_for_nobody_is_only_made_known(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e1", "cfx", None, b"", ()).wait()
    async with open_again(tmp_path) as store:
        assert await replays(store) == []
        assert store.seen.known(["e1"]) == {"e1"}


async def test_a_large_event_is_a_file_beside_the_database_until_it_is_settled(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e1", "cfx", None, BIG, ("A",)).wait()
        assert [path.stat().st_size for path in store.folder.payloads.iterdir()] == [len(BIG)]
        assert store.folder.database.stat().st_size < len(BIG)
    async with open_again(tmp_path) as store:
        assert [one.encoded for one in await replays(store)] == [BIG]
        store.journal.settle("e1", "A", Outcome.HANDLED)
    assert list((tmp_path / "large").iterdir()) == []


async def test_a_large_event_whose_file_cannot_be_deleted_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e1", "cfx", None, BIG, ("A",)).wait()
        (path,) = store.folder.payloads.iterdir()
        path.unlink()
        path.mkdir()
        store.journal.settle("e1", "A", Outcome.HANDLED)
        await store.journal.accept("e2", "cfx", None, b"", ("A",)).wait()
        path.rmdir()
    assert "cannot be deleted" in caplog.text
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e2"]


async def test_files_that_no_row_speaks_of_are_swept(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e1", "cfx", None, BIG, ("A",)).wait()
    (tmp_path / "large" / "0000000000000077").write_bytes(b"left")
    (tmp_path / "large" / "0000000000000078.part").write_bytes(b"half")
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert store.opened.orphans == 2
        assert [one.encoded for one in await replays(store)] == [BIG]


async def test_names_that_are_no_unicode_text_do_not_hold_up_the_rest(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e\ud800", "c\udcf0x", "k\udfff", b"", ("H\ud811",)).wait()
        store.journal.settle("e\ud800", "H\ud811", Outcome.HANDLED)
        await store.journal.accept("e2", "cfx", None, b"", ("A",)).wait()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e2"]


async def test_an_event_that_the_disk_has_damaged_becomes_a_dead_letter(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "inbox/1.json", None, BIG, ("A",))
        store.journal.accept("e2", "inbox/2.json", None, b"two", ("A",))
        store.journal.accept("e3", "inbox/3.json", None, b"three", ("A",))
    for path in (tmp_path / "large").iterdir():
        path.unlink()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE journal SET handlers = CAST(x'5B22FF' AS TEXT) WHERE event_id = 'e2'")
    connection.commit()
    connection.close()
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store, limit=1)] == ["e3"]
    async with open_again(tmp_path) as store:
        assert [(one.source, one.raw, one.error_type) for one in store.dead_letters] == [
            ("inbox/1.json", b"", "FileNotFoundError"),
            ("inbox/2.json", b"two", "DecodeError"),
        ]
        assert [one.event_id for one in await replays(store)] == ["e3"]


async def test_a_row_without_event_and_a_file_that_never_can_be_read_do_not_hold_up_the_rest(
    tmp_path: Path,
) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("e1", "one", None, b"one", ("A",))
        store.journal.accept("e2", "two", None, BIG, ("A",))
        store.journal.accept("e3", "three", None, b"three", ("A",))
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE journal SET encoded = NULL WHERE event_id = 'e1'")
    connection.commit()
    connection.close()
    (path,) = (tmp_path / "large").iterdir()
    path.unlink()
    path.mkdir()
    (path / "found").write_bytes(b"by a repair of the file system")
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["e3"]
        assert [(one.source, one.error_type) for one in store.dead_letters] == [
            ("one", "DecodeError"),
            ("two", "IsADirectoryError"),
        ]
    async with open_again(tmp_path) as store:
        assert store.opened is not None
        assert (store.opened.clean, store.opened.unsettled) == (True, 1)
    kept = tmp_path / "large-unreadable-0000000000000002" / "found"
    assert kept.read_bytes() == b"by a repair of the file system"


async def test_a_file_that_cannot_be_read_for_now_is_tried_again_and_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("e1", "one", None, BIG, ("A",)).wait()
    async with open_again(tmp_path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", _refused)
            with pytest.raises(StoreUnavailable, match=r"cannot be read.*Permission denied"):
                await store.journal.page("A", 0)
        assert [one.encoded for one in await replays(store)] == [BIG]
        assert store.dead_letters.is_empty


def _refused(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


async def test_a_store_that_is_not_open_takes_no_event(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreClosed, match="not open"):
            store.journal.accept("e1", "cfx", None, b"", ("A",))
        assert "e1" not in store.journal
        assert "e1" not in store.seen
        async with running(store):
            pass


# In hand at unclean ends


async def end_uncleanly(path: Path, *taken: str) -> dict[str, tuple[int, bool, bool]]:
    """One life: read what is replayed, take some in hand, and end without closing."""
    async with running(Store(path)) as store:
        found = await replays(store)
        for name in taken:
            await store.journal.take(name, "A").wait()
        kill(store)
    return {one.event_id: (one.ends, one.careful, one.exhausted) for one in found}


async def test_an_event_in_hand_at_five_unclean_ends_in_a_row_is_exhausted(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        store.journal.accept("innocent", "cfx", None, b"", ("A",))
        await store.journal.accept("poison", "cfx", None, b"", ("A",)).wait()
        kill(store)
    fresh, suspect = (1, False, False), (2, True, False)
    assert await end_uncleanly(tmp_path) == {"innocent": fresh, "poison": fresh}
    assert await end_uncleanly(tmp_path, "poison") == {"innocent": suspect, "poison": suspect}
    assert await end_uncleanly(tmp_path, "poison") == {
        "innocent": (0, False, False),
        "poison": (3, True, False),
    }
    assert await end_uncleanly(tmp_path, "poison") == {
        "innocent": (1, False, False),
        "poison": (4, True, False),
    }
    async with open_again(tmp_path) as store:
        assert {one.event_id: (one.ends, one.exhausted) for one in await replays(store)} == {
            "innocent": (2, False),
            "poison": (5, True),
        }
        store.journal.settle("poison", "A", Outcome.DEAD_LETTERED)
    async with open_again(tmp_path) as store:
        assert [one.event_id for one in await replays(store)] == ["innocent"]


async def test_an_end_in_order_breaks_the_row_of_unclean_ends(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        await store.journal.accept("poison", "cfx", None, b"", ("A",)).wait()
        kill(store)
    await end_uncleanly(tmp_path)
    await end_uncleanly(tmp_path, "poison")
    async with open_again(tmp_path) as store:
        assert [one.ends for one in await replays(store)] == [3]
    async with open_again(tmp_path) as store:
        assert [one.ends for one in await replays(store)] == [0]


async def test_an_end_after_an_attempt_counts_only_if_another_handler_has_the_event_in_hand(
    tmp_path: Path,
) -> None:
    async with running(Store(tmp_path)) as store:
        for name in ("tried", "in hand"):
            await store.journal.accept(name, "cfx", None, b"", ("A", "B")).wait()
        kill(store)
    await end_uncleanly(tmp_path)
    async with running(Store(tmp_path)) as store:
        assert [one.careful for one in await replays(store)] == [True, True]
        for name in ("tried", "in hand"):
            store.journal.take(name, "A")
            store.journal.take(name, "B")
            store.journal.let_go(name, "A")
        await store.journal.settle("tried", "B", Outcome.HANDLED).wait()
        kill(store)
    async with open_again(tmp_path) as store:
        assert {one.event_id: one.ends for one in await replays(store)} == {"tried": 0, "in hand": 3}


async def test_a_page_whose_reading_is_cancelled_comes_again(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for number in range(6):
            store.journal.accept(f"e{number}", "cfx", None, b"", ("A",))
    async with open_again(tmp_path) as store:
        found: list[str] = []
        last = 0
        for checkpoints in range(20):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, scope, checkpoints)
                    page = await store.journal.page("A", last, limit=2)
                    found += [one.replay.event_id for one in page.events]
                    last = page.last
                    nursery.cancel_scope.cancel()
        page = await store.journal.page("A", last)
        found += [one.replay.event_id for one in page.events]
        assert found == [f"e{number}" for number in range(6)]


async def _cancel_after(scope: trio.CancelScope, checkpoints: int) -> None:
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    scope.cancel()
