"""The yardsticks: what plain trio does, measured in the same run as ours."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from statistics import median

import trio

__all__ = ["interleaved", "timed", "trio_chan"]


async def trio_chan(count: int = 100_000) -> float:
    """Events per second over one memory channel, `await send` and `async for`: 1.0 of the tables."""
    send, receive = trio.open_memory_channel[int](1024)

    async def produce() -> None:
        async with send:
            for number in range(count):
                await send.send(number)

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async for _ in receive:
            pass
    return count / (time.perf_counter() - started)


def timed(measure: Callable[[], Awaitable[float]]) -> float:
    """Run one measurement in a trio run of its own, without the garbage of the one before."""
    gc.collect()
    return trio.run(measure)


def interleaved(rounds: int, **measures: Callable[[], Awaitable[float]]) -> dict[str, float]:
    """The median of each measurement, taken in turn, so that a change of the machine's speed hits all."""
    readings: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            readings[name].append(timed(measure))
    return {name: median(values) for name, values in readings.items()}
