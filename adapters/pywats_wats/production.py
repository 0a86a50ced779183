"""ProductionHandler: WATS hears in which process and phase a unit is.

| event | call | at a repeat |
|---|---|---|
| WORK_STARTED | `PUT Production/SetUnitProcess`, where a process code is known | harmless |
| WORK_COMPLETED | none; `PUT Production/SetUnitPhase`, where `phases` says so (`PHASES`) | harmless |
| UNIT_DISQUALIFIED | `PUT Production/SetUnitPhase` 32 Scrapped, comment `Reason: Comments` | harmless |
| UNIT_ARRIVED, UNIT_DEPARTED | none, unless `phases` says so | harmless |
| work orders | none | |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from pywats_events import BaseHandler, Event, EventType
from pywats_events.models.production_events import (
    UnitArrivedEvent,
    UnitDepartedEvent,
    UnitDisqualifiedEvent,
    WorkCompletedEvent,
    WorkStartedEvent,
)
from pywats_wats._calls import SetUnitPhase, SetUnitProcess, UnitCall
from pywats_wats._fields import cut
from pywats_wats._payloads import unit_name
from pywats_wats._services import check_service
from pywats_wats._units import Unit, Units
from pywats_wats.profile import SourceProfile
from pywats_wats.report_handler import CONCURRENCY, DRAIN_RATE, PartOf

__all__ = [
    "PHASES",
    "ProductionHandler",
    "ProductionService",
    "ProductionStatistics",
    "UnitPhase",
    "phase_of_disqualified",
    "unit_calls",
]

LONGEST_COMMENT: Final = 500
"""Characters of a comment, which is part of an address; a longer one is cut."""


class UnitPhase(IntEnum):
    """Where a unit can stand."""

    UNKNOWN = 1
    UNDER_PRODUCTION = 2
    PRODUCTION_REPAIR = 4
    SERVICE_REPAIR = 8
    FINALIZED = 16
    SCRAPPED = 32
    EXTENDED_TEST = 64
    CUSTOMIZATION = 128
    REPAIRED = 256
    MISSING = 512
    IN_STORAGE = 1024
    SHIPPED = 2048


Phase: TypeAlias = int | Callable[[Event], int | None] | None
"""A phase; a function that says it, or None for no call; or None for no call."""

_PAYLOADS: Final[dict[EventType, Any]] = {
    EventType.WORK_STARTED: WorkStartedEvent,
    EventType.WORK_COMPLETED: WorkCompletedEvent,
    EventType.UNIT_ARRIVED: UnitArrivedEvent,
    EventType.UNIT_DEPARTED: UnitDepartedEvent,
    EventType.UNIT_DISQUALIFIED: UnitDisqualifiedEvent,
}


def phase_of_disqualified(event: Event) -> UnitPhase | None:
    """Scrapped; None for a unit that was sent back or to be reworked."""
    scrapped = event.as_(UnitDisqualifiedEvent).disqualification_type == "scrapped"
    return UnitPhase.SCRAPPED if scrapped else None


PHASES: Final[Mapping[EventType, Phase]] = MappingProxyType(
    {EventType.UNIT_DISQUALIFIED: phase_of_disqualified}
)
"""The phase by the type of event; other types make no call.

A phase for WORK_COMPLETED is that of a unit whose work was completed; a function is asked about failed,
aborted and skipped work too.
"""


def _checked_phases(given: Mapping[Any, Any] | None) -> Mapping[EventType, Phase]:
    phases = dict(PHASES)
    for kind, phase in (given or {}).items():
        if kind not in _PAYLOADS:
            allowed = ", ".join(each.name for each in _PAYLOADS)
            raise ValueError(
                f"phases has the key {kind!r}, which is no event about a unit; there are {allowed}"
            )
        name = f"phases[{EventType(kind)!r}]"
        phases[EventType(kind)] = phase if callable(phase) else _checked_phase(name, phase)
    return MappingProxyType(phases)


def _checked_phase(what: str, phase: Any) -> UnitPhase | None:
    if phase is None:
        return None
    if isinstance(phase, bool) or phase not in list(UnitPhase):
        allowed = ", ".join(f"{each.value} {each.name}" for each in UnitPhase)
        raise ValueError(f"{what} must be one of {allowed}, or None for no call, not {phase!r}")
    return UnitPhase(phase)


def unit_calls(
    event: Event, process_code: int | None, phases: Mapping[EventType, Phase] = PHASES
) -> tuple[UnitCall, ...]:
    """The calls for an event about a unit, in order.

    Args:
        event: one of those in the table above.
        process_code: of the sender; None if nobody said.
        phases: see `PHASES`.

    Raises:
        EventValidationError: if the payload is not what it has to be.
        ValueError: if a function of `phases` gives what is no phase.
    """
    payload = event.as_(_PAYLOADS[event.event_type])
    calls: list[UnitCall] = []
    if isinstance(payload, WorkStartedEvent) and process_code is not None:
        calls.append(SetUnitProcess(process_code))
    phase = _phase_of(event, payload, phases.get(event.event_type))
    if phase is not None:
        calls.append(SetUnitPhase(int(phase), _comment(payload)))
    return tuple(calls)


def _phase_of(event: Event, payload: Any, phase: Phase) -> int | None:
    if callable(phase):
        return _checked_phase(f"the phase of {event.event_type!r}", phase(event))
    if isinstance(payload, WorkCompletedEvent) and payload.result != "completed":
        return None
    return phase


def _comment(payload: Any) -> str | None:
    if not isinstance(payload, UnitDisqualifiedEvent):
        return None
    said = f"{payload.reason}: {payload.comments}" if payload.comments else payload.reason
    return cut(said, LONGEST_COMMENT) or None


class ProductionStatistics(msgspec.Struct):
    """What a handler has done.

    Attributes:
        processes: processes that were set.
        phases: phases that were set.
        without_call: events that lead to no call.
    """

    processes: int = 0
    phases: int = 0
    without_call: int = 0


class ProductionService(Protocol):
    """Where it goes: a `WATSClient`, or one's own; whatever it raises is judged by the handler's policies."""

    async def get_unit(self, serial_number: str, part_number: str, /) -> Mapping[str, Any]:
        """A unit; an error with `blames_item` if there is none."""
        ...

    async def create_unit(self, serial_number: str, part_number: str, revision: str, /) -> object:
        """Make a unit known."""
        ...

    async def set_unit_phase(
        self, serial_number: str, part_number: str, phase: int, comment: str | None, /
    ) -> object:
        """Say where a unit stands."""
        ...

    async def set_unit_process(self, serial_number: str, part_number: str, process_code: int, /) -> object:
        """Say in which process a unit is."""
        ...


class ProductionHandler(BaseHandler):
    """Tells WATS where units are.

    What concerns one unit stays in order, and others go in parallel, `concurrency` at once.

    The service stays open: it may serve others, and who made it closes it.

    Args:
        production_service: such as a `WATSClient`.
        phases: by type of event, a `UnitPhase`, a function of the event that gives one, or None for no
            call; above those of `PHASES`. `{EventType.WORK_COMPLETED: UnitPhase.FINALIZED}` is for a
            station whose process is the last.
        process_of: gives the process code of an event, or None; default the one for `"*"` in the
            sender's profile.
        part_of: says part number and revision of a unit that its event does not name.
        profiles: who senders are; the first that matches counts.
        create_units: make units known that the server does not know; else they are dead letters.
        name: of the handler.

    Raises:
        TypeError: if the service lacks a call, or an argument is of the wrong type.
        ValueError: if a value cannot work.
    """

    def __init__(
        self,
        production_service: ProductionService,
        *,
        phases: Mapping[EventType, Phase] | None = None,
        process_of: Callable[[Event], int | None] | None = None,
        part_of: PartOf | None = None,
        profiles: Sequence[SourceProfile] = (),
        create_units: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_service("production_service", production_service, ProductionService)
        if process_of is not None and not callable(process_of):
            raise TypeError(f"process_of must be a function of an event, not {process_of!r}")
        self._service = production_service
        self._phases = _checked_phases(phases)
        self._process_of = process_of
        self._units = Units(
            production_service, part_of, profiles, create=create_units, handler="ProductionHandler"
        )
        self.statistics: ProductionStatistics = ProductionStatistics()

    concurrency = CONCURRENCY
    drain_rate = DRAIN_RATE

    @property
    def event_types(self) -> list[EventType]:
        """The beginning of work, and what `phases` knows."""
        phases = [kind for kind, phase in self._phases.items() if phase is not None]
        return list(dict.fromkeys([EventType.WORK_STARTED, *phases]))

    @staticmethod
    def unit_of(event: Event) -> str:
        """The serial number that an event is about; its events stay in order."""
        return unit_name(event)

    @property
    def order_by(self) -> Callable[[Event], str]:
        """Its key is the unit."""
        return self.unit_of

    def use_profiles(self, profiles: Sequence[SourceProfile]) -> None:
        """Go by the profiles of the station, unless it was given its own."""
        self._units.profiles.use(profiles)

    async def handle(self, event: Event) -> None:
        """Make the calls for an event.

        Raises:
            EventValidationError: if the event can make none.
            Exception: what the service raises.

        Cancelled: some calls may have been made; they are made again, which does no harm.
        """
        calls = unit_calls(event, self._process_code(event), self._phases)
        if not calls:
            self.statistics.without_call += 1
            return
        unit = await self._units.unit_of(event)
        await self._units.make_known(unit)
        for call in calls:
            await self._make(unit, call)

    def _process_code(self, event: Event) -> int | None:
        if self._process_of is None:
            return self._units.profile_of(event).code_of(None)
        code: object = self._process_of(event)
        if code is not None and (isinstance(code, bool) or not isinstance(code, int)):
            raise TypeError(
                f"process_of must give a process code, an int that the server knows, not {code!r}"
            )
        return code

    async def _make(self, unit: Unit, call: UnitCall) -> None:
        if isinstance(call, SetUnitProcess):
            await self._service.set_unit_process(*unit.key, call.process_code)
            self.statistics.processes += 1
        else:
            await self._service.set_unit_phase(*unit.key, call.phase, call.comment)
            self.statistics.phases += 1
