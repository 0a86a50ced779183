"""Machines connect over AMQP 1.0: what they send becomes events, and is accepted when those are settled."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from pywats_cfx import (
    AMQPConfig,
    CFXConfig,
    CFXTransport,
    EndpointConfig,
    Envelope,
    Heartbeat,
    UnitsTested,
    decode,
    encode,
)
from pywats_cfx.amqp1 import (
    AddressRefused,
    AMQPMessage,
    ClientConfig,
    Connection,
    ConnectionLost,
    Outcome,
    connect,
)
from pywats_cfx.messages import (
    AreYouThereRequest,
    GetEndpointInformationRequest,
    NotSupportedResponse,
    WhoIsThereRequest,
)
from pywats_cfx.messages.informationsystem.unitvalidation import ValidateUnitsRequest, ValidateUnitsResponse
from pywats_cfx.messages.maintenance import GetResourceSetupRequest
from pywats_cfx.samples import envelope_of as sample
from pywats_cfx.transport._mail import mail_of
from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.errors import BusStopped
from support.cfx import Held, envelope_of

HERE = "//Acme/WATS/Station1"


class Seen(Held):
    """A handler that remembers, and may be held and waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._more = trio.Event()

    async def __call__(self, event: Event) -> None:
        await self.keep(event)
        self._more.set()

    async def wait_for(self, count: int) -> None:
        with trio.fail_after(20):
            while len(self.events) < count:
                self._more = trio.Event()
                await self._more.wait()


class Endpoint:
    """A running transport with its bus."""

    def __init__(self, bus: AsyncEventBus, transport: CFXTransport, seen: Seen) -> None:
        self.bus = bus
        self.transport = transport
        self.seen = seen

    @property
    def uri(self) -> str:
        return f"amqp://localhost:{self.transport.listen_port}"

    def letters(self) -> list[Any]:
        return list(self.bus.error_policy.dead_letter_queue.get_entries())

    def system_events(self, name: str) -> list[Event]:
        """Those of one name, from now on."""
        found: list[Event] = []

        async def keep(event: Event) -> None:
            found.append(event)

        self.bus.subscribe(keep, event_types=[EventType(name)], name=name)
        return found

    @asynccontextmanager
    async def machine(self) -> AsyncIterator[Connection]:
        async with connect(ClientConfig(url=self.uri, container="//Acme/Line1/ICT1")) as connection:
            yield connection


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)


@asynccontextmanager
async def endpoint(
    prepare: Callable[[CFXTransport], object] = lambda transport: None, **options: Any
) -> AsyncIterator[Endpoint]:
    config = CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE, listen="amqp://127.0.0.1:0"), **options)
    transport, seen = CFXTransport(config), Seen()
    prepare(transport)
    async with AsyncEventBus() as bus:
        bus.subscribe(seen, event_types=[], name="seen")
        bus.register_transport(transport)
        await until(lambda: transport.listen_port)
        yield Endpoint(bus, transport, seen)


def raw(data: bytes) -> AMQPMessage:
    return AMQPMessage(body=data, message_id="m")


async def test_a_message_becomes_events_and_is_accepted_when_they_are_settled() -> None:
    async with endpoint() as here, here.machine() as machine:
        here.seen.gate = trio.Event()
        sender = await machine.open_sender("any/address")
        sent = await sender.transmit(mail_of(sample("units_tested_panel")))
        await until(lambda: here.bus.queue_size)
        assert sent.outcome is None
        here.seen.gate.set()
        assert await sent.wait() is Outcome.ACCEPTED
        assert [event.payload.unit_id for event in here.seen.events] == [f"PANEL7-{n}" for n in (1, 2, 3, 4)]
        assert {event.event_type for event in here.seen.events} == {EventType.TEST_RESULT}


async def test_a_batch_is_accepted_as_a_whole() -> None:
    batch = b"[" + b",".join(encode(sample(name)) for name in ("units_tested_ict", "fault_temp")) + b"]"
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        assert await sender.send(raw(batch)) is Outcome.ACCEPTED
        assert [event.event_type for event in here.seen.events] == [
            EventType.TEST_RESULT,
            EventType.ASSET_FAULT,
        ]


@pytest.mark.parametrize("data", [b"garbage", b"{}", b"\x1f\x8bbroken", b"[1,2", b"[1]", b""])
async def test_what_is_no_message_is_accepted_and_kept_as_a_dead_letter_with_its_bytes(data: bytes) -> None:
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        assert await sender.send(raw(data)) is Outcome.ACCEPTED
        await until(here.letters)
        assert here.letters()[0].raw == data
        assert await sender.send(mail_of(sample("fault_temp"))) is Outcome.ACCEPTED
        assert len(here.seen.events) == 1


async def test_what_is_no_message_in_a_batch_is_a_dead_letter_of_its_own_bytes_not_of_the_batch_s() -> None:
    good = encode(sample("fault_temp"))
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        batch = b"[7," + good + b',{"x": 1}]'
        assert await sender.send(raw(batch)) is Outcome.ACCEPTED
        await until(lambda: len(here.letters()) == 2)
        letters = {letter.raw: str(letter.error) for letter in here.letters()}
        assert set(letters) == {b"7", b'{"x": 1}'}
        assert "[2]: an envelope without MessageName" in letters[b'{"x": 1}']
        assert len(here.seen.events) == 1


async def test_what_a_converter_cannot_convert_is_a_dead_letter() -> None:
    def fail(message: UnitsTested, letter: object) -> list[Event]:
        raise LookupError("which part?")

    async with endpoint(lambda t: t.converter.register(UnitsTested, fail)) as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        assert await sender.send(mail_of(sample("units_tested_ict"))) is Outcome.ACCEPTED
        await until(here.letters)
        assert str(here.letters()[0].error).endswith(
            "UnitsTested of //Acme/Line1/ICT1 cannot be converted: LookupError: which part?"
        )


async def test_a_repeat_is_handled_once_and_shares_the_fate_of_the_first() -> None:
    mail = mail_of(sample("units_tested_ict"))
    async with endpoint() as here, here.machine() as machine:
        here.seen.gate = trio.Event()
        sender = await machine.open_sender("a", window=2)
        first, second = await sender.transmit(mail), await sender.transmit(mail)
        await until(lambda: here.transport.get_stats()["repeats"] == 1)
        assert second.outcome is None
        here.seen.gate.set()
        assert (await first.wait(), await second.wait()) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert await sender.send(mail) is Outcome.ACCEPTED
        assert len(here.seen.events) == 1


async def test_a_full_handler_holds_its_machine_back() -> None:
    async with endpoint() as here, here.machine() as machine:
        here.seen.gate = trio.Event()
        sender = await machine.open_sender("a", window=500)
        sent = []

        async def send() -> None:
            for number in range(500):
                envelope = Envelope.of(Heartbeat(CFXHandle=str(number)), source="//Acme/Line1/ICT1")
                sent.append(await sender.transmit(mail_of(envelope)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert 0 < len(sent) <= 200  # what credit allows, twice
            here.seen.gate.set()
        for one in sent:
            assert await one.wait() is Outcome.ACCEPTED


async def test_addresses_may_be_limited() -> None:
    config = CFXConfig(
        endpoint=EndpointConfig(cfx_handle=HERE, listen="amqp://127.0.0.1:0", addresses=("line1",))
    )
    transport = CFXTransport(config)
    async with AsyncEventBus() as bus:
        bus.register_transport(transport)
        await until(lambda: transport.listen_port)
        url = f"amqp://localhost:{transport.listen_port}"
        async with connect(ClientConfig(url=url, container="//m")) as machine:
            with pytest.raises(AddressRefused):
                await machine.open_sender("line2")
            await machine.open_sender("line1")
            await machine.open_sender(HERE)


async def test_what_was_taken_is_acknowledged_before_the_bus_stops() -> None:
    outcomes: list[Outcome] = []

    async def send(machine: Connection, sent: trio.Event) -> None:
        sender = await machine.open_sender("a")
        pending = await sender.transmit(mail_of(sample("units_tested_ict")))
        sent.set()
        outcomes.append(await pending.wait())

    async with trio.open_nursery() as nursery:
        async with endpoint() as here:
            here.seen.gate = trio.Event()
            await nursery.start(_machine, here, send)
            await until(lambda: here.bus.queue_size)
            nursery.start_soon(_open_later, here.seen.gate)
        await until(lambda: outcomes)
        nursery.cancel_scope.cancel()
    assert outcomes == [Outcome.ACCEPTED]


async def test_what_comes_when_the_bus_takes_no_more_is_not_accepted_and_comes_again() -> None:
    refused = trio.Event()

    async def refuse(event: Event) -> Any:
        refused.set()
        raise BusStopped("the bus is stopping")

    async with endpoint(lambda transport: setattr(transport, "publish_event_async", refuse)) as here:
        with trio.fail_after(20), pytest.raises(ConnectionLost, match="without a reason"):
            async with here.machine() as machine:
                pending = await (await machine.open_sender("a")).transmit(mail_of(sample("units_tested_ict")))
                await refused.wait()
                await here.bus.stop(timeout=10)  # waits for nothing that was not taken
                await pending.wait()
    assert here.letters() == []


async def _machine(here: Endpoint, work: Any, *, task_status: trio.TaskStatus[None]) -> None:
    with contextlib.suppress(ConnectionLost):  # the endpoint says goodbye
        async with here.machine() as machine, trio.open_nursery() as nursery:
            sent = trio.Event()
            nursery.start_soon(work, machine, sent)
            await sent.wait()
            task_status.started()


async def _open_later(gate: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked(0.1)
    gate.set()


# Requests


async def asked(here: Endpoint, request: Any) -> Any:
    return (await here.transport.request(here.uri, HERE, request)).MessageBody


async def test_who_it_is_is_answered_from_the_configuration() -> None:
    async with endpoint() as here:
        there = await asked(here, AreYouThereRequest())
        assert (there.CFXHandle, there.Result.Result) == (HERE, "Success")
        assert (await asked(here, WhoIsThereRequest())).RequestTargetAddress == HERE
        information = (await asked(here, GetEndpointInformationRequest())).EndpointInformation
        assert (information.CFXHandle, information.CFXVersion, information.NumberOfLanes) == (HERE, "2.1", 1)
        other = await asked(here, GetResourceSetupRequest())
        assert isinstance(other, NotSupportedResponse)
        assert other.RequestResult.Result == "Failed"


@pytest.mark.parametrize("kind", ["plain", "async", "object", "partial"])
async def test_a_handler_answers_a_request(kind: str) -> None:
    def answer(request: ValidateUnitsRequest) -> ValidateUnitsResponse:
        response = ValidateUnitsResponse()
        response.PrimaryResult.UniqueIdentifier = request.PrimaryIdentifier
        return response

    async def answer_async(request: ValidateUnitsRequest) -> ValidateUnitsResponse:
        return answer(request)

    class Answers:
        async def __call__(self, request: ValidateUnitsRequest) -> ValidateUnitsResponse:
            return answer(request)

    handlers: dict[str, Callable[[ValidateUnitsRequest], Any]] = {
        "plain": answer,
        "async": answer_async,
        "object": Answers(),
        "partial": functools.partial(answer_async),
    }

    def prepare(transport: CFXTransport) -> None:
        transport.on_request(ValidateUnitsRequest)(handlers[kind])

    async with endpoint(prepare) as here:
        response = await here.transport.request(here.uri, HERE, ValidateUnitsRequest(PrimaryIdentifier="SN1"))
        assert isinstance(response.MessageBody, ValidateUnitsResponse)
        assert response.MessageBody.PrimaryResult.UniqueIdentifier == "SN1"
        assert response.RequestID
        assert here.seen.events == []  # requests do not pass the bus


@pytest.mark.parametrize(("fail_open", "result"), [(False, "Failed"), (True, "Success")])
@pytest.mark.parametrize("how", ["raises", "is late", "gives nothing"])
async def test_a_handler_that_fails_is_answered_for(how: str, fail_open: bool, result: str) -> None:
    async def fail(request: ValidateUnitsRequest) -> Any:
        if how == "raises":
            raise ConnectionError("no database")
        if how == "is late":
            await trio.sleep_forever()

    def prepare(transport: CFXTransport) -> None:
        transport.on_request(ValidateUnitsRequest)(fail)

    async with endpoint(prepare, request_timeout=0.05, fail_open=fail_open) as here:
        answer = await asked(here, ValidateUnitsRequest())
        assert isinstance(answer, ValidateUnitsResponse)
        assert answer.Result.Result == result
        assert answer.PrimaryResult.Result == ("Passed" if fail_open else "Failed")
        assert answer.Result.Message


def test_only_requests_have_handlers() -> None:
    config = CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE, listen="amqp://127.0.0.1:0"))
    with pytest.raises(TypeError, match="is no request of the standard"):
        CFXTransport(config).on_request(Heartbeat)(lambda request: request)


# Presence


async def test_a_silent_source_goes_offline_and_comes_back() -> None:
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        beat = {"HeartbeatFrequency": "00:00:00.1000000"}
        await sender.send(raw(envelope_of("CFX.Heartbeat", beat, UniqueID="1", Source="M1")))
        await here.seen.wait_for(2)
        offline = here.seen.events[1]
        assert (offline.event_type, offline.payload.asset_id) == (EventType.ASSET_STATE_CHANGED, "M1")
        assert (offline.payload.new_state, offline.payload.reason) == ("offline", "silent")
        await sender.send(raw(envelope_of("CFX.Heartbeat", beat, UniqueID="2", Source="M1")))
        await until(
            lambda: [e for e in here.seen.events if e.event_type is EventType.ASSET_STATE_CHANGED][1:]
        )
        states = [
            e.payload.new_state for e in here.seen.events if e.event_type is EventType.ASSET_STATE_CHANGED
        ]
        assert states[:2] == ["offline", "online"]


async def test_a_machine_that_only_asks_is_not_silent() -> None:
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        beat = {"HeartbeatFrequency": "00:00:00.1000000"}
        await sender.send(raw(envelope_of("CFX.Heartbeat", beat, UniqueID="1", Source="M1")))
        await here.seen.wait_for(2)
        asks = envelope_of("CFX.AreYouThereRequest", {}, UniqueID="2", Source="M1", RequestID="r")
        await sender.send(raw(asks))
        await here.seen.wait_for(3)
        states = [event.payload.new_state for event in here.seen.events[1:3]]
        assert states == ["offline", "online"]


async def test_a_clock_that_is_off_is_one_system_event_and_in_the_statistics_and_its_time_stays() -> None:
    ahead = "2999-01-01T00:00:00+00:00"
    async with endpoint() as here, here.machine() as machine:
        news = here.system_events("system.cfx_clock_off")
        sender = await machine.open_sender("a")
        for number in range(3):
            message = envelope_of(
                "CFX.EndpointConnected", {}, UniqueID=str(number), Source="M1", TimeStamp=ahead
            )
            assert await sender.send(raw(message)) is Outcome.ACCEPTED
        await until(lambda: news)
        assert [event.payload["source"] for event in news] == ["M1"]
        assert news[0].payload["seconds"] > 60
        assert list(here.transport.get_stats()["clocks_off"]) == ["M1"]
        assert {event.timestamp.year for event in here.seen.events} == {2999}
        assert {event.received_at.year < 2999 for event in here.seen.events if event.received_at} == {True}


async def test_a_productive_machine_that_sends_no_results_is_one_system_event() -> None:
    async with endpoint(no_results_for=0.1) as here, here.machine() as machine:
        news = here.system_events("system.cfx_no_results")
        sender = await machine.open_sender("a")
        for number, source in enumerate(("busy", "idle")):
            state = {"OldState": "2000", "NewState": "1100" if source == "busy" else "2100"}
            message = envelope_of(
                "CFX.ResourcePerformance.StationStateChanged", state, UniqueID=str(number), Source=source
            )
            assert await sender.send(raw(message)) is Outcome.ACCEPTED
        await until(lambda: news)
        assert [(event.payload["source"], event.payload["seconds"]) for event in news] == [("busy", 0.1)]


def test_what_is_sent_after_the_end_waits_for_the_next_life() -> None:
    amqp = AMQPConfig(host="127.0.0.1", port=1, protocol="amqp1", publish="a")
    transport = CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=amqp))
    with EventBus() as bus:
        bus.register_transport(transport)
    transport.send(UnitsTested())
    assert transport.get_stats()["spooled"] == 1


async def test_messages_are_told_apart_by_their_source_and_id_and_zeros_are_no_id() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    tested = "CFX.Production.TestAndInspection.UnitsTested"

    def result(number: int, unique_id: str) -> AMQPMessage:
        body = {"TestedUnits": [{"UnitIdentifier": f"SN{number}"}]}
        return raw(envelope_of(tested, body, UniqueID=unique_id, Source=f"M{number}"))

    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        for unique_id in (zeros, "1"):
            for number in range(3):
                assert await sender.send(result(number, unique_id)) is Outcome.ACCEPTED
        assert await sender.send(result(2, "1")) is Outcome.ACCEPTED
        units = [event.payload.unit_id for event in here.seen.events]
        assert units == ["SN0", "SN1", "SN2"] * 2


async def test_it_says_what_it_has_seen() -> None:
    async with endpoint() as here, here.machine() as machine:
        sender = await machine.open_sender("a")
        await sender.send(raw(b"garbage"))
        await sender.send(mail_of(sample("fault_temp")))
        stats = here.transport.get_stats()
        assert (stats["messages"], stats["broken"], stats["listener"]["connections"]) == (1, 1, 1)
        assert json.dumps(stats)
        assert decode(encode(sample("fault_temp"))).short_name == "FaultOccurred"
