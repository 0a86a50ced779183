"""Restarts per second, a new task for each life, against a try/except loop in one task of plain trio.

Both take one item from a memory channel in each life, and crash on it.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Awaitable, Callable

import trio
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.policies import Backoff

__all__ = ["measure"]

RESTARTS = 20_000


class Crash(Exception):
    """What every life ends with."""


async def plain_trio(number: int) -> None:
    """One task, whose lives are turns of a loop."""
    send, receive = trio.open_memory_channel[int](1024)

    async def life() -> None:
        raise Crash(await receive.receive())

    async def consumer() -> None:
        for _ in range(number):
            try:
                await life()
            except Crash:
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consumer)
        for item in range(number):
            await send.send(item)


async def supervised(number: int, policy: Backoff | None = None) -> None:
    """One child of a supervisor."""
    send, receive = trio.open_memory_channel[int](1024)
    lives = 0
    done = trio.Event()

    async def life() -> None:
        nonlocal lives
        lives += 1
        if lives > number:
            done.set()
        raise Crash(await receive.receive())

    tree = Supervisor([ChildSpec("crashing", life, policy=policy)], max_restarts=10 * number, within=1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        for item in range(number):
            await send.send(item)
        await done.wait()
        nursery.cancel_scope.cancel()


def _per_second(work: Callable[[int], Awaitable[None]]) -> float:
    began = time.perf_counter()
    trio.run(work, RESTARTS)
    return RESTARTS / (time.perf_counter() - began)


def measure(rounds: int = 5) -> dict[str, float]:
    """Medians of interleaved rounds.

    Args:
        rounds: how many, 1 or more.

    Returns:
        Restarts per second of both, and their ratio, which is what counts: at least 0.35.
    """
    logger = logging.getLogger("pywats_supervision")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        pairs = [(_per_second(supervised), _per_second(plain_trio)) for _ in range(rounds)]
    finally:
        logger.disabled = was_disabled
    return {
        "restarts_per_s": statistics.median(ours for ours, _ in pairs),
        "plain_trio_per_s": statistics.median(theirs for _, theirs in pairs),
        "restarts": statistics.median(ours / theirs for ours, theirs in pairs),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:20} {value:12,.2f}")
