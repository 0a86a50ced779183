"""A message that cannot be written down, or a request that cannot be answered, becomes a dead letter.

Its source goes on: nothing of it is half published or remembered, and nothing comes again for ever.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig, UnitsTested
from pywats_cfx.amqp1 import AMQPMessage, Outcome
from pywats_cfx.messages import WhoIsThereRequest
from pywats_cfx.messages.informationsystem.unitvalidation import ValidateUnitsRequest, ValidateUnitsResponse
from pywats_events import EventType
from pywats_rabbitmq import RabbitConfig, RabbitPublisher
from support.cfx import HERE, LISTENS, envelope_of, station, until
from support.rabbitmq import RabbitServer

TESTED = "CFX.Production.TestAndInspection.UnitsTested"
RECIPE = "CFX.Production.RecipeActivated"
STARTED = "CFX.Production.WorkStarted"
HALF = "cut \ud83d"
HUGE = 2**70
IDS = map(str, count())


def made(**options: Any) -> CFXTransport:
    return CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE, listen=LISTENS), **options))


def message(body: dict[str, Any] | None, name: str = TESTED, **address: Any) -> bytes:
    return envelope_of(name, body, **{"UniqueID": next(IDS), **address})


def result(number: int, **body: Any) -> bytes:
    unit = {"UnitIdentifier": f"good-{number}", "OverallResult": "Passed"}
    return message({"TestedUnits": [unit], **body})


UNWRITABLE = {
    "a serial number": message({"TestedUnits": [{"UnitIdentifier": HALF}]}),
    "the second unit": message({"TestedUnits": [{"UnitIdentifier": "a"}, {"UnitIdentifier": HALF}]}),
    "a source": message({}, Source=HALF),
    "an id": message({}, UniqueID=HALF),
    "a name": message({}, f"Vendor.{HALF}"),
    "a recipe": message({"RecipeName": HALF}, RECIPE),
    "a transaction": message({"TransactionID": HALF, "PrimaryIdentifier": "P"}, STARTED),
    "a position": message({"TestedUnits": [{"UnitIdentifier": "a", "UnitPositionNumber": HUGE}]}),
    "a lane": message({"RecipeName": "x", "Lane": HUGE}, RECIPE),
    "a vendor's number": message({"x": HUGE}, "Vendor.Own"),
}
ODD = {
    "a lane that is text": message({"RecipeName": "x", "Lane": "L1"}, RECIPE),
    "a lane that is none": message({"RecipeName": "x", "Lane": 1.5}, RECIPE),
    "a heartbeat that is long ago": message({"HeartbeatFrequency": "-00:00:05"}, "CFX.Heartbeat"),
    "a heartbeat without end": message({"HeartbeatFrequency": "9" * 5000 + ".00:00:00"}, "CFX.Heartbeat"),
    "a time beyond all times": message({}, TimeStamp="9999-12-31T23:59:59.9999999-12:00"),
    "no unit": message({"TestedUnits": [None]}),
    "nothing": b"[]",
}


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("body", [*UNWRITABLE.values(), *ODD.values()], ids=[*UNWRITABLE, *ODD])
async def test_a_machine_goes_on_after_whatever_it_sent(body: bytes, durable: bool, tmp_path: Path) -> None:
    async with station(made(), tmp_path if durable else None) as here:
        await here.send(body, result(1), body, result(2))
        await here.bus.wait_idle()
        good = [event.payload.unit_id for event in here.events if event.event_type is EventType.TEST_RESULT]
        assert [unit for unit in good if unit.startswith("good")] == ["good-1", "good-2"]
        if durable and body in UNWRITABLE.values():
            assert [letter.raw for letter in here.letters] == [body]
            assert len(here.events) == 2  # nothing of it has entered the bus
        assert len(here.events) + len(here.letters) >= 2 + (body != b"[]")
    async with station(made(), tmp_path if durable else None) as here:
        await here.send(result(3))  # what was kept can be read


async def test_what_a_message_told_before_it_became_a_dead_letter_is_not_remembered(tmp_path: Path) -> None:
    def started(number: int, **body: Any) -> bytes:
        return message({"TransactionID": f"T{number}", **body}, STARTED)

    async with station(made(), tmp_path) as here:
        await here.send(message({"RecipeName": "main", "Revision": "7"}, RECIPE))
        await here.send(message({"RecipeName": HALF}, RECIPE))
        await here.send(started(1, PrimaryIdentifier="P"), started(2, PrimaryIdentifier=HALF))
        await here.send(result(1, TransactionId="T1"), result(2, TransactionId="T2"))
        await here.bus.wait_idle()
        assert len(here.letters) == 2
        results = [event.payload for event in here.events if event.event_type is EventType.TEST_RESULT]
        assert [payload.recipe_name for payload in results] == ["main", "main"]


async def test_a_converter_that_makes_no_events_makes_dead_letters() -> None:
    transport = made()
    transport.converter.register(UnitsTested, lambda message, letter: ["no event"])  # type: ignore[list-item]
    async with station(transport) as here:
        await here.send(message({}), message({}, "Vendor.Own"))
        (letter,) = here.letters
        assert "made 'no event', no Event" in str(letter.error)
        assert [event.type_name for event in here.events] == ["Vendor.Own"]


async def test_a_queue_is_not_stopped_by_a_message_that_cannot_be_written_down(
    server: RabbitServer, tmp_path: Path
) -> None:
    amqp = AMQPConfig(
        host="127.0.0.1",
        port=server.port,
        username="guest",
        password="guest",
        protocol="amqp091",
        queue="unwritable",
        topics=("unwritable",),
    )
    transport = CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=amqp))
    async with station(transport, tmp_path) as here:
        await until(lambda: transport.is_connected)
        bridge = AsyncioBridge()
        publisher = RabbitPublisher(bridge, RabbitConfig(host="127.0.0.1", port=server.port))
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            await nursery.start(publisher.run)
            for body in (*UNWRITABLE.values(), result(1)):
                await publisher.publish(body, "unwritable", exchange="amq.topic")
            await until(lambda: here.events)
            nursery.cancel_scope.cancel()
        await until(lambda: len(here.letters) == len(UNWRITABLE))
        assert {letter.raw for letter in here.letters} == set(UNWRITABLE.values())
        assert [event.payload.unit_id for event in here.events] == ["good-1"]


# Requests


@pytest.mark.parametrize("name", ["CFX.AreYouThereRequest", f"Vendor.{HALF}Request"])
async def test_a_request_that_cannot_be_answered_is_a_dead_letter_and_its_machine_goes_on(name: str) -> None:
    request = message(None, name, RequestID=HALF)
    async with station(made()) as here:
        async with here.sender() as sender:
            await sender.send(AMQPMessage(body=request, message_id="command-request"))
            assert await sender.send(AMQPMessage(body=result(1), message_id="m")) is Outcome.ACCEPTED
        (letter,) = here.letters
        assert letter.raw == request
        assert "cannot be written as JSON" in str(letter.error)


async def test_an_answer_that_cannot_be_written_is_answered_as_failed() -> None:
    transport = made()

    @transport.on_request(ValidateUnitsRequest)
    async def answer(request: ValidateUnitsRequest) -> ValidateUnitsResponse:
        response = ValidateUnitsResponse()
        response.PrimaryResult.Message = HALF
        return response

    async with station(transport) as here:
        given = (await transport.request(here.uri, HERE, ValidateUnitsRequest())).MessageBody
        assert isinstance(given, ValidateUnitsResponse)
        assert given.Result.Result == "Failed"
        assert "cannot be written as JSON" in str(given.Result.Message)
        assert (await transport.request(here.uri, HERE, WhoIsThereRequest())).MessageBody is not None


async def test_a_vendor_s_message_that_is_only_called_a_request_is_news() -> None:
    async with station(made()) as here:
        await here.send(message({"x": 1}, "Vendor.ServiceRequest"))
        assert [event.type_name for event in here.events] == ["Vendor.ServiceRequest"]
