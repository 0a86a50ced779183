"""Under the virtual clock an hour takes no time, chance repeats, and threads are waited for."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus, virtual_runtime
from support.handlers import Recording, event_of


async def test_no_virtual_time_goes_by_while_a_sync_handler_works_in_its_thread(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    made: list[Event] = []

    def work(event: Event) -> None:
        time.sleep(0.05)  # a thread, so real time: it is what this test is about
        made.append(Event(event_type=EventType.WORK_COMPLETED))

    async_event_bus.subscribe(work, event_types=[EventType.TEST_RESULT], concurrency=2)
    receipts = [await async_event_bus.publish(event_of(number)) for number in range(2)]
    with trio.fail_after(1):
        for receipt in receipts:
            await receipt.wait_settled()
    assert trio.current_time() == 0
    await trio.sleep(3600)
    assert trio.current_time() == 3600
    assert [event.timestamp.year for event in made] == [2023, 2023]


def test_the_same_seed_gives_the_same_delays_ids_and_times() -> None:
    def one_run(seed: int) -> tuple[float, list[str], list[timedelta]]:
        ids: list[str] = []
        times: list[datetime] = []
        ended = 0.0

        async def fail(event: Event) -> None:
            made = event.derive()
            ids.append(made.id)
            times.append(made.timestamp)
            raise ConnectionError("gone")

        async def main() -> None:
            nonlocal ended
            policy = RetryPolicy(4, initial_delay=10)
            async with running_async_bus(retry_policy=policy, runtime=virtual_runtime(seed)) as bus:
                bus.subscribe(Recording(fail))
                receipt = await bus.publish(event_of())
                await receipt.wait_settled()
                assert receipt.outcomes == {"Recording": Outcome.DEAD_LETTERED}
                ended = trio.current_time()

        trio.run(main, clock=MockClock(autojump_threshold=0))
        return ended, ids, [moment - times[0] for moment in times]

    assert one_run(7) == one_run(7)
    assert one_run(7)[0] != one_run(8)[0]


async def test_without_a_virtual_clock_there_is_no_virtual_runtime() -> None:
    with pytest.raises(RuntimeError, match=r"needs trio\.testing\.MockClock"):
        virtual_runtime()
