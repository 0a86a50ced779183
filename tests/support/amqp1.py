"""A listener that runs, and a receiver that remembers what it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from pywats_cfx.amqp1 import (
    AMQPMessage,
    ClientConfig,
    Delivery,
    LinkRequest,
    Listener,
    ListenerConfig,
    OnDelivery,
    OnSubscriber,
)

__all__ = ["Place", "Taken", "listening"]


class Taken:
    """Remembers deliveries; accepts them at once, unless told to hold them."""

    def __init__(self, *, accept: bool = True) -> None:
        self.accept = accept
        self.deliveries: list[Delivery] = []
        self._more = trio.Event()

    @property
    def messages(self) -> list[AMQPMessage]:
        return [delivery.message for delivery in self.deliveries]

    async def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.accept:
            delivery.accept()
        self._more.set()

    def at(self, *addresses: str) -> Callable[[LinkRequest], OnDelivery | None]:
        return lambda request: self.take if request.address in addresses else None

    async def wait_for(self, count: int) -> None:
        while len(self.deliveries) < count:
            self._more = trio.Event()
            await self._more.wait()


@dataclass(frozen=True)
class Place:
    """A listener that runs on a free port."""

    listener: Listener
    port: int
    scheme: str

    def client(self, **settings: Any) -> ClientConfig:
        """What connects to it."""
        login = settings.pop("login", "")
        return ClientConfig(
            url=f"{self.scheme}://{login}localhost:{self.port}", container="//Test/Peer", **settings
        )


@asynccontextmanager
async def listening(
    *,
    takes: Callable[[LinkRequest], OnDelivery | None] = lambda request: None,
    gives: Callable[[LinkRequest], OnSubscriber | None] = lambda request: None,
    **settings: Any,
) -> AsyncIterator[Place]:
    """Run a listener for the length of the block."""
    config = ListenerConfig(container="//Test/Listener", port=0, host="127.0.0.1", **settings)
    listener = Listener(config, takes=takes, gives=gives)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listener.run)
        yield Place(listener, port, "amqps" if config.tls else "amqp")
        nursery.cancel_scope.cancel()
