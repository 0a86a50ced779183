"""A queue of its own, and a bridge, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from pywats_asyncio import AsyncioBridge
from pywats_rabbitmq import RabbitConfig
from support.rabbitmq import RabbitServer


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
