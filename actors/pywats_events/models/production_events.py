"""Units and work orders on their way through production, as payloads of events."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from pywats_events.models._clock import now
from pywats_events.models._payload import Number, Payload, seconds_between

__all__ = [
    "UnitArrivedEvent",
    "UnitDepartedEvent",
    "UnitDisqualifiedEvent",
    "WorkCompletedEvent",
    "WorkOrderEvent",
    "WorkStartedEvent",
]


class WorkStartedEvent(Payload, frozen=True):
    """Work on a unit has begun at a station.

    Attributes:
        unit_id: the unit's serial number.
        station_id: where.
        work_order_id: what it is done for.
        operator_id: who works.
        timestamp: when; default now.
        lane: where in the station.
        batch_sn: serial number of the panel or carrier.
        position: of the unit on it.
        part_number: of the unit.
        revision: of the part.
        recipe_name: the program.
        recipe_revision: of the program.
    """

    unit_id: str
    station_id: str
    work_order_id: str | None = None
    operator_id: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    lane: int | None = None
    batch_sn: str | None = None
    position: int | None = None
    part_number: str | None = None
    revision: str | None = None
    recipe_name: str | None = None
    recipe_revision: str | None = None


class WorkCompletedEvent(Payload, frozen=True):
    """Work on a unit has ended at a station.

    Attributes:
        unit_id: the unit's serial number.
        station_id: where.
        result: how it ended; unknown where the source says something that nobody knows.
        work_order_id: what it was done for.
        operator_id: who worked.
        start_time: when it began.
        end_time: when it ended; default now.
        lane: where in the station.
        part_number: of the unit.
    """

    unit_id: str
    station_id: str
    result: Literal["completed", "failed", "aborted", "skipped", "unknown"] = "completed"
    work_order_id: str | None = None
    operator_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime = msgspec.field(default_factory=now)
    lane: int | None = None
    part_number: str | None = None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end; None unless both are known."""
        seconds = seconds_between(self.start_time, self.end_time)
        return None if seconds is None else seconds * 1000


class _UnitMoved(Payload, frozen=True):
    """A unit has passed the edge of a station.

    Attributes:
        unit_id: the unit's serial number.
        station_id: which station.
        part_number: of the unit.
        operator_id: who is there.
        lane: where in the station.
        timestamp: when; default now.
    """

    unit_id: str
    station_id: str | None = None
    part_number: str | None = None
    operator_id: str | None = None
    lane: int | None = None
    timestamp: datetime = msgspec.field(default_factory=now)


class UnitArrivedEvent(_UnitMoved, frozen=True):
    """A unit has arrived at a station."""


class UnitDepartedEvent(_UnitMoved, frozen=True):
    """A unit has left a station."""


class UnitDisqualifiedEvent(Payload, frozen=True):
    """A unit is taken out of production.

    Attributes:
        unit_id: the unit's serial number.
        reason: why.
        station_id: where.
        disqualification_type: scrapped, reworked, returned.
        timestamp: when; default now.
        comments: of the operator.
    """

    unit_id: str
    reason: str
    station_id: str | None = None
    disqualification_type: str = "scrapped"
    timestamp: datetime = msgspec.field(default_factory=now)
    comments: str | None = None


class WorkOrderEvent(Payload, frozen=True):
    """A work order is new, or has changed.

    Attributes:
        work_order_id: of the order.
        action: what happened to it.
        part_number: what is made.
        quantity: how many.
        status: as the source says it.
        timestamp: when; default now.
        revision: of the part.
        lot: that the units belong to.
    """

    work_order_id: str
    action: Literal["created", "updated", "started", "completed", "cancelled"]
    part_number: str | None = None
    quantity: Number | None = None
    status: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
    revision: str | None = None
    lot: str | None = None
