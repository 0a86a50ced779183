"""Which reels and lots go into a unit's next report?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from pywats_events import Event
from pywats_events.handlers import surroundings
from pywats_events.models.material_events import InstalledComponent
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies.checks import checked_count
from pywats_wats._fields import bad_id, cut
from pywats_wats._payloads import unit_name

if TYPE_CHECKING:  # without a store nobody needs SQLite
    from pywats_events.durability import Shelf, Store

__all__ = ["ReelMemory"]

logger: Final = GuardedLogger("pywats_wats")

MAX_REELS: Final = 500
"""Reels of one unit; the oldest goes for a new one."""


class _Reel(msgspec.Struct):
    """A reel of a unit, with the event whose report has it."""

    revision: str
    taken_by: str | None = None


_KEPT: Final = msgspec.msgpack.Decoder(list[tuple[str, str, _Reel]])


@final
class ReelMemory:
    """Reels and lots of units, until a report takes them.

    They outlive the process if the bus of the `MaterialHandler` has a store.

    Give the same one to a `MaterialHandler`, which fills it, and to a `ReportHandler`. A report that
    is tried again gets the same reels; the next report of that unit gets those installed since.

    Args:
        part_type: what the reports call them; at most 50 characters.
        max_units: how many units are remembered, at least 1; the one heard of longest ago goes first.
        name: of its place in the store; two memories on one bus need two.

    Attributes:
        unusable: what could not be told, for want of a part number or because WATS does not take the
            lot's name.
        forgotten: reels that no report took before others had to have the room.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if it cannot work.
    """

    def __init__(self, part_type: str = "Reel", max_units: int = 10_000, *, name: str = "reels") -> None:
        if not isinstance(part_type, str):
            raise TypeError(f"part_type must be a str, not {part_type!r}")
        if not part_type or len(part_type) > 50:
            raise ValueError(f"part_type must have 1 to 50 characters, not {len(part_type)}")
        self._part_type = part_type
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r}")
        self._max_units = checked_count("max_units", max_units, least=1)
        self._name = name
        self._shelf: Shelf | None = None
        self._store: Store | None = None
        self._units: dict[str, dict[tuple[str, str], _Reel]] = {}
        self.unusable: int = 0
        self.forgotten: int = 0

    def __len__(self) -> int:
        return len(self._units)

    async def open(self) -> None:
        """Take up what waited for reports in earlier lives; for a handler's `on_start`.

        Without effect if that was done, or the handler's bus has no store.

        Cancelled: nothing has happened.
        """
        here = surroundings()
        if here is None or here.store is None or here.store is self._store:
            return
        # What is forgotten here goes from the shelf too, once the new one is on it.
        shelf = await here.store.shelf(f"reels:{self._name}", max_count=self._max_units + 1)
        if here.store is self._store:  # another worker's life has done it meanwhile
            return
        kept: dict[str, dict[tuple[str, str], _Reel]] = {}
        for unit_id, encoded in shelf.items():
            try:
                kept[unit_id] = {(part_number, lot): reel for part_number, lot, reel in _KEPT.decode(encoded)}
            except msgspec.MsgspecError as error:
                logger.warning("the reels of %s cannot be read any more: %s", unit_id, error)
        self._units = {**kept, **self._units}
        self._shelf, self._store = shelf, here.store

    def _keep(self, unit_id: str) -> None:
        """Write down what is known of a unit, with what else is written in this step."""
        if self._shelf is not None:
            reels = [(*key, reel) for key, reel in self._units[unit_id].items()]
            self._shelf.put(unit_id, msgspec.msgpack.encode(reels))

    def add(self, unit_id: str, component: InstalledComponent) -> None:
        """Remember the reel or lot that a component is from; one that is known stays as it is."""
        part_number, lot = component.part_number or "", component.lot_number or ""
        if bad_id("the part number", part_number) or bad_id("the lot", lot):
            self.unusable += 1
            return
        reels = self._units.pop(unit_id, {})
        self._units[unit_id] = reels
        if (part_number, lot) in reels:
            return
        reels[part_number, lot] = _Reel(cut(component.revision or "-", 100))
        if len(reels) > MAX_REELS:
            self._forget([reels.pop(next(iter(reels)))])
        if len(self._units) > self._max_units:
            oldest = next(iter(self._units))
            self._forget(list(self._units.pop(oldest).values()))
            if self._shelf is not None:
                self._shelf.forget(oldest)
        self._keep(unit_id)

    def _forget(self, reels: list[_Reel]) -> None:
        self.forgotten += sum(reel.taken_by is None for reel in reels)

    def sub_units_of(self, event: Event) -> list[dict[str, Any]]:
        """The reels for the report of a result, as WSJF has sub-units; those that no report has had.

        Args:
            event: of which the report is made; asked again for the same, it gives the same.
        """
        sub_units, unit_id = [], unit_name(event)
        reels = self._units.get(unit_id, {})
        first = all(reel.taken_by != event.id for reel in reels.values())
        taken = False
        for (part_number, lot), reel in reels.items():
            if first and reel.taken_by is None:
                reel.taken_by = event.id
                taken = True
            if reel.taken_by == event.id:
                sub_units.append(
                    {"partType": self._part_type, "pn": part_number, "rev": reel.revision, "sn": lot}
                )
        if taken:
            self._keep(unit_id)
        return sub_units
