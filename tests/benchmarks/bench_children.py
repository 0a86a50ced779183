"""Starting and stopping 10,000 bare children, against 10,000 tasks of plain trio on a memory channel each."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import trio
from pywats_supervision import ChildContext, ChildSpec, DynamicSupervisor

__all__ = ["measure"]

CHILDREN = 10_000

Stage = Callable[[], None]
"""Called when all are up."""


async def plain_trio(all_up: Stage) -> None:
    """Tasks that wait on a channel of their own, and end when it is closed."""

    async def task(receive: trio.MemoryReceiveChannel[int]) -> None:
        async for _ in receive:
            pass

    async with trio.open_nursery() as nursery:
        channels = []
        for _ in range(CHILDREN):
            send, receive = trio.open_memory_channel[int](1)
            channels.append(send)
            nursery.start_soon(task, receive)
        await _blocked(nursery)
        all_up()
        for send in channels:
            send.close()


async def _supervised(start: Callable[..., Awaitable[None]], all_up: Stage) -> None:
    tree = DynamicSupervisor()
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        for number in range(CHILDREN):
            tree.start_child_nowait(ChildSpec(str(number), start))
        await _blocked(nursery)
        all_up()
        await tree.stop()


async def bare(all_up: Stage) -> None:
    """Children that take nothing, and are cancelled."""
    await _supervised(trio.sleep_forever, all_up)


async def listening(all_up: Stage) -> None:
    """Children that say when they are up, and are asked to stop."""

    async def start(task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        task_status.started()
        await child.wait_stopping()

    await _supervised(start, all_up)


async def _blocked(nursery: trio.Nursery) -> None:
    """Let each task that was started have its first turn."""
    del nursery
    for _ in range(2):
        await trio.lowlevel.checkpoint()


def _seconds(work: Callable[[Stage], Awaitable[None]]) -> float:
    gc.collect()
    began = time.perf_counter()
    trio.run(work, lambda: None)
    return time.perf_counter() - began


def _bytes_each(work: Callable[[Stage], Awaitable[None]]) -> float:
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
    return held / CHILDREN


def measure(rounds: int = 5) -> dict[str, float]:
    """Medians of interleaved rounds.

    Args:
        rounds: how many, 1 or more.

    Returns:
        Children per second, ratios to plain trio (at least 1.0), and bytes for each (a bare one
        at most 6,000).
    """
    triples = [(_seconds(plain_trio), _seconds(bare), _seconds(listening)) for _ in range(rounds)]
    return {
        "plain_trio_per_s": CHILDREN / statistics.median(plain for plain, _, _ in triples),
        "bare_per_s": CHILDREN / statistics.median(ours for _, ours, _ in triples),
        "listening_per_s": CHILDREN / statistics.median(ours for _, _, ours in triples),
        "children_bare": statistics.median(plain / ours for plain, ours, _ in triples),
        "children_listening": statistics.median(plain / ours for plain, _, ours in triples),
        "plain_trio_bytes": _bytes_each(plain_trio),
        "bare_bytes": _bytes_each(bare),
        "listening_bytes": _bytes_each(listening),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:20} {value:12,.2f}")
