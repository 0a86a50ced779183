"""What the tests of a station need: running buses, crashes, virtual time, nothing lost.

With pytest the fixtures `event_bus` and `async_event_bus` are there by themselves; everything here
works without pytest too.

Example:
    ```python
    @pytest.mark.event_bus(retry_policy=RetryPolicy(max_retries=3))
    async def test_a_crash_loses_nothing(async_event_bus: AsyncEventBus, autojump_clock: MockClock) -> None:
        reporter = Reporter()
        async_event_bus.subscribe(reporter)
        receipt = await async_event_bus.publish(event)
        crash(async_event_bus, reporter)
        await receipt.wait_settled()
        assert receipt.outcomes == {"Reporter": Outcome.HANDLED}
    ```
"""

from pywats_events.testing.accounting import PayloadGuard, PayloadMutated, assert_nothing_lost, record
from pywats_events.testing.crashes import POLICY_ACTOR, ROUTER, Crashed, crash
from pywats_events.testing.running_bus import running_async_bus, running_bus
from pywats_events.testing.virtual_time import virtual_runtime

__all__ = [
    "POLICY_ACTOR",
    "ROUTER",
    "Crashed",
    "PayloadGuard",
    "PayloadMutated",
    "assert_nothing_lost",
    "crash",
    "record",
    "running_async_bus",
    "running_bus",
    "virtual_runtime",
]
