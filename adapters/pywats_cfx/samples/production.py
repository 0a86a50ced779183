"""Units and work on their way."""

from __future__ import annotations

from pywats_cfx.messages import structures as s
from pywats_cfx.messages.production import (
    UnitsArrived,
    UnitsDeparted,
    UnitsDisqualified,
    WorkCompleted,
    WorkStarted,
)

__all__ = [
    "units_arrived",
    "units_departed",
    "units_disqualified",
    "units_of",
    "work_completed",
    "work_failed",
    "work_started",
]

TRANSACTION = "5d4a9c1e-7a10-4a7b-9d83-3f5d5a0c2b11"


def units_of(panel: str, count: int) -> list[s.AnyUnitPosition]:
    """The units of a panel, side by side.

    Args:
        panel: its identifier.
        count: of units.
    """
    return [
        s.UnitPosition(UnitIdentifier=panel, PositionNumber=n, PositionName=f"U{n}", X=n * 50.0)
        for n in range(1, count + 1)
    ]


def work_started() -> WorkStarted:
    """Work on a panel of two begins."""
    return WorkStarted(
        PrimaryIdentifier="PANEL7",
        TransactionID=TRANSACTION,
        Lane=1,
        Units=units_of("PANEL7", 2),
        RecipeName="acme-100-top",
        Revision="3",
        WorkOrderIdentifier=s.WorkOrderIdentifier(WorkOrderId="WO-2211", Batch="B1"),
    )


def work_completed() -> WorkCompleted:
    """It has been done; as a rule the units are not named again."""
    return WorkCompleted(TransactionID=TRANSACTION, Result=s.WorkResult.Completed, PrimaryIdentifier="PANEL7")


def work_failed() -> WorkCompleted:
    """It could not be done."""
    return WorkCompleted(TransactionID=TRANSACTION, Result=s.WorkResult.Failed, PrimaryIdentifier="PANEL7")


def units_arrived() -> UnitsArrived:
    """A panel comes in."""
    return UnitsArrived(PrimaryIdentifier="PANEL7", Units=units_of("PANEL7", 2), Lane=1)


def units_departed() -> UnitsDeparted:
    """A panel goes out."""
    return UnitsDeparted(PrimaryIdentifier="PANEL7", Units=units_of("PANEL7", 2), Lane=1)


def units_disqualified() -> UnitsDisqualified:
    """A unit is scrapped."""
    return UnitsDisqualified(
        PrimaryIdentifier="SN100043",
        Reason=s.DisqualificationReason.DefectiveRepairNotFeasible,
        Comments="burnt",
        Units=[s.UnitPosition(UnitIdentifier="SN100043", PositionNumber=1)],
    )
