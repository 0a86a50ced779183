"""Results of tests and inspections."""

from __future__ import annotations

from collections.abc import Sequence

from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.testandinspection import UnitsInspected, UnitsTested
from pywats_cfx.messages.structures.solderpasteinspection import SolderPasteMeasurement

__all__ = ["aoi", "fct", "ict", "multi", "numeric", "panel", "spi", "unit_with", "units_tested"]

PASSED, FAILED = s.TestResult.Passed, s.TestResult.Failed


def numeric(
    name: str, value: float, unit: str, low: float | None, high: float | None, nominal: float | None = None
) -> s.NumericMeasurement:
    """A measured number, passed if it is within its limits.

    Args:
        name: of the measurement, and of the component it is about.
        value: what was measured.
        unit: of all values.
        low: the least that passes; None for no such limit.
        high: the greatest that passes; None for no such limit.
        nominal: what is expected.
    """
    inside = (low is None or value >= low) and (high is None or value <= high)
    return s.NumericMeasurement(
        MeasurementName=name,
        CRDs=name.rpartition("_")[2],
        Result=PASSED if inside else FAILED,
        MeasuredValue=s.NumericValue(
            Value=value,
            ValueUnits=unit,
            ExpectedValue=nominal,
            ExpectedValueUnits=unit if nominal is not None else None,
            MinimumAcceptableValue=low,
            MaximumAcceptableValue=high,
        ),
    )


def unit_with(identifier: str, tests: Sequence[s.Test], position: int | None = 1) -> s.TestedUnit:
    """A unit that was tested: failed if one of its tests is.

    Args:
        identifier: of the unit, or of its panel.
        tests: in their order.
        position: on the panel.
    """
    failed = any(test.Result is FAILED for test in tests)
    return s.TestedUnit(
        UnitIdentifier=identifier,
        UnitPositionNumber=position,
        OverallResult=FAILED if failed else PASSED,
        Tests=list(tests),
    )


def units_tested(method: s.TestMethod, recipe: str, units: Sequence[s.TestedUnit]) -> UnitsTested:
    """A message about units that were tested.

    Args:
        method: how.
        recipe: the test program.
        units: in their order.
    """
    return UnitsTested(
        TestMethod=method,
        Tester=s.Operator(OperatorIdentifier="BADGE1042", FirstName="Ada", LastName="Lovelace"),
        RecipeName=recipe,
        RecipeRevision="3",
        TestedUnits=list(units),
    )


def _test(name: str, *measurements: s.NumericMeasurement | s.BooleanMeasurement) -> s.Test:
    failed = any(measurement.Result is FAILED for measurement in measurements)
    return s.Test(TestName=name, Result=FAILED if failed else PASSED, Measurements=list(measurements))


def ict() -> UnitsTested:
    """In-circuit test: resistors and a capacitor, all good."""
    tests = [
        _test("RESISTORS", numeric("R_R1", 10_020, "Ohm", 9_900, 10_100, 10_000)),
        _test("CAPACITORS", numeric("C_C7", 98.7, "nF", 90, 110, 100)),
        _test("SHORTS", s.BooleanMeasurement(MeasurementName="SHORTS", Value=True, ExpectedValue=True)),
    ]
    return units_tested(s.TestMethod.ICT, "ict/acme-100.prg", [unit_with("SN100042", tests)])


def fct() -> UnitsTested:
    """Functional test: the current is too high, and what that looks like."""
    bad = _test("CURRENT", numeric("I_IDLE", 0.214, "A", 0.08, 0.12, 0.1))
    bad.Error = "idle current too high"
    bad.SymptomsFound = [
        s.Symptom(
            SymptomCode="I-HIGH",
            SymptomCategory="Electrical",
            Description="Idle current too high",
            ComponentsOfInterest=[s.ComponentDesignator(ReferenceDesignator="U3")],
        )
    ]
    tests = [_test("VOLTAGE", numeric("V_3V3", 3.31, "V", 3.2, 3.4, 3.3)), bad]
    return units_tested(s.TestMethod.FCT, "fct/acme-100", [unit_with("SN100043", tests)])


def multi() -> UnitsTested:
    """Two units with serials of their own in one message."""
    units = [
        unit_with(f"SN10005{n}", [_test("VOLTAGE", numeric("V_3V3", 3.28 + n / 100, "V", 3.2, 3.4))], n)
        for n in (1, 2)
    ]
    return units_tested(s.TestMethod.FCT, "fct/acme-100", units)


def panel() -> UnitsTested:
    """A panel: all units have its identifier, and a position."""
    values = {1: 9_990.0, 2: 10_040.0, 3: 10_400.0, 4: 9_960.0}
    units = [
        unit_with("PANEL7", [_test("RESISTORS", numeric("R_R1", value, "Ohm", 9_900, 10_100))], position)
        for position, value in values.items()
    ]
    return units_tested(s.TestMethod.ICT, "ict/acme-100.prg", units)


def aoi() -> UnitsInspected:
    """Optical inspection: a component is missing, and a person agrees."""
    defect = s.Defect(
        DefectCode="MISSING",
        DefectCategory="Placement",
        Description="Component missing",
        ComponentOfInterest=s.ComponentDesignator(ReferenceDesignator="C12"),
        ConfidenceLevel=97.5,
        Verification=s.VerificationResult.DefectConfirmed,
    )
    inspections = [
        s.Inspection(InspectionName="C12", Result=FAILED, DefectsFound=[defect]),
        s.Inspection(InspectionName="U3", Result=PASSED),
    ]
    unit = s.InspectedUnit(
        UnitIdentifier="PANEL7",
        UnitPositionNumber=1,
        OverallResult=FAILED,
        Inspections=inspections,
        Verification=s.VerificationResult.DefectConfirmed,
    )
    other = s.InspectedUnit(UnitIdentifier="PANEL7", UnitPositionNumber=2, OverallResult=PASSED)
    return UnitsInspected(
        InspectionMethod=s.InspectionMethod.AOI,
        Inspector=s.Operator(ActorType=s.ActorType.Robot, OperatorIdentifier="AOI1"),
        RecipeName="aoi/acme-100",
        InspectedUnits=[unit, other],
    )


def spi() -> UnitsInspected:
    """Solder paste inspection: the deposits of one unit."""
    deposits = [
        SolderPasteMeasurement(
            MeasurementName=f"PAD{pad}", CRDs=f"R1.{pad}", X=0.61, EX=0.6, Y=0.8, EY=0.8, Z=0.118, EZ=0.12,
            Vol=0.057, EVol=0.058, A=0.48, EA=0.48,
        )
        for pad in (1, 2)
    ]  # fmt: skip
    inspection = s.Inspection(InspectionName="R1", Result=PASSED, Measurements=list(deposits))
    unit = s.InspectedUnit(
        UnitIdentifier="PANEL7", UnitPositionNumber=1, OverallResult=PASSED, Inspections=[inspection]
    )
    return UnitsInspected(
        InspectionMethod=s.InspectionMethod.SPI, RecipeName="spi/acme-100", InspectedUnits=[unit]
    )
