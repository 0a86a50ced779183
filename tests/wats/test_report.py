"""A result becomes a report field by field, or an error that names what is missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unicodedata import category
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx import decode
from pywats_cfx.convert import Converter, SourceRules
from pywats_cfx.samples import SAMPLES
from pywats_cfx.samples import envelope_of as sample_envelope
from pywats_events import Event, EventType
from pywats_events.models.result_events import (
    InspectionResultEvent,
    TestAttachment,
    TestCondition,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
)
from pywats_wats import IncompleteReport, Part, SourceProfile, report_of
from pywats_wats.profile import Profiles
from support.cfx import envelope_of, samples_folder
from support.wsjf import check_report

HERE = SourceProfile(machine="ICT-01", location="Line 1", purpose="Production", process_codes={"*": 10})
PART = Part("PCBA-1", "A")
START = datetime(2026, 11, 23, 7, 59, tzinfo=UTC)
LETTERS = {"pass": "P", "fail": "F", "error": "E", "aborted": "T", "skipped": "S"}


def event_of(*steps: TestStep, **fields: Any) -> Event:
    fields = {"unit_id": "SN-1", "start_time": START, **fields}
    return Event(EventType.TEST_RESULT, TestResultEvent(steps=list(steps), **fields), source="tester")


def report(*steps: TestStep, profile: SourceProfile = HERE, **fields: Any) -> dict[str, Any]:
    made = report_of(event_of(*steps, **fields), profile, PART)
    check_report(made)
    return made


def step(*steps: TestStep, **fields: Any) -> dict[str, Any]:
    (made,) = report(*(steps or (TestStep(**{"name": "S", **fields}),)))["root"]["steps"]
    return made  # type: ignore[no-any-return]


def measured(**fields: Any) -> dict[str, Any]:
    (made,) = step(name="S", measurements=[TestMeasurement(**{"name": "M", **fields})])["steps"]
    return made  # type: ignore[no-any-return]


EXAMPLE = Path(__file__).with_name("units_tested.report.json")


def test_the_documented_units_tested_becomes_the_documented_report() -> None:
    sample = samples_folder() / "CFX.Production.TestAndInspection.UnitsTested--1.json"
    if not sample.exists():
        pytest.skip("the standard's samples are not here")
    body = json.loads(sample.read_text(encoding="utf-8"))
    events = Converter().convert(decode(envelope_of(sample.stem.partition("--")[0], body)))
    assert report_of(events[0], HERE, PART) == json.loads(EXAMPLE.read_text())


@pytest.mark.parametrize(("position", "said"), [(2, "2"), ("B", "B")])
def test_a_unit_that_is_sent_alone_has_its_panel_position_all_the_same(position: object, said: str) -> None:
    rules = SourceRules(unit_ids="panel")
    body = {"TestMethod": "ICT", "TestedUnits": [{"UnitIdentifier": "P1", "UnitPositionNumber": position}]}
    message = decode(envelope_of("CFX.Production.TestAndInspection.UnitsTested", body))
    event = Converter(rules_of=lambda source: rules).convert(message)[0]
    made = report_of(event, HERE, PART)
    infos = {info["description"]: info["text"] for info in made["miscInfos"]}
    assert (made["sn"], infos["Panel"], infos["Panel position"]) == (f"P1-{said}", "P1", said)
    assert "testSocketIndex" not in made["uut"]


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.category == "test"])
def test_every_result_among_our_samples_makes_a_valid_report(name: str) -> None:
    events = Converter().convert(sample_envelope(name))
    results = [
        event for event in events if event.event_type in {EventType.TEST_RESULT, EventType.INSPECTION_RESULT}
    ]
    for event in results:
        check_report(report_of(event, HERE, PART))


@pytest.mark.parametrize("word", LETTERS)
def test_the_sender_s_verdict_stands_on_every_level(word: str) -> None:
    value = TestMeasurement("M", 5.0, low_limit=1.0, high_limit=2.0, status=TestResult(word))
    made = report(TestStep("S", TestResult(word), measurements=[value]), result=TestResult.PASS)
    assert made["result"] == made["root"]["status"] == "P"
    (only,) = made["root"]["steps"]
    assert only["status"] == LETTERS[word]
    assert only["steps"][0]["numericMeas"][0]["status"] == LETTERS[word]


@pytest.mark.parametrize("word", [word for word in LETTERS if word != "skipped"])
def test_the_result_is_the_report_s(word: str) -> None:
    assert report(result=TestResult(word))["result"] == LETTERS[word]


@pytest.mark.parametrize(
    ("verification", "letter"),
    [
        ("DefectRejected", "P"),
        ("DefectAccepted", "P"),
        ("DefectConfirmed", "F"),
        ("DefectRepaired", "F"),
        ("DefectClosed", "F"),
        (None, "F"),
    ],
)
def test_a_false_call_passes_and_a_confirmed_defect_does_not(verification: str | None, letter: str) -> None:
    made = report(
        TestStep("S", TestResult.FAIL, verification=verification), result="fail", verification=verification
    )
    assert (made["result"], made["root"]["steps"][0]["status"]) == (letter, letter)


@pytest.mark.parametrize(
    ("given", "comparison", "limits"),
    [
        ({"low_limit": 1.0, "high_limit": 2.0}, "GELE", {"lowLimit": 1.0, "highLimit": 2.0}),
        ({"low_limit": 1.0}, "GE", {"lowLimit": 1.0}),
        ({"high_limit": 2.0}, "LE", {"lowLimit": 2.0}),
        ({"high_limit": 2.0, "comp_op": "LE"}, "LE", {"lowLimit": 2.0}),
        ({"low_limit": 2.0, "comp_op": "EQ"}, "EQ", {"lowLimit": 2.0}),
        (
            {"low_limit": 1.0, "high_limit": 2.0, "comp_op": "GTLT"},
            "GTLT",
            {"lowLimit": 1.0, "highLimit": 2.0},
        ),
        ({"comp_op": "LOG"}, "LOG", {}),
        ({}, "LOG", {}),
    ],
)
def test_a_single_limit_is_the_low_one(
    given: dict[str, Any], comparison: str, limits: dict[str, float]
) -> None:
    numeric = measured(value=1.5, **given)["numericMeas"][0]
    assert numeric["compOp"] == comparison
    assert {name: value for name, value in numeric.items() if "Limit" in name} == limits


@pytest.mark.parametrize(
    ("value", "sent"), [(float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")]
)
def test_numbers_that_json_has_not_go_out_as_text(value: float, sent: str) -> None:
    assert measured(value=value)["numericMeas"][0]["value"] == sent


def test_a_boolean_says_what_it_was_and_its_status_decides() -> None:
    made = measured(value=False, nominal=False, kind="boolean", status=TestResult.PASS)
    assert (made["stepType"], made["booleanMeas"]) == ("ET_PFT", [{"status": "P", "value": True}])
    assert made["reportText"] == "false, expected false"


def test_a_text_is_compared_with_what_was_expected() -> None:
    made = measured(value="v1", nominal="v2", kind="text", comp_op="EQ", status=TestResult.FAIL)
    assert made["stringMeas"] == [{"status": "F", "value": "v1", "compOp": "EQ", "limit": "v2"}]


def test_measurements_of_a_group_are_one_step_with_an_entry_each() -> None:
    axes = [
        TestMeasurement(axis, 0.1, "mm", comp_op="LOG", group="R1", kind="offset") for axis in ("DX", "DY")
    ]
    (made,) = step(TestStep("S", measurements=axes))["steps"]
    assert (made["stepType"], made["name"]) == ("ET_MNLT", "R1")
    assert [value["name"] for value in made["numericMeas"]] == ["DX", "DY"]


def test_a_step_keeps_its_shape_whether_it_passed_or_failed() -> None:
    value = TestMeasurement("M", 1.0)
    passed, failed = (
        step(TestStep("S", status, measurements=[value])) for status in (TestResult.PASS, TestResult.FAIL)
    )
    assert passed["stepType"] == failed["stepType"] == "SequenceCall"
    assert step(name="bare", status=TestResult.FAIL)["booleanMeas"] == [{"status": "F", "value": False}]


def test_issues_conditions_times_and_comments_are_told() -> None:
    made = step(
        name="S",
        status=TestResult.FAIL,
        start_time=START,
        end_time=START + timedelta(seconds=1.5),
        issues=[TestIssue("defect", "D1", "Solder", "bridge", ["R1", "R2"]), TestIssue("symptom", "S1")],
        conditions=[TestCondition("Temperature", 23.5, "degC", minimum=23.0)],
        comments="looked at twice",
    )
    assert made["errorMessage"] == "Defect D1 | Solder | bridge | R1, R2"
    assert made["reportText"].splitlines() == [
        "Defect D1 | Solder | bridge | R1, R2",
        "Symptom S1",
        "looked at twice",
    ]
    assert (made["start"], made["totTime"]) == (START.isoformat(), 1.5)
    (condition,) = made["steps"]
    assert (condition["group"], condition["status"]) == ("S", "D")
    assert [(value["name"], value["compOp"]) for value in condition["numericMeas"]] == [
        ("Mean", "LOG"),
        ("Min", "LOG"),
    ]


def test_attachments_are_sent_up_to_the_limit_and_then_named() -> None:
    steps = [
        TestStep(f"S{n}", attachments=[TestAttachment(f"{n}.png", "image/png", bytes(400))]) for n in range(3)
    ]
    made = report_of(event_of(*steps), HERE, PART, attachments_limit=1000)
    first, second, third = made["root"]["steps"]
    assert first["attachment"]["name"] == "0.png"
    assert second["attachment"]["name"] == "1.png"
    assert "attachment" not in third
    assert third["reportText"] == "Attachment 2.png: not sent"


def test_an_attachment_without_a_name_gets_one_and_one_without_a_byte_is_only_told() -> None:
    nameless, empty = TestAttachment("", "", b"x"), TestAttachment("log.txt", "text/plain", b"")
    made = step(name="S", attachments=[empty, nameless])
    assert (made["attachment"]["name"], made["attachment"]["contentType"]) == (
        "attachment",
        "application/octet-stream",
    )
    assert made["reportText"] == "Attachment log.txt: not sent"


def test_of_very_many_measurements_one_that_is_alone_of_its_name_stays_as_it_is() -> None:
    many = [TestMeasurement(f"R{number}", float(number), "Ohm", high_limit=9e9) for number in range(6000)]
    made = step(TestStep("ict", measurements=many))
    assert [inner["name"] for inner in made["steps"]] == [f"R{number}" for number in range(6000)]
    assert made["steps"][7]["numericMeas"][0] == {
        "status": "P",
        "value": 7.0,
        "unit": "Ohm",
        "compOp": "LE",
        "lowLimit": 9e9,
    }


def test_very_many_measurements_keep_what_failed_and_sum_up_the_rest() -> None:
    many = [TestMeasurement("Vol", float(number), "ml") for number in range(6000)]
    many[17] = TestMeasurement("Vol", 17.0, "ml", status=TestResult.FAIL)
    made = step(TestStep("paste", measurements=many))
    failed, summary = made["steps"]
    assert failed["numericMeas"][0]["value"] == 17.0
    assert {value["name"]: value["value"] for value in summary["numericMeas"]} == {
        "count": 5999.0,
        "min": 0.0,
        "mean": pytest.approx((sum(range(6000)) - 17) / 5999),
        "max": 5999.0,
    }
    whole = report_of(event_of(TestStep("paste", measurements=many)), HERE, PART, all_measurements=True)
    assert len(whole["root"]["steps"][0]["steps"]) == 6000


def test_who_knows_the_part_is_asked_in_order_event_resolver_profile() -> None:
    profile = SourceProfile(process_codes={"*": 1}, part_number="of profile", revision="P", machine="M")
    assert report_of(event_of(part_number="of event"), profile, Part("of resolver", "R"))["pn"] == "of event"
    assert report_of(event_of(), profile, Part("of resolver", "R"))["pn"] == "of resolver"
    made = report_of(event_of(), profile, Part(None, "R"))
    assert (made["pn"], made["rev"]) == ("of profile", "R")


def test_what_is_missing_is_named_all_at_once_with_who_may_know_it() -> None:
    with pytest.raises(
        IncompleteReport,
        match=r"by ReportHandler\(part_of=...\), or in the SourceProfile that 'tester' matches, 't\*'",
    ) as wrong:
        report_of(event_of(unit_id="SN/1", process="AOI"), SourceProfile(match="t*"))
    assert wrong.value.fields == ("sn", "pn", "rev", "processCode")
    assert "'SN/1' has /, which WATS takes for wildcards" in str(wrong.value)
    assert "no process code is known for 'AOI'" in str(wrong.value)
    assert wrong.value.blames_item


def test_where_no_profile_matches_the_sender_that_is_said() -> None:
    with pytest.raises(IncompleteReport, match="or in a SourceProfile for 'tester', which none matches"):
        report_of(event_of(), Profiles([SourceProfile(match="SMTPlus.*")]).of("tester"))


def test_an_id_is_never_cut() -> None:
    with pytest.raises(IncompleteReport, match="has 101 characters, and WATS takes 100"):
        report_of(event_of(unit_id=101 * "a"), HERE, PART)


def test_a_source_s_name_is_the_machine_s_unless_a_profile_says_another() -> None:
    event = event_of(station_id="//Company/WATS/Station1")
    assert (
        report_of(event, SourceProfile(process_codes={"*": 1}), PART)["machineName"]
        == "Company.WATS.Station1"
    )


def test_an_inspection_in_its_short_form_tells_its_defects_and_images() -> None:
    short = InspectionResultEvent(
        "SN-1",
        TestResult.FAIL,
        station_id="AOI-1",
        inspection_type="aoi",
        start_time=START,
        defects=[{"code": "D1", "component": "R1", "confidence": 0.9}],
        images=["https://user:secret@host/images/1.png?token=secret"],
    )
    profile = SourceProfile(process_codes={"AOI": 110})
    made = report_of(Event(EventType.INSPECTION_RESULT, short), profile, PART)
    check_report(made)
    assert (made["processCode"], made["machineName"], made["result"]) == (110, "AOI-1", "F")
    (only,) = made["root"]["steps"]
    assert only["errorMessage"] == "Defect D1 | component R1, confidence 0.9"
    assert only["reportText"].splitlines()[1] == "Attachment 1.png: https://host/images/1.png"
    assert "secret" not in str(made)


def test_names_of_steps_differ_though_the_sender_s_do_not() -> None:
    names = [made["name"] for made in report(*map(TestStep, ["a", "a", "a #2", "a", ""]))["root"]["steps"]]
    assert len(set(names)) == 5
    assert names[:2] == ["a", "a #2"]


def test_a_program_s_path_is_never_blank_since_a_reader_would_make_one_up() -> None:
    value = TestMeasurement("M", 1.0)
    made = report(TestStep(" ", measurements=[value]), recipe_name=" ", recipe_revision=" ")
    assert made["root"]["seqCall"] == {"path": "-", "name": "-", "version": "-"}
    assert made["root"]["steps"][0]["seqCall"] == {"path": "-", "name": "-", "version": "-"}


def test_what_has_no_value_is_no_measurement_without_one() -> None:
    alone = step(TestStep("S", conditions=[TestCondition("Temperature", None)]))
    assert (alone["stepType"], "steps" in alone) == ("ET_PFT", False)
    made = step(TestStep("S", measurements=[TestMeasurement("Y", "off", group="g", kind="text")]))
    assert made["steps"] == [
        {"stepType": "GenericTest", "name": "g", "group": "M", "status": "P", "reportText": "Y: off"}
    ]


@pytest.mark.parametrize("comparison", ["NE", "CASESENSIT", "IGNORECASE"])
def test_a_text_keeps_the_sender_s_comparison(comparison: str) -> None:
    text = measured(value="a", nominal="b", kind="text", comp_op=comparison)["stringMeas"][0]
    assert (text["compOp"], text["limit"]) == (comparison, "b")


@pytest.mark.parametrize(
    ("comparison", "low", "high"), [("GTLT", "GT", "LT"), ("GELT", "GE", "LT"), ("GTLE", "GT", "LE")]
)
def test_of_two_limits_one_alone_is_compared_by_its_own_half(comparison: str, low: str, high: str) -> None:
    for limit, half in (({"low_limit": 1.0}, low), ({"high_limit": 1.0}, high)):
        numeric = measured(value=1.5, comp_op=comparison, **limit)["numericMeas"][0]
        assert (numeric["compOp"], numeric["lowLimit"]) == (half, 1.0)


def test_lines_end_alike_and_a_blank_that_does_not_break_is_a_text() -> None:
    assert step(TestStep("S", comments="one\r\ntwo\r3\u00a0mm\x07"))["reportText"] == "one\ntwo\n3\u00a0mm?"


def test_only_what_no_text_may_have_is_replaced_in_a_text() -> None:
    parts = (range(0x100), range(0x2000, 0x2100), range(0xD7F0, 0xE010), range(0xFFF0, 0x10000))
    characters = [chr(code) for part in parts for code in part]
    replaced = {
        character
        for character in characters
        if step(TestStep("S", comments=character))["reportText"] == "?" != character
    }
    controls = {character for character in characters if category(character) in {"Cc", "Cs"}}
    assert replaced == (controls - {"\t", "\n", "\r"}) | {"\ufffe", "\uffff"}


NAIVE = datetime(2026, 7, 1, 10, 30)  # noqa: DTZ001 - as testers give it


def test_a_time_without_offset_is_in_the_sender_s_zone() -> None:
    oslo = SourceProfile(machine="M", tz="Europe/Oslo", process_codes={"*": 1}, part_number="P", revision="A")
    later = NAIVE + timedelta(seconds=5)
    made = report(
        TestStep("S", start_time=NAIVE, end_time=later.replace(tzinfo=ZoneInfo("Europe/Oslo"))),
        profile=oslo,
        start_time=NAIVE,
        end_time=later,
    )
    assert made["start"] == made["root"]["steps"][0]["start"] == "2026-07-01T10:30:00+02:00"
    assert (made["uut"]["execTime"], made["root"]["steps"][0]["totTime"]) == (5.0, 5.0)


def test_a_time_without_offset_and_zone_is_in_this_machine_s() -> None:
    assert report(start_time=NAIVE)["start"] == NAIVE.astimezone().isoformat()


def test_an_offset_is_in_whole_minutes() -> None:
    odd = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=1, seconds=30)))
    assert report(start_time=odd)["start"] == "2026-07-01T10:59:30+00:00"


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_time_at_the_end_of_the_calendar_is_told_all_the_same(when: str) -> None:
    made = report(start_time=datetime.fromisoformat(when))
    assert datetime.fromisoformat(made["start"]).tzinfo is not None


def test_what_is_nested_without_end_is_told_so_many_levels_deep() -> None:
    nested: Any = "here"
    for _ in range(2000):
        nested = [nested]
    infos = report(custom_data={"SamplingInformation": nested})["miscInfos"]
    texts = {info["description"]: info["text"] for info in infos}
    assert texts["Sampling"] == "…"


@pytest.mark.parametrize("unit", ["A\nB", "A\x1dB", "A\ud800", "A\x00", ".", ".."])
def test_a_serial_number_that_is_no_text_or_a_step_in_an_address_makes_no_report(unit: str) -> None:
    with pytest.raises(IncompleteReport, match=r"control characters|a step in an address") as incomplete:
        report(unit_id=unit)
    assert incomplete.value.fields == ("sn",)


def test_what_is_no_number_in_a_group_is_told_as_text() -> None:
    group = [
        TestMeasurement("X", 0.1, group="g", comp_op="LOG"),
        TestMeasurement("Y", "off", group="g", kind="text"),
    ]
    (made,) = step(TestStep("S", measurements=group))["steps"]
    assert ([value["name"] for value in made["numericMeas"]], made["reportText"]) == (["X"], "Y: off")


texts = st.text(max_size=120)
numbers = st.none() | st.floats(width=32) | st.integers(-(10**6), 10**6).map(float)
measurements = st.builds(
    TestMeasurement,
    name=texts,
    value=numbers | st.booleans() | texts,
    unit=st.sampled_from(["V", "?", "kOhm"]),
    status=st.sampled_from(TestResult),
    low_limit=numbers,
    high_limit=numbers,
    comp_op=st.sampled_from(["GELE", "GE", "LE", "EQ", "LOG", "GTLT", "NE", "what"]),
    kind=st.sampled_from(["offset", "text", "boolean", "other"]),
    group=st.none() | st.sampled_from(["g", "h"]),
)
steps = st.builds(
    TestStep,
    name=texts,
    status=st.sampled_from(TestResult),
    measurements=st.lists(measurements, max_size=4),
    message=st.none() | texts,
    comments=st.none() | texts,
    issues=st.lists(st.builds(TestIssue, kind=st.just("symptom"), code=texts, description=texts), max_size=2),
    conditions=st.lists(st.builds(TestCondition, name=texts, value=numbers), max_size=2),
)


@given(
    st.lists(steps, max_size=4),
    texts,
    st.none() | texts,
    st.none() | texts,
    st.sampled_from(TestResult),
)
def test_whatever_a_result_says_its_report_is_valid_or_says_what_is_missing(
    given_steps: list[TestStep], unit: str, recipe: str | None, revision: str | None, result: TestResult
) -> None:
    event = event_of(*given_steps, unit_id=unit, recipe_name=recipe, recipe_revision=revision, result=result)
    controls = any(category(one) == "Cc" or one in "\ufffe\uffff" for one in unit)
    wild = set(unit) & set("*%?[]^!/\\") or unit in {".", ".."}
    if unit.strip() and len(unit) <= 100 and not wild and not controls:
        check_report(report_of(event, HERE, PART))
    else:
        with pytest.raises(IncompleteReport) as incomplete:
            report_of(event, HERE, PART)
        assert incomplete.value.fields == ("sn",)
