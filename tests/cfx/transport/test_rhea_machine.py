"""A machine that is not proton: rhea talks CFX with a CFXTransport, in the shapes of the .NET SDK."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from pywats_cfx import (
    AMQPConfig,
    CFXConfig,
    CFXTransport,
    EndpointConfig,
    Envelope,
    UnitsTested,
    decode,
    encode,
)
from pywats_cfx.messages import AreYouThereRequest, GetEndpointInformationRequest
from pywats_cfx.messages.informationsystem.unitvalidation import ValidateUnitsRequest, ValidateUnitsResponse
from pywats_cfx.samples import envelope_of as sample
from pywats_events import AsyncEventBus, EventType
from support.cfx import Held, until
from support.rhea import rhea, said_by_rhea, tell_rhea

HERE = "//Acme/WATS/Station1"
MACHINE = "//rhea/machine"
LONG = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Station(Held):
    """A transport on a bus, with a handler that can be held."""

    def __init__(self, transport: CFXTransport) -> None:
        super().__init__()
        self.transport = transport

    def units(self) -> list[str]:
        return [event.payload.unit_id for event in self.events]


@asynccontextmanager
async def station(
    listen: int, prepare: Callable[[CFXTransport], object] = lambda transport: None, **amqp: Any
) -> AsyncIterator[Station]:
    config = CFXConfig(
        endpoint=EndpointConfig(cfx_handle=HERE, listen=f"amqp://127.0.0.1:{listen}"),
        amqp=AMQPConfig(**amqp) if amqp else None,
    )
    here = Station(CFXTransport(config))
    prepare(here.transport)
    async with AsyncEventBus() as bus:
        bus.subscribe(here.keep, event_types=[EventType.TEST_RESULT], name="keep")
        bus.register_transport(here.transport)
        await until(lambda: here.transport.listen_port)
        yield here


class Machine:
    """The peer, seen from the test."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said = said_by_rhea(process)

    async def hears(self, kind: str) -> Any:
        """The next thing of a kind that it says."""
        async for said in self._said:
            if kind in said:
                return said[kind]
        raise AssertionError("it has ended")

    async def publish(
        self, body: bytes, *, encoding: str | None = None, first: Envelope | None = None
    ) -> None:
        order: dict[str, Any] = {"publish": base64.b64encode(body).decode(), "encoding": encoding}
        if first is not None:
            namespace = first.MessageName.rpartition(".")[0]
            order["properties"] = {
                "message_id": first.UniqueID,
                "subject": f"{first.Source}.{first.MessageName}",
                "reply_to": first.Source,
                "application_properties": {
                    "cfx-topic": namespace,
                    "cfx-message": first.MessageName,
                    "cfx-handle": first.Source,
                },
            }
        await tell_rhea(self._process, order)

    async def ask(self, request: Any) -> Any:
        envelope = Envelope.of(request, source=MACHINE, target=HERE)
        envelope.RequestID = "request-1"
        await tell_rhea(self._process, {"ask": base64.b64encode(encode(envelope)).decode(), "of": HERE})
        answer = decode(base64.b64decode(await self.hears("answer")))
        assert answer.RequestID == "request-1"
        return answer.MessageBody

    async def aclose(self) -> None:
        await self._said.aclose()


@asynccontextmanager
async def machine(port: int) -> AsyncIterator[Machine]:
    async with rhea("machine", str(port), "/acme/results") as process:
        peer = Machine(process)
        await peer.hears("open")
        yield peer
        await peer.aclose()


def unit_tested(serial: str) -> Envelope:
    envelope = sample("units_tested_ict")
    copy = Envelope.of(envelope.MessageBody, source=MACHINE)
    copy.MessageBody.TestedUnits[0].UnitIdentifier = serial
    encode(copy)  # sets its id and its time
    return copy


def without_type(value: Any) -> Any:
    """As older senders write it."""
    if isinstance(value, dict):
        return {key: without_type(item) for key, item in value.items() if key != "$type"}
    return [without_type(item) for item in value] if isinstance(value, list) else value


async def test_it_publishes_raw_packed_batched_and_without_types() -> None:
    port = free_port()
    with trio.fail_after(LONG):
        async with station(port) as here, machine(port) as peer:
            letters = [unit_tested(f"S{n}") for n in range(5)]
            bodies = [encode(letter) for letter in letters]
            await peer.publish(bodies[0], first=letters[0])
            await peer.publish(gzip.compress(bodies[1]), encoding="gzip", first=letters[1])
            await peer.publish(b"[" + bodies[2] + b"," + bodies[3] + b"]", first=letters[2])
            await peer.publish(json.dumps(without_type(json.loads(bodies[4]))).encode(), first=letters[4])
            assert [await peer.hears("outcome") for _ in range(4)] == ["accepted"] * 4
            assert here.units() == ["S0", "S1", "S2", "S3", "S4"]
            assert here.events[0].source == f"cfx:{MACHINE}"


async def test_what_is_no_message_is_accepted_too_so_that_it_is_not_sent_for_ever() -> None:
    port = free_port()
    with trio.fail_after(LONG):
        async with station(port) as here, machine(port) as peer:
            await peer.publish(b"garbage")
            await peer.publish(encode(unit_tested("S1")))
            assert [await peer.hears("outcome") for _ in range(2)] == ["accepted"] * 2
            assert here.units() == ["S1"]
            assert here.transport.get_stats()["broken"] == 1


async def test_it_asks_and_is_answered() -> None:
    def prepare(transport: CFXTransport) -> None:
        @transport.on_request(ValidateUnitsRequest)
        async def validate(request: ValidateUnitsRequest) -> ValidateUnitsResponse:
            response = ValidateUnitsResponse()
            response.PrimaryResult.UniqueIdentifier = request.PrimaryIdentifier
            return response

    port = free_port()
    with trio.fail_after(LONG):
        async with station(port, prepare) as here, machine(port) as peer:
            assert (await peer.ask(AreYouThereRequest())).CFXHandle == HERE
            information = await peer.ask(GetEndpointInformationRequest())
            assert information.EndpointInformation.CFXVersion == "2.1"
            answer = await peer.ask(ValidateUnitsRequest(PrimaryIdentifier="SN1"))
            assert answer.PrimaryResult.UniqueIdentifier == "SN1"
            assert here.events == []


async def test_it_is_told_only_when_the_event_is_settled() -> None:
    port = free_port()
    with trio.fail_after(LONG):
        async with station(port) as here, machine(port) as peer, trio.open_nursery() as nursery:
            told = trio.Event()

            async def listen() -> None:
                assert await peer.hears("outcome") == "accepted"
                told.set()

            here.gate = trio.Event()
            await peer.publish(encode(unit_tested("S1")))
            nursery.start_soon(listen)
            await until(lambda: here.transport.get_stats()["messages"])
            with trio.move_on_after(0.2):
                await told.wait()
            assert not told.is_set()
            here.gate.set()
            await told.wait()
            assert here.units() == ["S1"]


async def test_it_comes_again_when_the_listener_does() -> None:
    port = free_port()
    with trio.fail_after(LONG):
        async with rhea("machine", str(port), "/acme/results") as process:
            peer = Machine(process)
            async with station(port) as here:
                await peer.hears("open")
                await peer.publish(encode(unit_tested("S1")))
                assert await peer.hears("outcome") == "accepted"
                assert here.units() == ["S1"]
            await peer.publish(encode(unit_tested("S2")))  # nobody is there
            async with station(port) as again:
                assert await peer.hears("outcome") == "accepted"
                assert again.units() == ["S2"]
            await peer.aclose()


async def test_a_transport_publishes_to_rhea_in_order_with_the_properties_of_the_sdk() -> None:
    async with rhea("listen") as process:
        lines = said_by_rhea(process)
        port = (await anext(lines))["port"]
        with trio.fail_after(LONG):
            async with station(0, host="127.0.0.1", port=port, publish="/acme/out", protocol="amqp1") as here:
                for number in range(20):
                    here.transport.send(UnitsTested(RecipeName=str(number)))
                said = [await anext(lines) for _ in range(21)]
        bodies = [decode(line["body"].encode()) for line in said]
        assert bodies[0].short_name == "EndpointConnected"
        assert [body.MessageBody.RecipeName for body in bodies[1:]] == [str(number) for number in range(20)]
        assert {line["address"] for line in said} == {"/acme/out"}
        first = bodies[1]
        assert said[1]["id"] == first.UniqueID
        assert said[1]["type"] == 'application/json; charset="utf-8"'
        assert said[1]["properties"] == {
            "cfx-topic": "CFX.Production.TestAndInspection",
            "cfx-message": first.MessageName,
            "cfx-handle": HERE,
        }
        await lines.aclose()
