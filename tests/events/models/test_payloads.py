"""Payloads: built from whatever words a wire uses, read like a mapping, and nothing of them dropped."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events import Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.models import (
    AssetFaultEvent,
    AssetState,
    AssetStateChangedEvent,
    InspectionResultEvent,
    InstalledComponent,
    MaterialInstalledEvent,
    Payload,
    SeverityLevel,
    TestAttachment,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
    UnitArrivedEvent,
    WorkCompletedEvent,
    WorkOrderEvent,
    domain_events,
)

KINDS: list[type[Payload]] = [
    kind
    for kind in (getattr(domain_events, name) for name in domain_events.__all__)
    if issubclass(kind, Payload) and kind is not Payload
]
LEAST: dict[str, Any] = {
    "unit_id": "SN-1",
    "asset_id": "A-1",
    "fault_code": "F1",
    "new_state": "idle",
    "maintenance_type": "scheduled",
    "reference_designator": "R1",
    "part_number": "PN",
    "name": "n",
    "kind": "symptom",
    "station_id": "S-1",
    "reason": "broken",
    "work_order_id": "WO-1",
    "action": "created",
}


def built(**fields: Any) -> TestResultEvent:
    """Built from what came over a wire, whatever its names and types."""
    return TestResultEvent(**fields)


def least(kind: type[Payload]) -> dict[str, Any]:
    """What a kind cannot do without."""
    return {info.name: LEAST[info.name] for info in msgspec.structs.fields(kind) if info.required}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_comes_back_from_json_pickle_and_copy(kind: type[Payload]) -> None:
    made = kind(**least(kind), strange={"a": 1})
    assert made.custom_data == {"strange": {"a": 1}}
    assert msgspec.json.decode(msgspec.json.encode(made), type=kind) == made
    assert kind(**made.to_dict()) == made
    assert kind(**made) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_like_a_mapping(kind: type[Payload]) -> None:
    made = kind(**least(kind))
    assert dict(made.items()) == made.as_dict() == {name: made[name] for name in made}
    assert list(made) == list(made.keys())
    assert len(made) == len(made.values())
    assert "custom_data" in made
    assert "no_such" not in made
    assert made.get("no_such", 5) == 5
    with pytest.raises(KeyError):
        made["no_such"]
    with pytest.raises(KeyError):
        made["to_dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_can_be_changed(kind: type[Payload]) -> None:
    with pytest.raises(AttributeError):
        kind(**least(kind)).custom_data = {}  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_what_is_missing(kind: type[Payload]) -> None:
    for name in least(kind):
        given = least(kind)
        del given[name]
        with pytest.raises(EventValidationError, match=f"{kind.__name__}.*{name}"):
            kind(**given)
        with pytest.raises(EventValidationError, match=f"{kind.__name__}.*{name}"):
            kind(**given, strange=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_refuses_what_it_cannot_be(kind: type[Payload]) -> None:
    for info in msgspec.structs.fields(kind):
        if info.type is not Any:
            with pytest.raises(EventValidationError, match=f"{info.name} of {kind.__name__}"):
                kind(**{**least(kind), info.name: object()})


def test_the_payload_of_the_manual_is_read() -> None:
    result = built(unit_id="SN-123", result="pass")
    assert (result.unit_id, result.result, result.passed) == ("SN-123", TestResult.PASS, True)


def test_passed_stands_for_a_result() -> None:
    assert built(unit_id="TEST-123", passed=True).result is TestResult.PASS
    assert built(unit_id="TEST-123", passed=False).result is TestResult.FAIL


def test_a_result_beside_passed_stands_and_the_other_is_kept() -> None:
    made = built(unit_id="a", result="error", passed=True)
    assert (made.result, made.custom_data) == (TestResult.ERROR, {"passed": True})


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("P Pass Passed OK pass", TestResult.PASS),
        ("F Fail Failed NG", TestResult.FAIL),
        ("E Error", TestResult.ERROR),
        ("T Aborted", TestResult.ABORTED),
        ("S Skipped", TestResult.SKIPPED),
    ],
)
def test_status_words_of_testers_are_read_in_any_case(words: str, result: TestResult) -> None:
    for word in words.split():
        for text in (word, word.upper(), word.lower(), f" {word} "):
            assert TestResult(text) is result
            assert TestStep("s", text).status is result  # type: ignore[arg-type]


@given(st.text(max_size=5))
def test_any_other_word_is_refused(word: str) -> None:
    try:
        assert TestResult(word) in TestResult
    except ValueError:
        with pytest.raises(EventValidationError, match="result of TestResultEvent"):
            TestResultEvent(unit_id="a", result=word)  # type: ignore[arg-type]


def test_words_for_states_and_severities_are_read() -> None:
    assert AssetStateChangedEvent("a", "running").new_state is AssetState.BUSY  # type: ignore[arg-type]
    assert AssetFaultEvent("a", "c", severity="Information").severity is SeverityLevel.INFO  # type: ignore[arg-type]
    assert AssetFaultEvent("a", "c", severity="Alarm").severity is SeverityLevel.CRITICAL  # type: ignore[arg-type]


def test_steps_and_measurements_are_read_from_plain_values() -> None:
    made = built(
        unit_id="SN-1",
        start_time="2026-11-23T07:59:08.672652+01:00",
        steps=[
            {
                "name": "s",
                "status": "F",
                "measurements": [{"name": "m", "value": 28.3, "unit": "kOhm", "CRDs": "R22"}],
                "issues": [{"kind": "symptom", "code": "RESFAIL2", "reference_designators": ["R22.1"]}],
                "attachments": [{"name": "i", "content_type": "image/png", "data": "AAEC"}],
                "conditions": ({"name": "Temperature", "value": 21, "unit": "degC"},),
                "unheard_of": 1,
            }
        ],
    )
    (step,) = made.steps
    assert (step.status, step.custom_data) == (TestResult.FAIL, {"unheard_of": 1})
    assert step.measurements[0] == TestMeasurement("m", 28.3, "kOhm", custom_data={"CRDs": "R22"})
    assert step.issues[0] == TestIssue("symptom", "RESFAIL2", reference_designators=["R22.1"])
    assert step.attachments[0] == TestAttachment("i", "image/png", b"\x00\x01\x02")
    assert step.conditions[0].value == 21.0
    assert made.measurement_count == 1
    assert made.start_time.isoformat() == "2026-11-23T07:59:08.672652+01:00"


def test_positions_are_those_of_0_6() -> None:
    assert TestMeasurement("m", 1.0, "V", TestResult.FAIL, 0.0, 2.0, 1.0, "GELE").nominal == 1.0
    assert InstalledComponent("R1", "PN", "SN", "LOT").lot_number == "LOT"
    assert WorkCompletedEvent("u", "s", "failed").result == "failed"
    with pytest.raises(TypeError):
        TestStep(*["s", TestResult.PASS, *[None] * 20])


def test_a_value_is_what_the_source_measured() -> None:
    assert TestMeasurement("m", "1.5", kind="text").value == "1.5"
    assert TestMeasurement("m", "NaN", kind="text").value == "NaN"
    assert TestMeasurement("m", True, kind="boolean").value is True
    assert TestMeasurement("m", 5).value == 5.0


@pytest.mark.parametrize(("text", "number"), [("Infinity", math.inf), ("-Infinity", -math.inf)])
def test_the_texts_for_numbers_that_json_does_not_know_are_read(text: Any, number: float) -> None:
    made = TestMeasurement("m", text, low_limit=text)
    assert (made.value, made.low_limit) == (number, number)


def test_other_texts_are_no_limits() -> None:
    with pytest.raises(EventValidationError, match="low_limit of TestMeasurement"):
        TestMeasurement("m", 1.0, low_limit="inf")  # type: ignore[arg-type]


def test_a_number_of_numpy_is_a_number() -> None:
    scalar: Any = SimpleNamespace(tolist=lambda: 1.5)
    assert TestMeasurement("m", scalar, low_limit=scalar).low_limit == 1.5


@pytest.mark.parametrize(
    ("value", "low", "high", "within"),
    [
        (1.0, 0.0, 2.0, True),
        (0.0, 0.0, 2.0, True),
        (2.0, 0.0, 2.0, True),
        (-0.1, 0.0, None, False),
        (2.1, None, 2.0, False),
        (None, 0.0, 1.0, True),
        ("text", 0.0, 1.0, True),
    ],
)
def test_limits_include_their_edges(value: Any, low: Any, high: Any, within: bool) -> None:
    assert TestMeasurement("m", value, low_limit=low, high_limit=high).is_within_limits() is within


def test_the_result_is_the_senders_and_not_computed() -> None:
    made = TestResultEvent(unit_id="a", steps=[TestStep("s", TestResult.FAIL)])
    assert made.passed


def test_durations_are_in_milliseconds() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert TestResultEvent(unit_id="a", start_time=start, end_time=end).duration_ms == 2000
    assert TestStep("s", start_time=start, end_time=end).duration_ms == 2000
    assert TestStep("s", start_time=start).duration_ms is None
    assert WorkCompletedEvent("a", "s", start_time=start, end_time=end).duration_ms == 2000
    assert TestStep("s", start_time=start, end_time=end.replace(tzinfo=None)).duration_ms is None


def test_times_are_now_where_they_are_not_given() -> None:
    before = datetime.now(UTC)
    for made in (UnitArrivedEvent("a"), WorkOrderEvent("w", "created"), AssetFaultEvent("a", "c")):
        assert before.timestamp() - 0.001 <= made.timestamp.timestamp() <= datetime.now(UTC).timestamp()
    assert InspectionResultEvent("a").start_time.tzinfo is UTC


def test_a_list_that_was_given_is_not_shared_between_payloads() -> None:
    assert TestResultEvent(unit_id="a").steps is not TestResultEvent(unit_id="a").steps
    assert TestResultEvent(unit_id="a").custom_data is not TestResultEvent(unit_id="a").custom_data


def test_unknown_keys_join_those_that_were_given() -> None:
    made = built(unit_id="a", custom_data={"x": 1}, y=2)
    assert made.custom_data == {"x": 1, "y": 2}
    with pytest.raises(EventValidationError, match="custom_data"):
        built(unit_id="a", custom_data=5, y=2)


def test_components_are_counted() -> None:
    assert MaterialInstalledEvent("u", [InstalledComponent("R1")]).component_count == 1


def test_one_of_ready_values_is_the_same_and_is_not_looked_at() -> None:
    ready = TestMeasurement.of_ready("R1", 1.5, "kOhm", TestResult.FAIL, custom_data={"a": 1})
    assert ready == TestMeasurement(
        name="R1", value=1.5, unit="kOhm", status=TestResult.FAIL, custom_data={"a": 1}
    )
    assert TestMeasurement.of_ready("R1", status="no word").status == "no word"
    with pytest.raises(TypeError, match="no_such"):
        TestMeasurement.of_ready("R1", no_such=1)


def test_what_was_made_unlooked_at_can_be_checked_down_to_its_measurements() -> None:
    measurement = TestMeasurement.of_ready("R1", "NaN", status="Passed", low_limit="-Infinity")
    step = TestStep.of_ready("s", "F", measurements=[measurement])
    checked = TestResultEvent.of_ready("SN1", "OK", steps=[step]).checked()
    assert (checked.result, checked.steps[0].status) == (TestResult.PASS, TestResult.FAIL)
    read = checked.steps[0].measurements[0]
    assert (read.status, read.low_limit) == (TestResult.PASS, -math.inf)
    assert math.isnan(read.value)  # type: ignore[arg-type]
    with pytest.raises(EventValidationError, match="test_socket"):
        TestResultEvent.of_ready("SN1", test_socket="first").checked()


@pytest.mark.parametrize("fields", [{"result": "\ud800"}, {"steps": [{"name": "S", "status": "\udfff"}]}])
def test_half_a_surrogate_pair_is_no_status_and_the_payload_is_at_fault(fields: dict[str, Any]) -> None:
    with pytest.raises(EventValidationError):
        TestResultEvent(unit_id="SN-1", **fields)
    with pytest.raises(EventValidationError):
        Event(EventType.TEST_RESULT, {"unit_id": "SN-1", **fields}).as_(TestResultEvent)
