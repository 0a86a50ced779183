"""UnitsTested from a machine to settled events: through the listener, decoding, conversion and a bus.

The machine is a process of its own. Its messages are new each time, so that none is a repeat.
"""

from __future__ import annotations

import sys
import time

import trio

from benchmarks.yardstick import interleaved, peer
from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig, Envelope, encode, encode_batch
from pywats_cfx.amqp1 import AMQPMessage, ClientConfig, Sent, connect
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.testandinspection import UnitsTested
from pywats_events import AsyncEventBus, Event, EventType

PROMISES = {"cfx_in_one_in_flight": 1_500.0, "cfx_in_batches_of_30": 10_000.0}

MESSAGES = 3_000
BATCHES = 300
BATCH = 30


def envelope(number: int) -> Envelope:
    """A unit with one measured value; 1 kB."""
    value = s.NumericValue(
        Value=10_020.0, ValueUnits="Ohm", MinimumAcceptableValue=9_900.0, MaximumAcceptableValue=10_100.0
    )
    measurement = s.NumericMeasurement(MeasurementName="R1", CRDs="R1", MeasuredValue=value)
    test = s.Test(TestName="RESISTORS", Measurements=[measurement])
    unit = s.TestedUnit(UnitIdentifier=f"SN{number:08}", Tests=[test])
    return Envelope.of(UnitsTested(TestedUnits=[unit]), source="//Acme/Line1/ICT1")


async def send(port: int, count: int, batch: int) -> float:
    """The machine: sends so many messages, one in flight; gives envelopes per second."""
    bodies = [
        encode(envelope(number)) if batch == 1 else encode_batch(map(envelope, range(batch)))
        for number in range(count)
    ]
    last = Sent()
    async with connect(
        ClientConfig(url=f"amqp://127.0.0.1:{port}", container="//Acme/Line1/ICT1")
    ) as connection:
        sender = await connection.open_sender("cfx", window=1)
        started = time.perf_counter()
        for body in bodies:
            last = await sender.transmit(AMQPMessage(body=body))
        await last.wait()
        return count * batch / (time.perf_counter() - started)


async def from_a_machine(count: int, batch: int) -> float:
    """Envelopes per second, from their sending to their acknowledgement."""
    settled = 0

    async def count_one(event: Event) -> None:
        nonlocal settled
        settled += 1

    config = CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/1", listen="amqp://127.0.0.1:0"))
    transport = CFXTransport(config)
    async with AsyncEventBus() as bus:
        bus.subscribe(count_one, event_types=[EventType.TEST_RESULT])
        bus.register_transport(transport)
        while not transport.listen_port:
            await trio.sleep(0.01)
        async with peer("benchmarks.bench_cfx_endpoint", transport.listen_port, count, batch) as said:
            speed = float(said)
    if settled != count * batch:
        raise AssertionError(f"{count * batch} envelopes were sent, {settled} events were handled")
    return speed


async def in_one_in_flight() -> float:
    """Messages per second."""
    return await from_a_machine(MESSAGES, 1)


async def in_batches() -> float:
    """Envelopes per second, 30 to a message."""
    return await from_a_machine(BATCHES, BATCH)


def measure(rounds: int) -> dict[str, float]:
    """Both."""
    return interleaved(rounds, cfx_in_one_in_flight=in_one_in_flight, cfx_in_batches_of_30=in_batches)


if __name__ == "__main__":
    print(trio.run(send, *map(int, sys.argv[1:])))
