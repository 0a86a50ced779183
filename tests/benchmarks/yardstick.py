"""The yardsticks: what plain trio does, measured in the same run as ours."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import trio

__all__ = ["interleaved", "peer", "timed", "trio_chan"]

EVENTS = 100_000


async def trio_chan() -> float:
    """Events per second over one memory channel, `await send` and `async for`: 1.0 of the tables."""
    send, receive = trio.open_memory_channel[int](1024)

    async def produce() -> None:
        async with send:
            for number in range(EVENTS):
                await send.send(number)

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async for _ in receive:
            pass
    return EVENTS / (time.perf_counter() - started)


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


@asynccontextmanager
async def peer(module: str, *arguments: object) -> AsyncIterator[str]:
    """Run a module as a process of its own, until the block ends; gives the first line that it writes.

    Raises:
        RuntimeError: if it writes none; with what it wrote to stderr.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with tempfile.TemporaryFile() as errors:
        # From the folder that `-m` is to find `benchmarks` in.
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=Path(__file__).parents[1]
        )
        try:
            line = b""
            async with process.stdout:
                while not line.endswith(b"\n") and (part := await process.stdout.receive_some()):
                    line += part
                if not line.endswith(b"\n"):
                    status = await process.wait()
                    errors.seek(0)
                    said = errors.read().decode(errors="replace")
                    raise RuntimeError(f"`{' '.join(command)}` ended with {status}:\n{said}")
                yield line.decode()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
