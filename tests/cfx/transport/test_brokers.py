"""A CFXTransport connects to RabbitMQ: by its AMQP 1.0 plugin, and by its own protocol."""

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
    UnitsTested,
    decode,
    encode,
)
from pywats_cfx.amqp1 import ClientConfig, Outcome, connect
from pywats_cfx.samples import envelope_of as sample
from pywats_cfx.transport._mail import mail_of
from pywats_cfx.transport._rabbitmq import routing_keys
from pywats_events import AsyncEventBus, Event, EventType
from pywats_rabbitmq import RabbitConfig, RabbitPublisher
from support.amqp1 import Taken
from support.rabbitmq import RabbitServer

HERE = "//Acme/WATS/Station1"


def amqp(broker: RabbitServer, **options: Any) -> AMQPConfig:
    return AMQPConfig(host="127.0.0.1", port=broker.port, username="guest", password="guest", **options)


@asynccontextmanager
async def station(
    config: AMQPConfig, exchange: ExchangeConfig | None = None
) -> AsyncIterator[tuple[CFXTransport, list[Event]]]:
    endpoint = EndpointConfig(cfx_handle=HERE, heartbeat=0.1)
    transport = CFXTransport(CFXConfig(endpoint=endpoint, amqp=config, exchange=exchange))
    events: list[Event] = []

    async def keep(event: Event) -> None:
        events.append(event)

    with trio.fail_after(60):
        async with AsyncEventBus() as bus:
            bus.subscribe(keep, event_types=[EventType.TEST_RESULT], name="keep")
            bus.register_transport(transport)
            await until(lambda: transport.is_connected)
            yield transport, events


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_it_receives_from_a_queue_by_amqp_1_0(amqp1_broker: RabbitServer) -> None:
    amqp1_broker.declare_queue("station")
    async with station(amqp(amqp1_broker, subscribe=("/amq/queue/station",))) as (_, events):
        async with connect(ClientConfig(url=amqp1_broker.url, container="//m")) as machine:
            sender = await machine.open_sender("/exchange/amq.topic")
            assert await sender.send(mail_of(sample("units_tested_ict"))) is Outcome.ACCEPTED
        await until(lambda: events)
    assert events[0].payload.unit_id == "SN100042"


async def test_it_publishes_in_order_between_hello_and_goodbye(amqp1_broker: RabbitServer) -> None:
    amqp1_broker.declare_queue("published", exchange="amq.fanout", key="")
    taken = Taken()
    async with connect(ClientConfig(url=amqp1_broker.url, container="//reader")) as reader:
        await reader.open_receiver("/amq/queue/published", taken.take)
        async with station(amqp(amqp1_broker, publish="/exchange/amq.fanout")) as (transport, _):
            for number in range(50):
                transport.send(UnitsTested(RecipeName=str(number)))
            await taken.wait_for(52)

        def names() -> list[str]:
            return [decode(message.body).short_name for message in taken.messages]

        with trio.fail_after(20):
            await until(lambda: names()[-1] == "EndpointShuttingDown")
    assert names()[0] == "EndpointConnected"
    assert "Heartbeat" in names()
    bodies = [decode(message.body).MessageBody for message in taken.messages]
    assert [b.RecipeName for b in bodies if isinstance(b, UnitsTested)] == [
        str(number) for number in range(50)
    ]


@pytest.mark.parametrize("protocol", ["auto", "amqp091"])
async def test_it_speaks_rabbitmq_s_own_protocol_where_that_is_all(
    server: RabbitServer, protocol: Any
) -> None:
    queue = f"station-{protocol}"
    config = amqp(server, protocol=protocol, queue=queue, topics=("CFX.Production.#",))
    async with station(config) as (transport, events):
        bridge = AsyncioBridge()
        rabbit = RabbitConfig(host="127.0.0.1", port=server.port)
        publisher = RabbitPublisher(bridge, rabbit)
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            await nursery.start(publisher.run)
            for key in (
                "CFX.Production.TestAndInspection.UnitsTested",
                "//Acme/ICT1.CFX.Production.X.UnitsTested",
            ):
                await publisher.publish(encode(sample("units_tested_ict")), key, exchange="amq.topic")
            await until(lambda: len(events) == 2)
            nursery.cancel_scope.cancel()
    assert transport.get_stats()["messages"] == 2


@pytest.mark.parametrize("exchange", [None, ExchangeConfig(exchange_name="floor")])
async def test_a_rabbitmq_with_both_protocols_gets_a_queue_declared_where_nothing_is_subscribed_to(
    amqp1_broker: RabbitServer, exchange: ExchangeConfig | None
) -> None:
    async with station(amqp(amqp1_broker), exchange) as (_, events):
        async with connect(ClientConfig(url=amqp1_broker.url, container="//m")) as machine:
            name = "amq.topic" if exchange is None else exchange.exchange_name
            sender = await machine.open_sender(f"/exchange/{name}")
            assert await sender.send(mail_of(sample("units_tested_ict"))) is Outcome.ACCEPTED
        await until(lambda: events)
    assert events[0].payload.unit_id == "SN100042"


async def test_a_broker_that_is_away_at_start_is_no_failure_of_the_bus() -> None:
    config = AMQPConfig(host="127.0.0.1", port=1, subscribe=("a",))
    transport = CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle=HERE), amqp=config))
    errors: list[Exception] = []
    transport.on_error(errors.append)
    with trio.fail_after(20):
        async with AsyncEventBus() as bus:
            bus.register_transport(transport)
            await until(lambda: errors)
            assert bus.is_running
    assert "127.0.0.1" in str(errors[0])


def test_a_topic_is_bound_with_anything_before_it() -> None:
    assert routing_keys(("CFX.Production.#", "#")) == ("CFX.Production.#", "#.CFX.Production.#", "#")
