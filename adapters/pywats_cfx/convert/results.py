"""UnitsTested and UnitsInspected: one event per unit, and one for their panel.

The sender's verdict stands: nothing is computed from limits or steps, and where the sender
contradicts itself, that is said in `conflicts`.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from pywats_cfx.convert.letter import Letter, rest, sent
from pywats_cfx.convert.measurements import RESULTS, Measurement, measurements_of, outside_limits, result_of
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.testandinspection import UnitsInspected, UnitsTested
from pywats_events import Event, EventType
from pywats_events.models.result_events import (
    TestAttachment,
    TestCondition,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
)

__all__ = ["operator_name", "units_inspected", "units_tested"]

Unit: TypeAlias = s.TestedUnit | s.InspectedUnit
Step: TypeAlias = s.Test | s.Inspection

NOT_VERIFIED: Final = "NotVerifiedYet"
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_QUERY: Final = re.compile(r"\?.*", re.DOTALL)


def units_tested(message: UnitsTested, letter: Letter) -> Iterator[Event]:
    """The events of a test."""
    common = _Common(letter, message, message.TransactionId, message.TestMethod, message.Tester)
    common.custom |= rest(
        message, "TestedUnits", "TestMethod", "Tester", "RecipeName", "RecipeRevision", "SamplingInformation"
    )
    yield from common.events(EventType.TEST_RESULT, message.TestedUnits or [], None)


def units_inspected(message: UnitsInspected, letter: Letter) -> Iterator[Event]:
    """The events of an inspection; the panel itself has one of its own."""
    method, inspector = message.InspectionMethod, message.Inspector
    common = _Common(letter, message, message.TransactionId, method, inspector)
    common.custom |= rest(
        message,
        "InspectedUnits",
        "InspectedPanel",
        "InspectionMethod",
        "Inspector",
        "RecipeName",
        "RecipeRevision",
        "SamplingInformation",
    )
    yield from common.events(
        EventType.INSPECTION_RESULT, message.InspectedUnits or [], message.InspectedPanel
    )


class _Common:
    """What all events of one message have in common."""

    def __init__(
        self,
        letter: Letter,
        message: UnitsTested | UnitsInspected,
        transaction: str | None,
        method: str | None,
        tester: s.Operator | None,
    ) -> None:
        memory = letter.memory
        self.letter = letter
        self.transaction = transaction
        self.work = memory.transactions.get(transaction, letter.received_at)
        recipe = (self.work.recipe if self.work else None) or memory.recipe(
            self.work.lane if self.work else None
        )
        self.fields: dict[str, Any] = {
            "station_id": letter.source,
            "operator_id": operator_name(tester) or memory.operator,
            "process": None if method is None else str(method),
            "recipe_name": message.RecipeName or (recipe.name if recipe else None),
            "recipe_revision": message.RecipeRevision or (recipe.revision if recipe else None),
        }
        self.custom: dict[str, Any] = {}
        sampling = sent(message.SamplingInformation)
        if sampling is not None and sampling.SamplingMethod != "NoSampling":
            self.custom["SamplingInformation"] = rest(sampling)
        order = letter.context.work_orders.get(recipe.work_order if recipe else None, letter.received_at)
        if order is not None:
            self.fields |= {"part_number": order.part_number, "revision": order.revision}

    def events(
        self, kind: EventType, units: list[Unit] | list[s.TestedUnit] | list[s.InspectedUnit], panel: Any
    ) -> Iterator[Event]:
        """One event per unit, and one for the panel."""
        places = [(unit.UnitIdentifier, unit.UnitPositionNumber) for unit in units]
        panels = self.letter.panels(places, self.transaction)
        for index, unit in enumerate(units):
            yield self._event(kind, unit, index, panels, several=len(units) > 1)
        if panel is not None:
            yield self._event(kind, panel, -1, set(), several=False)

    def _event(self, kind: EventType, unit: Any, index: int, panels: set[str], *, several: bool) -> Event:
        position = getattr(unit, "UnitPositionNumber", None)
        on_panel = unit.UnitIdentifier in panels and index >= 0
        serial, panel = self.letter.unit(
            unit.UnitIdentifier, position if index >= 0 else None, on_panel=on_panel
        )
        steps = [
            _step(step, number, self.letter)
            for number, step in enumerate(
                getattr(unit, "Tests", None) or getattr(unit, "Inspections", None) or [], 1
            )
        ]
        start, said_by, end = self._times(steps)
        named = (
            "UnitIdentifier",
            "UnitPositionNumber",
            "OverallResult",
            "Tests",
            "Inspections",
            "Verification",
        )
        payload = TestResultEvent(
            unit_id=serial or "",
            result=result_of(unit.OverallResult),
            start_time=start,
            end_time=end,
            steps=steps,
            test_socket=position if several else None,
            batch_sn=panel,
            verification=_verification(unit),
            conflicts=_conflicts(unit.OverallResult, steps),
            custom_data={
                **self.custom,
                **({"unit_identifier": unit.UnitIdentifier} if unit.UnitIdentifier else {}),
                **({"unit_position": position} if position is not None else {}),
                "start_from": said_by,
                **rest(unit, *named),
            },
            **self.fields,
        )
        return self.letter.event(kind, payload, index, correlation_id=self.transaction)

    def _times(self, steps: list[TestStep]) -> tuple[datetime, str, datetime]:
        """When it began, who says so, and when it ended."""
        ends = [step.end_time for step in steps if step.end_time is not None]
        end = max(ends, default=self.letter.sent_at)
        starts = [step.start_time for step in steps if step.start_time is not None]
        if starts:
            return min(starts), "test", end
        if self.work is not None:
            return self.work.started, "work", end
        return self.letter.sent_at, "message", end


def operator_name(operator: s.Operator | None) -> str | None:
    """Who it was: by the identifier, else the login, else the name."""
    if operator is None:
        return None
    names = " ".join(filter(None, (operator.FirstName, operator.LastName)))
    return operator.OperatorIdentifier or operator.LoginName or names or None


def _verification(struct: Any) -> str | None:
    verification = getattr(struct, "Verification", None)
    return None if verification in (None, NOT_VERIFIED) else str(verification)


def _conflicts(result: str | None, steps: list[TestStep]) -> list[str]:
    """Where the sender contradicts itself."""
    bad = [
        step.name for step in steps if step.status in {TestResult.FAIL, TestResult.ERROR, TestResult.ABORTED}
    ]
    outside = [one.name for step in steps for one in step.measurements if outside_limits(one)]
    found = []
    if result == "Passed" and bad:
        found = [f"unit {result}", f"failed: {', '.join(bad)}"]
    elif result == "Failed" and steps and not bad:
        found = [f"unit {result}", "no test failed"]
    elif result is not None and result not in s.TestResult.__members__:
        found = [f"unit {result}: no result of the standard"]
    return found + ([f"outside limits: {', '.join(outside)}"] if outside else [])


# Steps


def _step(step: Step, number: int, letter: Letter) -> TestStep:
    if isinstance(step, s.Inspection):
        kind, found = "inspection", step.Symptoms
        start, end = step.InspectionStartTime, step.InspectionEndTime
    else:
        kind, found = "test", step.SymptomsFound
        start, end = step.TestStartTime, step.TestEndTime
    symptoms = found or []
    defects = step.DefectsFound or []
    verification = _verification(step)
    measurements = list(_measurements(_all_measurements(step, symptoms, defects)))
    return TestStep(
        name=_step_name(step, number),
        status=result_of(step.Result),
        start_time=letter.time(start),
        end_time=letter.time(end),
        measurements=measurements,
        message=step.Error or None,
        step_type=kind,
        verification=verification,
        issues=[_symptom(one) for one in symptoms] + [_defect(one) for one in defects],
        attachments=[image for defect in defects for image in _images(defect)],
        conditions=[_condition(one) for one in getattr(step, "TestConditions", None) or []],
        comments="\n".join(filter(None, (step.Comments, step.TestProcedure))) or None,
        custom_data=_rest_of_step(step),
    )


NAMED_IN_STEPS: Final = (
    "TestName",
    "InspectionName",
    "Result",
    "Error",
    "SymptomsFound",
    "Symptoms",
    "DefectsFound",
    "Measurements",
    "TestConditions",
    "Comments",
    "TestProcedure",
    "Verification",
    "TestStartTime",
    "TestEndTime",
    "InspectionStartTime",
    "InspectionEndTime",
)


def _rest_of_step(step: Step) -> dict[str, Any]:
    custom = rest(step, *NAMED_IN_STEPS)
    if step.Result not in RESULTS:
        custom["Result"] = str(step.Result)
    return custom


def _step_name(step: Step, number: int) -> str:
    if isinstance(step, s.Inspection):
        if step.InspectionName:
            return step.InspectionName
        return f"Inspection {step.RefNo}" if step.RefNo is not None else f"Inspection {number}"
    return step.TestName or f"Test {number}"


def _all_measurements(
    step: Step, symptoms: Iterable[s.Symptom], defects: Iterable[s.Defect]
) -> Iterator[Measurement]:
    """The step's own, those of its symptoms, its defects, and the symptoms of those."""
    yield from step.Measurements or ()
    for symptom in symptoms:
        yield from symptom.RelatedMeasurements or ()
    for defect in defects:
        yield from defect.RelatedMeasurements or ()
        for symptom in defect.RelatedSymptoms or ():
            yield from symptom.RelatedMeasurements or ()


def _measurements(measurements: Iterable[Measurement]) -> Iterator[TestMeasurement]:
    seen: set[str] = set()
    number = 0
    for measurement in measurements:
        if sent(measurement) is None or measurement.UniqueIdentifier in seen:
            continue
        if measurement.UniqueIdentifier:
            seen.add(measurement.UniqueIdentifier)
        number += 1
        yield from measurements_of(measurement, number)


def _designators(components: Iterable[s.AnyComponentDesignator | None]) -> list[str]:
    return [one.ReferenceDesignator for one in components if one is not None and one.ReferenceDesignator]


def _symptom(symptom: s.Symptom) -> TestIssue:
    return TestIssue(
        kind="symptom",
        code=symptom.SymptomCode or "",
        category=symptom.SymptomCategory,
        description=symptom.Description,
        reference_designators=_designators(symptom.ComponentsOfInterest or ()),
        comments=symptom.Comments,
        priority=symptom.Priority,
        region=rest(symptom.RegionOfInterest) if symptom.RegionOfInterest is not None else None,
        custom_data=rest(
            symptom,
            "SymptomCode",
            "SymptomCategory",
            "Description",
            "ComponentsOfInterest",
            "Comments",
            "Priority",
            "RegionOfInterest",
            "RelatedMeasurements",
        ),
    )


def _defect(defect: s.Defect) -> TestIssue:
    return TestIssue(
        kind="defect",
        code=defect.DefectCode or "",
        category=defect.DefectCategory,
        description=defect.Description,
        reference_designators=_designators([defect.ComponentOfInterest]),
        comments=defect.Comments,
        priority=defect.Priority,
        confidence=defect.ConfidenceLevel,
        verification=_verification(defect),
        verification_detail=defect.VerificationDetail,
        region=rest(defect.RegionOfInterest) if defect.RegionOfInterest is not None else None,
        custom_data=rest(
            defect,
            "DefectCode",
            "DefectCategory",
            "Description",
            "ComponentOfInterest",
            "Comments",
            "Priority",
            "ConfidenceLevel",
            "Verification",
            "VerificationDetail",
            "RegionOfInterest",
            "DefectImages",
            "RelatedMeasurements",
        ),
    )


def _images(defect: s.Defect) -> Iterator[TestAttachment]:
    for number, image in enumerate(defect.DefectImages or (), 1):
        kind = image.MimeType or "application/octet-stream"
        ending = kind.rpartition("/")[2].partition("+")[0].partition(";")[0] or "bin"
        name = f"{defect.DefectCode or 'defect'}-{number}.{ending}"
        try:
            data = b64decode(image.ImageData, validate=True) if image.ImageData else None
            custom = {}
        except (binascii.Error, ValueError):
            data, custom = None, {"ImageData": image.ImageData}
        yield TestAttachment(
            name=name, content_type=kind, data=data, url=_redacted(image.ImageURL), custom_data=custom
        )


def _redacted(url: str | None) -> str | None:
    """A place without the password that may be in it."""
    if not url:
        return None
    return _SECRET_QUERY.sub("?...", _SECRET.sub("", url))


def _condition(condition: Any) -> TestCondition:
    name = type(condition).__name__
    return TestCondition(
        name=name,
        value=_mean(condition.MeanValue),
        unit={"Temperature": "degC", "Humidity": "%RH"}.get(name, "?"),
        minimum=_mean(condition.MinValue),
        maximum=_mean(condition.MaxValue),
        custom_data=rest(condition, "MeanValue", "MinValue", "MaxValue"),
    )


def _mean(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
