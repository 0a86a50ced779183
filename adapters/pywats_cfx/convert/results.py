"""UnitsTested and UnitsInspected: one event per unit, and one for their panel.

The sender's verdict stands: nothing is computed from limits or steps, and where the sender
contradicts itself, that is said in `conflicts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from pywats_cfx.convert.context import Position
from pywats_cfx.convert.images import images_of
from pywats_cfx.convert.letter import (
    Letter,
    Rest,
    id_of,
    kept,
    nullable,
    position_of,
    present,
    real_or_kept,
    whole_number,
    whole_or_kept,
    word,
)
from pywats_cfx.convert.measurements import (
    RESULTS,
    Measurement,
    measurements_of,
    numeric,
    outside_limits,
    result_of,
)
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.testandinspection import UnitsInspected, UnitsTested
from pywats_events import Event, EventType
from pywats_events.models.result_events import (
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


def units_tested(message: UnitsTested, letter: Letter) -> list[Event]:
    """The events of a test."""
    common = _Common(letter, message, message.TransactionId, message.TestMethod, message.Tester)
    return common.events(EventType.TEST_RESULT, message.TestedUnits or [], None)


def units_inspected(message: UnitsInspected, letter: Letter) -> list[Event]:
    """The events of an inspection; the panel itself has one of its own."""
    method, inspector = message.InspectionMethod, message.Inspector
    common = _Common(letter, message, message.TransactionId, method, inspector)
    return common.events(EventType.INSPECTION_RESULT, message.InspectedUnits or [], message.InspectedPanel)


_rest_of_message: Final = Rest(
    "TestedUnits",
    "TestMethod",
    "Tester",
    "InspectedUnits",
    "InspectedPanel",
    "InspectionMethod",
    "Inspector",
    "RecipeName",
    "RecipeRevision",
    "SamplingInformation",
)
_rest_of_operator: Final = Rest("OperatorIdentifier")
_rest_of_structure: Final = Rest()
_rest_of_unit: Final = Rest(
    "UnitIdentifier", "UnitPositionNumber", "OverallResult", "Tests", "Inspections", "Verification"
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
        self.work = memory.transactions.get(id_of(transaction), letter.received_at)
        recipe = self.work.recipe if self.work is not None else None
        lane = self.work.lane if self.work is not None else None
        recipe = recipe or memory.recipe(lane, letter.received_at)
        if recipe is not None and message.RecipeName and message.RecipeName != recipe.name:
            recipe = None  # another one than was told before: nothing is known of it
        self.station = letter.source
        self.operator = operator_name(tester) or letter.operator
        self.process = word(method)
        self.recipe_name = message.RecipeName or (recipe.name if recipe else None)
        self.recipe_revision = message.RecipeRevision or (recipe.revision if recipe else None)
        order = (self.work.order if self.work else None) or (recipe.work_order if recipe else None)
        self.order = letter.context.work_orders.get(order, letter.received_at)
        self.custom = _rest_of_message(message)
        if tester is not None and (about := _rest_of_operator(tester)):
            self.custom["Tester" if isinstance(message, UnitsTested) else "Inspector"] = about
        sampling = nullable(message.SamplingInformation)
        if sampling is not None and sampling.SamplingMethod != "NoSampling":
            self.custom["SamplingInformation"] = _rest_of_structure(sampling)

    def events(
        self, kind: EventType, units: list[Unit] | list[s.TestedUnit] | list[s.InspectedUnit], panel: Any
    ) -> list[Event]:
        """One event per unit, and one for the panel."""
        there = [(index, unit) for index, unit in enumerate(units) if nullable(unit) is not None]
        places = [(unit.UnitIdentifier, position_of(unit.UnitPositionNumber)) for _, unit in there]
        panels = self.letter.panels(places, self.work)
        several = len(there) > 1
        events = [
            self._event(kind, unit, index, position, unit.UnitIdentifier in panels, several)
            for (index, unit), (_, position) in zip(there, places, strict=True)
        ]
        if several and len(set(places)) < len(places):
            _say_who_is_there_twice(events, places)
        if panel is not None:
            events.append(self._event(kind, panel, -1, None, on_panel=False, several=False))
        return events

    def _event(
        self, kind: EventType, unit: Any, index: int, position: Position | None, on_panel: bool, several: bool
    ) -> Event:
        letter = self.letter
        serial, panel = letter.unit(unit.UnitIdentifier, position, on_panel=on_panel)
        if isinstance(unit, s.TestedUnit):
            tests, verification = unit.Tests, None
        else:
            tests, verification = unit.Inspections, _verification(unit.Verification)
        steps = [_step(step, number, letter) for number, step in enumerate(present(tests), 1)]
        start, said_by, end = self._times(steps)
        custom = self.custom.copy()
        if unit.UnitIdentifier:
            custom["unit_identifier"] = unit.UnitIdentifier
        if position is not None:
            custom["unit_position"] = position
        custom["start_from"] = said_by
        custom |= _rest_of_unit(unit)
        order = self.order
        payload = TestResultEvent.of_ready(
            serial or "",
            result_of(unit.OverallResult),
            None if order is None else order.part_number,
            None if order is None else order.revision,
            self.station,
            self.operator,
            start,
            end,
            steps,
            whole_number(position) if several else None,
            panel,
            None,  # the fixture is not in the message
            self.process,
            self.recipe_name,
            self.recipe_revision,
            verification,
            _conflicts(unit.OverallResult, steps),
            custom_data=custom,
        )
        if not letter.exact:
            payload = payload.checked()
        return letter.event(kind, payload, index, correlation_id=self.transaction)

    def _times(self, steps: list[TestStep]) -> tuple[datetime, str, datetime]:
        """When it began, who says so, and when it ended."""
        start = end = None
        for step in steps:
            began, ended = step.start_time, step.end_time
            if began is not None and (start is None or began < start):
                start = began
            if ended is not None and (end is None or ended > end):
                end = ended
        end = end or self.letter.sent_at
        if start is not None:
            return start, "test", end
        if self.work is not None:
            return self.work.started, "work", end
        return self.letter.sent_at, "message", end


def operator_name(operator: s.Operator | None) -> str | None:
    """Who it was: by the identifier, else the login, else the name."""
    if operator is None:
        return None
    return (
        operator.OperatorIdentifier
        or operator.LoginName
        or " ".join(filter(None, (operator.FirstName, operator.LastName)))
        or None
    )


def _verification(said: str | None) -> str | None:
    return None if said is None or said == NOT_VERIFIED else str(said)


BAD: Final = frozenset({TestResult.FAIL, TestResult.ERROR, TestResult.ABORTED})


def _bad_and_outside(steps: list[TestStep]) -> tuple[list[str], list[str]]:
    """The names of steps that did not pass, and of measurements outside their limits."""
    bad, outside = [], []
    for step in steps:
        if step.status in BAD:
            bad.append(step.name)
        for measurement in step.measurements:
            if outside_limits(measurement):
                outside.append(measurement.name)  # noqa: PERF401 - a comprehension is a call, mostly for none
    return bad, outside


def _conflicts(result: str | None, steps: list[TestStep]) -> list[str]:
    """Where the sender contradicts itself."""
    bad, outside = _bad_and_outside(steps)
    found = []
    if result is None or result == "Passed":
        if bad:
            found = [f"unit {s.TestResult.Passed.value}", f"failed: {', '.join(bad)}"]
    elif result == "Failed":
        if steps and not bad:
            found = [f"unit {result}", "no test failed"]
    elif result not in s.TestResult.__members__:
        found = [f"unit {result}: no result of the standard"]
    if outside:
        found.append(f"outside limits: {', '.join(outside)}")
    return found


def _say_who_is_there_twice(events: list[Event], places: list[tuple[str | None, Position | None]]) -> None:
    """Say of units of one identifier and position that they are, as they become runs of one serial number."""
    times = Counter(places)
    for event, place in zip(events, places, strict=True):
        if place[0] and times[place] > 1:
            event.payload.conflicts.append(
                f"unit {event.payload.unit_id}: {times[place]} times in one message"
            )


# Steps


def _step(step: Step, number: int, letter: Letter) -> TestStep:  # HOT: tests/benchmarks/bench_cfx_decode.py
    if isinstance(step, s.Test):
        said, kind, found, verification = "Test", "test", step.SymptomsFound, None
        start, end = step.TestStartTime, step.TestEndTime
        name = step.TestName or f"Test {number}"
        conditions = step.TestConditions
    else:
        said, kind, found = "Inspection", "inspection", step.Symptoms
        start, end = step.InspectionStartTime, step.InspectionEndTime
        name = step.InspectionName or f"Inspection {number if step.RefNo is None else step.RefNo}"
        verification, conditions = _verification(step.Verification), None
    symptoms = present(found) if found else []
    defects = present(step.DefectsFound) if step.DefectsFound else []
    issues = [*map(_symptom, symptoms)] if symptoms else []
    if defects:
        issues += map(_defect, defects)
    custom, status = _rest_of_step(step), RESULTS.get(step.Result)
    if status is None:
        custom["Result"], status = str(step.Result), TestResult.ERROR
    return TestStep.of_ready(
        name,
        status,
        None if start is None else kept(custom, f"{said}StartTime", start, letter.time(start)),
        None if end is None else kept(custom, f"{said}EndTime", end, letter.time(end)),
        _measurements(step.Measurements, symptoms, defects, letter),
        step.Error or None,
        kind,
        verification,
        issues,
        [image for one in defects if one.DefectImages for image in images_of(one)] if defects else [],
        [_condition(one, letter) for one in present(conditions)] if conditions else [],
        _comments(step.Comments, step.TestProcedure) if step.TestProcedure else step.Comments or None,
        custom_data=custom,
    )


def _comments(comments: str | None, procedure: str) -> str:
    return f"{comments}\n{procedure}" if comments else procedure


_rest_of_step: Final = Rest(
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


def _measurements(
    own: list[Measurement] | None, symptoms: list[s.Symptom], defects: list[s.Defect], letter: Letter
) -> list[TestMeasurement]:
    """The step's own, those of its symptoms, its defects, and the symptoms of those; each once."""
    found: list[s.Measurement] = [*own] if own else []
    for symptom in symptoms:
        found += symptom.RelatedMeasurements or ()
    for defect in defects:
        found += defect.RelatedMeasurements or ()
        for symptom in present(defect.RelatedSymptoms):
            found += symptom.RelatedMeasurements or ()
    if not found:
        return []
    read: list[TestMeasurement] = []
    for measurement in found if len(found) == 1 else _each_once(found):
        if measurement.__class__ is s.NumericMeasurement:
            read.append(numeric(measurement, len(read) + 1))
        elif nullable(measurement) is not None:
            read += measurements_of(measurement, len(read) + 1, letter)
    return read


def _each_once(measurements: list[s.Measurement]) -> Iterator[s.Measurement]:
    """Those that were not there before, all of them: some senders give the same identifier to all."""
    seen: dict[str, s.Measurement] = {}
    for measurement in present(measurements):
        known = seen.setdefault(measurement.UniqueIdentifier or "", measurement)
        if known is measurement or not measurement.UniqueIdentifier or known != measurement:
            yield measurement


def _is_named_only(component: s.AnyComponentDesignator) -> bool:
    """Whether no more is told of a component than its designator, as of most."""
    if component.PartNumber or component.UnitPosition or not component.ReferenceDesignator:
        return False
    return component.__class__ is s.ComponentDesignator


def _part(component: s.AnyComponentDesignator) -> dict[str, Any]:
    """All that is told of a component."""
    part = _rest_of_structure(component)
    if component.__class__ is not s.ComponentDesignator:
        part["$type"] = component.__struct_config__.tag
    return part


def _symptom(symptom: s.Symptom) -> TestIssue:
    components, custom = present(symptom.ComponentsOfInterest), _rest_of_symptom(symptom)
    for component in components:
        if not _is_named_only(component):
            custom["ComponentsOfInterest"] = [*map(_part, components)]
            break
    return TestIssue.of_ready(
        "symptom",
        symptom.SymptomCode or "",
        symptom.SymptomCategory,
        symptom.Description,
        [one.ReferenceDesignator for one in components if one.ReferenceDesignator],
        symptom.Comments,
        whole_or_kept(custom, "Priority", symptom.Priority),
        None,  # its confidence, and what became of it, are not in the message
        None,
        None,
        None if symptom.RegionOfInterest is None else _rest_of_structure(symptom.RegionOfInterest),
        custom_data=custom,
    )


_rest_of_symptom: Final = Rest(
    "SymptomCode",
    "SymptomCategory",
    "Description",
    "ComponentsOfInterest",
    "Comments",
    "Priority",
    "RegionOfInterest",
    "RelatedMeasurements",
)


def _defect(defect: s.Defect) -> TestIssue:
    component, custom = defect.ComponentOfInterest, _rest_of_defect(defect)
    if component is not None and not _is_named_only(component):
        custom["ComponentOfInterest"] = _part(component)
    return TestIssue.of_ready(
        "defect",
        defect.DefectCode or "",
        defect.DefectCategory,
        defect.Description,
        [component.ReferenceDesignator] if component is not None and component.ReferenceDesignator else [],
        defect.Comments,
        whole_or_kept(custom, "Priority", defect.Priority),
        real_or_kept(custom, "ConfidenceLevel", defect.ConfidenceLevel),
        _verification(defect.Verification),
        defect.VerificationDetail,
        None if defect.RegionOfInterest is None else _rest_of_structure(defect.RegionOfInterest),
        custom_data=custom,
    )


_rest_of_defect: Final = Rest(
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
)


_rest_of_condition: Final = Rest("MeanValue", "MinValue", "MaxValue")
CONDITION_UNITS: Final = {"Temperature": "degC", "Humidity": "%RH"}


def _condition(condition: s.EnvironmentalCondition, letter: Letter) -> TestCondition:
    kind, custom = type(condition).__name__, _rest_of_condition(condition)
    if kind not in CONDITION_UNITS:  # the standard does not know it, and nobody its unit
        custom |= letter.unknown_of(condition)
        kind = str(custom.get("$type") or "Condition").partition(",")[0].rpartition(".")[2]
    return TestCondition(
        name=kind,
        value=real_or_kept(custom, "MeanValue", condition.MeanValue),
        unit=CONDITION_UNITS.get(kind, "?"),
        minimum=real_or_kept(custom, "MinValue", condition.MinValue),
        maximum=real_or_kept(custom, "MaxValue", condition.MaxValue),
        custom_data=custom,
    )
