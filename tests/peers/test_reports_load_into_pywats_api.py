"""Every report that we make loads into pywats-api's own model, and says there what we meant."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pywats_cfx.convert import Converter
from pywats_cfx.samples import SAMPLES, envelope_of
from pywats_events import Event, EventType
from pywats_events.models.result_events import (
    InspectionResultEvent,
    TestAttachment,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
)
from pywats_wats import Part, SourceProfile, report_of
from support.peers import Peer
from support.results import COMPARISONS, KINDS, START, any_result

HERE = SourceProfile(machine="ICT-01", location="Line 1", purpose="Production", process_codes={"*": 10})
PART = Part("PCBA-1", "A")
SUB_UNITS = [{"partType": "Reel", "pn": "RES-1", "rev": "-", "sn": "LOT-7"}]
DOCUMENTED = Path(__file__).parents[1] / "wats" / "units_tested.report.json"
GENERATED = 300


def reported(event: Event, **options: Any) -> dict[str, Any]:
    return report_of(event, HERE, PART, **options)


def result(*steps: TestStep, **fields: Any) -> Event:
    made = TestResultEvent(steps=list(steps), **{"unit_id": "SN-1", "start_time": START, **fields})
    return Event(EventType.TEST_RESULT, made, source="tester")


def measured(**fields: Any) -> dict[str, Any]:
    return reported(result(TestStep("S", measurements=[TestMeasurement(**{"name": "M", **fields})])))


def chosen() -> dict[str, dict[str, Any]]:
    """Reports with a name each, of everything that a report can have."""
    value = TestMeasurement("M", 1.5, "V", low_limit=1.0, high_limit=2.0)
    groups = [TestMeasurement(axis, 0.1, "mm", comp_op="LOG", group="R1") for axis in ("DX", "DY")]
    many = [TestMeasurement("Vol", float(number), "ml") for number in range(6000)]
    image = TestAttachment("1.png", "image/png", bytes(400))
    panel = {"batch_sn": "PANEL-1", "test_socket": 3, "custom_data": {"PCBVariant": "V2"}}
    short = InspectionResultEvent("SN-1", TestResult.FAIL, start_time=START, defects=[{"code": "D1"}])
    made = {
        "documented": json.loads(DOCUMENTED.read_text(encoding="utf-8")),
        "without steps": reported(result()),
        "nested": reported(result(TestStep("S", measurements=[value]), TestStep("S", TestResult.FAIL))),
        "groups": reported(result(TestStep("S", measurements=groups))),
        "reduced": reported(result(TestStep("paste", measurements=many))),
        "attachment": reported(result(TestStep("S", attachments=[image]))),
        "attachment told": reported(result(TestStep("S", attachments=[image])), attachments_limit=10),
        "sub units": reported(result(), sub_units=SUB_UNITS),
        "panel and infos": reported(result(conflicts=["unit Passed", "failed: S"], **panel)),
        "inspection": reported(Event(EventType.INSPECTION_RESULT, short, source="aoi")),
    }
    for kind in KINDS:
        for given_value in (1.5, True, "text", None, math.nan, math.inf):
            made[f"{kind} {given_value}"] = measured(kind=kind, value=given_value, nominal=given_value)
    for comparison in COMPARISONS:
        made[f"by {comparison}"] = measured(value=1.5, low_limit=1.0, high_limit=2.0, comp_op=comparison)
        made[f"one limit by {comparison}"] = measured(value=1.5, low_limit=1.0, comp_op=comparison)
    for word in TestResult:
        step = TestStep("S", word, measurements=[TestMeasurement("M", 1.0, status=word)])
        made[f"step {word}"] = reported(result(step))
        if word is not TestResult.SKIPPED:
            made[f"unit {word}"] = reported(result(step, result=word))
    return made


def of_samples() -> dict[str, dict[str, Any]]:
    """Reports of the results among our samples of CFX."""
    made = {}
    for name, sample in SAMPLES.items():
        if sample.category != "test":
            continue
        for event in Converter().convert(envelope_of(name)):
            if event.event_type in {EventType.TEST_RESULT, EventType.INSPECTION_RESULT}:
                made[f"{name} of {event.payload['unit_id']}"] = reported(event)
    return made


def generated() -> dict[str, dict[str, Any]]:
    """Reports of results that say anything."""
    made: dict[str, dict[str, Any]] = {}

    @settings(
        max_examples=GENERATED,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(any_result)
    def collect(event: Event) -> None:
        made[f"generated {len(made)}"] = reported(event)

    collect()
    return made


@pytest.fixture(scope="module", params=[chosen, of_samples, generated], ids=lambda make: make.__name__)
def loaded(
    request: pytest.FixtureRequest, pywats_api: Peer
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The name of each report, what we wrote, and what pywats-api says of it: all in one process."""
    reports = request.param()
    answers = pywats_api.run(Path(__file__).with_name("loads_reports.py"), given=list(reports.values()))
    return [(name, report, answer) for (name, report), answer in zip(reports.items(), answers, strict=True)]


def test_every_report_loads(loaded: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    refused = {name: answer["refused"] for name, _, answer in loaded if "refused" in answer}
    assert refused == {}
    assert len(loaded) > 5


def test_all_that_we_wrote_is_read_and_no_step_more(
    loaded: list[tuple[str, dict[str, Any], dict[str, Any]]],
) -> None:
    differences = {
        name: found
        for name, report, answer in loaded
        if (found := list(different(report, answer["read"], "report")))
    }
    assert differences == {}


def different(ours: Any, theirs: Any, where: str) -> list[str]:
    """Where what was read is not what we wrote; fields that only the reader has do not count."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            found
            for name, value in ours.items()
            for found in different(value, theirs.get(name), f"{where}.{name}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        return [
            found
            for at, (value, read) in enumerate(pairs)
            for found in different(value, read, f"{where}[{at}]")
        ]
    return [] if same(ours, theirs, where) else [f"{where}: {ours!r} was read as {theirs!r}"]


def same(ours: Any, theirs: Any, where: str) -> bool:
    """Whether two values mean the same: times by their instant; blanks around a text are not read."""
    if where.endswith(".start"):
        return datetime.fromisoformat(ours) == datetime.fromisoformat(theirs)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours.strip() == theirs.strip()
    return bool(ours == theirs)
