"""A process killed at any moment: what it was told is done is there, and nothing is there by half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from support.stores import open_again, replays

# Tells on stdout what is on the disk. Every third event settles at once with a dead letter in the same step.
PROGRAM = """
import sys, trio
from pywats_events.durability import Store
from pywats_events.settlement import Outcome

async def source(store, name):
    number = 0
    while True:
        event = f"{name}-{number}"
        size = 30_000 if number % 10 == 9 else 300
        payload = event.encode().ljust(size, b".")
        commit = store.journal.accept(event, name, None, payload, ("A", "B"))
        await commit.wait()
        print("accepted", event, flush=True)
        store.journal.settle(event, "A", Outcome.HANDLED)
        if number % 3 == 0:
            store.dead_letters.add(None, ValueError(event), "B", raw=event.encode())
            store.journal.settle(event, "B", Outcome.DEAD_LETTERED)
        number += 1

async def main():
    async with trio.open_nursery() as nursery:
        store = Store(sys.argv[1], commit_after=0.001, large=20_000)
        await nursery.start(store.run)
        for source_number in range(5):
            nursery.start_soon(source, store, f"{sys.argv[2]}-s{source_number}")

trio.run(main)
"""


def run_and_kill(path: Path, life: int, after: float) -> list[str]:
    """The events that a life of the program said are accepted, before it was killed."""
    command = [sys.executable, "-c", PROGRAM, str(path), f"l{life}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    else:
        pytest.fail("the program ended by itself")
    told, _ = process.communicate()
    lines = [first, *told.splitlines(keepends=True)]
    return [line.split()[1] for line in lines if line.endswith("\n")]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_what_was_told_is_there_after_each_of_five_kills_and_nothing_is_by_half(tmp_path: Path) -> None:
    chance = random.Random(4)
    told: list[str] = []
    lives = 5
    for life in range(lives):
        told += run_and_kill(tmp_path, life, chance.random() * 0.3)
    assert told

    async def look() -> None:
        async with open_again(tmp_path, large=20_000) as store:
            assert store.opened is not None
            assert (store.opened.clean, store.opened.set_aside, store.opened.cut) == (False, None, 0)
            found = {one.event_id: one for one in await replays(store)}
            buried = [str(one.error) for one in store.dead_letters]
            assert len(buried) == len(set(buried))
            for event in told:
                assert event in store.seen
                assert (event in found) != (event in buried), event
            for event in buried:
                assert event not in found, "dead-lettered and not settled"
            for event, one in found.items():
                size = 30_000 if event.endswith("9") else 300
                assert one.encoded == event.encode().ljust(size, b".")
                assert one.handlers in (("A", "B"), ("B",))

    trio.run(look)
