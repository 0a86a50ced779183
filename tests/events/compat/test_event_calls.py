"""Events, their types and payloads, by the calls of pywats-api 0.6."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pywats_events import Event, EventMetadata, EventType
from pywats_events.models.domain_events import (
    AssetFaultEvent,
    AssetState,
    AssetStateChangedEvent,
    SeverityLevel,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
    WorkCompletedEvent,
)

OLD: dict[str, Any] = {
    "event_id": "3c6ee3c5-51ae-4c35-9f34-16d4c3f4d9aa",
    "timestamp": "2025-11-03T08:00:00+00:00",
    "event_type": "test.result",
    "payload": {"unit_id": "SN-1"},
    "metadata": {
        "event_id": "3c6ee3c5-51ae-4c35-9f34-16d4c3f4d9aa",
        "correlation_id": "lot-7",
        "causation_id": None,
        "timestamp": "2025-11-03T08:00:00+00:00",
        "source": "cfx",
        "source_topic": "line1",
        "retry_count": 2,
        "trace_id": None,
        "span_id": None,
        "custom": {"shift": "early"},
    },
}
"""What `Event.to_dict` of 0.6 wrote."""


def test_create_takes_payload_source_correlation_id_and_fields_of_the_metadata() -> None:
    event = Event.create(
        EventType.TEST_RESULT,
        {"unit_id": "SN-1"},
        source="cfx",
        correlation_id="lot-7",
        source_topic="line1",
        retry_count=1,
        custom={"shift": "early"},
    )
    assert isinstance(event.metadata, EventMetadata)
    assert event.payload == {"unit_id": "SN-1"}
    assert event.metadata.event_id == event.event_id == event.id
    assert event.metadata.timestamp == event.timestamp
    assert event.metadata.timestamp.tzinfo is UTC
    assert event.metadata.source == event.source == "cfx"
    assert event.metadata.correlation_id == "lot-7"
    assert event.metadata.source_topic == "line1"
    assert event.metadata.retry_count == 1
    assert event.metadata.custom == {"shift": "early"}


@pytest.mark.parametrize("trace_id", ["trace-1", "ab" * 16])
def test_a_trace_id_that_is_free_text_shows_in_the_metadata_as_one_of_a_traceparent_does(
    trace_id: str,
) -> None:
    event = Event.create(EventType.TEST_RESULT, {}, trace_id=trace_id, span_id="cd" * 8)
    assert (event.metadata.trace_id, event.metadata.span_id) == (trace_id, "cd" * 8)
    again = Event.from_dict(event.to_dict())
    assert again.metadata.to_dict()["trace_id"] == trace_id


def test_created_without_a_source_its_source_is_unknown() -> None:
    assert Event.create(EventType.CUSTOM, {}).source == "unknown"


def test_with_retry_counts_and_keeps_the_id() -> None:
    event = Event.create(EventType.TEST_RESULT, {"unit_id": "SN-1"})
    again = event.with_retry().with_retry()
    assert (again.metadata.retry_count, again.attempt) == (2, 3)
    assert (again.id, again.payload) == (event.id, event.payload)


def test_derive_links_to_its_cause_and_belongs_to_the_same_undertaking() -> None:
    cause = Event.create(EventType.TEST_RESULT, {"unit_id": "SN-1"}, source="cfx")
    derived = cause.derive(EventType.UNIT_DISQUALIFIED, {"unit_id": "SN-1", "reason": "fail"})
    assert derived.id != cause.id
    assert derived.metadata.causation_id == cause.id
    assert derived.metadata.correlation_id == cause.id
    assert derived.source == "cfx"
    assert cause.derive(EventType.CUSTOM, {}, source="rules").source == "rules"
    assert derived.derive(EventType.CUSTOM, {}).correlation_id == cause.id


def test_to_dict_and_from_dict_are_inverse() -> None:
    event = Event.create(EventType.ASSET_FAULT, {"asset_id": "A"}, source="mqtt", correlation_id="c")
    again = Event.from_dict(event.to_dict())
    assert again == event
    assert again.metadata == event.metadata


def test_what_the_old_version_wrote_is_read() -> None:
    event = Event.from_dict(OLD)
    assert event.event_type is EventType.TEST_RESULT
    assert event.payload == {"unit_id": "SN-1"}
    assert event.id == OLD["event_id"]
    assert event.timestamp == datetime(2025, 11, 3, 8, tzinfo=UTC)
    assert (event.source, event.source_topic, event.correlation_id) == ("cfx", "line1", "lot-7")
    assert event.metadata.retry_count == 2
    assert event.metadata.custom == {"shift": "early"}


def test_a_type_that_nobody_knows_is_custom_and_keeps_its_name() -> None:
    event = Event.from_dict({**OLD, "event_type": "acme.nobody_registered_this"})
    assert event.event_type is EventType.CUSTOM
    assert Event.from_json(event.to_json()).to_dict()["event_type"] == "acme.nobody_registered_this"


def test_from_string_finds_a_type_and_refuses_an_unknown_one() -> None:
    assert EventType.from_string("asset.fault") is EventType.ASSET_FAULT
    with pytest.raises(ValueError, match="no such type"):
        EventType.from_string("no such type")


def test_the_groups_hold_the_types_of_their_domain_and_no_other() -> None:
    groups = {
        "test": EventType.test_events(),
        "asset": EventType.asset_events(),
        "material": EventType.material_events(),
        "production": EventType.production_events(),
        "system": EventType.system_events(),
    }
    assert {EventType.TEST_RESULT, EventType.TEST_STARTED, EventType.INSPECTION_RESULT} <= set(groups["test"])
    assert {EventType.ASSET_FAULT, EventType.ASSET_STATE_CHANGED} <= set(groups["asset"])
    assert {EventType.MATERIAL_INSTALLED, EventType.MATERIAL_CONSUMED} <= set(groups["material"])
    assert {EventType.WORK_STARTED, EventType.UNIT_DISQUALIFIED} <= set(groups["production"])
    assert {EventType.TRANSPORT_CONNECTED, EventType.EVENT_DEAD_LETTER} <= set(groups["system"])
    together = [kind for group in groups.values() for kind in group]
    assert len(together) == len(set(together))


def test_a_type_has_name_and_value_as_a_member_of_an_enumeration_has() -> None:
    assert (EventType.TEST_RESULT.name, EventType.TEST_RESULT.value) == ("TEST_RESULT", "test.result")
    assert EventType("test.result") is EventType["TEST_RESULT"] is EventType.TEST_RESULT
    assert EventType.TEST_RESULT in list(EventType)


def test_payloads_are_made_by_keyword_and_say_what_they_said() -> None:
    start, end = datetime(2025, 1, 1, 8, tzinfo=UTC), datetime(2025, 1, 1, 8, 0, 2, tzinfo=UTC)
    result = TestResultEvent(
        unit_id="SN-1",
        result=TestResult.PASS,
        start_time=start,
        end_time=end,
        steps=[TestStep(name="VCC", measurements=[TestMeasurement(name="U", value=5.0, high_limit=5.5)])],
    )
    assert result.passed
    assert (result.duration_ms, result.measurement_count) == (2000.0, 1)
    assert result.steps[0].measurements[0].is_within_limits()
    assert result.to_dict()["result"] == "pass"
    assert datetime.fromisoformat(result.to_dict()["start_time"]) == start


def test_other_payloads_keep_their_defaults() -> None:
    fault = AssetFaultEvent(asset_id="A", fault_code="E1")
    assert (fault.severity, fault.cleared, fault.custom_data) == (SeverityLevel.ERROR, False, {})
    assert fault.to_dict()["severity"] == "error"
    changed = AssetStateChangedEvent(asset_id="A", new_state=AssetState.IDLE)
    assert changed.to_dict()["new_state"] == "idle"
    assert WorkCompletedEvent(unit_id="SN-1", station_id="S").result == "completed"


def test_a_payload_may_be_a_struct_or_a_dict_and_handlers_read_both_alike() -> None:
    for payload in (
        {"unit_id": "SN-1", "result": "fail"},
        TestResultEvent(unit_id="SN-1", result=TestResult.FAIL),
    ):
        event = Event(event_type=EventType.TEST_RESULT, payload=payload)
        assert event.payload["unit_id"] == "SN-1"
        assert event.payload.get("part_number") is None
        assert TestResultEvent(**event.payload).result is TestResult.FAIL
