"""Large messages, also those that are small as they come, hold neither the loop nor the memory."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import trio
import trio.testing

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig, UnitsTested
from pywats_cfx.amqp1 import AMQPMessage, Outcome, Sender
from pywats_cfx.convert.letter import Letter
from pywats_cfx.messages import WhoIsThereRequest
from pywats_cfx.transport._reading import LARGE
from pywats_events import Event, EventType
from pywats_events.errors import BusStopped
from support.cfx import HERE, LISTENS, Station, envelope_of, station, until

TESTED = "CFX.Production.TestAndInspection.UnitsTested"
PERFORMANCE = "CFX.ResourcePerformance"
MiB = 1024 * 1024
IDS = map(str, count())


def made(**options: Any) -> CFXTransport:
    return CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE, listen=LISTENS), **options))


def result(size: int = 0, name: str = TESTED) -> bytes:
    return envelope_of(name, {"RecipeName": "x" * size}, UniqueID=next(IDS))


def packed(size: int) -> bytes:
    data = gzip.compress(result(size))
    assert len(data) < LARGE / 10
    return data


Convert = Callable[[UnitsTested, Letter], list[Event]]


def plainly(message: UnitsTested, letter: Letter) -> list[Event]:
    return [letter.event(EventType.CUSTOM, {}, type_name=f"large {len(message.RecipeName or '')}")]


async def transmit(sender: Sender, *bodies: bytes) -> list[Any]:
    return [await sender.transmit(AMQPMessage(body=body, message_id="m")) for body in bodies]


@pytest.mark.parametrize(
    ("make", "elsewhere"),
    [
        (lambda: result(2 * LARGE), True),
        (lambda: packed(2 * LARGE), True),
        (lambda: b"[" + result(2 * LARGE) + b"," + result() + b"]", True),
        (lambda: result(), False),
        (lambda: packed(LARGE // 2), False),
    ],
)
async def test_what_is_large_when_unpacked_is_converted_in_a_thread(
    make: Callable[[], bytes], elsewhere: bool
) -> None:
    threads = []

    def note(message: UnitsTested, letter: Letter) -> list[Event]:
        threads.append(threading.current_thread())
        return plainly(message, letter)

    transport = made()
    transport.converter.register(UnitsTested, note)
    async with station(transport) as here:
        await here.send(make())
    assert (threads[0] is not threading.current_thread()) is elsewhere


class Slow:
    """A converter that takes as long as the test wants, for what is large."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, message: UnitsTested, letter: Letter) -> list[Event]:
        if len(message.RecipeName or "") > LARGE:
            self.begun.set()
            assert self.go_on.wait(20)
        return plainly(message, letter)


async def test_the_loop_goes_on_while_a_large_message_is_converted_and_other_messages_wait_for_it() -> None:
    transport, slow = made(), Slow()
    transport.converter.register(UnitsTested, slow)
    async with station(transport) as here, here.sender("//Acme/A") as large, here.sender("//Acme/B") as small:
        try:
            (first,) = await transmit(large, packed(2 * LARGE))
            await until(slow.begun.is_set)
            answer = await transport.request(here.uri, HERE, WhoIsThereRequest())
            assert answer.MessageBody is not None
            others = await transmit(small, *(result(number) for number in range(5)))
            await until(lambda: transport.get_stats()["messages"] >= 2)
            assert here.events == []  # the context is lent to the thread
        finally:
            slow.go_on.set()
        assert {await sent.wait() for sent in (first, *others)} == {Outcome.ACCEPTED}
    names = [event.type_name for event in here.events]
    assert names == [f"large {2 * LARGE}", *(f"large {number}" for number in range(5))]


async def test_what_is_here_unpacked_is_bounded_for_each_connection_by_itself() -> None:
    async with station(made(max_unsettled=MiB)) as here:
        here.gate = trio.Event()
        async with here.sender("//Acme/A") as first, here.sender("//Acme/B") as second:
            sent = await transmit(first, *(packed(2 * MiB) for _ in range(8)))
            await until(lambda: here.transport.get_stats()["listener"]["deliveries"] == 8)
            await trio.testing.wait_all_tasks_blocked(0.2)
            assert here.transport.get_stats()["messages"] == 1
            sent += await transmit(second, *(packed(LARGE // 2) for _ in range(8)))
            await until(lambda: here.transport.get_stats()["messages"] == 9)
            here.gate.set()
            assert {await each.wait() for each in sent} == {Outcome.ACCEPTED}
        assert here.transport.get_stats()["messages"] == 16


async def test_a_batch_lets_others_have_the_loop_now_and_then() -> None:
    turns, seen = 0, set()

    def note(message: UnitsTested, letter: Letter) -> list[Event]:
        seen.add(turns)
        return plainly(message, letter)

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    transport = made()
    transport.converter.register(UnitsTested, note)
    async with station(transport) as here, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await here.send(b"[" + b",".join(result() for _ in range(1000)) + b"]")
        nursery.cancel_scope.cancel()
    assert len(seen) > 5


async def test_a_message_that_was_not_accepted_finds_what_is_remembered_as_if_it_had_not_come() -> None:
    fault = {"Fault": {"FaultOccurrenceId": "F1", "FaultCode": "E1"}}
    cleared = envelope_of(f"{PERFORMANCE}.FaultCleared", {"FaultOccurrenceId": "F1"}, UniqueID="cleared")
    async with station(made()) as here:
        await here.send(envelope_of(f"{PERFORMANCE}.FaultOccurred", fault, UniqueID="occurred"))
        await _refused(here, cleared)
        await here.send(cleared)
        assert [event.payload.fault_code for event in here.events] == ["E1", "E1"]


async def _refused(here: Station, body: bytes) -> None:
    """Send a message while the bus takes none, until the connection is over."""
    refused, publish = trio.Event(), here.transport.publish_event_async

    async def refuse(event: Event) -> Any:
        refused.set()
        raise BusStopped("not now")

    here.transport.publish_event_async = refuse  # type: ignore[method-assign]
    async with here.sender() as sender:
        (sent,) = await transmit(sender, body)
        await refused.wait()
    assert sent.outcome is Outcome.LOST
    here.transport.publish_event_async = publish  # type: ignore[method-assign]


async def test_a_large_message_with_a_great_many_parts_is_read_and_kept() -> None:
    lists = gzip.compress(json.dumps({"MessageName": "V.X", "MessageBody": {"a": [[]] * 100_000}}).encode())
    async with station(made()) as here:
        await here.send(lists)
        assert len(here.events[0].payload["a"]) == 100_000
