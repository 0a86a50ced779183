"""Components and material, as payloads of events."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pywats_events.models._clock import now
from pywats_events.models._payload import Number, Payload

__all__ = [
    "InstalledComponent",
    "MaterialConsumedEvent",
    "MaterialInstalledEvent",
    "MaterialRejectedEvent",
]


class InstalledComponent(Payload, frozen=True):
    """A component of a unit.

    Attributes:
        reference_designator: where it is: R1, C5, U3.
        part_number: of the component.
        serial_number: of the component itself, where it has one.
        lot_number: of the reel or lot it is from.
        installed_time: when it was installed.
        revision: of the part.
        quantity: how many or how much.
    """

    reference_designator: str
    part_number: str | None = None
    serial_number: str | None = None
    lot_number: str | None = None
    installed_time: datetime | None = None
    revision: str | None = None
    quantity: Number | None = None


class MaterialInstalledEvent(Payload, frozen=True):
    """Components were installed on a unit.

    Attributes:
        unit_id: the unit's serial number.
        components: what was installed.
        station_id: where.
        timestamp: when; default now.
        part_number: of the unit.
        operator_id: who did it.
    """

    unit_id: str
    components: list[InstalledComponent] = msgspec.field(default_factory=list)
    station_id: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    part_number: str | None = None
    operator_id: str | None = None

    @property
    def component_count(self) -> int:
        """How many components there are."""
        return len(self.components)


class MaterialRejectedEvent(Payload, frozen=True):
    """Components were to be installed on a unit, and were not.

    Attributes:
        unit_id: the unit's serial number.
        components: what was not installed.
        station_id: where.
        timestamp: when; default now.
        reason: why.
    """

    unit_id: str
    components: list[InstalledComponent] = msgspec.field(default_factory=list)
    station_id: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    reason: str | None = None


class MaterialConsumedEvent(Payload, frozen=True):
    """Material was used up.

    Attributes:
        part_number: of the material.
        quantity: how much.
        unit: of the quantity.
        lot_number: of the reel or lot it is from.
        unit_id: what it was used on.
        station_id: where.
        timestamp: when; default now.
    """

    part_number: str
    quantity: Number | None = None
    unit: str = "pcs"
    lot_number: str | None = None
    unit_id: str | None = None
    station_id: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
