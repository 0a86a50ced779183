"""A handler that fails, a circuit that opens and both being well again become system events."""

from __future__ import annotations

import logging
import threading

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_supervision.testing import settled
from support.handlers import Recording, event_of

HEALTH = [
    EventType.HANDLER_ERROR,
    EventType.CIRCUIT_OPENED,
    EventType.CIRCUIT_CLOSED,
    EventType.HANDLER_RECOVERED,
]


class Health:
    """What was told, as pairs of type and handler."""

    def __init__(self, bus: AsyncEventBus | EventBus) -> None:
        self.told: list[tuple[EventType, str]] = []
        bus.subscribe(self._hear, event_types=HEALTH, name="health")

    async def _hear(self, event: Event) -> None:
        self.told.append((event.event_type, event.payload["handler"]))

    def count(self, event_type: EventType) -> int:
        return sum(told is event_type for told, _ in self.told)


class Outage:
    """A handler's work that fails until a time."""

    def __init__(self, until: float) -> None:
        self.until = until

    async def __call__(self, event: Event) -> None:
        if trio.current_time() < self.until:
            raise ConnectionError("away")


async def test_an_outage_is_told_and_logged_once_as_an_open_circuit_and_once_as_closed(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    health = Health(async_event_bus)
    handler = Recording(Outage(trio.current_time() + 1000), name="report")
    breaker = CircuitBreaker(failure_threshold=3, reset_timeout=10, success_threshold=2)
    async_event_bus.subscribe(handler, retry_policy=RetryPolicy(max_retries=5), breaker=breaker)
    receipts = [await async_event_bus.publish(event_of(number)) for number in range(5)]
    for receipt in receipts:
        await receipt.wait_settled()
    await settled()
    assert health.count(EventType.HANDLER_ERROR) > 50  # each probe
    rest = [told for told in health.told if told[0] is not EventType.HANDLER_ERROR]
    assert rest == [
        (EventType.CIRCUIT_OPENED, "report"),
        (EventType.HANDLER_RECOVERED, "report"),
        (EventType.CIRCUIT_CLOSED, "report"),
    ]
    logged = [record for record in caplog.records if record.getMessage().startswith("the circuit of")]
    assert [(record.levelname, record.getMessage(), record.__dict__["actor"]) for record in logged] == [
        ("WARNING", "the circuit of 'report' is open: its events wait", "report"),
        ("INFO", "the circuit of 'report' is closed: its events go on", "report"),
    ]


async def test_a_handler_that_never_failed_does_not_recover(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    health = Health(async_event_bus)
    async_event_bus.subscribe(Recording())
    await (await async_event_bus.publish(event_of())).wait_settled()
    await settled()
    assert health.told == []


async def test_failing_while_handling_a_system_event_tells_nothing(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    health = Health(async_event_bus)

    async def fail(event: Event) -> None:
        raise ConnectionError("gone")

    breaker = CircuitBreaker(failure_threshold=1, reset_timeout=10)
    async_event_bus.subscribe(fail, event_types=HEALTH, breaker=breaker, name="pager")
    async_event_bus.subscribe(Recording(Outage(trio.current_time() + 1), name="report"))
    await (await async_event_bus.publish(event_of())).wait_settled()
    await trio.sleep(100)
    assert {handler for _, handler in health.told} == {"report"}


async def test_a_breaker_reset_on_another_thread_is_told_on_the_bus_s(
    async_event_bus: AsyncEventBus, autojump_clock: MockClock
) -> None:
    health = Health(async_event_bus)
    breaker = CircuitBreaker(failure_threshold=1, reset_timeout=10_000)
    handler = Recording(Outage(trio.current_time() + 1), name="report")
    async_event_bus.subscribe(handler, retry_policy=RetryPolicy(max_retries=1), breaker=breaker)
    receipt = await async_event_bus.publish(event_of())
    await trio.sleep(100)
    assert health.count(EventType.CIRCUIT_OPENED) == 1
    elsewhere = threading.Thread(target=breaker.reset)
    elsewhere.start()
    elsewhere.join()  # here and not in a trio thread, so that virtual time stands still
    await receipt.wait_settled()
    await settled()
    assert health.count(EventType.CIRCUIT_CLOSED) == 1
    assert trio.current_time() < 9_000  # it did not wait for its time


@pytest.mark.event_bus(retry_policy=RetryPolicy(max_retries=2, initial_delay=0.01))
def test_plain_code_hears_of_a_recovery_too(event_bus: EventBus) -> None:
    recovered = threading.Event()
    event_bus.subscribe(lambda event: recovered.set(), event_types=[EventType.HANDLER_RECOVERED])
    failures = iter([ConnectionError("once")])

    def work(event: Event) -> None:
        for error in failures:
            raise error

    event_bus.subscribe(work, event_types=[EventType.TEST_RESULT], name="report")
    event_bus.publish(event_of()).wait(timeout=10)
    assert recovered.wait(timeout=10)
