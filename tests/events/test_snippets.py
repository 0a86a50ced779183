"""The snippets that users know run as written, once the names that they leave open are imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.models import TestResult, TestResultEvent
from pywats_events.settlement import Outcome
from support.house import ROOT

FIRST = """
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
"""

RETRY_POLICY = """
from pywats_events.policies import RetryPolicy

policy = RetryPolicy(
    max_retries=3,
    initial_delay=1.0,      # 1 second
    max_delay=60.0,         # Max 60 seconds
    exponential_base=2.0,   # Exponential backoff
    jitter=True             # Add randomness
)

# Filter which exceptions to retry
policy.retry_on(ConnectionError, TimeoutError)
policy.no_retry_on(ValidationError)  # Never retry these
"""

ERROR_POLICY = """
from pywats_events.policies import ErrorPolicy, DeadLetterQueue, CircuitBreaker

dlq = DeadLetterQueue(max_size=1000)
cb = CircuitBreaker(
    failure_threshold=5,    # Open after 5 failures
    reset_timeout=30.0      # Try again after 30 seconds
)

policy = ErrorPolicy(dead_letter_queue=dlq, circuit_breaker=cb)

# Get failed events for analysis/replay
for entry in dlq.get_entries():
    print(f"Failed: {entry.event.id} - {entry.error}")
"""

TEST = """
from pywats_events import EventBus, Event, EventType
from pywats_events.transports import MockTransport

def test_my_handler():
    bus = EventBus()
    transport = MockTransport()
    bus.register_transport(transport)

    received = []
    class TestHandler(BaseHandler):
        def event_types(self): return [EventType.TEST_RESULT]
        def handle(self, event): received.append(event)

    bus.subscribe(TestHandler())
    bus.start()

    # Inject test event
    transport.inject_event(Event(
        event_type=EventType.TEST_RESULT,
        payload={"unit_id": "TEST-123", "passed": True}
    ))

    assert len(received) == 1
"""

REPORT_HANDLER = """
# Future: WATS handlers (not yet implemented)
class ReportHandler(BaseHandler):
    def __init__(self, report_service: ReportService):
        self.report_service = report_service

    @property
    def event_types(self):
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event):
        result = TestResultEvent(**event.payload)
        report = self._build_uut_report(result)
        await self.report_service.submit(report)
"""


ARCHITECTURE = Path(os.environ.get("PYWATS_SHARED", ROOT.parent / "shared")) / "EVENT_ARCHITECTURE.md"
"""Where the snippets are from; beside the repository, and not everywhere."""


def without_spaces_at_ends(text: str) -> str:
    """The lines of a text, without what nobody sees."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.skipif(
    not ARCHITECTURE.is_file(), reason=f"there is no {ARCHITECTURE.name} beside the repository"
)
def test_the_snippets_here_are_those_of_the_architecture_but_for_that_of_cfx() -> None:
    document = ARCHITECTURE.read_text(encoding="utf-8")
    there = [without_spaces_at_ends(one) for one in re.findall(r"```python\n(.*?)```", document, re.DOTALL)]
    here = [FIRST, RETRY_POLICY, ERROR_POLICY, TEST, REPORT_HANDLER]
    assert [one for one in there if "pywats_cfx" not in one] == [without_spaces_at_ends(one) for one in here]


def run_of(script: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a script, or a module on it, in an interpreter of its own: exit status and what was written."""
    run = subprocess.run(
        [sys.executable, *arguments, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=script.parent,
    )
    return run.returncode, run.stdout, run.stderr


def names_after(snippet: str, **open_names: Any) -> dict[str, Any]:
    """Run a snippet with the names that it leaves open: all names that are there then."""
    names = dict(open_names)
    exec(snippet, names)
    return names


def test_the_first_snippet_as_a_script_without_stop_prints_its_line_and_exits(tmp_path: Path) -> None:
    script = tmp_path / "first.py"
    script.write_text(FIRST, encoding="utf-8")
    assert run_of(script) == (0, "Processing: SN-123\n", "")


def test_the_retry_policy_snippet_judges_errors_as_it_says() -> None:
    class ValidationError(Exception):
        """The name that the snippet leaves open."""

    policy = names_after(RETRY_POLICY, ValidationError=ValidationError)["policy"]
    event = Event(event_type=EventType.TEST_RESULT)
    assert policy.should_retry(event, ConnectionError())
    assert policy.should_retry(event, TimeoutError())
    assert not policy.should_retry(event, ValidationError())
    assert not policy.should_retry(event, KeyError())
    assert not policy.should_retry(event.with_attempt(4), ConnectionError())
    assert [
        round(policy.get_delay(event.with_attempt(attempt)) / 2 ** (attempt - 1)) for attempt in (1, 2, 3)
    ] == [
        1,
        1,
        1,
    ]


def test_the_policies_of_the_snippets_work_in_a_bus(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_after(ERROR_POLICY)
    assert capsys.readouterr().out == ""

    class Failing(BaseHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            raise ValueError("no such unit")

    class ValidationError(Exception):
        pass

    retry = names_after(RETRY_POLICY, ValidationError=ValidationError)["policy"]
    event = Event(event_type=EventType.TEST_RESULT)
    with EventBus(retry_policy=retry, error_policy=names["policy"]) as bus:
        bus.subscribe(Failing())
        assert bus.publish(event).wait(timeout=10).outcomes == {"Failing": Outcome.DEAD_LETTERED}
    loop = ERROR_POLICY[ERROR_POLICY.index("for entry in") :]
    names_after(loop, dlq=names["dlq"])
    assert capsys.readouterr().out == f"Failed: {event.id} - no such unit\n"


def test_the_mock_transport_snippet_is_a_test_that_passes_and_lets_pytest_end(tmp_path: Path) -> None:
    script = tmp_path / "test_snippet.py"
    script.write_text(f"from pywats_events import BaseHandler\n{TEST}", encoding="utf-8")
    status, said, errors = run_of(script, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert (status, errors) == (0, ""), said
    assert "1 passed" in said


def test_the_report_handler_snippet_reports_to_its_service() -> None:
    class ReportService:
        def __init__(self) -> None:
            self.reports: list[str] = []

        async def submit(self, report: str) -> None:
            self.reports.append(report)

    names = names_after(
        REPORT_HANDLER,
        BaseHandler=BaseHandler,
        ReportService=ReportService,
        EventType=EventType,
        Event=Event,
        TestResultEvent=TestResultEvent,
    )

    def build(self: Any, result: TestResultEvent) -> str:
        return f"{result.unit_id}: {result.result.value}"

    names["ReportHandler"]._build_uut_report = build
    service = ReportService()
    with EventBus() as bus:
        bus.subscribe(names["ReportHandler"](service))
        for payload in (
            {"unit_id": "SN-1", "result": "pass"},
            TestResultEvent(unit_id="SN-2", result=TestResult.FAIL),
        ):
            bus.publish(Event(event_type=EventType.TEST_RESULT, payload=payload)).wait(timeout=10)
    assert service.reports == ["SN-1: pass", "SN-2: fail"]
