"""What an endpoint must remember survives the process, on a bus with a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig, UnitsTested, decode
from pywats_cfx.amqp1 import AMQPMessage, ClientConfig, ConnectionLost, Outcome, connect
from pywats_cfx.errors import CFXError
from pywats_cfx.transport._spool import Spool
from pywats_events import AsyncEventBus, Event
from pywats_events.durability import Store
from pywats_events.settlement import Receipt
from support.cfx import envelope_of
from support.stores import image, open_again, running

HERE = "//Acme/WATS/Station1"
ORDERS = "CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated"
PERFORMANCE = "CFX.ResourcePerformance"
ORDER = {"WorkOrderId": "W1"}

EARLIER: list[tuple[str, dict[str, Any]]] = [
    (ORDERS, {"NewOrders": [{"WorkOrderIdentifier": ORDER, "PartNumber": "PCBA-1", "PartRevision": "B"}]}),
    ("CFX.Production.OperatorActivated", {"Operator": {"OperatorIdentifier": "B9"}}),
    (
        "CFX.Production.RecipeActivated",
        {"RecipeName": "main", "Revision": "7", "WorkOrderIdentifier": ORDER, "Lane": 2},
    ),
    (
        "CFX.Production.WorkStarted",
        {
            "PrimaryIdentifier": "P1",
            "TransactionID": "T",
            "Lane": 2,
            "Units": [{"PositionNumber": 1}, {"PositionNumber": 2}],
        },
    ),
    (
        f"{PERFORMANCE}.FaultOccurred",
        {"Fault": {"FaultOccurrenceId": "F1", "FaultCode": "E1", "Severity": "Error", "Lane": 2}},
    ),
]
LATER: list[tuple[str, dict[str, Any]]] = [
    (
        "CFX.Production.TestAndInspection.UnitsTested",
        {"TransactionId": "T", "TestedUnits": [{"UnitIdentifier": "P1", "UnitPositionNumber": 2}]},
    ),
    (f"{PERFORMANCE}.FaultCleared", {"FaultOccurrenceId": "F1"}),
    ("CFX.Production.WorkCompleted", {"TransactionID": "T", "Result": "Completed"}),
]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)


class Endpoint:
    """A life of a station that machines connect to."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.store = Store(folder, commit_after=0.0)
        self.bus = AsyncEventBus(store=self.store)
        self.events: list[Event] = []
        self.transports = [
            CFXTransport(
                CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE, listen="amqp://127.0.0.1:0")), name
            )
            for name in names or ("cfx",)
        ]

    async def keep(self, event: Event) -> None:
        self.events.append(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Endpoint]:
        self.bus.subscribe(self.keep, event_types=[], name="keep")
        for transport in self.transports:
            self.bus.register_transport(transport)
        async with self.bus:
            await until(lambda: all(transport.listen_port for transport in self.transports))
            yield self

    async def send(self, *messages: bytes, to: int = 0) -> list[Any]:
        """Send messages of a machine, and wait until each is accepted; the payloads that they became."""
        before = len(self.events)
        uri = f"amqp://localhost:{self.transports[to].listen_port}"
        async with connect(ClientConfig(url=uri, container="//m")) as machine:
            sender = await machine.open_sender("a")
            for message in messages:
                sent = await sender.send(AMQPMessage(body=message, message_id="m"))
                assert sent is Outcome.ACCEPTED
        await self.bus.wait_idle()
        return [event.payload for event in self.events[before:]]


def messages(bodies: list[tuple[str, dict[str, Any]]], first: int = 0) -> list[bytes]:
    return [
        envelope_of(name, body, UniqueID=f"2d2132d5-5c00-4ad7-8d98-{first + number:012}")
        for number, (name, body) in enumerate(bodies)
    ]


@pytest.mark.parametrize("killed_after", range(1, len(EARLIER) + 1))
async def test_a_message_is_completed_by_what_came_before_a_kill_as_if_there_had_been_none(
    tmp_path: Path, killed_after: int
) -> None:
    earlier, later = messages(EARLIER), messages(LATER, first=100)
    async with Endpoint(tmp_path / "store").running() as here:
        await here.send(*earlier[:killed_after])
        image(here.store, tmp_path / "killed")
        expected = await here.send(*earlier[killed_after:], *later)
    async with Endpoint(tmp_path / "killed").running() as here:
        assert await here.send(*earlier[killed_after:], *later) == expected
    tested = next(payload for payload in expected if getattr(payload, "unit_id", None) == "P1-2")
    assert tested.operator_id == "B9"


async def test_what_was_forgotten_before_a_kill_stays_forgotten(tmp_path: Path) -> None:
    cleared = LATER[1]
    async with Endpoint(tmp_path / "store").running() as here:
        first = await here.send(*messages([*EARLIER, cleared]))
        assert first[-1].fault_code == "E1"
        image(here.store, tmp_path / "killed")
    async with Endpoint(tmp_path / "killed").running() as here:
        assert (await here.send(*messages([cleared], first=100)))[0].fault_code == "F1"


async def test_two_endpoints_on_one_store_do_not_share_what_they_know(tmp_path: Path) -> None:
    async with Endpoint(tmp_path / "store", "one", "two").running() as here:
        await here.send(*messages(EARLIER), to=0)
        image(here.store, tmp_path / "killed")
    async with Endpoint(tmp_path / "killed", "one", "two").running() as here:
        (cleared,) = await here.send(*messages([LATER[1]], first=100), to=1)
        assert cleared.fault_code == "F1"
        (cleared,) = await here.send(*messages([LATER[1]], first=200), to=0)
        assert cleared.fault_code == "E1"


async def test_a_message_that_changes_nothing_writes_nothing_for_later_ones(tmp_path: Path) -> None:
    async with Endpoint(tmp_path / "store").running() as here:
        shelf = await here.store.shelf("cfx:cfx:context", max_count=1000)
        await here.send(*messages(EARLIER))
        kept = dict(shelf.items())
        assert len(kept) == 5
        await here.send(*messages([LATER[0]], first=100))
        assert dict(shelf.items()) == kept


async def test_a_message_that_comes_again_after_a_kill_is_accepted_and_not_delivered_again(
    tmp_path: Path,
) -> None:
    tested = messages([LATER[0]])
    async with Endpoint(tmp_path / "store").running() as here:
        assert len(await here.send(*tested)) == 1
        image(here.store, tmp_path / "killed")
    async with Endpoint(tmp_path / "killed").running() as here:
        await here.bus.wait_replayed()
        await here.bus.wait_idle()
        here.events.clear()
        assert await here.send(*tested) == []


async def test_what_was_known_and_cannot_be_read_any_more_is_told_once_and_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Endpoint(tmp_path / "store").running() as here:
        shelf = await here.store.shelf("cfx:cfx:context", max_count=1000)
        shelf.put("no place", b"?")
        shelf.put('["state","//m",null]', b"\xc1")
        await here.store.commit().wait()
        image(here.store, tmp_path / "killed")
    for told in (2, 0):
        caplog.clear()
        async with Endpoint(tmp_path / "killed").running() as here:
            await here.send(*messages(EARLIER[:1], first=told))
        assert caplog.text.count("cannot be read") == told


# Publishing


class Peer:
    """Takes what is published, up to a number; then its link is lost."""

    outcome: Outcome | None = None

    def __init__(self, takes: int, *, answers: Outcome = Outcome.ACCEPTED) -> None:
        self.got: list[str] = []
        self._takes = takes
        self._answers = answers

    async def transmit(self, message: AMQPMessage) -> Peer:
        await trio.lowlevel.checkpoint()
        if len(self.got) >= self._takes:
            raise ConnectionLost("told to be lost")
        self.got.append(message.body.decode())
        return self

    async def wait(self) -> Outcome:
        await trio.lowlevel.checkpoint()
        return self._answers


def no_refusal(message: AMQPMessage) -> Receipt:
    raise AssertionError(f"nothing was to be refused, and {message} was")


def no_damage(raw: bytes, error: Exception) -> None:
    raise AssertionError(f"{raw!r} was to be read: {error}")


def mail(number: int) -> AMQPMessage:
    return AMQPMessage(body=str(number).encode(), message_id=number, application_properties={"a": number})


async def publish(spool: Spool, peer: Peer) -> None:
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.run, peer)
            await spool.wait_empty()
            nursery.cancel_scope.cancel()


async def test_what_waits_to_be_published_survives_a_kill_in_order_and_what_the_peer_had_is_gone(
    tmp_path: Path,
) -> None:
    async with running(Store(tmp_path / "store")) as store:
        spool = Spool(no_refusal, 100)
        spool.put(mail(0))
        await spool.open(store, "one", no_damage)
        for number in range(1, 10):
            spool.put(mail(number))
        with pytest.RaisesGroup(ConnectionLost, flatten_subgroups=True):
            await publish(spool, Peer(4))
        await store.commit().wait()
        image(store, tmp_path / "killed")
        left = len(spool)
    async with open_again(tmp_path / "killed") as store:
        other, spool, peer = Spool(no_refusal, 100), Spool(no_refusal, 100), Peer(100)
        await other.open(store, "two", no_damage)
        assert len(other) == 0
        spool.put(mail(10))
        await spool.open(store, "one", no_damage)
        assert left <= 10
        assert len(spool) == left + 1
        await publish(spool, peer)
        assert peer.got == [str(number) for number in range(10 - left, 11)]
    async with open_again(tmp_path / "killed") as store:
        spool = Spool(no_refusal, 100)
        await spool.open(store, "one", no_damage)
        assert len(spool) == 0


async def test_what_the_peer_took_out_of_order_leaves_the_store_with_what_was_before_it(
    tmp_path: Path,
) -> None:
    """The store's spool is taken from at its front only."""

    class Choosy(Peer):
        async def transmit(self, message: AMQPMessage) -> Peer:
            await super().transmit(message)
            given_back = message.body == b"0" and len(self.got) < 4
            answer = Peer(0, answers=Outcome.RELEASED if given_back else Outcome.ACCEPTED)
            answer.outcome = None if given_back else Outcome.ACCEPTED
            return answer

    async with running(Store(tmp_path)) as store:
        spool = Spool(no_refusal, 3)
        await spool.open(store, "one", no_damage)
        for number in range(5):
            spool.put(mail(number))
        first = Choosy(3)
        with pytest.RaisesGroup(ConnectionLost, flatten_subgroups=True):
            await publish(spool, first)
        assert len(await store.spool("one")) == 5
        second = Choosy(100)
        second.got = ["x"] * 4
        await publish(spool, second)
        assert sorted(int(body) for body in first.got + second.got[4:]) == [0, 0, 1, 2, 3, 4]
        assert len(await store.spool("one")) == 0


async def test_what_was_kept_and_cannot_be_read_is_told_and_the_others_go_out(tmp_path: Path) -> None:
    told: list[bytes] = []
    async with running(Store(tmp_path)) as store:
        spool = Spool(no_refusal, 100)
        await spool.open(store, "one", no_damage)
        spool.put(mail(0))
        (await store.spool("one")).append(b"damaged")
        spool.put(mail(1))
    async with open_again(tmp_path) as store:
        spool, peer = Spool(no_refusal, 100), Peer(100)
        await spool.open(store, "one", lambda raw, _: told.append(raw))
        await publish(spool, peer)
    assert (told, peer.got) == ([b"damaged"], ["0", "1"])
    async with open_again(tmp_path) as store:
        assert len(await store.spool("one")) == 0


async def test_a_transport_sends_in_its_next_life_what_it_could_not_send_in_this_one(tmp_path: Path) -> None:
    def station(folder: Path) -> tuple[AsyncEventBus, CFXTransport, Store]:
        away = AMQPConfig(host="127.0.0.1", port=9, protocol="amqp1", publish="a")
        store = Store(folder, commit_after=0.0)
        return (
            AsyncEventBus(store=store),
            CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=away)),
            store,
        )

    bus, transport, store = station(tmp_path / "store")
    bus.register_transport(transport)
    async with bus:
        for number in range(3):
            transport.send(UnitsTested(RecipeName=str(number)))
        await trio.to_thread.run_sync(transport.send, UnitsTested(RecipeName="3"))
        await until(lambda: transport._spool._kept is not None)
        await store.commit().wait()
        image(store, tmp_path / "killed")
    bus, transport, _ = station(tmp_path / "killed")
    bus.register_transport(transport)
    async with bus:
        await until(lambda: transport.get_stats()["spooled"] == 4)
        bodies: list[Any] = [decode(item.message.body).MessageBody for item in transport._spool._waiting]
        assert [body.RecipeName for body in bodies] == ["0", "1", "2", "3"]


async def test_a_message_that_the_peer_refuses_is_kept_until_it_is_among_the_dead_letters(
    tmp_path: Path,
) -> None:
    async with Endpoint(tmp_path / "store").running() as here:
        transport = here.transports[0]
        await until(lambda: transport._spool._kept is not None)
        for number in range(3):
            transport._spool.put(mail(number))
        await publish(transport._spool, Peer(100, answers=Outcome.REJECTED))
        await here.store.commit().wait()
        image(here.store, tmp_path / "killed")
    async with Endpoint(tmp_path / "killed").running() as here:
        assert len(here.transports[0]._spool) == 0
        letters = here.store.dead_letters.find(limit=10)
        assert sorted(letter.raw or b"" for letter in letters) == [b"0", b"1", b"2"]


async def test_a_thread_that_finds_the_spool_full_is_told_and_one_that_is_late_makes_a_dead_letter(
    tmp_path: Path,
) -> None:
    away = AMQPConfig(host="127.0.0.1", port=9, protocol="amqp1", publish="a")
    transport = CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=away))
    bus = AsyncEventBus(store=Store(tmp_path, commit_after=0.0))
    bus.register_transport(transport)
    async with bus:
        await until(lambda: transport._spool._kept is not None and transport._token is not None)
        transport._spool._most = 1
        transport.send(UnitsTested(RecipeName="0"))
        with pytest.raises(CFXError, match="1 messages wait"):
            await trio.to_thread.run_sync(transport.send, UnitsTested(RecipeName="1"))
        transport._put(mail(2))
        await until(lambda: len(bus.error_policy.dead_letter_queue))
        assert transport.get_stats()["spooled"] == 1
