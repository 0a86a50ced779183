"""One RabbitMQ for all tests here, and a bridge for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig
from support.rabbitmq import RabbitServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A broker that nobody kills."""
    pytest.importorskip("aio_pika")
    broker = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def config(server: RabbitServer, request: pytest.FixtureRequest) -> RabbitConfig:
    """Its place, with a queue of the test's own."""
    return RabbitConfig(host="127.0.0.1", port=server.port, queue=Path(request.node.name).name, quorum=False)


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    """A bridge that is up."""
    bridge = AsyncioBridge()
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        yield bridge
        nursery.cancel_scope.cancel()
