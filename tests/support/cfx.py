"""CFX messages for tests, and the documented samples of the standard where they are at hand."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_cfx import CFXTransport
from pywats_cfx.amqp1 import AMQPMessage, ClientConfig, Connection, Outcome, Sender, connect
from pywats_events import AsyncEventBus, Event
from pywats_events.durability import Store
from pywats_events.policies import DeadLetterEntry

__all__ = [
    "HERE",
    "LISTENS",
    "Held",
    "Station",
    "envelope_of",
    "sample_bodies",
    "samples_folder",
    "station",
    "until",
]

HERE = "//Acme/WATS/Station1"
LISTENS = "amqp://127.0.0.1:0"
"""Where a station of a test listens: a free port."""

ROOT = Path(__file__).parents[2]
ADDRESS = {
    "Version": "2.1",
    "TimeStamp": "2026-11-23T07:59:08.6726521+01:00",
    "UniqueID": "2d2132d5-5c00-4ad7-8d98-11d5fb95bf46",
    "Source": "SMTPlus.Model_21232.SN23123",
    "Target": None,
    "RequestID": None,
}


def envelope_of(name: str, body: Any, **address: Any) -> bytes:
    """The bytes of a message as a sender writes it."""
    return json.dumps({"MessageName": name, **ADDRESS, **address, "MessageBody": body}).encode()


def samples_folder() -> Path:
    """Where the standard's documented examples are; users do not have them."""
    return Path(os.environ.get("PYWATS_SHARED", ROOT.parent / "shared")) / "cfx" / "samples"


def sample_bodies() -> list[Any]:
    """The samples as parameters (full name, JSON text); one that is skipped where there are none."""
    files = sorted(samples_folder().glob("*.json"))
    if not files:
        return [pytest.param("", "", marks=pytest.mark.skip(reason="the standard's samples are not here"))]
    return [
        pytest.param(file.stem.partition("--")[0], file.read_text(encoding="utf-8"), id=file.stem)
        for file in files
    ]


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it is so; that takes no longer than some seconds."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


class Held:
    """A handler that remembers what it gets, and may be held by a gate."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.gate: trio.Event | None = None

    async def keep(self, event: Event) -> None:
        """Handle an event."""
        if self.gate is not None:
            await self.gate.wait()
        self.events.append(event)


class Station(Held):
    """A bus with a transport, and a handler that remembers what it gets and may be held."""

    def __init__(self, bus: AsyncEventBus, transport: CFXTransport) -> None:
        super().__init__()
        self.bus = bus
        self.transport = transport

    @property
    def uri(self) -> str:
        """Where machines reach it."""
        return f"amqp://localhost:{self.transport.listen_port}"

    @property
    def letters(self) -> list[DeadLetterEntry]:
        """The dead letters."""
        return list(self.bus.error_policy.dead_letter_queue.get_entries())

    @asynccontextmanager
    async def machine(self, name: str = "//Acme/Line1/ICT1") -> AsyncIterator[Connection]:
        """A machine that is connected."""
        async with connect(ClientConfig(url=self.uri, container=name)) as connection:
            yield connection

    @asynccontextmanager
    async def sender(self, name: str = "//Acme/Line1/ICT1") -> AsyncIterator[Sender]:
        """A machine's link."""
        async with self.machine(name) as machine:
            yield await machine.open_sender("results", window=50)

    async def send(self, *messages: bytes) -> None:
        """Send messages of a machine; each is accepted."""
        async with self.sender() as sender:
            for message in messages:
                with trio.fail_after(20):
                    assert await sender.send(AMQPMessage(body=message, message_id="m")) is Outcome.ACCEPTED


@asynccontextmanager
async def station(transport: CFXTransport, store: Path | None = None) -> AsyncIterator[Station]:
    """A station that runs, with a store in a folder or without."""
    bus = AsyncEventBus(store=None if store is None else Store(store, commit_after=0.0))
    here = Station(bus, transport)
    bus.subscribe(here.keep, event_types=[], name="keep")
    bus.register_transport(transport)
    async with bus:
        if transport.config.endpoint.listen is not None:
            await until(lambda: transport.listen_port)
        yield here
