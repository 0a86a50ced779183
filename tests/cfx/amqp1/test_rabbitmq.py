"""RabbitMQ between two worlds: its AMQP 1.0 plugin, as our client meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from pywats_cfx.amqp1 import (
    AddressRefused,
    AMQPError,
    AMQPMessage,
    ClientConfig,
    LoginRefused,
    Outcome,
    WrongProtocol,
    connect,
)
from support.amqp1 import Taken
from support.rabbitmq import AMQP_1_0, RabbitServer

LONG = 30


@pytest.fixture(scope="module")
def broker(amqp1_broker: RabbitServer) -> RabbitServer:
    amqp1_broker.declare_queue("wats")
    return amqp1_broker


def at(url: str) -> ClientConfig:
    return ClientConfig(url=url, container="//Company/WATS/Station1")


async def test_what_is_published_to_an_exchange_arrives_from_the_queue(broker: RabbitServer) -> None:
    message = AMQPMessage(
        body=b'{"MessageName":"CFX.Heartbeat"}',
        message_id="2d2132d5-5c00-4ad7-8d98-11d5fb95bf46",
        subject="SDK.Publisher.1.CFX.Heartbeat",
        reply_to="SDK.Publisher.1",
        content_type='application/json; charset="utf-8"',
        creation_time=1_764_000_000_000,
        application_properties={"cfx-topic": "CFX", "cfx-message": "Heartbeat"},
    )
    taken = Taken()
    with trio.fail_after(LONG):
        async with connect(at(broker.url)) as connection:
            await connection.open_receiver("/amq/queue/wats", taken.take)
            sender = await connection.open_sender("/exchange/amq.topic")
            assert await sender.send(message) is Outcome.ACCEPTED
            await taken.wait_for(1)
    assert taken.messages == [message]


async def test_a_long_stream_arrives_in_order_while_credit_is_granted_again_and_again(
    broker: RabbitServer,
) -> None:
    taken = Taken()
    with trio.fail_after(LONG):
        async with connect(at(broker.url)) as connection:
            await connection.open_receiver("/amq/queue/wats", taken.take, credit=20)
            sender = await connection.open_sender("/exchange/amq.topic/key", window=90)
            for n in range(2_000):
                await sender.transmit(AMQPMessage(body=b"%d" % n))
            await taken.wait_for(2_000)
    assert [int(message.body) for message in taken.messages] == list(range(2_000))


async def test_what_was_not_accepted_comes_again_on_the_next_connection(broker: RabbitServer) -> None:
    held, taken = Taken(accept=False), Taken()
    with trio.fail_after(LONG):
        async with connect(at(broker.url)) as connection:
            await connection.open_receiver("/amq/queue/wats", held.take)
            sender = await connection.open_sender("/exchange/amq.topic")
            for n in range(3):
                await sender.send(AMQPMessage(body=b"%d" % n, subject="s"))
            await held.wait_for(3)
            held.deliveries[1].accept()
        async with connect(at(broker.url)) as connection:
            await connection.open_receiver("/amq/queue/wats", taken.take)
            await taken.wait_for(2)
    assert sorted(message.body for message in taken.messages) == [b"0", b"2"]


async def test_a_missing_queue_is_refused_and_the_connection_goes_on(broker: RabbitServer) -> None:
    with trio.fail_after(LONG):
        async with connect(at(broker.url)) as connection:
            with pytest.raises(AddressRefused, match=r"no queue 'missing'.*Check the address") as caught:
                await connection.open_receiver("/amq/queue/missing", Taken().take)
            assert caught.value.address == "/amq/queue/missing"
            sender = await connection.open_sender("/exchange/amq.topic")
            assert await sender.send(AMQPMessage(body=b"x", subject="s")) is Outcome.ACCEPTED


async def test_an_address_that_is_none_is_refused_to_senders_too(broker: RabbitServer) -> None:
    with trio.fail_after(LONG):
        async with connect(at(broker.url)) as connection:
            with pytest.raises(AddressRefused, match="unknown_destination"):
                await connection.open_sender("/nonsense")


async def test_a_wrong_password_is_a_refused_login(broker: RabbitServer) -> None:
    with trio.fail_after(LONG):
        with pytest.raises(LoginRefused, match="refuses the login of the user 'guest' by PLAIN: check user"):
            async with connect(at(f"amqp://guest:wrong@127.0.0.1:{broker.port}")):
                pytest.fail("it came in")


async def test_a_missing_virtual_host_ends_with_an_error_that_names_it(broker: RabbitServer) -> None:
    with trio.fail_after(LONG):
        with pytest.raises(AMQPError, match="nowhere"):
            async with connect(at(f"{broker.url}/nowhere")) as connection:
                await connection.open_sender("/exchange/amq.topic")


async def test_a_broker_that_dies_is_a_lost_connection(tmp_path: Path) -> None:
    broker = RabbitServer(tmp_path / "mortal", plugins=(AMQP_1_0,))
    broker.start()
    try:
        with trio.fail_after(120), pytest.raises(AMQPError):
            async with connect(at(broker.url)) as connection:
                sender = await connection.open_sender("/exchange/amq.topic")
                assert await sender.send(AMQPMessage(body=b"x", subject="s")) is Outcome.ACCEPTED
                broker.kill()
                while True:
                    await sender.send(AMQPMessage(body=b"x", subject="s"))
    finally:
        broker.stop()


async def test_a_broker_without_the_plugin_is_recognised_as_one_of_0_9_1(server: RabbitServer) -> None:
    with trio.fail_after(LONG):
        with pytest.raises(WrongProtocol, match="rabbitmq_amqp1_0") as caught:
            async with connect(at(f"amqp://guest:guest@127.0.0.1:{server.port}")):
                pytest.fail("it speaks 1.0")
    assert caught.value.speaks == "AMQP 0-9-1"
