"""What was accepted is there after any end of the process, and goes only to those who had not finished."""

from __future__ import annotations

from contextlib import asynccontextmanager
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from pywats_events.durability import Replay, Store
from pywats_events.settlement import Outcome


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


async def replays(store: Store) -> list[Replay]:
    found: list[Replay] = []
    while page := await store.journal.next_replays():
        found += page
    return found


async def test_what_was_accepted_and_not_settled_is_replayed_in_order(tmp_path: Path) -> None:
    async with running(Store(tmp_path)) as store:
        for number in range(10):
            commit = store.journal.accept(f"e{number}", "cfx", "unit", b"%d" % number, ("A", "B"))
        await commit.wait()
        store.journal.settle("e3", "A", Outcome.HANDLED)
        store.journal.settle("e4", "A", Outcome.HANDLED)
        store.journal.settle("e4", "B", Outcome.DEAD_LETTERED)
    async with running(Store(tmp_path)) as store:
        assert store.opened is not None
        assert (store.opened.clean, store.opened.unsettled) == (True, 9)
        found = await replays(store)
        assert [(one.event_id, one.encoded) for one in found] == [
            (f"e{n}", b"%d" % n) for n in range(10) if n != 4
        ]
        assert [one.handlers for one in found if one.event_id in ("e2", "e3")] == [("A", "B"), ("B",)]
        assert store.seen.known(["e3", "e4", "x"]) == {"e3", "e4"}
