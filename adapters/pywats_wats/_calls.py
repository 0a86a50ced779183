"""The calls that events lead to, as values: what is decided, before anybody carries it out."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

__all__ = [
    "AddChildUnit",
    "AssetCall",
    "CountAsset",
    "RecordCalibration",
    "RecordMaintenance",
    "SetAssetState",
    "SetUnitPhase",
    "SetUnitProcess",
    "UnitCall",
    "WriteToLog",
]


class SetAssetState(msgspec.Struct, frozen=True):
    """Set an asset's state; repeating it does no harm.

    Attributes:
        serial_number: of the asset.
        state: 0 to 6, see `WATSAssetState`.
    """

    serial_number: str
    state: int


class WriteToLog(msgspec.Struct, frozen=True):
    """Write a line to an asset's log; repeated, there are two.

    Attributes:
        serial_number: of the asset.
        comment: the line.
        user: who says so.
    """

    serial_number: str
    comment: str
    user: str


class CountAsset(msgspec.Struct, frozen=True):
    """Count an asset's use: by one of the two.

    Attributes:
        serial_number: of the asset.
        increment: uses since the last time; repeated, they count twice.
        total: uses in all; repeating it does no harm, so it is taken where both are known.
    """

    serial_number: str
    increment: int | None = None
    total: int | None = None


class RecordMaintenance(msgspec.Struct, frozen=True):
    """Say that an asset was maintained; repeating it does no harm.

    Attributes:
        serial_number: of the asset.
        when: it was done.
        comment: what was done, by whom.
    """

    serial_number: str
    when: datetime
    comment: str


class RecordCalibration(msgspec.Struct, frozen=True):
    """Say that an asset was calibrated; repeating it does no harm.

    Attributes:
        serial_number: of the asset.
        when: it was done.
        comment: what was done, by whom.
    """

    serial_number: str
    when: datetime
    comment: str


AssetCall: TypeAlias = SetAssetState | WriteToLog | CountAsset | RecordMaintenance | RecordCalibration


class SetUnitProcess(msgspec.Struct, frozen=True):
    """Say in which process a unit is; repeating it does no harm.

    Attributes:
        process_code: which the server knows.
    """

    process_code: int


class SetUnitPhase(msgspec.Struct, frozen=True):
    """Say where a unit stands; repeating it does no harm.

    Attributes:
        phase: see `UnitPhase`.
        comment: why; None without one.
    """

    phase: int
    comment: str | None = None


UnitCall: TypeAlias = SetUnitProcess | SetUnitPhase


class AddChildUnit(msgspec.Struct, frozen=True):
    """Say that a unit was built into another, unless the server knows it.

    Attributes:
        child: serial number and part number.
        revision: of the child; None if nobody said.
    """

    child: tuple[str, str]
    revision: str | None = None
