"""Policies by hand, by the calls of pywats-api 0.6."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pywats_events import Event, EventType
from pywats_events.policies.error_policy import (
    CircuitBreaker,
    CircuitState,
    DeadLetterEntry,
    DeadLetterQueue,
    ErrorPolicy,
)
from pywats_events.policies.retry_policy import ImmediateRetryPolicy, NoRetryPolicy, RetryConfig, RetryPolicy


def event_of(unit: str = "SN-1", event_type: EventType = EventType.TEST_RESULT) -> Event:
    return Event.create(event_type, {"unit_id": unit})


def test_a_retry_policy_counts_the_event_s_retries() -> None:
    policy, event = RetryPolicy(max_retries=2), event_of()
    assert policy.max_retries == 2
    assert policy.should_retry(event, ConnectionError())
    assert policy.should_retry(event.with_retry(), ConnectionError())
    assert not policy.should_retry(event.with_retry().with_retry(), ConnectionError())


def test_retry_on_and_no_retry_on_and_predicates_return_the_policy() -> None:
    policy = RetryPolicy()
    assert policy.retry_on(ConnectionError) is policy
    assert policy.no_retry_on(ConnectionRefusedError) is policy
    assert policy.add_predicate(lambda event, error: event.payload["unit_id"] != "never") is policy
    assert policy.should_retry(event_of(), ConnectionResetError())
    assert not policy.should_retry(event_of(), ConnectionRefusedError())
    assert not policy.should_retry(event_of(), ValueError())
    assert not policy.should_retry(event_of("never"), ConnectionResetError())


def test_delays_grow_exponentially_up_to_the_longest() -> None:
    policy = RetryPolicy(max_retries=9, initial_delay=1.0, max_delay=5.0, exponential_base=2.0, jitter=False)
    event, delays = event_of(), []
    for _ in range(4):
        delays.append(policy.get_delay(event))
        event = event.with_retry()
    assert delays == [1.0, 2.0, 4.0, 5.0]


def test_jitter_stays_within_its_part_of_the_delay() -> None:
    policy = RetryPolicy(initial_delay=10.0, jitter=True, jitter_factor=0.1)
    delays = {policy.get_delay(event_of()) for _ in range(50)}
    assert len(delays) > 1
    assert min(delays) >= 9.0
    assert max(delays) <= 11.0


def test_there_are_policies_that_never_retry_and_that_do_not_wait() -> None:
    assert not NoRetryPolicy().should_retry(event_of(), ConnectionError())
    immediate = ImmediateRetryPolicy(max_retries=2)
    assert (immediate.max_retries, immediate.get_delay(event_of())) == (2, 0.0)


def test_the_queue_gives_what_was_added() -> None:
    added: list[DeadLetterEntry] = []
    queue = DeadLetterQueue(max_size=2, on_add=added.append)
    assert queue.is_empty
    for unit in ("a", "b", "c"):
        queue.add(event_of(unit), ValueError(unit), "Reporter")
    assert [entry.event.payload["unit_id"] for entry in added if entry.event is not None] == ["a", "b", "c"]
    assert (queue.size, queue.pushed_out) == (2, 1)
    peeked = queue.peek()
    assert peeked is not None
    assert str(peeked.error) == "b"
    assert queue.pop() is peeked
    assert [str(entry.error) for entry in queue.get_entries(limit=5)] == ["c"]
    assert queue.get_entries(event_type="asset.fault") == []
    assert queue.clear() == 1
    assert (queue.pop(), queue.peek(), queue.size) == (None, None, 0)


def test_an_entry_has_its_old_fields() -> None:
    entry = DeadLetterQueue().add(event_of().with_retry(), ValueError("no such unit"), "Reporter")
    assert (entry.handler_name, entry.retry_count) == ("Reporter", 1)
    written = entry.to_dict()
    assert written["error_type"] == "ValueError"
    assert written["error_message"] == "no such unit"
    assert written["handler_name"] == "Reporter"
    assert written["event_id"] == entry.event_id
    assert written["timestamp"] == entry.timestamp.isoformat()


class Hand:
    """A clock in the test's hand; it starts at 0.0."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hand:
    """A clock that stands still until the test moves it."""
    return Hand()


@pytest.fixture
def breaker(clock: Callable[[], float]) -> CircuitBreaker:
    """A breaker on that clock, as 0.6's documentation sets it up."""
    return CircuitBreaker(
        failure_threshold=3, success_threshold=2, reset_timeout=30.0, half_open_max_calls=3, clock=clock
    )


def state_of(breaker: CircuitBreaker) -> CircuitState:
    """Its state now; a call, as type checkers think that an attribute stays what it was."""
    return breaker.state


def test_a_breaker_goes_from_closed_to_open_to_half_open_to_closed(
    breaker: CircuitBreaker, clock: Hand
) -> None:
    assert (state_of(breaker), breaker.is_closed, breaker.is_open) == (CircuitState.CLOSED, True, False)
    for _ in range(3):
        assert breaker.can_proceed()
        breaker.record_failure()
    assert (state_of(breaker), breaker.is_open) == (CircuitState.OPEN, True)
    assert not breaker.can_proceed()
    clock.now = 30.0
    assert state_of(breaker) is CircuitState.HALF_OPEN
    for _ in range(2):
        assert breaker.can_proceed()
        breaker.record_success()
    assert state_of(breaker) is CircuitState.CLOSED


def test_a_failure_while_half_open_opens_it_again_and_reset_closes_it(
    breaker: CircuitBreaker, clock: Hand
) -> None:
    for _ in range(3):
        breaker.record_failure()
    clock.now = 31.0
    assert breaker.can_proceed()
    breaker.record_failure()
    assert state_of(breaker) is CircuitState.OPEN
    breaker.reset()
    assert state_of(breaker) is CircuitState.CLOSED
    assert breaker.can_proceed()


def test_the_states_of_a_breaker_have_their_old_values() -> None:
    assert {state.value for state in CircuitState} == {"closed", "open", "half_open"}


def test_an_error_policy_keeps_the_event_tells_its_callbacks_and_the_breaker(
    breaker: CircuitBreaker,
) -> None:
    told: list[str] = []
    policy = ErrorPolicy(circuit_breaker=breaker)
    assert (
        policy.on_failure(lambda event, error: told.append(f"{event.payload['unit_id']}: {error}")) is policy
    )
    assert policy.circuit_breaker is breaker
    for _ in range(3):
        assert policy.can_process()
        policy.handle_failure(event_of(), ValueError("bad"))
    assert policy.dead_letter_queue.size == 3
    assert told == ["SN-1: bad"] * 3
    assert not policy.can_process()
    breaker.reset()
    policy.record_success()
    assert policy.can_process()


async def test_async_callbacks_are_awaited_by_the_async_call() -> None:
    told: list[str] = []

    async def tell(event: Event, error: Exception) -> None:
        told.append(str(error))

    policy = ErrorPolicy(DeadLetterQueue()).on_failure(tell)
    await policy.handle_failure_async(event_of(), ValueError("bad"))
    assert told == ["bad"]
    assert policy.dead_letter_queue.size == 1


def test_an_empty_queue_that_is_handed_over_is_the_one_that_is_used() -> None:
    # An empty queue is false; 0.6 took another one instead.
    queue = DeadLetterQueue()
    assert ErrorPolicy(dead_letter_queue=queue).dead_letter_queue is queue


def test_the_numbers_of_a_retry_policy_are_its_config() -> None:
    policy = RetryPolicy(max_retries=5, initial_delay=2.0, jitter=False)
    assert policy.config == RetryConfig(max_retries=5, initial_delay=2.0, jitter=False)
    assert RetryPolicy().config == RetryConfig()
