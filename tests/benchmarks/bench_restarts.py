"""Restarts per second, a new task for each life, against a try/except loop in one task of plain trio.

A restart is over when the next life is up, so whoever makes it crash waits for that in both.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio

from benchmarks.yardstick import interleaved
from pywats_supervision import ChildSpec, Supervisor

__all__ = ["PROMISES", "measure"]

RESTARTS = 20_000

PROMISES = {"restarts / loop in one task": 0.35}


class Crash(Exception):
    """What every life ends with."""


class Lives:
    """Lives that say that they are up, and crash when told."""

    def __init__(self) -> None:
        self._say_up, self._up = trio.open_memory_channel[None](1)
        self._say_crash, self._crash = trio.open_memory_channel[int](1)

    async def live(self) -> None:
        """One life."""
        self._say_up.send_nowait(None)
        raise Crash(await self._crash.receive())

    async def crash_in(self, run: Callable[[], Awaitable[None]]) -> float:
        """Crashes per second of what `run` keeps alive."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await self._up.receive()
            began = time.perf_counter()
            for number in range(RESTARTS):
                self._say_crash.send_nowait(number)
                await self._up.receive()
            seconds = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        return RESTARTS / seconds


async def loop_in_one_task() -> float:
    """Plain trio, one task."""
    lives = Lives()

    async def run() -> None:
        while True:
            try:
                await lives.live()
            except Crash:
                pass

    return await lives.crash_in(run)


async def task_for_each_life() -> float:
    """Plain trio, a new task for each life, which cannot be stopped by itself."""
    lives = Lives()

    async def run() -> None:
        async with trio.open_nursery() as nursery:

            async def live() -> None:
                try:
                    await lives.live()
                except Crash:
                    nursery.start_soon(live)

            nursery.start_soon(live)
            await trio.sleep_forever()

    return await lives.crash_in(run)


async def supervised() -> float:
    """A child that the intensity allows all its restarts."""
    lives = Lives()
    return await lives.crash_in(Supervisor([ChildSpec("a", lives.live)], max_restarts=10**9, within=1).run)


def measure(rounds: int) -> dict[str, float]:
    """Restarts per second, and their ratio to the loop, which is what counts."""
    found = interleaved(rounds, loop=loop_in_one_task, task=task_for_each_life, ours=supervised)
    return {
        "restarts / loop in one task": found["ours"] / found["loop"],
        "restarts / a plain task for each": found["ours"] / found["task"],
        "restarts per second": found["ours"],
    }
