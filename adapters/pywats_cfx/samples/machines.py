"""Faults and states of machines."""

from __future__ import annotations

from pywats_cfx.messages import structures as s
from pywats_cfx.messages.resourceperformance import FaultCleared, FaultOccurred, StationStateChanged

__all__ = ["fault", "fault_cleared", "fault_feeder", "fault_temperature", "state_changed"]

FEEDER_FAULT = "0f1e5a77-2a58-4c6d-8a55-97a2e4f5b6c7"


def fault(
    code: str, text: str, severity: s.FaultSeverity = s.FaultSeverity.Error, *, occurrence: str | None = None
) -> FaultOccurred:
    """A fault that has just occurred.

    Args:
        code: of the fault.
        text: in words.
        severity: how grave it is.
        occurrence: by which it is cleared; None is a new one.
    """
    return FaultOccurred(
        Fault=s.Fault(
            Cause=s.FaultCause.MechanicalFailure,
            Severity=severity,
            FaultCode=code,
            FaultOccurrenceId=occurrence,
            Lane=1,
            Description=text,
        )
    )


def fault_temperature() -> FaultOccurred:
    """A zone of the oven is too hot."""
    return fault("T-HIGH-4", "Zone 4: 262 degC, 245 degC expected", s.FaultSeverity.Warning)


def fault_feeder() -> FaultOccurred:
    """A feeder is jammed."""
    return fault("FEEDER-JAM", "Feeder 45 is jammed", occurrence=FEEDER_FAULT)


def fault_cleared() -> FaultCleared:
    """The feeder works again."""
    return FaultCleared(FaultOccurrenceId=FEEDER_FAULT, Operator=s.Operator(OperatorIdentifier="BADGE1042"))


def state_changed() -> StationStateChanged:
    """A machine has nothing to do."""
    return StationStateChanged(
        OldState=s.ResourceState.PRD_RegularWork,
        OldStateDuration="00:12:07.5000000",
        NewState=s.ResourceState.SBY_NoProduct,
    )
