"""A CFXTransport publishes by RabbitMQ's own protocol, as by AMQP 1.0, whatever becomes of the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_cfx import (
    AMQPConfig,
    CFXConfig,
    CFXTransport,
    EndpointConfig,
    ExchangeConfig,
    RetryConfig,
    UnitsTested,
    decode,
)
from pywats_cfx.config.addresses import destination_of
from pywats_cfx.transport._rabbitmq import publisher_of
from pywats_events import AsyncEventBus
from pywats_rabbitmq import Binding, RabbitConfig, RabbitConsumer, RabbitDelivery, RabbitPublisher
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from support.rabbitmq import RabbitServer

HERE = "//Acme/WATS/Station1"


class Reader:
    """Everything that comes to an exchange, read by somebody else."""

    def __init__(self) -> None:
        self.deliveries: list[RabbitDelivery] = []

    def take(self, delivery: RabbitDelivery) -> None:
        self.deliveries.append(delivery)
        delivery.token.ack()

    def names(self) -> list[str]:
        return [decode(delivery.body).short_name for delivery in self.deliveries]

    def recipes(self) -> list[str]:
        bodies = [decode(delivery.body).MessageBody for delivery in self.deliveries]
        return [str(body.RecipeName) for body in bodies if isinstance(body, UnitsTested)]


@asynccontextmanager
async def reading(broker: RabbitServer, exchange: str, keys: tuple[str, ...]) -> AsyncIterator[Reader]:
    reader, bridge = Reader(), AsyncioBridge()
    config = RabbitConfig(
        host="127.0.0.1",
        port=broker.port,
        queue=f"reader-{exchange}-{'-'.join(keys)}",
        quorum=False,
        bindings=(Binding(exchange, keys, "topic"),),
    )
    consumer = RabbitConsumer(bridge, config, reader.take)
    policy = Backoff(initial=0.05, maximum=0.2)
    tree = Supervisor([ChildSpec("reader", consumer.run, policy=policy)])
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        await nursery.start(tree.run)
        yield reader
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def station(broker: RabbitServer, exchange: str, **options: Any) -> AsyncIterator[CFXTransport]:
    amqp = AMQPConfig(
        host="127.0.0.1",
        port=broker.port,
        username="guest",
        password="guest",
        protocol="amqp091",
        exchange="",
        queue=f"station-{exchange}",
        publish=f"/exchange/{exchange}",
        **options,
    )
    endpoint = EndpointConfig(cfx_handle=HERE, heartbeat=0.1)
    transport = CFXTransport(
        CFXConfig(endpoint=endpoint, amqp=amqp, retry=RetryConfig(initial_delay=0.1, max_delay=0.2))
    )
    async with AsyncEventBus() as bus:
        bus.register_transport(transport)
        await until(lambda: transport.is_connected)
        yield transport


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_it_publishes_in_order_between_hello_and_goodbye(mortal: RabbitServer) -> None:
    with trio.fail_after(30):
        async with reading(mortal, "polite", ("#",)) as reader:
            async with station(mortal, "polite") as transport:
                for number in range(200):
                    transport.send(UnitsTested(RecipeName=str(number)))
                await until(lambda: len(reader.recipes()) == 200 and "Heartbeat" in reader.names())
            await until(lambda: "EndpointShuttingDown" in reader.names())
    assert reader.names()[0] == "EndpointConnected"
    assert reader.names()[-1] == "EndpointShuttingDown"
    assert reader.recipes() == [str(number) for number in range(200)]
    first = next(delivery for delivery in reader.deliveries if b"UnitsTested" in delivery.body)
    name = "CFX.Production.TestAndInspection.UnitsTested"
    assert first.routing_key == f"{HERE}.{name}"
    assert first.properties.message_id == decode(first.body).UniqueID
    assert first.properties.content_type == 'application/json; charset="utf-8"'
    assert (first.properties.reply_to, first.properties.type) == (HERE, None)
    assert first.headers["cfx-message"] == name
    assert first.properties.persistent


async def test_a_broker_that_is_killed_loses_nothing_and_keeps_the_order(mortal: RabbitServer) -> None:
    total = 600
    with trio.fail_after(60):
        async with reading(mortal, "mortal", ("#.UnitsTested",)) as reader:
            async with station(mortal, "mortal", window=50) as transport:
                for number in range(total // 3):
                    transport.send(UnitsTested(RecipeName=str(number)))
                await until(lambda: len(reader.recipes()) > 20)
                for number in range(total // 3, 2 * total // 3):
                    transport.send(UnitsTested(RecipeName=str(number)))
                await trio.to_thread.run_sync(mortal.kill)
                for number in range(2 * total // 3, total):
                    transport.send(UnitsTested(RecipeName=str(number)))
                await trio.to_thread.run_sync(mortal.start)
                await until(lambda: len(set(reader.recipes())) == total)
                await until(lambda: not transport.get_stats()["spooled"])
    # A message that comes again is known by its UniqueID; of the others none is missing or late.
    unique = {decode(delivery.body).UniqueID: delivery for delivery in reader.deliveries}
    assert len(unique) == total
    assert list(dict.fromkeys(reader.recipes())) == [str(number) for number in range(total)]


async def test_what_a_broker_nacks_is_sent_again_before_anything_else(mortal: RabbitServer) -> None:
    """A queue with room for one message refuses the others until that is taken."""
    taken: list[RabbitDelivery] = []
    config = RabbitConfig(
        host="127.0.0.1",
        port=mortal.port,
        queue="narrow",
        quorum=False,
        prefetch=1,
        bindings=(Binding("narrow", ("#.UnitsTested",), "topic"),),
        arguments={"x-max-length": 1, "x-overflow": "reject-publish"},
    )
    bridge = AsyncioBridge()
    consumer = RabbitConsumer(bridge, config, taken.append)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            await nursery.start(consumer.run)
            async with station(mortal, "narrow", window=1) as transport:
                errors: list[Exception] = []
                transport.on_error(errors.append)
                for number in range(8):
                    transport.send(UnitsTested(RecipeName=str(number)))
                await until(lambda: len(errors) >= 2)  # given back twice at least
                while len(taken) < 8:
                    count = len(taken)
                    taken[-1].token.ack()
                    await until(lambda count=count: len(taken) > count)
                taken[-1].token.ack()
                await until(lambda: not transport.get_stats()["spooled"])
            nursery.cancel_scope.cancel()
    recipes = [decode(delivery.body).MessageBody.RecipeName for delivery in taken]  # type: ignore[union-attr]
    assert recipes == [str(number) for number in range(8)]
    assert {"it is sent again" in str(error) for error in errors} == {True}


async def test_what_it_publishes_does_not_come_back_to_it(mortal: RabbitServer) -> None:
    endpoint = EndpointConfig(cfx_handle="//Acme/Echo", heartbeat=60)
    amqp = AMQPConfig(
        host="127.0.0.1", port=mortal.port, username="guest", password="guest", protocol="amqp091"
    )
    config = CFXConfig(endpoint=endpoint, amqp=amqp, exchange=ExchangeConfig(exchange_name="echo"))
    with trio.fail_after(30):
        async with reading(mortal, "echo", ("#",)) as reader:
            transport = CFXTransport(config)
            async with AsyncEventBus() as bus:
                bus.register_transport(transport)
                await until(lambda: transport.is_connected)
                transport.send(UnitsTested(RecipeName="1"))
                await until(reader.recipes)
                assert transport.get_stats()["messages"] == 0


async def test_an_exchange_that_is_missing_is_made_before_anything_is_published_to_it(
    mortal: RabbitServer,
) -> None:
    endpoint = EndpointConfig(cfx_handle="//Acme/First", heartbeat=60)
    amqp = AMQPConfig(
        host="127.0.0.1", port=mortal.port, username="guest", password="guest", protocol="amqp091"
    )
    exchange = ExchangeConfig(exchange_name="not-there-yet")
    transport = CFXTransport(CFXConfig(endpoint=endpoint, amqp=amqp, exchange=exchange))
    errors: list[Exception] = []
    transport.on_error(errors.append)
    with trio.fail_after(30):
        async with AsyncEventBus() as bus:
            bus.register_transport(transport)
            transport.send(UnitsTested(RecipeName="1"))
            await until(lambda: transport.is_connected and not transport.get_stats()["spooled"])
    assert errors == []


def test_files_of_tls_are_for_requests_only_where_the_broker_is_spoken_with_in_clear() -> None:
    amqp = AMQPConfig(protocol="amqp091", ssl_ca_path="ca.pem")
    config = CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=amqp)
    assert isinstance(publisher_of(AsyncioBridge(), config, amqp), RabbitPublisher)


@pytest.mark.parametrize(
    ("address", "exchange", "key"),
    [
        ("/exchange/cfx", "cfx", None),
        ("/exchange/cfx/a.b", "cfx", "a.b"),
        ("/exchanges/cfx", "cfx", None),
        ("cfx", "cfx", None),
    ],
)
def test_an_address_to_publish_to_names_an_exchange(address: str, exchange: str, key: str | None) -> None:
    assert destination_of(address) == (exchange, key)


@pytest.mark.parametrize("address", ["", "/", "/queue/q", "/exchange/"])
def test_an_address_that_names_no_exchange_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="/exchange/NAME"):
        destination_of(address)
