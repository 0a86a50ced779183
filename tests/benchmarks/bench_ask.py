"""ask and a ring of actors, against the same by hand over memory channels.

Guards the HOT lines of `pywats_actors._ask`, `pywats_actors._cell` and `pywats_actors.mailbox`.
"""

from __future__ import annotations

import time

import trio

from benchmarks.yardstick import interleaved
from pywats_actors import Actor, ActorRef
from pywats_supervision import Supervisor

PROMISES = {"ask": 1.3, "ring": 1.3}

ASKS = 20_000
HOPS = 50_000
ACTORS = 500


class Echo(Actor[int]):
    """Replies with the question."""

    async def receive(self, message: int) -> int:
        """Reply."""
        return message


class Node(Actor[int]):
    """Hands a number on, one less, until it is 0."""

    next: ActorRef[int]
    done: trio.Event

    async def receive(self, message: int) -> None:
        """Hand on."""
        if message:
            self.next.tell_nowait(message - 1)
        else:
            self.done.set()


async def ask() -> float:
    """Round trips per second."""
    echo = ActorRef("echo", Echo())
    supervisor = Supervisor([echo.spec()])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        started = time.perf_counter()
        for number in range(ASKS):
            await echo.ask(number)
        elapsed = time.perf_counter() - started
        await supervisor.stop()
    return ASKS / elapsed


async def ask_by_hand() -> float:
    """Round trips per second over two memory channels."""
    to_echo, questions = trio.open_memory_channel[int](1)
    to_asker, answers = trio.open_memory_channel[int](1)

    async def echo() -> None:
        async for question in questions:
            await to_asker.send(question)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        started = time.perf_counter()
        for number in range(ASKS):
            await to_echo.send(number)
            await answers.receive()
        elapsed = time.perf_counter() - started
        nursery.cancel_scope.cancel()
    return ASKS / elapsed


async def ring() -> float:
    """Hops per second around the ring."""
    nodes = [Node() for _ in range(ACTORS)]
    refs = [ActorRef(f"node-{number}", node) for number, node in enumerate(nodes)]
    done = trio.Event()
    for number, node in enumerate(nodes):
        node.next, node.done = refs[(number + 1) % ACTORS], done
    supervisor = Supervisor([ref.spec() for ref in refs])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        started = time.perf_counter()
        await refs[0].tell(HOPS)
        await done.wait()
        elapsed = time.perf_counter() - started
        await supervisor.stop()
    return HOPS / elapsed


async def ring_by_hand() -> float:
    """Hops per second around a ring of memory channels."""
    channels = [trio.open_memory_channel[int](10) for _ in range(ACTORS)]
    done = trio.Event()

    async def node(receive: trio.MemoryReceiveChannel[int], send: trio.MemorySendChannel[int]) -> None:
        async for message in receive:
            if message:
                await send.send(message - 1)
            else:
                done.set()

    async with trio.open_nursery() as nursery:
        for number, (_, receive) in enumerate(channels):
            nursery.start_soon(node, receive, channels[(number + 1) % ACTORS][0])
        started = time.perf_counter()
        await channels[0][0].send(HOPS)
        await done.wait()
        elapsed = time.perf_counter() - started
        nursery.cancel_scope.cancel()
    return HOPS / elapsed


def measure(rounds: int) -> dict[str, float]:
    """Ratios to the same by hand."""
    speeds = interleaved(rounds, ask_by_hand=ask_by_hand, ask=ask, ring_by_hand=ring_by_hand, ring=ring)
    return {name: speeds[name] / speeds[f"{name}_by_hand"] for name in PROMISES}
