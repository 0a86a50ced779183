"""A circuit breaker at work in a bus: outages dead-letter nothing, poison cannot be every probe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import Event, EventType
from pywats_events.policies import CircuitBreaker, CircuitState, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus, running_bus
from support.handlers import Recording, event_of

HOUR = 3600.0
DAY = 24 * HOUR
RETRIES = RetryPolicy(max_retries=3, initial_delay=1, jitter=False)


class Away(ConnectionError):
    """The other side is not there."""

    outage = True


class Refused(Exception):
    """The other side wants a person: a new password, say."""

    suspend = True


class Server:
    """What a handler calls: away at times, and some events are poison to it.

    Attributes:
        calls: (time, number) of each.
    """

    def __init__(
        self,
        *,
        away: tuple[float, float] = (0.0, 0.0),
        error: Callable[[], Exception] = ConnectionError,
        poison: frozenset[int] = frozenset(),
        takes: float = 0.0,
    ) -> None:
        self._away = away
        self._error = error
        self._poison = poison
        self._takes = takes
        self.calls: list[tuple[float, int]] = []

    async def __call__(self, event: Event) -> None:
        now, number = trio.current_time(), event.payload["number"]
        self.calls.append((now, number))
        await trio.sleep(self._takes)
        if number in self._poison:
            raise ValueError(f"{number} is poison")
        if self._away[0] <= now < self._away[1]:
            raise self._error()

    def numbers_between(self, begin: float, end: float) -> list[int]:
        """The events it was called with in that time."""
        return [number for time, number in self.calls if begin <= time < end]


def breaker(**options: Any) -> CircuitBreaker:
    return CircuitBreaker(
        **{"failure_threshold": 3, "reset_timeout": HOUR, "success_threshold": 2, **options}
    )


async def test_while_it_is_open_nothing_is_tried_and_only_publishers_of_its_types_wait(
    autojump_clock: MockClock,
) -> None:
    server = Server(away=(0, HOUR))
    circuit = breaker(half_open_max_calls=1)
    late: list[float] = []
    accepted: list[float] = []

    async def publish() -> None:
        for number in range(12):
            await bus.publish(event_of(number))
            accepted.append(trio.current_time())

    async with running_async_bus(retry_policy=RETRIES, capacity=4, grace=DAY) as bus:
        handler = Recording(server)
        bus.subscribe(handler, breaker=circuit)
        bus.subscribe(Recording(event_type=EventType.WORK_STARTED))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            for number in range(50):
                began = trio.current_time()
                await (await bus.publish(event_of(number, EventType.WORK_STARTED))).wait_settled()
                late.append(trio.current_time() - began)
                await trio.sleep(60)
            assert circuit.state is CircuitState.OPEN
        await bus.wait_idle()
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert max(late) == 0
    assert server.numbers_between(10, HOUR) == []
    assert max(accepted) >= HOUR  # its own publishers waited
    assert sorted(handler.numbers) == list(range(12))
    assert circuit.state is CircuitState.CLOSED


async def test_a_probe_takes_another_event_than_the_one_that_failed(autojump_clock: MockClock) -> None:
    server = Server(away=(0, 10 * HOUR))
    async with running_async_bus(retry_policy=RETRIES, grace=DAY) as bus:
        bus.subscribe(Recording(server), breaker=breaker(failure_threshold=1, half_open_max_calls=1))
        for number in range(6):
            await bus.publish(event_of(number))
        await trio.sleep(5.5 * HOUR)
        assert [number for _, number in server.calls] == [0, 1, 2, 3, 4, 5]
        assert [round(time / HOUR) for time, _ in server.calls] == [0, 1, 2, 3, 4, 5]
        await bus.wait_idle()


async def test_where_keys_are_ordered_the_probe_takes_another_key(autojump_clock: MockClock) -> None:
    server = Server(away=(0, 3.5 * HOUR))
    handler = Recording(server)
    async with running_async_bus(retry_policy=RETRIES, grace=DAY) as bus:
        bus.subscribe(
            handler,
            breaker=breaker(failure_threshold=1, half_open_max_calls=1),
            order_by=lambda event: event.payload["number"] % 3,
        )
        for number in range(9):
            await bus.publish(event_of(number))
        await bus.wait_idle()
    assert [number for _, number in server.calls][:3] == [0, 1, 2]
    for key in range(3):
        assert [number for number in handler.numbers if number % 3 == key] == [key, key + 3, key + 6]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_half_open_lets_no_more_probes_through_than_it_allows_over_all_workers(
    concurrency: int, autojump_clock: MockClock
) -> None:
    server = Server(away=(0, 2.5 * HOUR), takes=5)
    async with running_async_bus(retry_policy=RETRIES, grace=DAY) as bus:
        bus.subscribe(
            Recording(server),
            breaker=breaker(failure_threshold=1, half_open_max_calls=2),
            concurrency=concurrency,
        )
        for number in range(30):
            await bus.publish(event_of(number))
        await trio.sleep(HOUR + 60)
        assert len(server.numbers_between(HOUR, HOUR + 60)) == min(concurrency, 2)
        await bus.wait_idle()
        assert len(bus.error_policy.dead_letter_queue) == 0


async def test_poison_becomes_a_dead_letter_and_does_not_keep_the_circuit_open(
    autojump_clock: MockClock,
) -> None:
    server = Server(away=(0, 1.5 * HOUR), poison=frozenset({0}))
    handler = Recording(server)
    async with running_async_bus(retry_policy=RETRIES, grace=99 * DAY) as bus:
        bus.subscribe(handler, breaker=breaker(half_open_max_calls=1))
        poison, *healthy = [await bus.publish(event_of(number)) for number in range(20)]
        for receipt in healthy:
            await receipt.wait_settled()
        assert trio.current_time() == pytest.approx(2 * HOUR, abs=60)
        await poison.wait_settled()
        assert poison.outcomes == {"Recording": Outcome.DEAD_LETTERED}
        assert len(bus.error_policy.dead_letter_queue) == 1
    assert sorted(handler.numbers) == list(range(1, 20))


async def test_errors_that_blame_the_event_do_not_open_the_circuit(autojump_clock: MockClock) -> None:
    async def refuse(event: Event) -> None:
        raise KeyError("unit_id")

    circuit = breaker(failure_threshold=2)
    policy = RetryPolicy(max_retries=3).no_retry_on(KeyError)
    async with running_async_bus(retry_policy=policy) as bus:
        bus.subscribe(Recording(refuse), breaker=circuit)
        for number in range(20):
            await bus.publish(event_of(number))
        await bus.wait_idle()
        assert trio.current_time() == 0
        assert circuit.state is CircuitState.CLOSED
        assert len(bus.error_policy.dead_letter_queue) == 20


@pytest.mark.parametrize(
    "options",
    [{}, {"order_by": lambda event: 0}, {"ordered": True}],
    ids=["unordered", "one key", "ordered"],
)
async def test_an_outage_of_three_days_dead_letters_nothing_and_then_all_is_delivered(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    server = Server(away=(HOUR, 3 * DAY + HOUR), error=Away)
    handler = Recording(server)
    circuit = CircuitBreaker(failure_threshold=5, reset_timeout=600)
    async with running_async_bus(
        retry_policy=RETRIES, error_policy=ErrorPolicy(circuit_breaker=circuit), grace=99 * DAY
    ) as bus:
        bus.subscribe(handler, **options)
        for number in range(74 * 2):
            await trio.sleep_until(number * HOUR / 2)
            await bus.publish(event_of(number))
        await bus.wait_idle()
        assert trio.current_time() < 3 * DAY + 3 * HOUR
        assert len(bus.error_policy.dead_letter_queue) == 0
        assert circuit.state is CircuitState.CLOSED
    if options:
        assert handler.numbers == list(range(148))
    else:
        assert sorted(handler.numbers) == list(range(148))
    assert 100 < len(server.numbers_between(HOUR, 3 * DAY + HOUR)) < 600


async def test_with_no_other_event_to_prove_it_an_outage_alone_dead_letters_nothing(
    autojump_clock: MockClock,
) -> None:
    """One event, a breaker that never opens: still its attempts are not used up."""
    server = Server(away=(0, 600), error=Away)
    handler = Recording(server)
    async with running_async_bus(retry_policy=RETRIES, grace=DAY) as bus:
        bus.subscribe(handler, breaker=breaker(failure_threshold=10**9))
        receipt = await bus.publish(event_of(1))
        await receipt.wait_settled()
        assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert handler.handled[0].attempt == 1
    assert len(server.calls) > 4


async def test_an_event_that_alone_meets_an_outage_while_others_succeed_is_given_up(
    autojump_clock: MockClock,
) -> None:
    """The other side answers all others: this one's outage is its own."""

    async def handle(event: Event) -> None:
        if event.payload["number"] == 0:
            raise Away

    handler = Recording(handle, name="handler")
    async with running_async_bus(retry_policy=RETRIES, grace=DAY) as bus:
        bus.subscribe(handler, breaker=breaker(failure_threshold=10**9))
        bad = await bus.publish(event_of(0))
        for number in range(1, 20):
            await bus.publish(event_of(number))
            await trio.sleep(1)
        await bad.wait_settled()
        assert bad.outcomes == {"handler": Outcome.DEAD_LETTERED}
        assert bus.error_policy.dead_letter_queue.get_entries()[0].attempts == 4


async def test_an_error_that_needs_a_person_suspends_the_handler_until_somebody_resumes_it(
    autojump_clock: MockClock,
) -> None:
    server = Server(away=(0, 5 * DAY), error=Refused)
    handler = Recording(server)
    async with running_async_bus(retry_policy=RETRIES, grace=99 * DAY) as bus:
        subscription = bus.subscribe(handler, breaker=breaker())
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        await trio.sleep(10 * DAY)
        assert len(server.calls) == 1
        group = bus.snapshot().child("handlers").detail.child("Recording").detail
        worker = group.children[0]
        assert (worker.name, worker.state.value) == ("worker-1", "suspended")
        assert bus.queue_size == 3
        supervisor = subscription.workers._supervisor
        assert supervisor is not None
        await supervisor.resume_child("worker-1")
        for receipt in receipts:
            await receipt.wait_settled()
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert sorted(handler.numbers) == [0, 1, 2]


async def test_two_subscriptions_with_one_breaker_object_share_only_its_configuration(
    autojump_clock: MockClock,
) -> None:
    circuit = breaker(failure_threshold=1)
    server = Server(away=(0, 60))
    well, ill = Recording(name="well"), Recording(server, name="ill")
    async with running_async_bus(
        retry_policy=RETRIES, error_policy=ErrorPolicy(circuit_breaker=circuit), grace=DAY
    ) as bus:
        bus.subscribe(ill)
        bus.subscribe(well)
        for number in range(5):
            await bus.publish(event_of(number))
        await trio.sleep(1)
        assert well.numbers == [0, 1, 2, 3, 4]
        assert circuit.state is CircuitState.OPEN  # the worst of both
        await bus.wait_idle()


def test_a_breaker_may_be_reset_by_a_person_on_any_thread() -> None:
    """It wakes whoever may go on, and those live on the bus's thread."""
    back = threading.Event()

    async def handle(event: Event) -> None:
        if not back.is_set():
            failed.set()
            raise ConnectionError

    failed = threading.Event()
    handler, circuit = Recording(handle), breaker(failure_threshold=1, reset_timeout=0.5)
    with running_bus(retry_policy=RetryPolicy(max_retries=1, initial_delay=0.01)) as bus:
        bus.subscribe(handler, breaker=circuit, concurrency=3)
        receipts = [bus.publish(event_of(number)) for number in range(10)]
        assert failed.wait(10)
        back.set()
        for _ in range(20):
            circuit.reset()
        for receipt in receipts:
            receipt.wait(timeout=10)
    assert sorted(handler.numbers) == list(range(10))


async def test_reset_by_hand_lets_work_go_on_at_once(autojump_clock: MockClock) -> None:
    server = Server(away=(0, 60))
    handler = Recording(server)
    circuit = breaker(failure_threshold=1, reset_timeout=DAY)
    async with running_async_bus(retry_policy=RETRIES, grace=9 * DAY) as bus:
        bus.subscribe(handler, breaker=circuit)
        for number in range(3):
            await bus.publish(event_of(number))
        await trio.sleep(HOUR)
        assert circuit.state is CircuitState.OPEN
        circuit.reset()
        await bus.wait_idle()
        assert trio.current_time() < HOUR + 10
    assert sorted(handler.numbers) == [0, 1, 2]
