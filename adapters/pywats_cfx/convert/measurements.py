"""Measurements of CFX, of every kind, as those of events (pure).

Values are in the unit of their limits, which the test program fixed; what cannot be converted is
handed on as it was sent, without limits to compare it with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from pywats_cfx.convert._units import converted
from pywats_cfx.convert.letter import Letter, Rest, kept, real_number, real_or_kept, rest
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

__all__ = ["RESULTS", "measurements_of", "numeric", "outside_limits", "result_of"]

Measurement: TypeAlias = s.AnyMeasurement

# Looking a member up in its enum takes as long as making the struct of a measurement.
PASS: Final = TestResult.PASS
ERROR: Final = TestResult.ERROR
RESULTS: Final[dict[str | None, TestResult]] = {
    None: PASS,
    s.TestResult.Passed: PASS,
    s.TestResult.Failed: TestResult.FAIL,
    s.TestResult.Error: ERROR,
    s.TestResult.Aborted: TestResult.ABORTED,
    s.TestResult.Skipped: TestResult.SKIPPED,
}
_rest_of_measurement: Final = Rest(
    "MeasurementName",
    "Result",
    "Sequence",
    "MeasuredValue",
    "Value",
    "ExpectedValue",
    "ActualValue",
    "Thickness",
)
SHARED: Final = ("MeasurementName", "Result", "Sequence")

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
    return RESULTS.get(result, ERROR)


def _rest(measurement: Any, *named: str) -> dict[str, Any]:
    """What has no place of its own; a sequence number of 0 is what the standard has for none."""
    custom = rest(measurement, *named) if named else _rest_of_measurement(measurement)
    if measurement.Sequence:
        custom["Sequence"] = measurement.Sequence
    return custom


def _no_result(measurement: Any, custom: dict[str, Any]) -> TestResult:
    """That of one whose result the standard does not know, which is kept as it was sent."""
    custom["Result"] = str(measurement.Result)
    return ERROR


def measurements_of(measurement: s.Measurement, number: int, letter: Letter) -> Iterator[TestMeasurement]:
    """The event's measurements of one of CFX: several where it has axes.

    Args:
        measurement: of a test, inspection, symptom or defect.
        number: its place, from 1, for one without a name.
        letter: the message that it is in.
    """
    if isinstance(measurement, s.NumericMeasurement):
        yield numeric(measurement, number)
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
            ("value", "Thickness"),
            unit="um",
            comp_op="LOG",
            kind="coating_thickness",
        )
    elif isinstance(measurement, OffsetMeasurement):
        yield from _axes(measurement, _named(measurement, "Offset", number), "offset", OFFSET_AXES, {})
    elif isinstance(measurement, SolderPasteMeasurement):
        name = _named(measurement, "Solder paste", number)
        yield from _axes(measurement, name, "solder_paste", PASTE_AXES, PASTE_NOMINAL)
    elif isinstance(measurement, InspectionMeasurementLean):
        name = _named(measurement, "Inspection", number)
        yield from _axes(measurement, name, "inspection_lean", PASTE_AXES, {})
    elif isinstance(measurement, InspectionMeasurementExpected):  # nothing measured
        name = _named(measurement, "Expected", number)
        yield _single(measurement, name, value=None, comp_op="LOG", kind="inspection_expected")
    else:
        yield _unknown(measurement, number, letter)


def _unknown(measurement: s.Measurement, number: int, letter: Letter) -> TestMeasurement:
    """One that the standard does not know, with all that it has."""
    custom = {**_rest(measurement), **letter.unknown_of(measurement)}
    return TestMeasurement(
        name=_named(measurement, "Measurement", number),
        status=RESULTS.get(measurement.Result) or _no_result(measurement, custom),
        comp_op="LOG",
        kind="unknown",
        custom_data=custom,
    )


def _named(measurement: Any, kind: str, number: int) -> str:
    return measurement.MeasurementName or measurement.CRDs or f"{kind} {number}"


def _single(measurement: Any, name: str, *numbers: tuple[str, str], **fields: Any) -> TestMeasurement:
    """One measurement.

    Args:
        measurement: as it was sent.
        name: of it.
        *numbers: fields of the event's with those of CFX that hold their numbers.
        **fields: others of the event's.
    """
    custom = _rest(measurement)
    for field, sent in numbers:
        number = getattr(measurement, sent)
        fields[field] = real_or_kept(custom, sent, number)
    status = RESULTS.get(measurement.Result) or _no_result(measurement, custom)
    return TestMeasurement.of_ready(name, status=status, custom_data=custom, **fields)


def numeric(measurement: s.NumericMeasurement, number: int) -> TestMeasurement:
    """The event's measurement of a number of CFX. HOT: tests/benchmarks/bench_cfx_decode.py."""
    name = measurement.MeasurementName or measurement.CRDs or f"Numeric {number}"
    custom = _rest_of_measurement(measurement)
    if measurement.Sequence:
        custom["Sequence"] = measurement.Sequence
    status = RESULTS.get(measurement.Result) or _no_result(measurement, custom)
    measured: Any = measurement.MeasuredValue
    if measured is None:  # not as the standard has it
        return TestMeasurement.of_ready(name, status=status, comp_op="LOG", custom_data=custom)
    sent, expected = measured.Value, measured.ExpectedValue
    least, greatest = measured.MinimumAcceptableValue, measured.MaximumAcceptableValue
    unit = measured.ValueUnits
    shared = measured.ExpectedValueUnits or unit
    low_unit = measured.MinimumAcceptableValueUnits or shared
    high_unit = measured.MaximumAcceptableValueUnits or shared
    into = (low_unit if least is not None else high_unit if greatest is not None else None) or unit
    value = sent if sent.__class__ is float and unit == into else _in_unit(sent, unit, into)
    # The unit of all is that of the lower limit.
    low = least if least.__class__ is float else real_number(least)
    high = None if greatest is None else _in_unit(greatest, high_unit, into)
    nominal = None if expected is None else _in_unit(expected, shared, into)
    if (
        (value is None and sent is not None)
        or (low is None and least is not None)
        or (high is None and greatest is not None)
        or (nominal is None and expected is not None)
    ):
        custom["MeasuredValue"] = plain(measured, "MeasuredValue")
        return _as_far_as_read(measured, name, status, custom)
    return TestMeasurement.of_ready(
        name, value, into or "?", status, low, high, nominal, _comparison(low, high), custom_data=custom
    )


def _as_far_as_read(
    measured: s.NumericValue, name: str, status: TestResult, custom: dict[str, Any]
) -> TestMeasurement:
    """A number of which something is none, or in a unit that nobody can convert."""
    value, nominal = real_number(measured.Value), real_number(measured.ExpectedValue)
    low, high = real_number(measured.MinimumAcceptableValue), real_number(measured.MaximumAcceptableValue)
    unit = measured.ValueUnits
    shared = measured.ExpectedValueUnits or unit
    low_unit = measured.MinimumAcceptableValueUnits or shared
    high_unit = measured.MaximumAcceptableValueUnits or shared
    into = (low_unit if low is not None else high_unit if high is not None else None) or unit
    read = [_in_unit(value, unit, into), _in_unit(low, low_unit, into), _in_unit(high, high_unit, into)]
    if read.count(None) != [value, low, high].count(None):  # as it was sent, with nothing to compare it with
        return TestMeasurement.of_ready(name, value, unit or "?", status, comp_op="LOG", custom_data=custom)
    return TestMeasurement.of_ready(
        name,
        read[0],
        into or "?",
        status,
        *read[1:],
        _in_unit(nominal, shared, into),
        _comparison(low, high),
        custom_data=custom,
    )


def _in_unit(value: Any, unit: str | None, into: str | None) -> float | None:
    """A value in another unit; None if it is no number, or nobody knows how."""
    if value is None:
        return None
    number = value if value.__class__ is float else real_number(value)
    return number if number is None or unit == into else converted(number, unit, into)


def _comparison(low: float | None, high: float | None) -> str:
    if low is not None:
        return "GE" if high is None else "GELE"
    return "LOG" if high is None else "LE"


def _coating(measurement: CoatingMeasurement, name: str) -> TestMeasurement:
    low, high = real_number(measurement.MinAcceptableValue), real_number(measurement.MaxAcceptableValue)
    return _single(
        measurement,
        name,
        ("value", "ActualValue"),
        ("nominal", "ExpectedValue"),
        unit=COATING_UNITS.get(measurement.MeasurementType, "mm"),
        low_limit=low,
        high_limit=high,
        comp_op=_comparison(low, high),
        kind="coating",
    )


def _axes(
    measurement: Any, name: str, kind: str, axes: dict[str, str], nominal: dict[str, str]
) -> Iterator[TestMeasurement]:
    """One measurement for each axis, in one group; what belongs to all stands with the first."""
    used = {*axes, *nominal.values(), *SHARED}
    custom = _rest(measurement, *used)
    status = RESULTS.get(measurement.Result) or _no_result(measurement, custom)
    found = {
        axis: getattr(measurement, axis) for axis in axes if getattr(measurement, axis, None) is not None
    }
    for axis, value in found.items():
        real_or_kept(custom, axis, value)
    for axis, expected in nominal.items():
        value = getattr(measurement, expected)
        kept(custom, expected, value, real_number(value) if axis in found else None)
    if not found:
        yield TestMeasurement.of_ready(name, status=status, comp_op="LOG", kind=kind, custom_data=custom)
    for axis, value in found.items():
        yield TestMeasurement.of_ready(
            name=axis,
            value=real_number(value),
            unit=axes[axis],
            nominal=real_number(getattr(measurement, nominal[axis])) if axis in nominal else None,
            comp_op="LOG",
            status=status,
            kind=kind,
            group=name,
            custom_data=custom,
        )
        custom = {}


def outside_limits(measurement: TestMeasurement) -> bool:
    """Whether a measurement that its sender calls passed is outside its limits."""
    low, high = measurement.low_limit, measurement.high_limit
    if low is None and high is None:
        return False
    value = measurement.value
    if value.__class__ is not float or measurement.status is not PASS:
        return False
    return not measurement.is_within_limits()
