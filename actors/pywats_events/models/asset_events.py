"""State, faults and care of machines, as payloads of events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from pywats_events.models._clock import now
from pywats_events.models._payload import Number, Payload

__all__ = [
    "AssetFaultEvent",
    "AssetState",
    "AssetStateChangedEvent",
    "CalibrationEvent",
    "MaintenanceEvent",
    "SeverityLevel",
]

_STATES: Final = {"running": "busy", "up": "online", "down": "offline", "fault": "error"}
_SEVERITIES: Final = {"information": "info", "warn": "warning", "alarm": "critical", "fatal": "critical"}


class AssetState(StrEnum):
    """What a machine is doing; the word "running" is read as busy."""

    ONLINE = "online"
    OFFLINE = "offline"
    IDLE = "idle"
    BUSY = "busy"
    ERROR = "error"
    MAINTENANCE = "maintenance"

    @classmethod
    def _missing_(cls, value: object) -> AssetState | None:
        word = str(value).strip().lower()
        word = _STATES.get(word, word)
        return next((each for each in cls if each.value == word), None)


class SeverityLevel(StrEnum):
    """How grave a fault is; the words "information" and "alarm" are read as info and critical."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @classmethod
    def _missing_(cls, value: object) -> SeverityLevel | None:
        word = str(value).strip().lower()
        word = _SEVERITIES.get(word, word)
        return next((each for each in cls if each.value == word), None)


class AssetFaultEvent(Payload, frozen=True):
    """A machine reports a fault, or that one is over.

    Attributes:
        asset_id: the machine.
        fault_code: of the fault.
        fault_message: in words.
        severity: how grave it is.
        timestamp: when it occurred; default now.
        cleared: whether it is over.
        cleared_time: when it was over.
        lane: where in the machine.
    """

    asset_id: str
    fault_code: str
    fault_message: str = ""
    severity: SeverityLevel = SeverityLevel.ERROR
    timestamp: datetime = msgspec.field(default_factory=now)
    cleared: bool = False
    cleared_time: datetime | None = None
    lane: int | None = None


class AssetStateChangedEvent(Payload, frozen=True):
    """A machine has another state than before.

    Attributes:
        asset_id: the machine.
        new_state: its state now.
        previous_state: its state before, where that is known.
        timestamp: when it changed; default now.
        reason: in words.
        code: the state as the machine names it: 1100, 22A0.
    """

    asset_id: str
    new_state: AssetState
    previous_state: AssetState | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    reason: str | None = None
    code: str | None = None


class MaintenanceEvent(Payload, frozen=True):
    """A machine was maintained, or needs to be.

    Attributes:
        asset_id: the machine.
        maintenance_type: scheduled, preventive, corrective.
        description: in words.
        performed_by: who did it.
        timestamp: when; default now.
        duration_minutes: how long it took.
        parts_replaced: what was replaced.
    """

    asset_id: str
    maintenance_type: str
    description: str = ""
    performed_by: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    duration_minutes: Number | None = None
    parts_replaced: list[str] = msgspec.field(default_factory=list)


class CalibrationEvent(Payload, frozen=True):
    """A machine was calibrated.

    Attributes:
        asset_id: the machine.
        status: how that ended, as the source says it.
        calibration_type: what was calibrated.
        description: in words.
        performed_by: who did it.
        timestamp: when; default now.
        due: when it is to be done again.
    """

    asset_id: str
    status: str | None = None
    calibration_type: str | None = None
    description: str = ""
    performed_by: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    due: datetime | None = None
