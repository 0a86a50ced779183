"""Decoding a CFX message into typed structs, and converting it, against `json.loads` of the same bytes.

Guards the fast way of `pywats_cfx.wire.decoding`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from benchmarks.yardstick import interleaved
from pywats_cfx import Converter, Envelope, decode, encode
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.testandinspection import UnitsTested

PROMISES = {"decode / json.loads": 1.0, "decode and convert / json.loads": 0.4}

MESSAGES = 5_000


def units_tested() -> bytes:
    """A message as a tester sends it: two units of a panel, one of them failed; 4 kB."""
    limits = {"ValueUnits": "Ohm", "ExpectedValueUnits": "kOhm", "MinimumAcceptableValue": 28.0}
    tests = [
        s.Test(
            TestName=f"RESISTANCE_R{number}",
            Measurements=[
                s.NumericMeasurement(
                    MeasurementName=f"R{number}",
                    CRDs=f"R{number}",
                    MeasuredValue=s.NumericValue(Value=28_300.0 + number, ExpectedValue=28.2, **limits),
                )
            ],
            SymptomsFound=[
                s.Symptom(
                    SymptomCode="RESFAIL",
                    ComponentsOfInterest=[s.ComponentDesignator(ReferenceDesignator="R22.1")],
                )
            ],
        )
        for number in range(2)
    ]
    units = [s.TestedUnit(UnitIdentifier="PANEL1", UnitPositionNumber=place, Tests=tests) for place in (1, 2)]
    return encode(Envelope.of(UnitsTested(TestedUnits=units), source="Line1.ICT"))


def measure(rounds: int) -> dict[str, float]:
    """The ratio of speeds."""
    data = units_tested()

    def speed(read: Callable[[bytes], object]) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            started = time.perf_counter()
            for _ in range(MESSAGES):
                read(data)
            return MESSAGES / (time.perf_counter() - started)

        return run

    converter = Converter()
    speeds = interleaved(
        rounds,
        decode=speed(decode),
        both=speed(lambda data: converter.convert(decode(data))),
        json=speed(json.loads),
    )
    return {
        "decode / json.loads": speeds["decode"] / speeds["json"],
        "decode and convert / json.loads": speeds["both"] / speeds["json"],
    }
