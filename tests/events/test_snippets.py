"""The snippets that users know run as written, once the names they leave open are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.models import TestResultEvent
from pywats_events.transports import MockTransport

FIRST = '''
from pywats_events import Event, EventType, EventBus, BaseHandler

# Create an event
event = Event(
    event_type=EventType.TEST_RESULT,
    payload={"unit_id": "SN-123", "result": "pass"},
    source="test-station"
)

# Create a handler
class MyHandler(BaseHandler):
    @property
    def event_types(self):
        return [EventType.TEST_RESULT]

    async def handle(self, event):
        print(f"Processing: {event.payload['unit_id']}")

# Wire it up
bus = EventBus()
bus.subscribe(MyHandler())
bus.start()
bus.publish(event)
'''  # fmt: skip


def test_the_first_snippet_as_a_script_without_stop_prints_its_line_and_exits(tmp_path: Path) -> None:
    script = tmp_path / "first.py"
    script.write_text(FIRST, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "Processing: SN-123\n", "")


def test_the_retry_policy_snippet() -> None:
    from pywats_events.policies import RetryPolicy

    class ValidationError(Exception):
        pass

    policy = RetryPolicy(
        max_retries=3,
        initial_delay=1.0,  # 1 second
        max_delay=60.0,  # Max 60 seconds
        exponential_base=2.0,  # Exponential backoff
        jitter=True,  # Add randomness
    )
    policy.retry_on(ConnectionError, TimeoutError)
    policy.no_retry_on(ValidationError)  # Never retry these

    event = Event(event_type=EventType.TEST_RESULT)
    assert policy.should_retry(event, ConnectionError())
    assert not policy.should_retry(event, ValidationError())


def test_the_error_policy_snippet(capsys: pytest.CaptureFixture[str]) -> None:
    from pywats_events.policies import CircuitBreaker, DeadLetterQueue, ErrorPolicy

    dlq = DeadLetterQueue(max_size=1000)
    cb = CircuitBreaker(
        failure_threshold=5,  # Open after 5 failures
        reset_timeout=30.0,  # Try again after 30 seconds
    )
    policy = ErrorPolicy(dead_letter_queue=dlq, circuit_breaker=cb)

    class Failing(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            raise ValueError("no such unit")

    event = Event(event_type=EventType.TEST_RESULT)
    with EventBus(error_policy=policy) as bus:
        bus.subscribe(Failing())
        bus.publish(event).wait(timeout=10)

    for entry in dlq.get_entries():
        print(f"Failed: {entry.event.id} - {entry.error}")  # type: ignore[union-attr]  # noqa: T201 - as written there
    assert capsys.readouterr().out == f"Failed: {event.id} - no such unit\n"


def test_my_handler() -> None:
    bus = EventBus()
    transport = MockTransport()
    bus.register_transport(transport)

    received = []

    class TestHandler(BaseHandler):
        def event_types(self):
            return [EventType.TEST_RESULT]  # type: ignore[override]

        def handle(self, event):
            received.append(event)  # type: ignore[no-untyped-def]

    bus.subscribe(TestHandler())
    bus.start()

    # Inject test event
    transport.inject_event(
        Event(event_type=EventType.TEST_RESULT, payload={"unit_id": "TEST-123", "passed": True})
    )

    assert len(received) == 1
    bus.stop()


def test_the_report_handler_snippet() -> None:
    class Service:
        def __init__(self) -> None:
            self.reports: list[str] = []

        async def submit(self, report: str) -> None:
            self.reports.append(report)

    class ReportHandler(BaseHandler):
        def __init__(self, report_service: Service) -> None:
            self.report_service = report_service

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            result = TestResultEvent(**event.payload)
            report = self._build_uut_report(result)
            await self.report_service.submit(report)

        def _build_uut_report(self, result: TestResultEvent) -> str:
            return f"{result.unit_id}: {result.result.value}"

    service = Service()
    with EventBus() as bus:
        bus.subscribe(ReportHandler(service))
        bus.publish(
            Event(event_type=EventType.TEST_RESULT, payload={"unit_id": "SN-123", "result": "pass"})
        ).wait(timeout=10)
    assert service.reports == ["SN-123: pass"]
