"""The library loses a cancellation now and then; consumer and publisher end all the same."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig, RabbitConsumer, RabbitPublisher, _receiving, _sending


@pytest.mark.parametrize("kind", ["consumer", "publisher"])
async def test_a_cancellation_that_the_library_loses_ends_a_life_all_the_same(
    kind: str, bridge: AsyncioBridge, config: RabbitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = _receiving if kind == "consumer" else _sending
    open_channel, there = where.open_channel, threading.Event()

    async def lose_it(connection: Any) -> Any:
        there.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await open_channel(connection)

    monkeypatch.setattr(where, "open_channel", lose_it)
    consumer = RabbitConsumer(bridge, replace(config, queue="lost"), print)
    run = consumer.run if kind == "consumer" else RabbitPublisher(bridge, config).run
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while not there.is_set():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert bridge.running
