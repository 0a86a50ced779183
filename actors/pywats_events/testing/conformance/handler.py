"""What must every handler stand?"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.handlers._binding import takes_of
from pywats_events.models.event import Event
from pywats_events.policies.dead_letter_queue import DeadLetterQueue
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.policies.retry_policy import ImmediateRetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing.crashes import crash
from pywats_events.testing.running_bus import running_async_bus

__all__ = ["HandlerConformance"]


class HandlerConformance(abc.ABC):
    """Tests of a handler; derive from it, make yours and an event that it handles.

    Attributes:
        timeout: seconds that one test may take.
    """

    timeout: float = 10.0

    @abc.abstractmethod
    def make_handler(self) -> Any:
        """Make a handler that works: with stand-ins for what it calls."""

    @abc.abstractmethod
    def make_event(self) -> Event:
        """Make an event that the handler handles; another one each time."""

    def test_it_names_event_types_and_takes_the_event(self) -> None:
        """`event_types` are event types, and the event's is among them."""
        types = takes_of(self.make_handler())
        event_type = self.make_event().event_type
        assert not types or any(_covers(name, event_type) for name in types)

    def test_it_handles_the_event_and_leaves_its_payload_alone(self) -> None:
        """The payload is shared with other handlers, and with its own retry."""

        async def run(bus: AsyncEventBus) -> None:
            await self._handled(bus, self.make_event())

        self._on_bus(run)

    def test_it_handles_the_event_as_it_comes_from_a_wire(self) -> None:
        """Written as JSON and read again, its payload is a dict of plain values."""

        async def run(bus: AsyncEventBus) -> None:
            await self._handled(bus, Event.from_json(self.make_event().to_json()))

        self._on_bus(run)

    def test_it_stands_an_event_that_comes_twice(self) -> None:
        """At least once may be twice."""

        async def run(bus: AsyncEventBus) -> None:
            event = self.make_event()
            await self._handled(bus, event)
            await self._handled(bus, event)

        self._on_bus(run)

    def test_after_a_crash_it_handles_the_event_again(self) -> None:
        """It keeps nothing half done that a second attempt stumbles over."""

        async def run(bus: AsyncEventBus) -> None:
            receipt = await bus.publish(self.make_event())
            while not receipt.settled and not _in_hand(bus):  # noqa: ASYNC110, RUF100 - a mailbox tells nobody
                await trio.lowlevel.checkpoint()
            if not receipt.settled:
                crash(bus, _name(bus))
            await receipt.wait_settled()
            _assert_handled(bus, receipt.outcomes)

        self._on_bus(run)

    def test_it_is_started_and_stopped_again_and_again(self) -> None:
        """Its `on_start` and `on_stop` leave nothing behind that hinders the next life."""

        async def run(bus: AsyncEventBus) -> None:
            for _ in range(3):
                await self._handled(bus, self.make_event())
                await _restart(bus)
            await self._handled(bus, self.make_event())

        self._on_bus(run)

    def _on_bus(self, run: Callable[[AsyncEventBus], Awaitable[None]]) -> None:
        async def main() -> None:
            with trio.fail_after(self.timeout):
                async with self._bus() as bus:
                    await run(bus)

        trio.run(main)

    @asynccontextmanager
    async def _bus(self) -> AsyncIterator[AsyncEventBus]:
        policies = ErrorPolicy(DeadLetterQueue())
        async with running_async_bus(retry_policy=ImmediateRetryPolicy(1), error_policy=policies) as bus:
            bus.subscribe(self.make_handler())
            yield bus

    async def _handled(self, bus: AsyncEventBus, event: Event) -> None:
        receipt = await bus.publish(event)
        await receipt.wait_settled()
        _assert_handled(bus, receipt.outcomes)


def _covers(name: str, event_type: str) -> bool:
    return name == event_type or (name.endswith(".*") and event_type.startswith(name[:-1]))


def _name(bus: AsyncEventBus) -> str:
    return bus._core.subscriptions[0].name  # noqa: SLF001 - of the bus under test


async def _restart(bus: AsyncEventBus) -> None:
    tree = bus._core.tree  # noqa: SLF001 - of the bus under test
    assert tree is not None
    await tree.handlers.supervisor.restart_child(_name(bus))


def _in_hand(bus: AsyncEventBus) -> bool:
    return bus._core.subscriptions[0].mailbox.statistics().in_hand > 0  # noqa: SLF001 - of the bus under test


def _assert_handled(bus: AsyncEventBus, outcomes: Any) -> None:
    letter = bus.error_policy.dead_letter_queue.peek()
    assert outcomes == {_name(bus): Outcome.HANDLED}, (
        f"{dict(outcomes)}\n{letter.traceback_text if letter is not None else ''}"
    )
