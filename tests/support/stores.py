"""What tests of the store share: a store that runs, and a disk that does what it is told."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from pywats_events.durability import Replay, Store
from pywats_events.durability._database import Batch

__all__ = ["Disk", "image", "kill", "open_again", "replays", "running", "sqlite_error"]


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """A store that writes, and is closed in order at the end."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()


async def replays(store: Store, limit: int = 256) -> list[Replay]:
    """All that is replayed."""
    found: list[Replay] = []
    last, whole = 0, False
    while not whole:
        page = await store.journal.page(None, last, store.journal.last_of_earlier, limit)
        last, whole = page.last, page.whole
        found += [one.replay for one in page.events]
    return found


def kill(store: Store) -> None:
    """Let go of the files as the end of a process does."""
    store.dead_letters.release()
    store._database.abandon()


@asynccontextmanager
async def open_again(path: Path, **options: float) -> AsyncIterator[Store]:
    """Another life on the same folder."""
    async with running(Store(path, **options)) as store:  # type: ignore[arg-type]
        yield store


def image(store: Store, target: Path) -> None:
    """Copy a store's files as they are now: what a power cut would leave."""
    ignore = shutil.ignore_patterns("lock*", "*-shm", "reserve")
    shutil.copytree(store.path, target, ignore=ignore, dirs_exist_ok=True)


class Disk:
    """Stands between a store and its database, and fails as often as it is told."""

    def __init__(self, store: Store) -> None:
        self._write: Callable[[Batch], None] = store._database.write
        self.error: Exception | None = None
        self.times = 0
        self.tried = 0
        store._database.write = self.write  # type: ignore[method-assign]

    def fail(self, error: Exception, times: int = 1_000_000) -> None:
        """Fail the next writes."""
        self.error, self.times = error, times

    def write(self, batch: Batch) -> None:
        """Write, or fail."""
        self.tried += 1
        if self.times > 0 and self.error is not None:
            self.times -= 1
            raise self.error
        self._write(batch)


def sqlite_error(code: int, text: str = "told to fail") -> sqlite3.OperationalError:
    """An error as SQLite's module makes it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
