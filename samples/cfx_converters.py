"""Converters of one's own, for CFX messages that become nothing but CUSTOM events by default.

Repairs become maintenance of the unit's record, processed units one event each with what the
machine measured, magazines of Hermes one event per board. Each is a function from a message to
events, registered in one line. `python samples/cfx_converters.py` shows what they make.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pywats_cfx import Converter, Envelope
from pywats_cfx.convert import Letter
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.hermes import MagazineArrived
from pywats_cfx.messages.production.processing import UnitsProcessed
from pywats_cfx.messages.production.reworkandrepair import UnitsRepaired
from pywats_cfx.wire.encoding import plain
from pywats_events import Event, EventType
from pywats_events.models import TestMeasurement, TestResult, TestResultEvent, TestStep
from pywats_events.models.production_events import UnitArrivedEvent

UNIT_REPAIRED = EventType.register("acme.unit_repaired")


def repairs(message: UnitsRepaired, letter: Letter) -> Iterator[Event]:
    """One event per repaired unit, with what was done to which component."""
    for index, unit in enumerate(message.RepairedUnits or ()):
        done = [
            {
                "name": repair.RepairName,
                "component": repair.ComponentOfInterest.ReferenceDesignator
                if repair.ComponentOfInterest
                else None,
                "result": str(repair.Result),
                "defects": repair.RelatedDefectIdentifiers or [],
            }
            for repair in unit.Repairs or ()
        ]
        payload = {
            "unit_id": unit.UnitIdentifier,
            "result": str(unit.OverallResult),
            "operator": message.RepairOperator.OperatorIdentifier,
            "repairs": done,
        }
        yield letter.event(UNIT_REPAIRED, payload, index, correlation_id=message.TransactionId)


def processed(message: UnitsProcessed, letter: Letter) -> Iterator[Event]:
    """One test result per processed unit: its step is the process, with every number of its data."""
    panels = letter.panels([(u.UnitIdentifier, u.UnitPositionNumber) for u in message.UnitProcessData or ()])
    for index, unit in enumerate(message.UnitProcessData or ()):
        serial, panel = letter.unit(
            unit.UnitIdentifier, unit.UnitPositionNumber, on_panel=unit.UnitIdentifier in panels
        )
        passed = str(unit.UnitResult) == "Succeeded"
        data = plain(unit.UnitProcessData, "UnitProcessData") if unit.UnitProcessData is not None else {}
        status = TestResult.PASS if passed else TestResult.FAIL
        step = TestStep(name="Process", status=status, measurements=list(numbers(data)), custom_data=data)
        payload = TestResultEvent(
            unit_id=serial or "",
            result=status,
            station_id=letter.source,
            start_time=letter.sent_at,
            batch_sn=panel,
            process="process",
            steps=[step],
        )
        yield letter.event(EventType.TEST_RESULT, payload, index, correlation_id=message.TransactionId)


def numbers(data: dict[str, object]) -> Iterator[TestMeasurement]:
    """The numbers of process data, each as a value that is kept and not judged."""
    for name, value in data.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield TestMeasurement(name=name, value=float(value), comp_op="LOG")


def magazine(message: MagazineArrived, letter: Letter) -> Iterator[Event]:
    """One event per board in the magazine that has a barcode."""
    units: list[s.HermesUnit] = (message.MagazineData.HermesUnits or []) if message.MagazineData else []
    for index, unit in enumerate(units):
        barcode = unit.TopBarcode or unit.BottomBarcode
        if barcode:
            payload = UnitArrivedEvent(
                unit_id=barcode,
                station_id=letter.source,
                part_number=unit.ProductTypeId,
                timestamp=letter.sent_at,
                custom_data={"slot": unit.SlotId, "board_id": unit.BoardId},
            )
            yield letter.event(EventType.UNIT_ARRIVED, payload, index)


def converter() -> Converter:
    """A converter that knows these messages, too; give it to `CFXTransport(converter=...)`."""
    made = Converter()
    made.register(UnitsRepaired, repairs)
    made.register(UnitsProcessed, processed)
    made.register(MagazineArrived, magazine)
    return made


def messages() -> Iterator[Envelope]:
    """One message of each kind."""
    repair = s.Repair(
        RepairName="Resoldered",
        ComponentOfInterest=s.ComponentDesignator(ReferenceDesignator="U3"),
        RelatedDefectIdentifiers=["D-17"],
    )
    unit = s.RepairedUnit(UnitIdentifier="SN100043", Repairs=[repair])
    yield Envelope.of(UnitsRepaired(RepairedUnits=[unit]), source="//Acme/Repair1")
    data = s.reflowprofiling.ReflowProfilingProcessData()
    yield Envelope.of(
        UnitsProcessed(UnitProcessData=[s.ProcessedUnit(UnitIdentifier="SN100042", UnitProcessData=data)]),
        source="//Acme/Reflow1",
    )
    board = s.HermesUnit(SlotId=4, TopBarcode="SN100042", ProductTypeId="PCBA-1")
    yield Envelope.of(MagazineArrived(MagazineData=s.Magazine(HermesUnits=[board])), source="//Acme/Loader1")


def main() -> int:
    """Show what becomes of the messages."""
    made = converter()
    for envelope in messages():
        for event in made.convert(envelope):
            unit = event.payload["unit_id"]
            print(f"{envelope.short_name} from {envelope.Source}: {event.event_type} of {unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
