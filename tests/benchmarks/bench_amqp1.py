"""AMQP 1.0: into the listener with one message in flight and in batches of 30, and out with 90 in flight.

Guards the HOT lines of `pywats_cfx.amqp1`. The other side is a process of its own, as a machine is. Messages
are as the .NET SDK writes them, with a body of 1 kB per envelope; what is measured is the message level,
without decoding envelopes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from benchmarks.yardstick import interleaved, peer
from pywats_cfx.amqp1 import (
    AMQPMessage,
    ClientConfig,
    Delivery,
    Listener,
    ListenerConfig,
    Sent,
    connect,
)

PROMISES = {
    "amqp1_in_one_in_flight": 1_500.0,
    "amqp1_in_batches_of_30": 10_000.0,
    "amqp1_out_90_in_flight": 4_500.0,
}

ENVELOPE = 1_000
BATCH = 30
MESSAGES = 6_000
BATCHES = 1_500


def message(size: int) -> AMQPMessage:
    """What the SDK sends: all its properties, and a body of `size` bytes."""
    return AMQPMessage(
        body=bytes(size),
        message_id="2d2132d5-5c00-4ad7-8d98-11d5fb95bf46",
        subject="SDK.Publisher.1.CFX.Production.TestAndInspection.UnitsTested",
        reply_to="SDK.Publisher.1",
        content_type='application/json; charset="utf-8"',
        creation_time=1_764_000_000_000,
        application_properties={
            "cfx-topic": "CFX.Production.TestAndInspection",
            "cfx-message": "UnitsTested",
            "cfx-handle": "SDK.Publisher.1",
        },
    )


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Listener, int]]:
    """A listener that accepts all that comes."""

    async def take(delivery: Delivery) -> None:
        delivery.accept()

    listener = Listener(
        ListenerConfig(container="bench", port=0, host="127.0.0.1"), takes=lambda request: take
    )
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listener.run)
        yield listener, port
        nursery.cancel_scope.cancel()


async def send_all(port: int, count: int, window: int, size: int) -> float:
    """Send to a listener; gives the messages per second, the last outcome included."""
    config = ClientConfig(url=f"amqp://127.0.0.1:{port}", container="peer")
    one, last = message(size), Sent()
    async with connect(config) as connection:
        sender = await connection.open_sender("bench", window=window)
        started = time.perf_counter()
        for _ in range(count):
            last = await sender.transmit(one)
        await last.wait()
        return count / (time.perf_counter() - started)


async def from_a_peer(count: int, size: int) -> float:
    """Messages per second that the listener takes from a process with one in flight."""
    async with (
        listening() as (_, port),
        peer("benchmarks.bench_amqp1", "send", port, count, 1, size) as speed,
    ):
        return float(speed)


async def in_one_in_flight() -> float:
    """Messages per second."""
    return await from_a_peer(MESSAGES, ENVELOPE)


async def in_batches() -> float:
    """Envelopes per second, 30 to a message."""
    return BATCH * await from_a_peer(BATCHES, BATCH * ENVELOPE)


async def out_90_in_flight() -> float:
    """Messages per second to a process that listens."""
    async with peer("benchmarks.bench_amqp1", "listen") as port:
        return await send_all(int(port), MESSAGES, 90, ENVELOPE)


def measure(rounds: int) -> dict[str, float]:
    """All of it."""
    return interleaved(
        rounds,
        amqp1_in_one_in_flight=in_one_in_flight,
        amqp1_in_batches_of_30=in_batches,
        amqp1_out_90_in_flight=out_90_in_flight,
    )


async def listen() -> None:
    """The other side of `out_90_in_flight`."""
    async with listening() as (_, port):
        print(port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        trio.run(listen)
    else:
        print(trio.run(send_all, *map(int, sys.argv[2:])))
