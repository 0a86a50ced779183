"""A broker that is killed or hangs under load: nothing is lost, and nothing is acknowledged unsettled."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import (
    RabbitConfig,
    RabbitConsumer,
    RabbitDelivery,
    RabbitError,
    RabbitPublisher,
    RabbitUnroutable,
)
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from support.rabbitmq import RabbitServer


async def test_a_broker_killed_under_load_and_started_again_loses_nothing(
    mortal: RabbitServer, bridge: AsyncioBridge
) -> None:
    config = RabbitConfig(host="127.0.0.1", port=mortal.port, queue="load", quorum=False, prefetch=200)
    total = 3000
    settled: Counter[int] = Counter()
    confirmed: set[int] = set()
    half, all_settled = trio.Event(), trio.Event()

    def settle(delivery: RabbitDelivery) -> None:
        settled[int(delivery.body)] += 1
        delivery.token.ack()
        if len(settled) >= total // 2:
            half.set()
        if len(settled) == total:
            all_settled.set()

    consumer, publisher = RabbitConsumer(bridge, config, settle), RabbitPublisher(bridge, config)
    again = Backoff(initial=0.05, maximum=0.5)
    tree = Supervisor(
        [
            ChildSpec("consumer", consumer.run, policy=again),
            ChildSpec("publisher", publisher.run, policy=again),
        ]
    )

    async def publish(numbers: range) -> None:
        for number in numbers:
            while True:
                try:
                    await publisher.publish(b"%d" % number, "load")
                except RabbitError:
                    await trio.sleep(0.05)
                else:
                    confirmed.add(number)
                    break

    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            await nursery.start(tree.run)
            for first in range(20):
                nursery.start_soon(publish, range(first, total, 20))
            await half.wait()
            await trio.to_thread.run_sync(mortal.kill)
            await trio.to_thread.run_sync(mortal.start)
            await all_settled.wait()
            await tree.stop()
    assert len(settled) == total
    assert set(settled) >= confirmed
    assert sum(settled.values()) - total <= 200 + 20  # what was open at the kill came again, and no more


async def test_what_is_not_settled_when_the_connection_dies_comes_again(
    mortal: RabbitServer, bridge: AsyncioBridge
) -> None:
    config = RabbitConfig(host="127.0.0.1", port=mortal.port, queue="open", quorum=False, prefetch=100)
    held: list[RabbitDelivery] = []
    enough, again = trio.Event(), trio.Event()

    def hold(delivery: RabbitDelivery) -> None:
        held.append(delivery)
        if len(held) == 50:
            enough.set()
        if len(held) == 100:
            again.set()

    consumer, publisher = RabbitConsumer(bridge, config, hold), RabbitPublisher(bridge, config)
    failures: list[RabbitError] = []

    async def one_life(task_status: trio.TaskStatus[None]) -> None:
        try:
            await consumer.run(task_status=task_status)
        except RabbitError as error:
            failures.append(error)

    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            await nursery.start(one_life)
            async with trio.open_nursery() as publishing:
                await publishing.start(publisher.run)
                for number in range(50):
                    await publisher.publish(b"%d" % number, "open")
                publishing.cancel_scope.cancel()
            await enough.wait()
            await trio.to_thread.run_sync(mortal.kill)
        assert [getattr(error, "outage", False) for error in failures] == [True]
        await trio.to_thread.run_sync(mortal.start)
        for delivery in held:  # too late, for a channel that is gone
            delivery.token.ack()
        async with trio.open_nursery() as nursery:
            await nursery.start(one_life)
            await again.wait()
            for delivery in held[:50]:
                delivery.token.ack()
            nursery.cancel_scope.cancel()
    assert sorted(int(delivery.body) for delivery in held[50:]) == list(range(50))


async def test_a_broker_that_hangs_is_noticed_by_its_heartbeat(
    mortal: RabbitServer, bridge: AsyncioBridge
) -> None:
    config = RabbitConfig(host="127.0.0.1", port=mortal.port, queue="hung", quorum=False, heartbeat=1)
    consumer = RabbitConsumer(bridge, config, print)
    failures: list[RabbitError] = []

    async def one_life(task_status: trio.TaskStatus[None]) -> None:
        try:
            await consumer.run(task_status=task_status)
        except RabbitError as error:
            failures.append(error)

    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            await nursery.start(one_life)
            mortal.hang()
            try:
                with trio.move_on_after(15):
                    while not failures:
                        await trio.sleep(0.05)
            finally:
                mortal.go_on()
            nursery.cancel_scope.cancel()
    assert [getattr(error, "outage", False) for error in failures] == [True]


async def test_what_no_queue_takes_is_an_error_of_the_publisher(
    mortal: RabbitServer, bridge: AsyncioBridge
) -> None:
    config = RabbitConfig(host="127.0.0.1", port=mortal.port)
    publisher = RabbitPublisher(bridge, config)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(publisher.run)
            with pytest.raises(RabbitUnroutable, match="check the bindings"):
                await publisher.publish(b"", "no-such-queue")
            await publisher.publish(b"", "no-such-queue", mandatory=False)
            nursery.cancel_scope.cancel()
