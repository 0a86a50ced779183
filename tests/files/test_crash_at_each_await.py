"""A watcher that fails at any step of any of its tasks publishes each event once, and no file is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import Event
from pywats_files import FileWatcher
from support.files import config_of, drop, names_in, result, until

LINES = 700
"""Events of a large file, which is read in three pages."""


class Receipt:
    """Of an event that is secured when the test says so."""

    def __init__(self) -> None:
        self.secured = False
        self.callbacks: list[Callable[[Any], object]] = []

    def add_secured_callback(self, callback: Callable[[Any], object]) -> None:
        if self.secured:
            callback(self)
        else:
            self.callbacks.append(callback)

    def settle(self) -> None:
        self.secured = True
        for callback in self.callbacks:
            callback(self)


class Bus:
    """Accepts events, and secures them in any order, now and then."""

    def __init__(self, chance: random.Random) -> None:
        self.port = self
        self.events: list[Event] = []
        self.chance = chance
        self.open: list[Receipt] = []

    async def publish_on_trio(self, event: Event) -> Receipt:
        await trio.lowlevel.checkpoint()
        self.events.append(event)
        receipt = Receipt()
        self.open.append(receipt)
        if self.chance.random() < 0.2:
            self.settle(len(self.open) // 2)
        return receipt

    def settle(self, count: int) -> None:
        for _ in range(count):
            self.open.pop(self.chance.randrange(len(self.open))).settle()

    def announce(self, event_type: Any, payload: dict[str, Any]) -> None:
        pass


class CrashAfter(trio.abc.Instrument):
    """Cancels a scope after so many steps of tasks."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self.left = steps
        self.scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def live(watcher: FileWatcher, steps: int | None, done: Callable[[], object]) -> None:
    """One life, which ends after so many steps; or when all is done."""
    with trio.CancelScope() as scope:
        instrument = CrashAfter(steps or -1, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            await watcher.start_async()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watcher.serve)
                await until(done)
                nursery.cancel_scope.cancel()
        finally:
            trio.lowlevel.remove_instrument(instrument)
            with trio.CancelScope(shield=True):
                await watcher.stop_async()


@pytest.mark.parametrize(("seed", "in_flight"), [(0, 8), (1, 8), (2, 8), (3, 1)])
async def test_after_any_crash_the_next_life_goes_on_where_it_was(
    tmp_path: Path, seed: int, in_flight: int
) -> None:
    chance = random.Random(seed)
    bus = Bus(chance)
    watcher = FileWatcher(config_of(tmp_path, watch="poll", in_flight=in_flight))
    watcher.set_event_bus(bus)
    line = b'{"event_type": "test.result", "payload": {"unit_id": "L%d", "note": "%s"}}\n'
    drop(tmp_path, "large.jsonl", b"".join(line % (number, b"x" * 1_600) for number in range(LINES)))
    drop(tmp_path, "bad.json", b"{")
    units = [f"L{number}" for number in range(LINES)]
    for number in range(30):
        drop(tmp_path, f"{number:02}.json", result(f"SN{number // 2}"))  # each content twice
        units += [f"SN{number // 2}"] * (number % 2)

    def done() -> bool:
        bus.settle(len(bus.open))
        return len(names_in(tmp_path / "done")) == 31 and len(names_in(tmp_path / "failed")) == 2

    for life in range(40):
        await live(watcher, 1 + life // 2 + chance.randrange(60), lambda: False)
    await live(watcher, None, done)
    assert sorted(event.payload["unit_id"] for event in bus.events) == sorted(units)
    assert names_in(tmp_path) == ["done", "failed"]
    assert names_in(tmp_path / ".pywats" / "hand") == []
    assert watcher.get_stats()["in_hand"] == 0
