"""Starting and stopping 10,000 children, against 10,000 tasks of plain trio on a memory channel each.

Each is up before the next is started: plain trio's way to know that is `nursery.start`.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from benchmarks.yardstick import interleaved
from pywats_supervision import ChildContext, ChildSpec, DynamicSupervisor

__all__ = ["MOST", "PROMISES", "measure"]

CHILDREN = 10_000

PROMISES = {"start and stop 10,000 children": 1.0}
MOST = {"kB for a bare child": 6.0, "kB for a child that listens": 8.0}

Look = Callable[[], None]
"""Called when all are up."""


async def plain_trio(look: Look, *, ready: bool = True) -> None:
    """Tasks that wait on a channel of their own and end when it is closed."""

    async def task(
        receive: trio.MemoryReceiveChannel[int], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        task_status.started()
        async with receive:
            async for _ in receive:
                pass

    async with trio.open_nursery() as nursery:
        channels = []
        for _ in range(CHILDREN):
            send, receive = trio.open_memory_channel[int](1)
            channels.append(send)
            if ready:
                await nursery.start(task, receive)
            else:
                nursery.start_soon(task, receive)
        await _first_turns()
        look()
        for send in channels:
            await send.aclose()


async def supervised(look: Look, start: Callable[..., Any]) -> None:
    """Children of a dynamic supervisor."""
    tree = DynamicSupervisor()
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        for number in range(CHILDREN):
            await tree.start_child(ChildSpec(str(number), start))
        await _first_turns()
        look()
        await tree.stop()


async def listen(task_status: trio.TaskStatus[None], child: ChildContext) -> None:
    """Say when it is up, and end when asked to, as an actor does."""
    task_status.started()
    await child.wait_stopping()


async def _first_turns() -> None:
    """Let each task that was started come to where it waits."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()


async def _per_second(work: Callable[[Look], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work(lambda: None)
    return CHILDREN / (time.perf_counter() - began)


def _kilobytes(work: Callable[[Look], Awaitable[None]]) -> float:
    """Memory held for each when all are up."""
    held = 0

    def look() -> None:
        nonlocal held
        held = tracemalloc.get_traced_memory()[0]

    gc.collect()
    tracemalloc.start()
    try:
        trio.run(work, look)
    finally:
        tracemalloc.stop()
    return held / CHILDREN / 1000


def measure(rounds: int) -> dict[str, float]:
    """Ratios to plain trio in children per second, and memory for each."""
    bare = partial(supervised, start=trio.sleep_forever)
    listening = partial(supervised, start=listen)
    found = interleaved(
        rounds,
        ready=partial(_per_second, plain_trio),
        soon=partial(_per_second, partial(plain_trio, ready=False)),
        bare=partial(_per_second, bare),
        listening=partial(_per_second, listening),
    )
    return {
        "start and stop 10,000 children": found["listening"] / found["ready"],
        "the same, bare and cancelled": found["bare"] / found["ready"],
        "the same / tasks never waited for": found["listening"] / found["soon"],
        "children per second": found["listening"],
        "kB for a task of plain trio": _kilobytes(plain_trio),
        "kB for a bare child": _kilobytes(bare),
        "kB for a child that listens": _kilobytes(listening),
    }
