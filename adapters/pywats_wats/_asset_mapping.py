"""What is said to WATS of a machine's states, faults and care, event by event (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pywats_events import Event
from pywats_events.models.asset_events import (
    AssetFaultEvent,
    AssetState,
    AssetStateChangedEvent,
    CalibrationEvent,
    MaintenanceEvent,
)
from pywats_wats._calls import CountAsset, RecordCalibration, RecordMaintenance
from pywats_wats._fields import cut
from pywats_wats._payloads import text_in

__all__ = [
    "LONGEST_COMMENT",
    "STATES",
    "WATSAssetState",
    "asset_name",
    "asset_serial",
    "calibration_call",
    "checked_states",
    "fault_line",
    "maintenance_call",
    "state_of_asset",
    "tools_used",
]

LONGEST_COMMENT: Final = 1_000
"""Characters of a line or comment; a longer one is cut."""


class WATSAssetState(IntEnum):
    """The states that an asset can have."""

    UNKNOWN = 0
    IN_OPERATION = 1
    IN_TRANSIT = 2
    IN_MAINTENANCE = 3
    IN_CALIBRATION = 4
    IN_STORAGE = 5
    SCRAPPED = 6


STATES: Final[Mapping[str, int | None]] = MappingProxyType(
    {
        "busy": WATSAssetState.IN_OPERATION,
        "idle": WATSAssetState.IN_OPERATION,
        "maintenance": WATSAssetState.IN_MAINTENANCE,
        "online": None,
        "offline": None,
        "error": None,
        "51": WATSAssetState.IN_MAINTENANCE,
        "52": WATSAssetState.IN_MAINTENANCE,
        "53": WATSAssetState.IN_MAINTENANCE,
        "62": WATSAssetState.IN_MAINTENANCE,
        "63": WATSAssetState.IN_MAINTENANCE,
    }
)
"""The WATS state by what the machine does, or by the beginning of its code (SEMI E10); None makes no call.

The longest beginning of the event's code counts, else its word. So a line that blocks and starves
(1xxx, 2xxx, 3xxx) is in operation all the while, and writes nothing.
"""

_CODE: Final = re.compile(r"[0-9A-F]{1,4}")


def checked_states(given: Mapping[str, int | None] | None) -> dict[str, int | None]:
    """`STATES`, with the user's own above them.

    Raises:
        ValueError: if a key is neither a state nor the beginning of a code, or a value no WATS state.
    """
    states = dict(STATES)
    for key, value in (given or {}).items():
        states[_checked_key(key)] = _checked_state(key, value)
    return states


def _checked_key(key: Any) -> str:
    try:
        return AssetState(key).value
    except ValueError:
        if isinstance(key, str) and _CODE.fullmatch(key.upper()):
            return key.upper()
    raise ValueError(
        f"states has the key {key!r}, which is neither what a machine does "
        f"({', '.join(AssetState)}) nor the beginning of a code, such as '51' or '22A0'"
    )


def _checked_state(key: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or value not in list(WATSAssetState):
        allowed = ", ".join(f"{state.value} {state.name}" for state in WATSAssetState)
        raise ValueError(f"states[{key!r}] must be one of {allowed}, or None for no call, not {value!r}")
    return WATSAssetState(value)


def state_of_asset(change: AssetStateChangedEvent, states: Mapping[str, int | None] = STATES) -> int | None:
    """The WATS state that a machine's new state stands for; None if it says nothing about that."""
    code = (change.code or "")[:4].upper()
    for length in range(len(code), 0, -1):
        if code[:length] in states:
            return states[code[:length]]
    return states.get(change.new_state)


def asset_name(event: Event) -> str:
    """The name of the machine that an event is about; empty if it names none."""
    return text_in(event, "asset_id")


def asset_serial(event: Event) -> str | None:
    """The default serial number of an asset: its name, without the leading `/` and other `/` as `.`."""
    return asset_name(event).strip("/").replace("/", ".")


def fault_line(fault: AssetFaultEvent, occurrence: str | None) -> str | None:
    """The line for a fault, or that it is over; None for one that somebody has only seen.

    Args:
        fault: what was reported.
        occurrence: the fault's own id, which its clearing has too.
    """
    if fault.custom_data.get("acknowledged") is True:
        return None
    parts = [f"[{fault.severity}]", fault.fault_code]
    if fault.cleared:
        parts.append("cleared")
        took = _seconds_open(fault)
        operator = fault.custom_data.get("operator")
        parts += [f"after {_span(took)}"] if took is not None else []
        parts += [f"by {operator}"] if operator else []
    else:
        parts += [fault.fault_message] if fault.fault_message else []
        parts += [f"lane {fault.lane}"] if fault.lane is not None else []
    if occurrence and occurrence != fault.fault_code:
        parts.append(f"({occurrence})")
    return " ".join(part for part in parts if part)


def _seconds_open(fault: AssetFaultEvent) -> float | None:
    given = fault.custom_data.get("seconds_open")
    if isinstance(given, int | float):
        return given
    over = fault.cleared_time
    if over is None or over == fault.timestamp or (over.tzinfo is None) != (fault.timestamp.tzinfo is None):
        return None
    return (over - fault.timestamp).total_seconds()


def _span(seconds: float) -> str:
    """A time in words: 45s, 2m10s, 1h0m5s."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def maintenance_call(done: MaintenanceEvent, serial: str) -> RecordMaintenance:
    """The call for a maintenance that was done."""
    parts = [done.maintenance_type, done.description]
    parts += [f"{done.duration_minutes:g} min"] if done.duration_minutes is not None else []
    parts += [f"replaced {', '.join(done.parts_replaced)}"] if done.parts_replaced else []
    return RecordMaintenance(serial, done.timestamp, _comment(parts, done.performed_by))


def calibration_call(done: CalibrationEvent, serial: str) -> RecordCalibration | None:
    """The call for a calibration that was done; None for one that failed."""
    if (done.status or "").strip().lower() == "failed":
        return None
    return RecordCalibration(
        serial, done.timestamp, _comment([done.calibration_type, done.description], done.performed_by)
    )


def _comment(parts: Iterable[str | None], performed_by: str | None) -> str:
    text = "; ".join(part for part in parts if part)
    return cut(f"{text} (by {performed_by})" if performed_by else text, LONGEST_COMMENT)


class _Tool(msgspec.Struct, rename="pascal"):
    unique_identifier: str | None = None


class _ToolUsed(msgspec.Struct, rename="pascal"):
    tool: _Tool | None = None
    usage_cycles: int = 0


class _ToolsUsed(msgspec.Struct, rename="pascal"):
    used_tools: list[_ToolUsed] | None = None


def tools_used(event: Event) -> list[CountAsset]:
    """The uses of tools that a machine tells of by CFX's ToolsUsed; for `AssetHandler(counts=...)`.

    Raises:
        EventValidationError: if it is not what ToolsUsed has to be.
    """
    if event.type_name != "CFX.Production.ToolsUsed":
        return []
    uses: dict[str, int] = {}
    for used in event.as_(_ToolsUsed).used_tools or ():
        if used.tool is not None and used.tool.unique_identifier:
            serial = used.tool.unique_identifier
            uses[serial] = uses.get(serial, 0) + used.usage_cycles
    return [CountAsset(serial, increment=count) for serial, count in uses.items() if count > 0]
