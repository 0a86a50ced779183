"""Measurements of CFX, of every kind, as those of events (pure).

Values are in the unit of their limits, which the test program fixed; what cannot be converted is
handed on as it was sent, without limits to compare it with.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any, Final, TypeAlias

from pywats_cfx.convert._units import converted
from pywats_cfx.convert.letter import rest, sent
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.structures.coating import CoatingMeasurement
from pywats_cfx.messages.structures.pcbinspection import OffsetMeasurement
from pywats_cfx.messages.structures.solderpasteinspection import (
    InspectionMeasurementExpected,
    InspectionMeasurementLean,
    SolderPasteMeasurement,
)
from pywats_cfx.messages.structures.vacuumdeposition import CoatingThicknessMeasurement
from pywats_cfx.wire.encoding import plain
from pywats_events.models.result_events import TestMeasurement, TestResult

__all__ = ["RESULTS", "measurements_of", "outside_limits", "result_of"]

Measurement: TypeAlias = s.AnyMeasurement

RESULTS: Final = {
    s.TestResult.Passed: TestResult.PASS,
    s.TestResult.Failed: TestResult.FAIL,
    s.TestResult.Error: TestResult.ERROR,
    s.TestResult.Aborted: TestResult.ABORTED,
    s.TestResult.Skipped: TestResult.SKIPPED,
}
NAMED: Final = (
    "MeasurementName",
    "Result",
    "Sequence",
    "MeasuredValue",
    "Value",
    "ExpectedValue",
    "ActualValue",
    "Thickness",
)
SHARED: Final = ("UniqueIdentifier", "MeasurementName", "Result", "CRDs", "TimeRecorded", "Sequence")

PASTE_AXES: Final = {
    "X": "mm",
    "Y": "mm",
    "Z": "mm",
    "DX": "mm",
    "DY": "mm",
    "Vol": "ml",
    "A": "mm2",
    "RXY": "deg",
}
PASTE_NOMINAL: Final = {"X": "EX", "Y": "EY", "Z": "EZ", "Vol": "EVol", "A": "EA"}
OFFSET_AXES: Final = {"DX": "mm", "DY": "mm", "DZ": "mm", "RXY": "deg", "RZX": "deg", "RZY": "deg"}
COATING_UNITS: Final = {
    "FluidPressure": "kPa",
    "FluidVolume": "cm3",
    "Heater": "degC",
    "Monitor": "degC",
    "Fluidweight": "g",
}


def result_of(result: s.TestResult | None) -> TestResult:
    """The sender's word for a result; one that the standard does not know is an error."""
    return TestResult.PASS if result is None else RESULTS.get(result, TestResult.ERROR)


def measurements_of(measurement: Measurement, number: int) -> Iterator[TestMeasurement]:
    """The event's measurements of one of CFX: several where it has axes.

    Args:
        measurement: of a test, inspection, symptom or defect.
        number: its place, from 1, for one without a name.
    """
    if isinstance(measurement, s.NumericMeasurement):
        yield _numeric(measurement, _named(measurement, "Numeric", number))
    elif isinstance(measurement, s.BooleanMeasurement):
        yield _single(
            measurement,
            _named(measurement, "Boolean", number),
            value=measurement.Value,
            nominal=measurement.ExpectedValue,
            comp_op="EQ",
            kind="boolean",
        )
    elif isinstance(measurement, s.TextMeasurement):
        yield _single(
            measurement,
            _named(measurement, "Text", number),
            value=measurement.Value,
            nominal=measurement.ExpectedValue,
            comp_op="LOG" if measurement.ExpectedValue is None else "EQ",
            kind="text",
        )
    elif isinstance(measurement, CoatingMeasurement):
        yield _coating(measurement, _named(measurement, "Coating", number))
    elif isinstance(measurement, CoatingThicknessMeasurement):
        name = _named(measurement, "Thickness", number)
        yield _single(
            measurement,
            f"{name} {measurement.Position}",
            value=_number(measurement.Thickness),
            unit="um",
            comp_op="LOG",
            kind="coating_thickness",
        )
    elif isinstance(measurement, OffsetMeasurement):
        yield from _axes(measurement, _named(measurement, "Offset", number), "offset", OFFSET_AXES, {})
    else:
        yield from _paste(measurement, number)


def _paste(
    measurement: SolderPasteMeasurement | InspectionMeasurementLean | InspectionMeasurementExpected,
    number: int,
) -> Iterator[TestMeasurement]:
    if isinstance(measurement, SolderPasteMeasurement):
        name = _named(measurement, "Solder paste", number)
        yield from _axes(measurement, name, "solder_paste", PASTE_AXES, PASTE_NOMINAL)
    elif isinstance(measurement, InspectionMeasurementLean):
        name = _named(measurement, "Inspection", number)
        yield from _axes(measurement, name, "inspection_lean", PASTE_AXES, {})
    else:  # expectations alone, without anything measured
        name = _named(measurement, "Expected", number)
        yield _single(measurement, name, value=None, comp_op="LOG", kind="inspection_expected")


def _named(measurement: Any, kind: str, number: int) -> str:
    return measurement.MeasurementName or measurement.CRDs or f"{kind} {number}"


def _single(measurement: Any, name: str, **fields: Any) -> TestMeasurement:
    custom = rest(measurement, *NAMED)
    if "custom_data" in fields:
        custom |= fields.pop("custom_data")
    return TestMeasurement(name=name, status=result_of(measurement.Result), custom_data=custom, **fields)


def _number(value: Any) -> float | None:
    """A number; None for what the sender wrote in its place."""
    if value is None or value.__class__ is float:
        return value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _numeric(measurement: s.NumericMeasurement, name: str) -> TestMeasurement:
    value_sent = sent(measurement.MeasuredValue)
    if value_sent is None:
        return _single(measurement, name, value=None, comp_op="LOG", kind="numeric")
    value, low, high = map(
        _number, (value_sent.Value, value_sent.MinimumAcceptableValue, value_sent.MaximumAcceptableValue)
    )
    nominal = _number(value_sent.ExpectedValue)
    shared = value_sent.ExpectedValueUnits or value_sent.ValueUnits
    low_unit = value_sent.MinimumAcceptableValueUnits or shared
    high_unit = value_sent.MaximumAcceptableValueUnits or shared
    unit = (low_unit if low is not None else high_unit if high is not None else None) or value_sent.ValueUnits
    read = [
        _in_unit(value, value_sent.ValueUnits, unit),
        _in_unit(low, low_unit, unit),
        _in_unit(high, high_unit, unit),
    ]
    custom = {} if value is not None or sent(value_sent.Value) is None else {"Value": value_sent.Value}
    if any(was is not None and now is None for was, now in zip((value, low, high), read, strict=True)):
        custom["MeasuredValue"] = plain(value_sent, "MeasuredValue")
        return _single(
            measurement,
            name,
            value=value,
            unit=value_sent.ValueUnits or "?",
            comp_op="LOG",
            kind="numeric",
            custom_data=custom,
        )
    return _single(
        measurement,
        name,
        value=read[0],
        unit=unit or "?",
        low_limit=read[1],
        high_limit=read[2],
        nominal=_in_unit(nominal, shared, unit),
        comp_op=_comparison(low, high),
        kind="numeric",
        custom_data=custom,
    )


def _in_unit(value: float | None, unit: str | None, into: str | None) -> float | None:
    return value if value is None or unit == into else converted(value, unit, into)


def _comparison(low: float | None, high: float | None) -> str:
    if low is not None:
        return "GE" if high is None else "GELE"
    return "LOG" if high is None else "LE"


def _coating(measurement: CoatingMeasurement, name: str) -> TestMeasurement:
    low, high = _number(measurement.MinAcceptableValue), _number(measurement.MaxAcceptableValue)
    return _single(
        measurement,
        name,
        value=_number(measurement.ActualValue),
        unit=COATING_UNITS.get(measurement.MeasurementType, "mm"),
        low_limit=low,
        high_limit=high,
        nominal=_number(measurement.ExpectedValue),
        comp_op=_comparison(low, high),
        kind="coating",
    )


def _axes(
    measurement: Any, name: str, kind: str, axes: dict[str, str], nominal: dict[str, str]
) -> Iterator[TestMeasurement]:
    """One measurement for each axis, in one group; what belongs to all stands with the first."""
    used = {*axes, *nominal.values(), *SHARED}
    custom = rest(measurement, *used)
    if measurement.CRDs:
        custom["CRDs"] = measurement.CRDs
    for axis, unit in axes.items():
        if not hasattr(measurement, axis) or getattr(measurement, axis) is None:
            continue
        yield TestMeasurement(
            name=axis,
            value=_number(getattr(measurement, axis)),
            unit=unit,
            nominal=_number(getattr(measurement, nominal[axis])) if axis in nominal else None,
            comp_op="LOG",
            status=result_of(measurement.Result),
            kind=kind,
            group=name,
            custom_data=custom,
        )
        custom = {}


def outside_limits(measurement: TestMeasurement) -> bool:
    """Whether a measurement that its sender calls passed is outside its limits."""
    value = measurement.value
    if measurement.status is not TestResult.PASS or not isinstance(value, float) or not isfinite(value):
        return False
    return not measurement.is_within_limits()
