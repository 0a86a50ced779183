"""ErrorPolicy: dead letters and a breaker, for a bus and by hand."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pywats_events.models import Event, EventType
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, ErrorPolicy, error_policy

EVENT = Event(EventType.TEST_RESULT, {"unit_id": "a"})


def test_the_policy_of_the_manual_is_built_as_written() -> None:
    dlq = DeadLetterQueue(max_size=1000)
    cb = CircuitBreaker(failure_threshold=5, reset_timeout=30.0)
    policy = ErrorPolicy(dead_letter_queue=dlq, circuit_breaker=cb)
    assert policy.dead_letter_queue is dlq
    assert policy.circuit_breaker is cb
    policy.handle_failure(EVENT, ValueError("boom"), "reports")
    lines = [f"Failed: {entry.event.id} - {entry.error}" for entry in dlq.get_entries() if entry.event]
    assert lines == [f"Failed: {EVENT.id} - boom"]


def test_an_empty_queue_that_was_given_is_kept() -> None:
    dlq = DeadLetterQueue()
    assert ErrorPolicy(dlq).dead_letter_queue is dlq
    assert ErrorPolicy().dead_letter_queue is not ErrorPolicy().dead_letter_queue


def test_failures_by_hand_open_the_breaker() -> None:
    policy = ErrorPolicy(circuit_breaker=CircuitBreaker(failure_threshold=2))
    for _ in range(2):
        assert policy.can_process()
        policy.handle_failure(EVENT, ValueError())
    assert not policy.can_process()
    assert len(policy.dead_letter_queue) == 2


def test_without_a_breaker_everything_is_let_through() -> None:
    policy = ErrorPolicy()
    policy.handle_failure(EVENT, ValueError())
    policy.record_success()
    assert policy.can_process()
    assert policy.circuit_breaker is None


def test_a_success_by_hand_ends_a_row_of_failures() -> None:
    policy = ErrorPolicy(circuit_breaker=CircuitBreaker(failure_threshold=2))
    policy.handle_failure(EVENT, ValueError())
    policy.record_success()
    policy.handle_failure(EVENT, ValueError())
    assert policy.can_process()


def test_for_a_bus_it_leaves_the_breaker_to_the_supervisor() -> None:
    policy = ErrorPolicy(circuit_breaker=CircuitBreaker(failure_threshold=1))
    entry = policy.dead_letter(EVENT, ValueError(), "reports", 4)
    assert entry.attempts == 4
    assert policy.can_process()


def test_callbacks_are_told_in_order_and_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    def broken(event: Event, error: Exception) -> None:
        raise OSError("no mail")

    policy = ErrorPolicy().on_failure(broken).on_failure(lambda event, error: told.append((event, error)))
    error = ValueError("boom")
    with caplog.at_level(logging.ERROR, "pywats_events"):
        policy.handle_failure(EVENT, error)
    assert told == [(EVENT, error)]
    assert "no mail" in caplog.text
    assert len(policy.dead_letter_queue) == 1


async def test_async_callbacks_are_awaited_by_async_code(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def alert(event: Event, error: Exception) -> None:
        told.append("async")

    async def broken(event: Event, error: Exception) -> None:
        raise OSError("no mail")

    policy = ErrorPolicy(circuit_breaker=CircuitBreaker(failure_threshold=1))
    policy.on_failure(broken).on_failure(alert).on_failure(lambda event, error: told.append("plain"))
    with caplog.at_level(logging.ERROR, "pywats_events"):
        await policy.handle_failure_async(EVENT, ValueError("boom"), "reports")
    assert told == ["async", "plain"]
    assert "no mail" in caplog.text
    assert not policy.can_process()
    assert policy.dead_letter_queue.size == 1


def test_an_async_callback_in_plain_code_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def alert(event: Event, error: Exception) -> None:
        raise AssertionError("never runs")

    policy = ErrorPolicy().on_failure(alert)
    with caplog.at_level(logging.ERROR, "pywats_events"):
        policy.handle_failure(EVENT, ValueError("boom"))
    assert "is async" in caplog.text


@pytest.mark.parametrize(
    "arguments", [{"dead_letter_queue": []}, {"circuit_breaker": 5}, {"dead_letter_queue": "dlq"}]
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(arguments))):
        ErrorPolicy(**arguments)


def test_a_callback_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="callback"):
        ErrorPolicy().on_failure("mail")  # type: ignore[arg-type]


def test_the_names_of_0_6_are_found_in_its_module() -> None:
    for name in ("CircuitBreaker", "CircuitState", "DeadLetterEntry", "DeadLetterQueue", "ErrorPolicy"):
        assert hasattr(error_policy, name)
