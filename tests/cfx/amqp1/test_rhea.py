"""A foreign AMQP 1.0 peer, rhea, both ways: it connects to the listener, and the client connects to it."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import trio

from pywats_cfx.amqp1 import (
    AddressRefused,
    AMQPMessage,
    ClientConfig,
    Delivery,
    LinkRequest,
    Outcome,
    Sender,
    connect,
)
from support.amqp1 import Taken, listening
from support.rhea import rhea, said_by_rhea

LONG = 30


async def test_rhea_sends_to_the_listener_and_hears_that_each_message_is_accepted() -> None:
    taken = Taken()
    with trio.fail_after(LONG):
        async with listening(takes=taken.at("//Line1/WATS")) as place:
            async with rhea("send", str(place.port), "//Line1/WATS", "250") as peer:
                outcomes = [said async for said in said_by_rhea(peer)]
    assert outcomes == [{"outcome": "accepted"}] * 250
    assert [message.body for message in taken.messages] == [b'{"n":%d}' % n for n in range(1, 251)]
    first = taken.messages[0]
    assert (first.message_id, first.subject, first.durable) == ("m1", "S.CFX.Heartbeat", True)
    assert first.content_type == 'application/json; charset="utf-8"'
    assert first.application_properties == {"cfx-topic": "CFX", "number": 1}
    assert taken.deliveries[0].peer == "//rhea/machine"


async def test_rhea_logs_in_with_user_and_password() -> None:
    taken = Taken()
    with trio.fail_after(LONG):
        async with listening(takes=taken.at("a"), users={"machine": "secret"}, anonymous=False) as place:
            async with rhea("send", str(place.port), "a", "1", "machine", "secret") as peer:
                said = [said async for said in said_by_rhea(peer)]
    assert said[0] == {"outcome": "accepted"}


async def test_rhea_with_a_wrong_password_is_refused() -> None:
    with trio.fail_after(LONG):
        async with listening(users={"machine": "secret"}, anonymous=False) as place:
            async with rhea("send", str(place.port), "a", "1", "machine", "wrong") as peer:
                said = [said async for said in said_by_rhea(peer)]
    assert any("error" in line for line in said)
    assert not any("outcome" in line for line in said)


async def test_rhea_is_told_that_an_address_is_unknown() -> None:
    with trio.fail_after(LONG):
        async with listening() as place:
            async with rhea("send", str(place.port), "nowhere", "1") as peer:
                async with aclosing(said_by_rhea(peer)) as lines:
                    assert await anext(lines) == {"error": "amqp:not-found"}


async def test_rhea_receives_from_the_listener() -> None:
    async def publish(sender: Sender) -> None:
        for n in range(50):
            await sender.send(AMQPMessage(body=b"%d" % n, subject="s", message_id=f"i{n}"))

    def gives(request: LinkRequest) -> object:
        return publish if request.address == "events" else None

    with trio.fail_after(LONG):
        async with listening(gives=gives) as place:
            async with rhea("receive", str(place.port), "events", "50") as peer:
                said = [said async for said in said_by_rhea(peer)]
    assert said[:50] == [{"body": str(n), "subject": "s", "id": f"i{n}"} for n in range(50)]


async def test_rhea_asks_and_is_answered() -> None:
    async def answer(delivery: Delivery) -> None:
        delivery.accept()
        await delivery.reply(AMQPMessage(body=b"re:" + delivery.message.body))

    async def hold(sender: Sender) -> None:
        await trio.sleep_forever()

    with trio.fail_after(LONG):
        async with listening(takes=lambda request: answer, gives=lambda request: hold) as place:
            async with rhea("request", str(place.port), "//h", "20") as peer:
                said = [said async for said in said_by_rhea(peer)]
    assert said[:20] == [{"answer": f"re:q{n}"} for n in range(1, 21)]


@pytest.fixture
async def rhea_url() -> object:
    async with rhea("listen") as peer:
        lines = said_by_rhea(peer)
        port = (await anext(lines))["port"]
        yield f"amqp://127.0.0.1:{port}", lines
        await lines.aclose()


async def test_the_client_sends_to_rhea_with_many_in_flight(rhea_url: object) -> None:
    url, lines = rhea_url
    with trio.fail_after(LONG):
        async with connect(ClientConfig(url=url, container="//c")) as connection:
            sender = await connection.open_sender("a", window=90)
            sent = [
                await sender.transmit(
                    AMQPMessage(
                        body=b"%d" % n,
                        message_id=f"m{n}",
                        content_type="application/json",
                        application_properties={"n": n},
                    )
                )
                for n in range(500)
            ]
            assert {await each.wait() for each in sent} == {Outcome.ACCEPTED}
            said = [await anext(lines) for _ in range(500)]
    assert said[499] == {
        "address": "a",
        "body": "499",
        "id": "m499",
        "type": "application/json",
        "properties": {"n": 499},
    }


async def test_the_client_receives_from_rhea(rhea_url: object) -> None:
    url, _ = rhea_url
    taken = Taken()
    with trio.fail_after(LONG):
        async with connect(ClientConfig(url=url, container="//c")) as connection:
            await connection.open_receiver("stream", taken.take, credit=3)
            await taken.wait_for(10)
    assert [message.body for message in taken.messages] == [b"s%d" % n for n in range(1, 11)]


async def test_the_client_asks_rhea(rhea_url: object) -> None:
    url, _ = rhea_url
    with trio.fail_after(LONG):
        async with connect(ClientConfig(url=url, container="//c")) as connection:
            for n in range(3):
                answer = await connection.request("service", AMQPMessage(body=b"%d" % n), timeout=10)
                assert answer.body == b"re:%d" % n


async def test_the_client_is_told_what_rhea_refuses(rhea_url: object) -> None:
    url, _ = rhea_url
    with trio.fail_after(LONG):
        async with connect(ClientConfig(url=url, container="//c")) as connection:
            with pytest.raises(AddressRefused, match="no such address") as caught:
                await connection.open_sender("nowhere")
            assert (caught.value.address, caught.value.condition) == ("nowhere", "amqp:not-found")


async def test_a_peer_that_attaches_without_naming_its_target_is_used_once_it_grants_credit(
    rhea_url: object,
) -> None:
    url, _ = rhea_url
    with trio.fail_after(LONG):
        async with connect(ClientConfig(url=url, container="//c")) as connection:
            sender = await connection.open_sender("silent-target")
            assert await sender.send(AMQPMessage(body=b"x")) is Outcome.ACCEPTED
