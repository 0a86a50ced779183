"""What must every transport do?"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.models.event import Event
from pywats_events.testing.crashes import crash
from pywats_events.testing.running_bus import running_async_bus
from pywats_events.transports.base_transport import BaseTransport, TransportState

__all__ = ["AcknowledgingTransportConformance", "TransportConformance"]

POLL = 0.005
"""Seconds between two looks at a transport: it tells nobody when it has changed."""


class TransportConformance(abc.ABC):
    """Tests of a transport; derive from it, make yours and let its source speak.

    Attributes:
        timeout: seconds that one test may take.
    """

    timeout: float = 15.0

    @abc.abstractmethod
    def make_transport(self) -> BaseTransport:
        """Make a transport whose source is there."""

    @abc.abstractmethod
    async def send(self, transport: Any, number: int) -> None:
        """Have the source send one input, which becomes one event; return when it is sent.

        Args:
            transport: as it was made, connected.
            number: for telling the event from others.
        """

    @abc.abstractmethod
    def number_of(self, event: Event) -> int:
        """The number that an event was sent with."""

    @abc.abstractmethod
    async def lose(self, transport: Any) -> None:
        """Have the source break the connection as it may at any time."""

    def test_it_connects_when_the_bus_starts_and_disconnects_when_it_stops(self) -> None:
        """Its state and its callbacks tell."""
        told: list[str] = []

        async def run() -> None:
            transport = self.make_transport()
            transport.on_connect(lambda: told.append("connected"))
            transport.on_disconnect(lambda: told.append("disconnected"))
            assert transport.state is TransportState.DISCONNECTED
            async with self._bus(transport):
                pass
            assert transport.state is TransportState.DISCONNECTED
            assert told == ["connected", "disconnected"]

        self._run(run)

    def test_each_input_becomes_one_event_in_the_order_of_sending(self) -> None:
        """Nothing is lost, doubled or overtaken."""

        async def run() -> None:
            transport, events = self.make_transport(), _Collected()
            async with self._bus(transport, events) as bus:
                for number in range(20):
                    await self.send(transport, number)
                await events.wait_for(20)
                await bus.wait_idle()
            assert [self.number_of(event) for event in events.all] == list(range(20))

        self._run(run)

    def test_after_a_lost_connection_it_is_started_again_and_goes_on(self) -> None:
        """It fails plainly; its supervisor starts it again."""

        async def run() -> None:
            transport, events, errors = self.make_transport(), _Collected(), list[Exception]()
            transport.on_error(errors.append)
            async with self._bus(transport, events):
                await self.send(transport, 1)
                await events.wait_for(1)
                await self.lose(transport)
                await _until(lambda: bool(errors))
                await _until(lambda: transport.is_connected)
                await self.send(transport, 2)
                await events.wait_for(2)
            assert [self.number_of(event) for event in events.all] == [1, 2]

        self._run(run)

    def test_after_a_crash_it_is_started_again_and_goes_on(self) -> None:
        """Whatever it was waiting for."""

        async def run() -> None:
            transport, events = self.make_transport(), _Collected()
            async with self._bus(transport, events) as bus:
                crash(bus, transport)
                await _until(lambda: not transport.is_connected)
                await _until(lambda: transport.is_connected)
                await self.send(transport, 3)
                await events.wait_for(1)
            assert [self.number_of(event) for event in events.all] == [3]

        self._run(run)

    def test_its_statistics_are_plain_values(self) -> None:
        """They are shown in snapshots of the tree."""
        transport = self.make_transport()
        stats = transport.get_stats()
        assert stats["name"] == transport.name
        assert stats["state"] == "disconnected"
        assert all(isinstance(key, str) for key in stats)

    def _run(self, test: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            with trio.fail_after(self.timeout):
                await test()

        trio.run(main)

    @asynccontextmanager
    async def _bus(
        self, transport: BaseTransport, handler: _Collected | None = None
    ) -> AsyncIterator[AsyncEventBus]:
        """A bus with the transport, from when that is connected."""
        async with running_async_bus() as bus:
            bus.subscribe(handler or _Collected(), event_types=[])
            bus.register_transport(transport)
            await _until(lambda: transport.is_connected)
            yield bus


class AcknowledgingTransportConformance(TransportConformance):
    """Tests of a transport that acknowledges to its source, which sends again what was not."""

    @abc.abstractmethod
    def acknowledged(self, transport: Any) -> list[int]:
        """The numbers of the inputs that the source was told it may forget, in that order."""

    def test_it_acknowledges_what_is_settled_and_not_before(self) -> None:
        """What is in hand could still be lost with this process."""

        async def run() -> None:
            transport, events = self.make_transport(), _Collected(held=True)
            async with self._bus(transport, events) as bus:
                await self.send(transport, 1)
                await events.wait_for(1)
                assert self.acknowledged(transport) == []
                events.release()
                await bus.wait_idle()
                await _until(lambda: self.acknowledged(transport) == [1])

        self._run(run)

    def test_it_never_acknowledges_what_is_handed_back(self) -> None:
        """Its source still has it, and sends it again."""

        async def run() -> None:
            transport, events = self.make_transport(), _Collected(held=True)
            async with AsyncEventBus() as bus:
                bus.subscribe(events, event_types=[])
                bus.register_transport(transport)
                await _until(lambda: transport.is_connected)
                await self.send(transport, 1)
                await events.wait_for(1)
                await bus.stop(timeout=0)
            assert self.acknowledged(transport) == []

        self._run(run)


class _Collected:
    """A handler that collects events, and holds each as long as the test wants."""

    def __init__(self, *, held: bool = False) -> None:
        self.all: list[Event] = []
        self._free = trio.Event()
        if not held:
            self._free.set()

    async def handle(self, event: Event) -> None:
        self.all.append(event)
        await self._free.wait()

    def release(self) -> None:
        self._free.set()

    async def wait_for(self, count: int) -> None:
        await _until(lambda: len(self.all) >= count)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the state of a foreign object tells nobody
        await trio.sleep(POLL)
