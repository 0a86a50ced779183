"""MaterialHandler: components that are units become children of the unit they were installed in.

| component of MATERIAL_INSTALLED | what becomes of it | at a repeat |
|---|---|---|
| with a serial number | `POST Production/AddChildUnit` | asked for the parent's children first |
| without, but of a reel or lot | none; with `reels`, a sub-unit of the unit's next report | known |
| with neither | none | |

MATERIAL_REJECTED and MATERIAL_CONSUMED make no call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from pywats_events import BaseHandler, Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.models.material_events import MaterialInstalledEvent
from pywats_wats._calls import AddChildUnit
from pywats_wats._fields import bad_id
from pywats_wats._once import KeptKeys, SeenKeys, checked_seen
from pywats_wats._payloads import unit_name
from pywats_wats._reels import ReelMemory
from pywats_wats._services import check_service
from pywats_wats._units import Unit, Units
from pywats_wats.profile import SourceProfile
from pywats_wats.report_handler import CONCURRENCY, DRAIN_RATE, PartOf

__all__ = ["MaterialHandler", "MaterialService", "MaterialStatistics", "ReelMemory", "child_calls"]


def child_calls(event: Event) -> list[AddChildUnit]:
    """The calls for the components of an event that are units themselves, each once, in order.

    Raises:
        EventValidationError: if the payload is not what it has to be, or WATS does not take a serial
            number or part number; it names all of them.
    """
    calls: dict[tuple[str, str], AddChildUnit] = {}
    wrong: list[str] = []
    for component in event.as_(MaterialInstalledEvent).components:
        if not component.serial_number:
            continue
        serial, part_number = component.serial_number, component.part_number or ""
        where = f"of the component at {component.reference_designator!r}"
        said = [
            bad_id(f"the serial number {where}", serial),
            bad_id(f"the part number {where}", part_number),
        ]
        wrong += [text for text in said if text]
        calls.setdefault((serial, part_number), AddChildUnit((serial, part_number), component.revision))
    if wrong:
        raise EventValidationError(
            f"event {event.id} ({event.event_type}) makes no child units: {'; '.join(wrong)}"
        )
    return list(calls.values())


class MaterialStatistics(msgspec.Struct):
    """What a handler has done.

    Attributes:
        children: child units that were added.
        known: child units that the server had already.
        repeats: child units that came again, and were not added again.
        reels: components whose reel or lot was given to `reels`.
        left_out: components that are no units, of which WATS does not hear.
    """

    children: int = 0
    known: int = 0
    repeats: int = 0
    reels: int = 0
    left_out: int = 0


class MaterialService(Protocol):
    """Where it goes: a `WATSClient`, or one's own; whatever it raises is judged by the handler's policies."""

    async def get_unit(self, serial_number: str, part_number: str, /) -> Mapping[str, Any]:
        """A unit, with its children under `subUnits`; an error with `blames_item` if there is none."""
        ...

    async def create_unit(self, serial_number: str, part_number: str, revision: str, /) -> object:
        """Make a unit known."""
        ...

    async def add_child_unit(self, parent: tuple[str, str], child: tuple[str, str], /) -> object:
        """Say that a unit was built into another; each by its serial number and part number."""
        ...


class MaterialHandler(BaseHandler):
    """Tells WATS which units were built into which.

    What concerns one unit stays in order, and others go in parallel, `concurrency` at once.

    The service stays open: it may serve others, and who made it closes it.

    Args:
        production_service: such as a `WATSClient`.
        reels: remembers the reels and lots of units for their reports; default none, they are left out.
        part_of: says part number and revision of a unit that its event does not name.
        profiles: who senders are; the first that matches counts.
        create_units: make units known that the server does not know, parents and children; else they
            are dead letters.
        seen: where it is remembered what must not be done twice, such as the `seen` of a store; default
            the store of its bus, and without one a window in memory, which ends with the process.
        name: of the handler; what is `seen` is kept by it.

    Raises:
        TypeError: if the service lacks a call, or an argument is of the wrong type.
    """

    def __init__(
        self,
        production_service: MaterialService,
        *,
        reels: ReelMemory | None = None,
        part_of: PartOf | None = None,
        profiles: Sequence[SourceProfile] = (),
        create_units: bool = False,
        seen: SeenKeys | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_service("production_service", production_service, MaterialService)
        if reels is not None and not isinstance(reels, ReelMemory):
            raise TypeError(f"reels must be a ReelMemory, not {reels!r}")
        self._service = production_service
        self._reels = reels
        self._units = Units(
            production_service, part_of, profiles, create=create_units, handler="MaterialHandler"
        )
        self._seen = checked_seen(seen)
        self.statistics: MaterialStatistics = MaterialStatistics()

    concurrency = CONCURRENCY
    drain_rate = DRAIN_RATE

    @property
    def event_types(self) -> list[EventType]:
        """Installed material."""
        return [EventType.MATERIAL_INSTALLED]

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

    async def on_start(self) -> None:
        """Take up what was done, and which reels wait for reports, in earlier lives.

        Cancelled: nothing has happened.
        """
        if isinstance(self._seen, KeptKeys):
            await self._seen.open()
        if self._reels is not None:
            await self._reels.open()

    async def handle(self, event: Event) -> None:
        """Add the children, and remember the reels.

        Raises:
            EventValidationError: if the event cannot be told to WATS.
            Exception: what the service raises.

        Cancelled: some children may have been added; they are not added again.
        """
        calls = child_calls(event)
        self._remember_reels(event)
        new = [call for call in calls if self._key(event, call) not in self._seen]
        self.statistics.repeats += len(calls) - len(new)
        if not new:
            return
        parent = await self._units.unit_of(event)
        children = _children_of(await self._units.known(parent))
        for call in new:
            if call.child in children:
                self.statistics.known += 1
            else:
                await self._units.make_known(Unit(*call.child, call.revision))
                await self._service.add_child_unit(parent.key, call.child)
                self.statistics.children += 1
            self._seen.add(self._key(event, call))

    def _remember_reels(self, event: Event) -> None:
        key = f"{self.name}:{event.id}:reels"
        if key in self._seen:
            return
        for component in event.as_(MaterialInstalledEvent).components:
            if component.serial_number:
                continue
            if self._reels is not None and component.lot_number:
                self._reels.add(unit_name(event), component)
                self.statistics.reels += 1
            else:
                self.statistics.left_out += 1
        self._seen.add(key)

    def _key(self, event: Event, call: AddChildUnit) -> str:
        return f"{self.name}:{event.id}:child {call.child[0]} {call.child[1]}"


def _children_of(unit: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Serial numbers and part numbers of the children that the server tells of."""
    return {
        (str(child.get("serialNumber")), str(child.get("partNumber")))
        for child in unit.get("subUnits") or ()
        if isinstance(child, Mapping)
    }
