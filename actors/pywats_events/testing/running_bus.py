"""A running bus around a test, checked at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio
import trio.testing

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus
from pywats_events.handlers.handler_chain import ChainMiddleware, HandlerChain, Next
from pywats_events.models.event import Event
from pywats_events.testing.accounting import Witness, assert_nothing_lost
from pywats_events.testing.virtual_time import virtual_runtime

__all__ = ["running_async_bus", "running_bus"]


@contextmanager
def running_bus(*, grace: float = 5.0, **options: Any) -> Iterator[EventBus]:
    """Run an EventBus around a block of plain code.

    At the block's end the bus is stopped; if the block did not fail, nothing may be lost then, and
    no handler may have changed the payload of its event.

    Args:
        grace: seconds for the stop.
        **options: those of `EventBus`.

    Raises:
        AssertionError: at the end, saying what is lost or was changed.
    """
    witness = Witness()
    bus = EventBus(**_watched(options, witness))
    witness.watch(bus)
    bus.start()
    try:
        yield bus
    except BaseException:
        bus.stop(timeout=0)
        raise
    bus.stop(timeout=grace)
    assert_nothing_lost(bus)
    witness.check()


@asynccontextmanager
async def running_async_bus(*, grace: float = 5.0, **options: Any) -> AsyncIterator[AsyncEventBus]:
    """Run an AsyncEventBus around a block on trio; under a `MockClock` with `virtual_runtime`.

    At the block's end the bus is stopped; if the block did not fail, nothing may be lost then, and
    no handler may have changed the payload of its event.

    Args:
        grace: seconds for the stop.
        **options: those of `AsyncEventBus`.

    Raises:
        AssertionError: at the end, saying what is lost or was changed.

    Cancelled: the bus is cancelled at once, and nothing is checked.
    """
    witness = Witness()
    if isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
        options.setdefault("runtime", virtual_runtime())
    bus = AsyncEventBus(**_watched(options, witness))
    witness.watch(bus)
    async with bus:
        yield bus
        await bus.stop(timeout=grace)
    assert_nothing_lost(bus)
    witness.check()


def _watched(options: dict[str, Any], witness: Witness) -> dict[str, Any]:
    """The options of a bus, with the witness around the middleware that is there."""
    chain = HandlerChain().add(witness)
    inner = options.get("middleware")
    if inner is not None:
        chain.add(_Inner(inner))
    return {**options, "middleware": chain}


class _Inner(ChainMiddleware):
    """A whole chain as one middleware."""

    def __init__(self, chain: HandlerChain) -> None:
        self._chain = chain

    async def process(self, event: Event, next_handler: Next) -> Any:
        """Run the event through the chain."""
        return await self._chain.wrap(next_handler)(event)
