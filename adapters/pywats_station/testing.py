"""A station in a test: its own configuration, with mock transports and virtual time, and nothing lost."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import trio

from pywats_events import AsyncEventBus, Event
from pywats_events.policies import DeadLetterQueue
from pywats_events.settlement import Receipt
from pywats_events.testing import running_async_bus
from pywats_events.transports import MockTransport
from pywats_station._assembling import assemble, bus_options
from pywats_station.config import StationConfig
from pywats_supervision import SupervisorSnapshot

__all__ = ["TestStation", "running"]


@final
class TestStation:
    """A station that runs in a test.

    Attributes:
        config: what it runs with.
        bus: its bus.
        transports: a mock for each of its transports, by that one's name; or one called "mock".
    """

    __test__ = False  # it is no test

    def __init__(
        self, config: StationConfig, bus: AsyncEventBus, transports: dict[str, MockTransport]
    ) -> None:
        self.config: StationConfig = config
        self.bus: AsyncEventBus = bus
        self.transports: dict[str, MockTransport] = transports

    async def inject(self, event: Event, transport: str | None = None) -> Receipt:
        """Publish an event as if a transport had received it, and wait until every handler is done with it.

        Args:
            event: the event.
            transport: the name of the transport; default the first.

        Raises:
            LookupError: if there is no such transport.

        Cancelled: the event may have been accepted.
        """
        name = next(iter(self.transports)) if transport is None else transport
        if name not in self.transports:
            raise LookupError(f"the station has no transport {name!r}; it has {', '.join(self.transports)}")
        return await self.transports[name].inject_event_async(event)

    @property
    def dead_letters(self) -> DeadLetterQueue:
        """Its dead letters."""
        return self.bus.error_policy.dead_letter_queue

    def snapshot(self) -> SupervisorSnapshot:
        """Its tree at this moment."""
        return self.bus.snapshot()


@asynccontextmanager
async def running(config: StationConfig, **options: Any) -> AsyncIterator[TestStation]:
    """Run a station around a block, on trio; under a `MockClock` in virtual time.

    Args:
        config: of the station.
        **options: fields that are other in this test.

    Raises:
        AssertionError: at the end, saying what is lost, or which handler changed a payload.

    Cancelled: the station is cancelled at once, and nothing is checked.
    """
    config = _with(config, **{"data": None, **options})
    mocks = {name: MockTransport(name) for name in _names(config)}
    config = _with(config, transports=list(mocks.values()))
    async with running_async_bus(name=config.name, grace=config.grace, **bus_options(config)) as bus:
        assemble(config, bus)
        await _connected(mocks)
        yield TestStation(config, bus, mocks)


def _with(config: StationConfig, **options: Any) -> StationConfig:
    """The configuration, with other values of some fields."""
    given = {one.name: getattr(config, one.name) for one in dataclasses.fields(config) if one.init}
    return StationConfig(**{**given, **options})


def _names(config: StationConfig) -> list[str]:
    """The names of its transports; of factories those of what they make."""
    return [spec.make().name for spec in config.transports] or ["mock"]


async def _connected(mocks: dict[str, MockTransport]) -> None:
    for mock in mocks.values():
        up = trio.Event()
        mock.on_connect(up.set)
        if not mock.is_connected:
            await up.wait()
