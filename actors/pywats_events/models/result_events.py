"""Results of tests and inspections, as payloads of events.

Whoever sent a result has judged it: nothing here computes one from limits or from steps.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import force_setattr

from pywats_events.models._clock import now
from pywats_events.models._payload import Number, Payload, number_of, seconds_between

__all__ = [
    "InspectionResultEvent",
    "TestAttachment",
    "TestCondition",
    "TestIssue",
    "TestMeasurement",
    "TestResult",
    "TestResultEvent",
    "TestStartedEvent",
    "TestStep",
]

_WORDS: Final = {
    "p": "pass",
    "passed": "pass",
    "ok": "pass",
    "f": "fail",
    "failed": "fail",
    "ng": "fail",
    "e": "error",
    "s": "skipped",
    "skip": "skipped",
    "t": "aborted",
    "abort": "aborted",
    "terminated": "aborted",
}
"""Words that testers use, in lower case."""


class TestResult(StrEnum):
    """How a test ended; `TestResult("Passed")`, `("OK")` or `("P")` are read too, in any case."""

    __test__ = False

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"
    SKIPPED = "skipped"
    ABORTED = "aborted"

    @classmethod
    def _missing_(cls, value: object) -> TestResult | None:
        word = str(value).strip().lower()
        word = _WORDS.get(word, word)
        return next((each for each in cls if each.value == word), None)


class TestMeasurement(Payload, frozen=True):
    """One measured value.

    Attributes:
        name: of the measurement.
        value: what was measured.
        unit: of the value and the limits.
        status: its result, as its sender judged it.
        low_limit: the least value that passes.
        high_limit: the greatest value that passes.
        nominal: what was expected; no limit.
        comp_op: how value and limits are compared: GELE, GE, LE, EQ, LOG and so on.
        kind: numeric, boolean, text, or what else the source calls it.
        group: measurements of one group belong together, such as the axes of a position.
    """

    __test__: ClassVar[bool] = False

    name: str
    value: float | bool | str | None = None
    unit: str = "?"
    status: TestResult = TestResult.PASS
    low_limit: Number | None = None
    high_limit: Number | None = None
    nominal: float | bool | str | None = None
    comp_op: str = "GELE"
    kind: str = "numeric"
    group: str | None = None

    @classmethod
    def _understood(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("kind", "numeric") != "numeric":
            return fields
        return {
            **fields,
            **{name: number_of(fields[name]) for name in ("value", "nominal") if name in fields},
        }

    def _read_fields(self) -> None:
        super()._read_fields()
        if self.kind == "numeric" and (self.value.__class__ is str or self.nominal.__class__ is str):
            force_setattr(self, "value", number_of(self.value))
            force_setattr(self, "nominal", number_of(self.nominal))

    def is_within_limits(self) -> bool:
        """Whether the value is within the limits; what has no value, or one that is no number, is."""
        if self.value is None or isinstance(self.value, str):
            return True
        return not (
            (self.low_limit is not None and self.value < self.low_limit)
            or (self.high_limit is not None and self.value > self.high_limit)
        )


class TestIssue(Payload, frozen=True):
    """What a test found: a symptom, or a defect.

    Attributes:
        kind: symptom or defect.
        code: of the symptom or defect.
        category: of the code.
        description: in words.
        reference_designators: the components concerned: R22.1, R22.2.
        comments: of the operator.
        priority: as the source counts it.
        confidence: as the source measures it.
        verification: what became of it: DefectRejected, DefectConfirmed and so on.
        verification_detail: more of that.
        region: where on the unit, as the source says it.
    """

    __test__: ClassVar[bool] = False

    kind: str
    code: str = ""
    category: str | None = None
    description: str | None = None
    reference_designators: list[str] = msgspec.field(default_factory=list)
    comments: str | None = None
    priority: int | None = None
    confidence: Number | None = None
    verification: str | None = None
    verification_detail: str | None = None
    region: Any = None


class TestAttachment(Payload, frozen=True):
    """An image or another file that belongs to a step.

    Attributes:
        name: of the file.
        content_type: its MIME type.
        data: its content; None if only its name or place is known.
        url: where it is; secrets in it are removed by whoever reads it from a wire.
    """

    __test__: ClassVar[bool] = False

    name: str
    content_type: str = "application/octet-stream"
    data: bytes | None = None
    url: str | None = None


class TestCondition(Payload, frozen=True):
    """Under what condition a step was tested, such as a temperature.

    Attributes:
        name: Temperature, Humidity and so on.
        value: the mean.
        unit: degC, %RH and so on.
        minimum: the least during the step.
        maximum: the greatest during the step.
    """

    __test__: ClassVar[bool] = False

    name: str
    value: Number | None = None
    unit: str = "?"
    minimum: Number | None = None
    maximum: Number | None = None


class TestStep(Payload, frozen=True):
    """One step of a test.

    Attributes:
        name: of the step.
        status: its result, as its sender judged it.
        start_time: when it began.
        end_time: when it ended.
        measurements: in the sender's order.
        message: what went wrong.
        step_type: passfail, numeric, string and so on.
        verification: what became of its defects.
        issues: symptoms and defects.
        attachments: images and other files.
        conditions: temperature and the like.
        comments: of the operator, and the procedure.
    """

    __test__: ClassVar[bool] = False

    name: str
    status: TestResult = TestResult.PASS
    start_time: datetime | None = None
    end_time: datetime | None = None
    measurements: list[TestMeasurement] = msgspec.field(default_factory=list)
    message: str | None = None
    step_type: str = "passfail"
    verification: str | None = None
    issues: list[TestIssue] = msgspec.field(default_factory=list)
    attachments: list[TestAttachment] = msgspec.field(default_factory=list)
    conditions: list[TestCondition] = msgspec.field(default_factory=list)
    comments: str | None = None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end; None unless both are known."""
        seconds = seconds_between(self.start_time, self.end_time)
        return None if seconds is None else seconds * 1000


class TestResultEvent(Payload, frozen=True):
    """The result of one test run, or inspection, of one unit.

    `passed=True` or `passed=False` stand for a result where none is given.

    Attributes:
        unit_id: the unit's serial number.
        result: of all, as its sender judged it.
        part_number: of the unit.
        revision: of the part.
        station_id: the machine.
        operator_id: who tested.
        start_time: when the run began; default now.
        end_time: when it ended.
        steps: in the sender's order.
        test_socket: position of the unit in fixture or panel.
        batch_sn: serial number of the panel or batch.
        fixture_id: of the fixture.
        process: what kind of test or inspection: ICT, FCT, AOI and so on.
        recipe_name: the test program.
        recipe_revision: of the test program.
        verification: what became of an inspection's defects.
        conflicts: where the sender contradicts itself.
    """

    __test__: ClassVar[bool] = False

    unit_id: str
    result: TestResult = TestResult.PASS
    part_number: str | None = None
    revision: str | None = None
    station_id: str | None = None
    operator_id: str | None = None
    start_time: datetime = msgspec.field(default_factory=now)
    end_time: datetime | None = None
    steps: list[TestStep] = msgspec.field(default_factory=list)
    test_socket: int | None = None
    batch_sn: str | None = None
    fixture_id: str | None = None
    process: str | None = None
    recipe_name: str | None = None
    recipe_revision: str | None = None
    verification: str | None = None
    conflicts: list[str] = msgspec.field(default_factory=list)

    @classmethod
    def _understood(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if isinstance(fields.get("passed"), bool) and "result" not in fields:
            passed = fields.pop("passed")
            return {**fields, "result": TestResult.PASS if passed else TestResult.FAIL}
        return fields

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end; None unless both are known."""
        seconds = seconds_between(self.start_time, self.end_time)
        return None if seconds is None else seconds * 1000

    @property
    def passed(self) -> bool:
        """Whether the result is a pass."""
        return self.result is TestResult.PASS

    @property
    def measurement_count(self) -> int:
        """How many measurements its steps have."""
        return sum(len(step.measurements) for step in self.steps)


class InspectionResultEvent(Payload, frozen=True):
    """The result of an inspection, in the short form of pywats-api 0.6.

    What comes from a machine is a `TestResultEvent`, which has room for measurements.

    Attributes:
        unit_id: the unit's serial number.
        result: as its sender judged it.
        part_number: of the unit.
        station_id: the machine.
        inspection_type: aoi, visual, xray, spi.
        start_time: when it began; default now.
        end_time: when it ended.
        defects: what was found.
        images: places of images.
    """

    unit_id: str
    result: TestResult = TestResult.PASS
    part_number: str | None = None
    station_id: str | None = None
    inspection_type: str = "aoi"
    start_time: datetime = msgspec.field(default_factory=now)
    end_time: datetime | None = None
    defects: list[dict[str, Any]] = msgspec.field(default_factory=list)
    images: list[str] = msgspec.field(default_factory=list)


class TestStartedEvent(Payload, frozen=True):
    """A test or inspection of a unit has begun.

    Attributes:
        unit_id: the unit's serial number.
        station_id: the machine.
        part_number: of the unit.
        operator_id: who tests.
        process: what kind of test or inspection.
        recipe_name: the test program.
        recipe_revision: of the test program.
        timestamp: when it began; default now.
    """

    __test__: ClassVar[bool] = False

    unit_id: str
    station_id: str | None = None
    part_number: str | None = None
    operator_id: str | None = None
    process: str | None = None
    recipe_name: str | None = None
    recipe_revision: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
