"""Messages that are made up, for those who have no machine at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pywats_cfx.messages import CFXMessage
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production.assembly import MaterialsInstalled
from pywats_cfx.samples.machines import fault
from pywats_cfx.samples.materials import installed
from pywats_cfx.samples.results import numeric, unit_with, units_tested
from pywats_cfx.wire import Envelope

__all__ = ["KINDS", "generated"]

SERIAL: Final = "SN200001"


def _test(serial: str, failed: bool) -> CFXMessage:
    value = 10_400.0 if failed else 10_010.0
    measurement = numeric("R_R1", value, "Ohm", 9_900, 10_100, 10_000)
    test = s.Test(TestName="RESISTORS", Result=measurement.Result, Measurements=[measurement])
    return units_tested(s.TestMethod.ICT, "ict/acme-100.prg", [unit_with(serial, [test], 1)])


def _fault(serial: str, failed: bool) -> CFXMessage:
    del serial
    severity = s.FaultSeverity.Alarm if failed else s.FaultSeverity.Warning
    return fault("FEEDER-JAM", "Feeder 45 is jammed", severity)


def _materials(serial: str, failed: bool) -> CFXMessage:
    material = installed(serial, 1, "RES-10K", "REEL-881", ["R1", "R2"])
    if failed:
        material.NonInstalledComponents = [
            s.NonInstalledComponent(
                ReferenceDesignator="R3", RejectionReason=s.RejectionReason.BadVisionTestAfterPickup
            )
        ]
    return MaterialsInstalled(InstalledMaterials=[material])


KINDS: Final[dict[str, Callable[[str, bool], CFXMessage]]] = {
    "test": _test,
    "fault": _fault,
    "materials": _materials,
}
"""What can be made up."""


def generated(
    kind: str, *, serial: str | None = None, failed: bool = False, source: str = "//Acme/Line1/Generator"
) -> Envelope:
    """A message that is made up.

    Args:
        kind: one of `KINDS`.
        serial: the unit's; None takes one.
        failed: the unit failed, the fault is an alarm, a component was rejected.
        source: the CFX handle of the sender.

    Raises:
        LookupError: for another kind.
    """
    if kind not in KINDS:
        raise LookupError(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    return Envelope.of(KINDS[kind](serial or SERIAL, failed), source=source)
