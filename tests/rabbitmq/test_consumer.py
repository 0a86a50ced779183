"""A consumer hands over each message once, and the broker forgets only what was settled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import (
    Binding,
    RabbitConfig,
    RabbitConsumer,
    RabbitConsumerCancelled,
    RabbitDelivery,
    RabbitLoginRefused,
    RabbitNotFound,
    RabbitPreconditionFailed,
    RabbitPublisher,
    RabbitUnreachable,
    RabbitVhostRefused,
)
from pywats_supervision import ChildSpec, Supervisor


async def publish(bridge: AsyncioBridge, config: RabbitConfig, bodies: list[bytes]) -> None:
    publisher = RabbitPublisher(bridge, config)
    async with trio.open_nursery() as nursery:
        await nursery.start(publisher.run)
        async with trio.open_nursery() as senders:
            for body in bodies:
                senders.start_soon(publisher.publish, body, config.queue)
        nursery.cancel_scope.cancel()


async def left(bridge: AsyncioBridge, config: RabbitConfig) -> list[bytes]:
    """What the queue still holds, taken out of it."""
    found: list[bytes] = []

    def take(delivery: RabbitDelivery) -> None:
        found.append(delivery.body)
        delivery.token.ack()

    consumer = RabbitConsumer(bridge, config, take)
    supervisor = Supervisor([ChildSpec("consumer", consumer.run)])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        quiet = 0
        while quiet < 5:
            before = len(found)
            await trio.sleep(0.05)
            quiet = quiet + 1 if len(found) == before else 0
        await supervisor.stop()
    return found


async def test_messages_cross_with_all_their_properties(bridge: AsyncioBridge, config: RabbitConfig) -> None:
    config = replace(config, bindings=(Binding("test.exchange", ("line.#",), declare="topic"),))
    send, receive = trio.open_memory_channel[RabbitDelivery](10)
    consumer, publisher = RabbitConsumer(bridge, config, send.send), RabbitPublisher(bridge, config)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(consumer.run)
            await nursery.start(publisher.run)
            await publisher.publish(
                b"body",
                "line.1.result",
                exchange="test.exchange",
                headers={"station": "S1", "count": 3},
                content_type="application/json",
                message_id="id-1",
                correlation_id="c-1",
                type="kind",
            )
            delivery = await receive.receive()
            assert (delivery.body, delivery.exchange, delivery.routing_key) == (
                b"body",
                "test.exchange",
                "line.1.result",
            )
            assert delivery.headers == {"station": "S1", "count": 3}
            assert delivery.properties.content_type == "application/json"
            assert delivery.properties.message_id == "id-1"
            assert delivery.properties.correlation_id == "c-1"
            assert delivery.properties.type == "kind"
            assert delivery.properties.persistent
            assert not delivery.redelivered
            delivery.token.ack()
            delivery.token.requeue()  # too late: the first verdict counts
            nursery.cancel_scope.cancel()
    assert await left(bridge, replace(config, bindings=())) == []


async def test_only_what_was_settled_is_forgotten(bridge: AsyncioBridge, config: RabbitConfig) -> None:
    bodies = [b"%d" % number for number in range(2000)]
    settled: set[bytes] = set()
    enough = trio.Event()

    def most(delivery: RabbitDelivery) -> None:
        if enough.is_set() or int(delivery.body) % 10 == 0:
            return
        settled.add(delivery.body)
        delivery.token.ack()
        if len(settled) == 1000:
            enough.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(RabbitConsumer(bridge, replace(config, prefetch=400), most).run)
            nursery.start_soon(publish, bridge, config, bodies)
            await enough.wait()
            nursery.cancel_scope.cancel()
        rest = await left(bridge, config)
    assert not settled & set(rest)
    assert len(rest) == len(set(rest))


async def test_requeue_and_reject_do_what_they_say(bridge: AsyncioBridge, config: RabbitConfig) -> None:
    dead = replace(config, queue=config.queue + ".dead")
    config = replace(
        config,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.queue},
    )
    assert await left(bridge, dead) == []
    done = trio.Event()
    again: list[bool] = []

    def judge(delivery: RabbitDelivery) -> None:
        if delivery.body == b"bad":
            delivery.token.reject()
        elif not delivery.redelivered:
            delivery.token.requeue()
        else:
            again.append(delivery.redelivered)
            delivery.token.ack()
            done.set()

    with trio.fail_after(20):
        consumer = RabbitConsumer(bridge, config, judge)
        supervisor = Supervisor([ChildSpec("consumer", consumer.run)])
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await publish(bridge, config, [b"bad", b"later"])
            await done.wait()
            await supervisor.stop()
        assert again == [True]
        assert await left(bridge, config) == []
        assert await left(bridge, dead) == [b"bad"]


async def test_asked_to_stop_it_waits_for_what_is_in_hand_and_leaves_the_rest(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    held: list[RabbitDelivery] = []
    holding, asked = trio.Event(), trio.Event()

    async def hold(delivery: RabbitDelivery) -> None:
        held.append(delivery)
        if len(held) == 10:
            holding.set()
            await asked.wait()

    with trio.fail_after(30):
        supervisor = Supervisor([ChildSpec("consumer", RabbitConsumer(bridge, config, hold).run)])
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await publish(bridge, config, [b"%d" % number for number in range(100)])
            await holding.wait()
            supervisor.request_stop()
            asked.set()
            await trio.sleep(0.3)
            in_hand = [delivery.body for delivery in held]
            for delivery in reversed(held):
                delivery.token.ack()
        rest = await left(bridge, config)
    assert len(in_hand) == 10
    assert sorted(in_hand + rest) == sorted(b"%d" % number for number in range(100))


async def test_bytes_bound_what_is_under_way(bridge: AsyncioBridge, config: RabbitConfig) -> None:
    config = replace(config, prefetch=50, prefetch_bytes=1_000_000)
    held: list[RabbitDelivery] = []
    everything = trio.Event()
    count = 0

    def hold(delivery: RabbitDelivery) -> None:
        nonlocal count
        count += 1
        held.append(delivery)
        if count == 200:
            everything.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(RabbitConsumer(bridge, config, hold).run)
            await publish(bridge, config, [bytes(100_000)] * 200)
            await trio.sleep(0.3)
            assert 10 <= len(held) <= 50
            while not everything.is_set():
                while held:
                    held.pop(0).token.ack()
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_a_message_above_the_bound_is_rejected_or_handed_to_whoever_takes_such(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    config = replace(config, max_message=1000)
    large: list[bytes] = []
    small = trio.Event()

    def oversize(delivery: RabbitDelivery) -> None:
        large.append(delivery.body)
        delivery.token.ack()

    def normal(delivery: RabbitDelivery) -> None:
        delivery.token.ack()
        small.set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(RabbitConsumer(bridge, config, normal, on_oversize=oversize).run)
            await publish(bridge, config, [bytes(1001)])
            await publish(bridge, config, [bytes(1000)])
            await small.wait()
            nursery.cancel_scope.cancel()
    assert large == [bytes(1001)]


async def test_what_the_callback_raises_ends_the_life_and_loses_nothing(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    def broken(delivery: RabbitDelivery) -> None:
        raise LookupError(delivery.body)

    with trio.fail_after(20):
        assert await left(bridge, config) == []
        await publish(bridge, config, [b"a", b"b"])
        with pytest.raises(LookupError):
            await RabbitConsumer(bridge, config, broken).run()
        assert sorted(await left(bridge, config)) == [b"a", b"b"]


async def test_the_auto_queue_is_quorum_and_one_that_is_there_is_taken_as_it_is(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    with trio.fail_after(30):
        assert await left(bridge, replace(config, quorum=None)) == []
        with pytest.raises(RabbitPreconditionFailed, match="x-queue-type"):
            await RabbitConsumer(bridge, replace(config, quorum=False), print).run()
        assert await left(bridge, replace(config, quorum=None)) == []


async def test_each_refusal_says_what_to_check_and_tells_no_secret(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    secret = "s3cret-word"
    for changed, kind, text in (
        (replace(config, password=secret), RabbitLoginRefused, "check user and password"),
        (replace(config, vhost="nowhere"), RabbitVhostRefused, "list_vhosts"),
        (replace(config, port=1, password=secret), RabbitUnreachable, "check host and port"),
        (replace(config, queue="none", declare=False), RabbitNotFound, "none"),
        (replace(config, bindings=(Binding("no.exchange"),)), RabbitNotFound, "no.exchange"),
    ):
        with trio.fail_after(20), pytest.raises(kind, match=text) as caught:
            await RabbitConsumer(bridge, changed, print).run()
        assert secret not in str(caught.value) + repr(caught.value) + repr(changed)


async def test_a_deleted_queue_ends_the_consumer(bridge: AsyncioBridge, config: RabbitConfig) -> None:
    import aio_pika

    async def delete() -> None:
        connection = await aio_pika.connect(host=config.host, port=config.port)
        async with connection:
            channel = await connection.channel()
            await channel.queue_delete(config.queue)

    caught: list[BaseException] = []

    async def run(task_status: trio.TaskStatus[None]) -> None:
        try:
            await RabbitConsumer(bridge, config, print).run(task_status=task_status)
        except RabbitConsumerCancelled as error:
            caught.append(error)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            await bridge.call(delete)
    assert len(caught) == 1
