"""UnitsTested and UnitsInspected as events: verdict, identity, time, steps and measurements."""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx import CFXConvertError, Envelope, UnitsTested, decode, encode
from pywats_cfx.convert import Converter, SourceRules
from pywats_cfx.convert._units import converted
from pywats_cfx.messages.structures import TestedUnit
from pywats_cfx.samples import envelope_of as sample
from pywats_events import Event, EventType
from pywats_events.errors import EventValidationError
from support.cfx import envelope_of

TESTED = "CFX.Production.TestAndInspection.UnitsTested"
INSPECTED = "CFX.Production.TestAndInspection.UnitsInspected"
OSLO = timezone(timedelta(hours=1))
NO_ID = "00000000-0000-0000-0000-000000000000"
TRANSACTION = "c16bb3f4-8088-4697-b789-80faec48ac5a"


def events_of(
    name: str, body: dict[str, Any], *, rules: SourceRules | None = None, **address: Any
) -> list[Event]:
    converter = Converter(rules_of=lambda source: rules or SourceRules())
    return converter.convert(decode(envelope_of(name, body, **address)))


def of_units(*units: dict[str, Any] | None, **body: Any) -> list[Event]:
    return events_of(TESTED, {"TestedUnits": list(units), **body})


def measured(sent: dict[str, Any]) -> list[Any]:
    unit = {"UnitIdentifier": "a", "Tests": [{"TestName": "t", "Measurements": [sent]}]}
    return list(of_units(unit)[0].payload.steps[0].measurements)


def numeric(**value: Any) -> Any:
    return measured({"$type": "CFX.Structures.NumericMeasurement, CFX", "MeasuredValue": value})[0]


def test_each_unit_is_one_event_with_the_sender_s_verdict() -> None:
    events = of_units(
        {"UnitIdentifier": "a", "UnitPositionNumber": 1, "OverallResult": "Passed"},
        {"UnitIdentifier": "b", "UnitPositionNumber": 2, "OverallResult": "Failed"},
    )
    assert [(e.event_type, e.payload.unit_id, e.payload.result) for e in events] == [
        (EventType.TEST_RESULT, "a", "pass"),
        (EventType.TEST_RESULT, "b", "fail"),
    ]
    assert [e.payload.test_socket for e in events] == [1, 2]


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("Passed", "pass"),
        ("Failed", "fail"),
        ("Error", "error"),
        ("Aborted", "aborted"),
        ("Skipped", "skipped"),
        ("?", "error"),
    ],
)
def test_the_words_for_results(word: str, result: str) -> None:
    event = of_units(
        {"UnitIdentifier": "a", "OverallResult": word, "Tests": [{"TestName": "t", "Result": word}]}
    )[0]
    assert (event.payload.result, event.payload.steps[0].status) == (result, result)


def test_a_contradiction_is_kept_and_said() -> None:
    failed = {"TestName": "R22", "Result": "Failed"}
    low = {
        "$type": "CFX.Structures.NumericMeasurement, CFX",
        "MeasurementName": "M",
        "MeasuredValue": {"Value": 1, "MinimumAcceptableValue": 2},
    }
    passed = {"TestName": "R23", "Result": "Passed", "Measurements": [low]}
    event = of_units({"UnitIdentifier": "a", "OverallResult": "Passed", "Tests": [failed, passed]})[0]
    assert event.payload.result == "pass"
    assert event.payload.conflicts == ["unit Passed", "failed: R22", "outside limits: M"]
    event = of_units({"UnitIdentifier": "a", "OverallResult": "Failed", "Tests": [{"Result": "Passed"}]})[0]
    assert event.payload.conflicts == ["unit Failed", "no test failed"]


def test_a_result_that_is_null_contradicts_a_failed_test_as_its_default_does() -> None:
    failed = {"TestName": "R22", "Result": "Failed"}
    event = of_units({"UnitIdentifier": "a", "OverallResult": None, "Tests": [failed]})[0]
    assert (event.payload.result, event.payload.conflicts) == ("pass", ["unit Passed", "failed: R22"])


@pytest.mark.parametrize(("value", "outside"), [("Infinity", True), ("-Infinity", False), ("NaN", False)])
def test_an_infinite_value_that_passed_is_outside_its_limit(value: str, outside: bool) -> None:
    sent = {
        "$type": "CFX.Structures.NumericMeasurement, CFX",
        "MeasurementName": "M",
        "MeasuredValue": {"Value": value, "MaximumAcceptableValue": 2},
    }
    unit = {"UnitIdentifier": "a", "Tests": [{"TestName": "t", "Measurements": [sent]}]}
    assert of_units(unit)[0].payload.conflicts == (["outside limits: M"] if outside else [])


def test_a_result_that_the_standard_does_not_know_is_an_error_and_kept() -> None:
    one = measured({"$type": "CFX.Structures.BooleanMeasurement, CFX", "Value": True, "Result": "Odd"})[0]
    assert (one.status, one.custom_data["Result"]) == ("error", "Odd")


# Who is the unit


def test_an_identifier_with_several_positions_is_the_panel_s() -> None:
    events = of_units(*[{"UnitIdentifier": "P1", "UnitPositionNumber": n} for n in (1, 2)])
    assert [(e.payload.unit_id, e.payload.batch_sn) for e in events] == [("P1-1", "P1"), ("P1-2", "P1")]


def test_a_position_that_is_no_number_tells_units_apart_all_the_same() -> None:
    events = of_units(*[{"UnitIdentifier": "P1", "UnitPositionNumber": place} for place in ("A", "B", 2.5)])
    assert [(e.payload.unit_id, e.payload.test_socket) for e in events] == [
        ("P1-A", None),
        ("P1-B", None),
        ("P1-2.5", None),
    ]
    assert [e.payload.custom_data["unit_position"] for e in events] == ["A", "B", "2.5"]
    rules = SourceRules(unit_of=lambda source, panel, place: f"SN{place + 1}")
    units = {"TestedUnits": [{"UnitIdentifier": "P1", "UnitPositionNumber": place} for place in ("A", 1)]}
    assert [e.payload.unit_id for e in events_of(TESTED, units, rules=rules)] == ["P1-A", "SN2"]


def test_units_of_one_identifier_and_position_are_said_to_be_there_twice() -> None:
    units = [{"UnitIdentifier": "P1", "UnitPositionNumber": place} for place in (1, 1, 2)]
    events = of_units(*units, {}, {})
    twice = ["unit P1-1: 2 times in one message"]
    assert [e.payload.conflicts for e in events] == [twice, twice, [], [], []]


def test_an_identifier_alone_is_the_unit_s_own() -> None:
    event = of_units({"UnitIdentifier": "SN1", "UnitPositionNumber": 1})[0]
    assert (event.payload.unit_id, event.payload.batch_sn, event.payload.test_socket) == ("SN1", None, None)


def test_work_started_tells_that_an_identifier_is_a_panel_s() -> None:
    converter = Converter()
    started = {
        "PrimaryIdentifier": "P1",
        "TransactionID": "T",
        "Units": [{"PositionNumber": 1}, {"PositionNumber": 2}],
    }
    converter.convert(decode(envelope_of("CFX.Production.WorkStarted", started)))
    body = {"TransactionId": "T", "TestedUnits": [{"UnitIdentifier": "P1", "UnitPositionNumber": 2}]}
    assert converter.convert(decode(envelope_of(TESTED, body)))[0].payload.unit_id == "P1-2"


@pytest.mark.parametrize(
    ("rules", "serial"),
    [
        (SourceRules(unit_ids="own"), "P1"),
        (SourceRules(unit_ids="panel"), "P1-1"),
        (
            SourceRules(unit_ids="panel", unit_of=lambda source, panel, place: f"{panel}/{place}@{source}"),
            "P1/1@S",
        ),
    ],
)
def test_the_station_may_know_better(rules: SourceRules, serial: str) -> None:
    body = {"TestedUnits": [{"UnitIdentifier": "P1", "UnitPositionNumber": 1}]}
    assert events_of(TESTED, body, rules=rules, Source="S")[0].payload.unit_id == serial


def test_an_inspected_panel_is_one_more_event_also_alone() -> None:
    panel = {
        "UnitIdentifier": "P1",
        "OverallResult": "Failed",
        "Verification": "DefectAccepted",
        "PCBVariant": "v2",
    }
    events = events_of(INSPECTED, {"InspectedUnits": [], "InspectedPanel": panel})
    assert [(e.event_type, e.payload.unit_id) for e in events] == [(EventType.INSPECTION_RESULT, "P1")]
    assert events[0].payload.verification == "DefectAccepted"
    assert events[0].payload.custom_data["PCBVariant"] == "v2"
    events = events_of(INSPECTED, {"InspectedUnits": [{"UnitIdentifier": "P1"}], "InspectedPanel": panel})
    assert len({event.id for event in events}) == 2


def test_without_units_and_panel_it_is_one_custom_event() -> None:
    events = events_of(INSPECTED, {"RecipeName": "r"})
    assert [(e.event_type, e.type_name) for e in events] == [(EventType.CUSTOM, INSPECTED)]
    assert events[0].payload["RecipeName"] == "r"


# Identity and time


def test_the_same_message_gives_the_same_ids() -> None:
    unit = {"UnitIdentifier": "a"}
    assert of_units(unit, unit)[1].id == "9d297b04-4efe-524a-9830-618ad38258cf"
    assert of_units(unit)[0].id == "749ecb98-95b4-5d9d-a4db-ad45da7c58d8"


@pytest.mark.parametrize("unique", ["no guid", None, ""])
def test_a_message_without_a_proper_id_has_one_all_the_same(unique: str | None) -> None:
    first, again = (
        events_of(TESTED, {"TestedUnits": [{"UnitIdentifier": "a"}]}, UniqueID=unique)[0].id for _ in "ab"
    )
    assert first == again
    assert len(first) == 36
    assert (
        first != events_of(TESTED, {"TestedUnits": [{"UnitIdentifier": "b"}]}, UniqueID=unique or None)[0].id
        or unique
    )


def test_machines_that_number_their_messages_are_told_apart() -> None:
    unit = {"TestedUnits": [{"UnitIdentifier": "a"}]}
    one, other, again = (
        events_of(TESTED, unit, UniqueID="1", Source=source)[0].id for source in ("M1", "M2", "M1")
    )
    assert one != other
    assert one == again


def test_a_transaction_of_zeros_is_none() -> None:
    unit = {"UnitIdentifier": "a"}
    assert of_units(unit, TransactionId="00000000-0000-0000-0000-000000000000")[0].correlation_id is None
    assert of_units(unit, TransactionId="T1")[0].correlation_id == "T1"


@pytest.mark.parametrize("name", ["units_tested_panel", "units_inspected_aoi", "units_inspected_spi"])
def test_what_is_made_of_a_regular_message_without_a_look_would_pass_every_check(name: str) -> None:
    envelope = decode(encode(sample(name)))
    assert envelope.regular
    for event in Converter().convert(envelope):
        checked = event.payload.checked()
        assert checked == event.payload
        assert list(map(type, checked.values())) == list(map(type, event.payload.values()))


def test_what_is_made_of_another_message_is_checked() -> None:
    wrong: Any = 5
    envelope = Envelope.of(UnitsTested(RecipeName=wrong, TestedUnits=[TestedUnit(UnitIdentifier="a")]))
    with pytest.raises(
        CFXConvertError, match=r"UnitsTested of .* cannot be converted: .*recipe_name"
    ) as raised:
        Converter().convert(envelope)
    assert isinstance(raised.value.__cause__, EventValidationError)


def test_it_began_with_the_first_test_else_with_the_work_else_when_it_was_sent() -> None:
    rules = SourceRules(tz=OSLO)
    tests = [
        {"TestStartTime": "2026-11-23T07:00:00", "TestEndTime": "2026-11-23T07:05:00"},
        {"TestStartTime": None},
    ]
    event = events_of(TESTED, {"TestedUnits": [{"UnitIdentifier": "a", "Tests": tests}]}, rules=rules)[0]
    assert event.payload.start_time == datetime(2026, 11, 23, 7, tzinfo=OSLO)
    assert event.payload.end_time == datetime(2026, 11, 23, 7, 5, tzinfo=OSLO)
    assert event.payload.custom_data["start_from"] == "test"
    event = of_units({"UnitIdentifier": "a"})[0]
    assert event.payload.start_time == event.payload.end_time == event.timestamp
    assert event.payload.custom_data["start_from"] == "message"
    assert event.timestamp.tzinfo is UTC
    converter = Converter()
    started = {"PrimaryIdentifier": "a", "TransactionID": "T"}
    converter.convert(
        decode(envelope_of("CFX.Production.WorkStarted", started, TimeStamp="2026-11-23T06:00:00Z"))
    )
    body = {"TransactionId": "T", "TestedUnits": [{"UnitIdentifier": "a"}]}
    event = converter.convert(decode(envelope_of(TESTED, body)))[0]
    assert event.payload.start_time == datetime(2026, 11, 23, 6, tzinfo=UTC)
    assert event.payload.custom_data["start_from"] == "work"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the machine's zone cannot be set here")
def test_a_date_without_offset_is_in_this_machine_s_zone_as_it_is_at_that_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        summer, winter = (
            of_units({"UnitIdentifier": "a", "Tests": [{"TestStartTime": f"2026-{month}-01T12:00:00"}]})[0]
            for month in ("07", "01")
        )
    finally:
        monkeypatch.undo()
        time.tzset()
    assert summer.payload.start_time == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert winter.payload.start_time == datetime(2026, 1, 1, 11, tzinfo=UTC)


# Who, with what, for what


@pytest.mark.parametrize(
    ("tester", "name"),
    [
        ({"OperatorIdentifier": "B1", "LoginName": "l"}, "B1"),
        ({"LoginName": "l", "FirstName": "A"}, "l"),
        ({"FirstName": "Ada", "LastName": "L"}, "Ada L"),
        ({}, "B9"),
    ],
)
def test_the_operator_is_the_message_s_else_the_one_who_is_logged_in(
    tester: dict[str, Any], name: str
) -> None:
    converter = Converter()
    activated = {"Operator": {"OperatorIdentifier": "B9"}}
    converter.convert(decode(envelope_of("CFX.Production.OperatorActivated", activated)))
    body = {"Tester": tester, "TestedUnits": [{"UnitIdentifier": "a"}]}
    assert converter.convert(decode(envelope_of(TESTED, body)))[0].payload.operator_id == name


def test_recipe_and_part_come_from_earlier_messages_where_the_message_has_none() -> None:
    converter = Converter()
    order = {"WorkOrderIdentifier": {"WorkOrderId": "W1"}, "PartNumber": "PCBA-1", "PartRevision": "B"}
    name = "CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated"
    converter.convert(decode(envelope_of(name, {"NewOrders": [order]}, Source="MES")))
    recipe = {"RecipeName": "main", "Revision": "7", "WorkOrderIdentifier": {"WorkOrderId": "W1"}}
    converter.convert(decode(envelope_of("CFX.Production.RecipeActivated", recipe)))
    payload = converter.convert(decode(envelope_of(TESTED, {"TestedUnits": [{"UnitIdentifier": "a"}]})))[
        0
    ].payload
    assert (payload.recipe_name, payload.recipe_revision) == ("main", "7")
    assert (payload.part_number, payload.revision) == ("PCBA-1", "B")
    other = converter.convert(
        decode(envelope_of(TESTED, {"TestedUnits": [{"UnitIdentifier": "a"}]}, Source="Other"))
    )
    assert other[0].payload.recipe_name is None


def test_of_another_recipe_than_was_told_nothing_is_known() -> None:
    converter = Converter()

    def tell(name: str, body: dict[str, Any]) -> Event:
        return converter.convert(decode(envelope_of(name, body)))[0]

    tell("CFX.Production.RecipeActivated", {"RecipeName": "A", "Revision": "3"})
    unit = {"TestedUnits": [{"UnitIdentifier": "a"}]}
    other, same = (tell(TESTED, {**unit, "RecipeName": name}).payload for name in "BA")
    assert (other.recipe_name, other.recipe_revision) == ("B", None)
    assert (same.recipe_name, same.recipe_revision) == ("A", "3")


def test_the_work_order_of_a_transaction_tells_the_part_also_without_a_recipe() -> None:
    converter = Converter()

    def tell(name: str, body: dict[str, Any]) -> Event:
        return converter.convert(decode(envelope_of(name, body)))[0]

    order = {"WorkOrderIdentifier": {"WorkOrderId": "WO1"}}
    orders = [{**order, "PartNumber": "PCBA-1", "PartRevision": "B"}]
    tell("CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated", {"NewOrders": orders})
    work = {"PrimaryIdentifier": "a", "TransactionID": TRANSACTION, **order}
    tell("CFX.Production.WorkStarted", work)
    tested = tell(TESTED, {"TransactionId": TRANSACTION.upper(), "TestedUnits": [{"UnitIdentifier": "a"}]})
    assert (tested.payload.part_number, tested.payload.revision) == ("PCBA-1", "B")
    completed = tell("CFX.Production.WorkCompleted", {"TransactionID": TRANSACTION, "Result": "Completed"})
    assert (completed.payload.unit_id, completed.payload.work_order_id) == ("a", "WO1")


@pytest.mark.parametrize("nothing", [None, NO_ID])
def test_work_without_a_transaction_completes_nothing_else(nothing: str | None) -> None:
    converter = Converter()
    started = {"PrimaryIdentifier": "old", "TransactionID": nothing, "RecipeName": "OLD"}
    converter.convert(decode(envelope_of("CFX.Production.WorkStarted", started)))
    body = {"TransactionId": nothing, "TestedUnits": [{"UnitIdentifier": "a"}]}
    payload = converter.convert(decode(envelope_of(TESTED, body)))[0].payload
    assert (payload.recipe_name, payload.custom_data["start_from"]) == (None, "message")


def test_nulls_in_lists_are_nothing() -> None:
    test = {"TestName": "t", "SymptomsFound": [None], "DefectsFound": [None], "Measurements": [None]}
    units = [None, {"UnitIdentifier": "a", "Tests": [None, test]}]
    first, second = of_units(*units), of_units({"UnitIdentifier": "x"}, *units[1:])
    assert [event.payload.unit_id for event in first] == ["a"]
    assert first[0].id == second[1].id  # by its place in the message
    assert [step.name for step in first[0].payload.steps] == ["t"]
    whole = events_of(TESTED, {"TestedUnits": [None]})[0]
    assert whole.event_type is EventType.CUSTOM


def test_sampling_is_kept_where_there_was_any() -> None:
    unit = {"UnitIdentifier": "a"}
    assert "SamplingInformation" not in of_units(unit)[0].payload.custom_data
    sampling = {"SamplingMethod": "FixedSample", "LotSize": 10}
    assert (
        of_units(unit, SamplingInformation=sampling)[0].payload.custom_data["SamplingInformation"]["LotSize"]
        == 10
    )


def test_what_the_standard_has_no_field_for_is_kept() -> None:
    event = of_units(
        {"UnitIdentifier": "a", "Vendor": {"x": 1}, "Tests": [{"TestName": "t", "Extra": 2}]}, Own="o"
    )[0]
    assert event.payload.custom_data["unknown_fields"] == {
        "TestedUnits[0].Vendor": {"x": 1},
        "TestedUnits[0].Tests[0].Extra": 2,
        "Own": "o",
    }


# Steps


def test_steps_have_names_also_where_the_sender_has_none() -> None:
    assert [
        s.name for s in of_units({"UnitIdentifier": "a", "Tests": [{"TestName": "x"}, {}]})[0].payload.steps
    ] == ["x", "Test 2"]
    unit = {"UnitIdentifier": "a", "Inspections": [{"RefNo": 7}, {"InspectionName": "n"}]}
    assert [s.name for s in events_of(INSPECTED, {"InspectedUnits": [unit]})[0].payload.steps] == [
        "Inspection 7",
        "n",
    ]


def test_symptoms_and_defects_are_issues_with_their_images_and_measurements() -> None:
    m = {
        "$type": "CFX.Structures.NumericMeasurement, CFX",
        "UniqueIdentifier": "m1",
        "MeasuredValue": {"Value": 1},
    }
    image = {"MimeType": "image/png", "ImageData": b64encode(b"png").decode()}
    secret = {"ImageURL": "https://user:secret@host/a.png?token=secret"}
    broken = {"ImageData": "not base64!"}
    test = {
        "TestName": "t",
        "Measurements": [m],
        "SymptomsFound": [
            {
                "SymptomCode": "S1",
                "RelatedMeasurements": [m],
                "ComponentsOfInterest": [{"ReferenceDesignator": "R1"}],
            }
        ],
        "DefectsFound": [
            {
                "DefectCode": "D1",
                "DefectImages": [image, secret, broken],
                "ComponentOfInterest": {"ReferenceDesignator": "R2"},
                "Verification": "DefectConfirmed",
            }
        ],
    }
    step = of_units({"UnitIdentifier": "a", "Tests": [test]})[0].payload.steps[0]
    assert [(i.kind, i.code, i.reference_designators) for i in step.issues] == [
        ("symptom", "S1", ["R1"]),
        ("defect", "D1", ["R2"]),
    ]
    assert step.issues[1].verification == "DefectConfirmed"
    assert len(step.measurements) == 1  # the same one once
    assert (step.attachments[0].name, step.attachments[0].data) == ("D1-1.png", b"png")
    assert step.attachments[1].url == "https://host/a.png?..."
    assert step.attachments[2].custom_data["ImageData"] == "not base64!"


def test_conditions_errors_and_comments() -> None:
    test = {
        "TestConditions": [
            {"$type": "CFX.Structures.Temperature, CFX", "MeanValue": 21.5, "MinValue": 20, "MaxValue": 23}
        ],
        "Error": "no contact",
        "Comments": "c",
        "TestProcedure": "p",
    }
    step = of_units({"UnitIdentifier": "a", "Tests": [test]})[0].payload.steps[0]
    assert [(c.name, c.value, c.unit, c.minimum, c.maximum) for c in step.conditions] == [
        ("Temperature", 21.5, "degC", 20, 23)
    ]
    assert (step.message, step.comments) == ("no contact", "c\np")


# Measurements


def test_a_value_is_reported_in_the_unit_of_its_limits() -> None:
    m = numeric(
        Value=28300,
        ValueUnits="Ohm",
        ExpectedValue=28.2,
        ExpectedValueUnits="kOhm",
        MinimumAcceptableValue=28.0,
        MaximumAcceptableValue=28.4,
    )
    assert (m.value, m.unit, m.low_limit, m.high_limit, m.nominal, m.comp_op) == (
        28.3,
        "kOhm",
        28.0,
        28.4,
        28.2,
        "GELE",
    )


@pytest.mark.parametrize(
    ("limits", "comparison"),
    [
        ({}, "LOG"),
        ({"MinimumAcceptableValue": 1}, "GE"),
        ({"MaximumAcceptableValue": 1}, "LE"),
        ({"MinimumAcceptableValue": 1, "MaximumAcceptableValue": 2}, "GELE"),
    ],
)
def test_the_comparison_follows_the_limits(limits: dict[str, float], comparison: str) -> None:
    assert numeric(Value=1.5, ValueUnits="V", **limits).comp_op == comparison


def test_units_that_cannot_be_converted_are_handed_on_as_sent() -> None:
    m = numeric(Value=5, ValueUnits="psi", MinimumAcceptableValue=1, MinimumAcceptableValueUnits="bar")
    assert (m.value, m.unit, m.low_limit, m.comp_op) == (5, "psi", None, "LOG")
    assert m.custom_data["MeasuredValue"]["MinimumAcceptableValueUnits"] == "bar"


@pytest.mark.parametrize(
    ("value", "unit", "into", "result"),
    [
        (4.7, "kOhm", "Ohm", 4700),
        (4.7, "k\N{OHM SIGN}", "Mohm", 0.0047),
        (1, "mV", "V", 0.001),
        (1, "m", "mm", 1000),
        (1, "MHz", "kHz", 1000),
        (2, "\N{MICRO SIGN}F", "nF", 2000),
        (1, "V", "A", None),
        (1, "furlong", "m", None),
        (1, None, "V", 1),
        (1, "odd", "odd", 1),
    ],
)
def test_units(value: float, unit: str | None, into: str, result: float | None) -> None:
    assert converted(value, unit, into) == result


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_units_there_and_back(value: float) -> None:
    there = converted(value, "kOhm", "mOhm")
    assert there is not None
    assert converted(there, "mOhm", "kOhm") == pytest.approx(value)


def test_numbers_that_are_none_stay_numbers() -> None:
    assert str(numeric(Value="NaN").value) == "nan"
    m = numeric(Value="about 5")
    assert (m.value, m.custom_data["MeasuredValue"]["Value"]) == (None, "about 5")


def test_every_kind_of_measurement() -> None:
    boolean = measured(
        {
            "$type": "CFX.Structures.BooleanMeasurement, CFX",
            "Value": False,
            "ExpectedValue": True,
            "Result": "Failed",
        }
    )[0]
    assert (boolean.kind, boolean.value, boolean.nominal, boolean.status) == ("boolean", False, True, "fail")
    text = measured({"$type": "CFX.Structures.TextMeasurement, CFX", "Value": "a", "ExpectedValue": "b"})[0]
    assert (text.kind, text.value, text.nominal, text.comp_op) == ("text", "a", "b", "EQ")
    paste = measured(
        {
            "$type": "CFX.Structures.SolderPasteInspection.SolderPasteMeasurement, CFX",
            "X": 1,
            "EX": 2,
            "CRDs": "R1",
        }
    )
    assert [m.name for m in paste][:3] == ["X", "Y", "Z"]
    assert {m.group for m in paste} == {"R1"}
    assert (paste[0].value, paste[0].nominal, paste[0].unit, paste[0].comp_op) == (1, 2, "mm", "LOG")
    offset = measured(
        {"$type": "CFX.Structures.PCBInspection.OffsetMeasurement, CFX", "DX": 0.1, "MeasurementName": "o"}
    )
    assert [m.unit for m in offset] == ["mm", "mm", "mm", "deg", "deg", "deg"]
    coating = measured(
        {
            "$type": "CFX.Structures.Coating.CoatingMeasurement, CFX",
            "MeasurementType": "Heater",
            "ActualValue": 50,
            "MaxAcceptableValue": 60,
        }
    )[0]
    assert (coating.value, coating.unit, coating.comp_op, coating.high_limit) == (50, "degC", "LE", 60)
    thick = measured(
        {
            "$type": "CFX.Structures.VacuumDeposition.CoatingThicknessMeasurement, CFX",
            "Thickness": 3,
            "Position": 2,
        }
    )[0]
    assert (thick.name, thick.value, thick.unit) == ("Thickness 1 2", 3, "um")


def test_a_measurement_is_named_by_its_designators_else_by_its_kind() -> None:
    assert measured({"$type": "CFX.Structures.NumericMeasurement, CFX", "CRDs": "R7"})[0].name == "R7"
    assert measured({"$type": "CFX.Structures.NumericMeasurement, CFX"})[0].name == "Numeric 1"


def test_of_a_number_nothing_is_dropped() -> None:
    text_limit = numeric(Value=5.0, ValueUnits="V", MaximumAcceptableValue="5 V")
    assert (text_limit.value, text_limit.high_limit, text_limit.comp_op) == (5.0, None, "LOG")
    assert text_limit.custom_data["MeasuredValue"]["MaximumAcceptableValue"] == "5 V"
    other_unit = numeric(Value=5.0, ValueUnits="V", ExpectedValue=3.0, ExpectedValueUnits="furlong")
    assert (other_unit.value, other_unit.unit, other_unit.nominal) == (5.0, "V", None)
    assert other_unit.custom_data["MeasuredValue"]["ExpectedValueUnits"] == "furlong"
    assert "MeasuredValue" not in numeric(Value=5.0, ValueUnits="V", MaximumAcceptableValue=6.0).custom_data


def test_a_measurement_of_a_vendor_s_own_is_kept_as_a_whole_and_without_a_value() -> None:
    sent = {
        "$type": "My.WaveMeasurement, My",
        "MeasurementName": "wave",
        "Result": "Failed",
        "Points": [1, 2],
    }
    (wave,) = measured(sent)
    assert (wave.name, wave.value, wave.status, wave.kind, wave.comp_op) == (
        "wave",
        None,
        "fail",
        "unknown",
        "LOG",
    )
    assert wave.custom_data == {"$type": "My.WaveMeasurement, My", "Points": [1, 2]}
    (named,) = measured({"MeasurementName": "nothing more"})
    assert (named.name, named.value, named.kind) == ("nothing more", None, "unknown")


def test_a_condition_of_a_vendor_s_own_has_its_own_name_and_no_unit() -> None:
    conditions = [{"$type": "My.Pressure, My", "MeanValue": 5.0, "At": "inlet"}]
    unit = {"UnitIdentifier": "a", "Tests": [{"TestName": "t", "TestConditions": conditions}]}
    (condition,) = of_units(unit)[0].payload.steps[0].conditions
    assert (condition.name, condition.value, condition.unit) == ("Pressure", 5.0, "?")
    assert condition.custom_data["At"] == "inlet"


def test_what_the_standard_has_no_field_for_stays_with_its_unit() -> None:
    units = [{"UnitIdentifier": "a"}, {"UnitIdentifier": "b", "Tests": [{"TestName": "t", "Shift": 2}]}]
    first, second = (event.payload.custom_data for event in of_units(*units))
    assert "unknown_fields" not in first
    assert second["unknown_fields"] == {"TestedUnits[1].Tests[0].Shift": 2}
    first, second, third = (event.payload.custom_data for event in of_units(units[0], None, *units))
    assert "unknown_fields" not in first | second
    assert third["unknown_fields"] == {"TestedUnits[3].Tests[0].Shift": 2}


def test_measurements_under_one_identifier_are_one_only_if_they_are_the_same() -> None:
    def one(name: str) -> dict[str, Any]:
        value = {"Value": 1.0}
        numeric = "CFX.Structures.NumericMeasurement, CFX"
        return {"$type": numeric, "UniqueIdentifier": NO_ID, "MeasurementName": name, "MeasuredValue": value}

    symptom = {"SymptomCode": "S", "RelatedMeasurements": [one("b"), one("c")]}
    tests = [{"TestName": "t", "Measurements": [one("b")], "SymptomsFound": [symptom]}]
    payload = of_units({"UnitIdentifier": "a", "Tests": tests})[0].payload
    assert [measurement.name for measurement in payload.steps[0].measurements] == ["b", "c"]


def test_a_measurement_by_axes_without_any_is_there_all_the_same() -> None:
    paste = "CFX.Structures.SolderPasteInspection.SolderPasteMeasurement, CFX"
    axes = dict.fromkeys(("X", "Y", "Z", "DX", "DY", "Vol", "A", "RXY"))
    (one,) = measured({"$type": paste, "MeasurementName": "pad", "Result": "Failed", **axes})
    assert (one.name, one.value, one.status, one.comp_op) == ("pad", None, "fail", "LOG")
    *others, last = measured({"$type": paste, "MeasurementName": "pad", **axes, "Vol": "none", "X": 1.0})
    assert [other.name for other in others] == ["X"]
    assert (last.name, last.value, others[0].custom_data["Vol"]) == ("Vol", None, "none")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://server/a@b.png", "http://server/a@b.png"),
        ("http://server:8080/a@b.png", "http://server:8080/a@b.png"),
        ("http://user:pass@server/a.png", "http://server/a.png"),
        ("http://user:p@ss@server/a.png", "http://server/a.png"),
        ("ftp://user:p@ss/w@server/a.png", "ftp://server/a.png"),
        ("ftp://user:pa/ss@server/a.png", "ftp://server/a.png"),
        ("http://token@server/a.png", "http://server/a.png"),
        ("https://server/a.png?key=secret#more", "https://server/a.png?..."),
        ("https://server/a.png#token=secret", "https://server/a.png#..."),
        ("images/a@b.png", "images/a@b.png"),
    ],
)
def test_no_secret_of_an_image_s_place_is_kept(url: str, shown: str) -> None:
    tests = [{"TestName": "t", "DefectsFound": [{"DefectCode": "D", "DefectImages": [{"ImageURL": url}]}]}]
    payload = of_units({"UnitIdentifier": "a", "Tests": tests})[0].payload
    assert payload.steps[0].attachments[0].url == shown
