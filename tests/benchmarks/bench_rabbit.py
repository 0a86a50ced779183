"""Consume and acknowledge through the bridge, against aio-pika's own consumer on a loop of its own.

Both take the same messages of 1 kB out of the same RabbitMQ, one manual acknowledgement each. Guards
the HOT lines of `pywats_asyncio._lane`, `pywats_asyncio.inbox` and `pywats_rabbitmq`.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from statistics import median

import aio_pika
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig, RabbitConsumer, RabbitDelivery
from support.rabbitmq import RabbitServer

PROMISES = {"rabbit_in": 0.9}
COUNT = 10_000
PREFETCH = 1000


async def fill(port: int) -> None:
    """Put the messages into the queue."""
    connection = await aio_pika.connect(host="127.0.0.1", port=port)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue("bench", durable=True)
        for _ in range(COUNT):
            await channel.default_exchange.publish(aio_pika.Message(bytes(1000)), "bench")
        while (await channel.declare_queue("bench", passive=True)).declaration_result.message_count != COUNT:
            await asyncio.sleep(0.05)


async def plain(port: int) -> float:
    """Messages per second of aio-pika alone."""
    done = asyncio.Event()
    count = 0

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal count
        await message.ack()
        count += 1
        if count == COUNT:
            done.set()

    connection = await aio_pika.connect(host="127.0.0.1", port=port)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue("bench", durable=True)
        started = time.perf_counter()
        await queue.consume(take)
        await done.wait()
        return COUNT / (time.perf_counter() - started)


async def bridged(port: int) -> float:
    """Messages per second through the bridge, on trio."""
    bridge, done = AsyncioBridge(), trio.Event()
    count = 0

    def take(delivery: RabbitDelivery) -> None:
        nonlocal count
        delivery.token.ack()
        count += 1
        if count == COUNT:
            done.set()

    config = RabbitConfig(host="127.0.0.1", port=port, queue="bench", prefetch=PREFETCH)
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        started = time.perf_counter()
        nursery.start_soon(RabbitConsumer(bridge, config, take).run)
        await done.wait()
        elapsed = time.perf_counter() - started
        nursery.cancel_scope.cancel()
    return COUNT / elapsed


def measure(rounds: int) -> dict[str, float]:
    """The ratio of the two, taken in turn."""
    speeds: dict[str, list[float]] = {"plain": [], "bridged": []}
    with tempfile.TemporaryDirectory() as folder:
        server = RabbitServer(Path(folder) / "rabbitmq")
        try:
            server.start()
            for _ in range(rounds):
                for name in speeds:
                    asyncio.run(fill(server.port))
                    gc.collect()
                    if name == "plain":
                        speeds[name].append(asyncio.run(plain(server.port)))
                    else:
                        speeds[name].append(trio.run(bridged, server.port))
        finally:
            server.stop()
    return {
        "rabbit_in": median(speeds["bridged"]) / median(speeds["plain"]),
        "rabbit_in_per_second": median(speeds["bridged"]),
    }
