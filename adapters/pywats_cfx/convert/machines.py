"""Faults, states and care of machines, as events; a source that is silent is offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pywats_cfx.convert.context import OpenFault
from pywats_cfx.convert.letter import (
    UNKNOWN,
    Letter,
    id_of,
    kept,
    nullable,
    present,
    rest,
    whole_number,
    word,
)
from pywats_cfx.convert.results import operator_name
from pywats_cfx.messages import structures as s
from pywats_cfx.messages.resourceperformance import (
    CalibrationPerformed,
    FaultAcknowledged,
    FaultCleared,
    FaultOccurred,
    MaintenancePerformed,
    StationOffline,
    StationOnline,
    StationStateChanged,
)
from pywats_cfx.wire.encoding import plain
from pywats_events import Event, EventType
from pywats_events.models.asset_events import (
    AssetFaultEvent,
    AssetState,
    AssetStateChangedEvent,
    CalibrationEvent,
    MaintenanceEvent,
    SeverityLevel,
)

__all__ = [
    "calibration_performed",
    "fault_acknowledged",
    "fault_cleared",
    "fault_occurred",
    "maintenance_performed",
    "state_of",
    "station_offline",
    "station_online",
    "station_state_changed",
]

SEVERITIES: Final = {
    "Information": SeverityLevel.INFO,
    "Warning": SeverityLevel.WARNING,
    "Error": SeverityLevel.ERROR,
    "Alarm": SeverityLevel.CRITICAL,
}
STATES: Final = {
    "1": AssetState.BUSY,
    "2": AssetState.IDLE,
    "3": AssetState.BUSY,
    "4": AssetState.IDLE,
    "5": AssetState.ERROR,
    "6": AssetState.OFFLINE,
}
"""By the first digit of a state's code, which is the state of SEMI E10."""
MAINTENANCE: Final = {"41", "42", "43"}


def state_of(code: str | None) -> AssetState | None:
    """What a machine does, by the code of its state; None for a code that says nothing.

    Args:
        code: `1100`, `22A0`, also one of a vendor's own between those of the standard.
    """
    if not code:
        return None
    return AssetState.MAINTENANCE if code[:2] in MAINTENANCE else STATES.get(code[:1])


def fault_occurred(message: FaultOccurred, letter: Letter) -> Iterator[Event]:
    """A machine reports a fault, which is remembered until it is cleared."""
    fault = nullable(message.Fault)
    if fault is None:
        return
    custom = rest(fault, "FaultCode", "Description", "OccurredAt", "Lane")
    occurred = kept(custom, "OccurredAt", fault.OccurredAt, letter.time(fault.OccurredAt)) or letter.sent_at
    severity = SEVERITIES.get(word(fault.Severity) or "", SeverityLevel.ERROR)
    occurrence, lane = fault.FaultOccurrenceId, kept(custom, "Lane", fault.Lane, whole_number(fault.Lane))
    cause = word(fault.Cause)
    code = fault.FaultCode or cause or occurrence or UNKNOWN
    payload = AssetFaultEvent(
        asset_id=letter.source,
        fault_code=code,
        fault_message=fault.Description or cause or "",
        severity=severity,
        timestamp=occurred,
        lane=lane,
        custom_data=custom,
    )
    yield letter.event(EventType.ASSET_FAULT, payload, correlation_id=occurrence)
    known_as = id_of(occurrence)
    if known_as is not None:
        letter.memory.faults.put(known_as, OpenFault(code, severity, occurred, lane), letter.received_at)


def fault_cleared(message: FaultCleared, letter: Letter) -> Iterator[Event]:
    """A fault is over; which one it was is known from when it occurred."""
    occurrence, known_as = message.FaultOccurrenceId or "", id_of(message.FaultOccurrenceId)
    fault = letter.memory.faults.get(known_as, letter.received_at)
    cleared = letter.sent_at
    custom = rest(message)
    if fault is not None:
        custom["seconds_open"] = (cleared - fault.occurred).total_seconds()
    payload = AssetFaultEvent(
        asset_id=letter.source,
        fault_code=fault.code if fault is not None else occurrence,
        severity=SeverityLevel(fault.severity) if fault is not None else SeverityLevel.ERROR,
        timestamp=fault.occurred if fault is not None else cleared,
        cleared=True,
        cleared_time=cleared,
        lane=fault.lane if fault is not None else None,
        custom_data={**custom, **_by(message.Operator)},
    )
    yield letter.event(EventType.ASSET_FAULT, payload, correlation_id=occurrence)
    if known_as is not None:
        letter.memory.faults.pop(known_as)


def fault_acknowledged(message: FaultAcknowledged, letter: Letter) -> Iterator[Event]:
    """Somebody has seen a fault."""
    occurrence = message.FaultOccurrenceId or ""
    fault = letter.memory.faults.get(id_of(occurrence), letter.received_at)
    payload = AssetFaultEvent(
        asset_id=letter.source,
        fault_code=fault.code if fault is not None else occurrence,
        severity=SeverityLevel(fault.severity) if fault is not None else SeverityLevel.ERROR,
        timestamp=fault.occurred if fault is not None else letter.sent_at,
        lane=fault.lane if fault is not None else None,
        custom_data={**rest(message), "acknowledged": True, **_by(message.Operator)},
    )
    yield letter.event(EventType.ASSET_FAULT, payload, correlation_id=occurrence)


def _by(operator: s.Operator | None) -> dict[str, str]:
    name = operator_name(operator)
    return {"operator": name} if name else {}


def station_state_changed(message: StationStateChanged, letter: Letter) -> Iterator[Event]:
    """A machine does something else; a code that says nothing makes a custom event."""
    code = _code(message.NewState)
    new = state_of(code)
    if new is None:
        yield letter.event(
            EventType.CUSTOM, plain(message, "MessageBody"), type_name=letter.envelope.MessageName
        )
        return
    payload = AssetStateChangedEvent(
        asset_id=letter.source,
        new_state=new,
        previous_state=state_of(_code(message.OldState)),
        timestamp=letter.sent_at,
        code=code,
        custom_data=rest(message, "NewState"),
    )
    yield letter.event(EventType.ASSET_STATE_CHANGED, payload)
    letter.memory.state = code


def _code(state: s.ResourceState) -> str | None:
    return word(state)


def station_online(message: StationOnline, letter: Letter) -> Iterator[Event]:
    """A machine is there again."""
    yield _presence(AssetState.ONLINE, AssetState.OFFLINE, letter, rest(message))


def station_offline(message: StationOffline, letter: Letter) -> Iterator[Event]:
    """A machine leaves."""
    yield _presence(AssetState.OFFLINE, None, letter, rest(message))


def _presence(
    state: AssetState, before: AssetState | None, letter: Letter, custom: dict[str, object]
) -> Event:
    payload = AssetStateChangedEvent(
        asset_id=letter.source,
        new_state=state,
        previous_state=before,
        timestamp=letter.sent_at,
        custom_data=custom,
    )
    return letter.event(EventType.ASSET_STATE_CHANGED, payload)


def maintenance_performed(message: MaintenancePerformed, letter: Letter) -> Iterator[Event]:
    """A machine was maintained."""
    tasks = present(message.Tasks)
    described = [getattr(task, "Description", None) or getattr(task, "TaskName", None) for task in tasks]
    payload = MaintenanceEvent(
        asset_id=letter.source,
        maintenance_type=(word(message.MaintenanceType) or UNKNOWN).lower(),
        description="; ".join(text for text in described if text),
        timestamp=letter.sent_at,
        custom_data=rest(message, "MaintenanceType"),
    )
    yield letter.event(EventType.ASSET_MAINTENANCE, payload)


def calibration_performed(message: CalibrationPerformed, letter: Letter) -> Iterator[Event]:
    """A machine was calibrated."""
    calibration = message.Calibration or s.Calibration()
    payload = CalibrationEvent(
        asset_id=letter.source,
        status=word(calibration.Status),
        calibration_type=word(calibration.CalibrationType),
        description=calibration.Comments or "",
        timestamp=letter.time(calibration.CalibrationTime) or letter.sent_at,
        custom_data=rest(calibration, "Status", "CalibrationType", "Comments"),
    )
    yield letter.event(EventType.ASSET_CALIBRATION, payload, correlation_id=message.TransactionID)
