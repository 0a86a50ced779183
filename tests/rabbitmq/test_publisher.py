"""A publish returns when the broker has the message, and raises when it may not have it."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import (
    RabbitConfig,
    RabbitConnectionLost,
    RabbitNotConnected,
    RabbitNotFound,
    RabbitPublisher,
)
from pywats_supervision import ChildSpec, Supervisor


async def test_without_a_connection_publishing_is_refused_at_once(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    publisher = RabbitPublisher(bridge, config)
    assert not publisher.connected
    with pytest.raises(RabbitNotConnected, match="no connection"):
        await publisher.publish(b"", "anywhere")


async def test_asked_to_stop_it_waits_for_the_confirmations(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    publisher = RabbitPublisher(bridge, config, window=1000)
    supervisor = Supervisor([ChildSpec("publisher", publisher.run)])
    confirmed = 0

    async def publish() -> None:
        nonlocal confirmed
        await publisher.publish(bytes(1000), "nobody", mandatory=False)
        confirmed += 1

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            async with trio.open_nursery() as publishing:
                for _ in range(500):
                    publishing.start_soon(publish)
                while not confirmed:
                    await trio.lowlevel.checkpoint()
                await supervisor.stop()
    assert confirmed == 500


async def test_cancelled_together_with_its_publisher_a_publish_does_not_fail(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    with trio.fail_after(30):
        for _ in range(20):
            publisher = RabbitPublisher(bridge, config, window=1000)
            # The connection often goes before all who publish on it have heard that they are cancelled.
            async with trio.open_nursery() as nursery:
                await nursery.start(publisher.run)
                for _ in range(500):
                    nursery.start_soon(partial(publisher.publish, b"", "nobody", mandatory=False))
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()


async def test_an_exchange_that_is_not_there_ends_the_life_and_says_so(
    bridge: AsyncioBridge, config: RabbitConfig
) -> None:
    publisher = RabbitPublisher(bridge, config)
    ended: list[Exception] = []

    async def one_life(task_status: trio.TaskStatus[None]) -> None:
        try:
            await publisher.run(task_status=task_status)
        except RabbitNotFound as error:
            ended.append(error)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(one_life)
            with pytest.raises((RabbitNotFound, RabbitConnectionLost)):
                await publisher.publish(b"", "key", exchange="no.exchange")
    assert "no.exchange" in str(ended[0])


def test_a_window_below_one_is_refused(config: RabbitConfig) -> None:
    with pytest.raises(ValueError, match="window"):
        RabbitPublisher(AsyncioBridge(), config, window=0)
