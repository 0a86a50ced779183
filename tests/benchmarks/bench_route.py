"""publish, routing actor, handler actor, settled receipt; with retry policy and breaker armed.

The event itself is made in the loop. Guards the HOT lines of `pywats_actors._cell`,
`pywats_actors.mailbox`, `pywats_events.bus` and `pywats_events.models.event`.
"""

from __future__ import annotations

import time
from functools import partial

from benchmarks.yardstick import interleaved, trio_chan
from pywats_events import AsyncEventBus, BaseHandler, Event, EventType
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy

PROMISES = {"route1": 2.8, "fan8": 8.0}

TO_ONE = 50_000
TO_EIGHT = 20_000


class Counting(BaseHandler):
    """Does nothing, and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @property
    def event_types(self) -> list[EventType]:
        """Test results."""
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        """Count."""
        self.count += 1


async def route(handlers: int, count: int) -> float:
    """Deliveries per second to some handlers."""
    bus = AsyncEventBus(
        retry_policy=RetryPolicy(), error_policy=ErrorPolicy(circuit_breaker=CircuitBreaker())
    )
    counting = [Counting() for _ in range(handlers)]
    for handler in counting:
        bus.subscribe(handler)
    payload = {"unit_id": "SN-1", "result": "pass"}
    async with bus:
        started = time.perf_counter()
        for _ in range(count):
            await bus.publish(Event(event_type=EventType.TEST_RESULT, payload=payload, source="bench"))
        await bus.wait_idle()
        elapsed = time.perf_counter() - started
    assert all(handler.count == count for handler in counting)
    return handlers * count / elapsed


def measure(rounds: int) -> dict[str, float]:
    """Ratios to trio-chan."""
    speeds = interleaved(
        rounds, chan=trio_chan, route1=partial(route, 1, TO_ONE), fan8=partial(route, 8, TO_EIGHT)
    )
    return {name: speeds[name] / speeds["chan"] for name in PROMISES}
