"""Which reels and lots go into a unit's next report?"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from pywats_events import Event
from pywats_events.models.material_events import InstalledComponent
from pywats_supervision.policies._checks import checked_count
from pywats_wats._fields import bad_id, cut
from pywats_wats._units import unit_name

__all__ = ["ReelMemory"]

MAX_REELS: Final = 500
"""Reels of one unit; the oldest goes for a new one."""


class _Reel(msgspec.Struct):
    """A reel of a unit, with the event whose report has it."""

    revision: str
    taken_by: str | None = None


@final
class ReelMemory:
    """Reels and lots of units, until a report takes them; in memory, so they end with the process.

    Give the same one to a `MaterialHandler`, which fills it, and to a `ReportHandler`. A report that
    is tried again gets the same reels; the next report of that unit gets those installed since.

    Args:
        part_type: what the reports call them; at most 50 characters.
        max_units: how many units are remembered, at least 1; the one heard of longest ago goes first.

    Attributes:
        unusable: what could not be told, for want of a part number or because WATS does not take the
            lot's name.
        forgotten: reels that no report took before others had to have the room.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if it cannot work.
    """

    def __init__(self, part_type: str = "Reel", max_units: int = 10_000) -> None:
        if not isinstance(part_type, str):
            raise TypeError(f"part_type must be a str, not {part_type!r}")
        if not part_type or len(part_type) > 50:
            raise ValueError(f"part_type must have 1 to 50 characters, not {len(part_type)}")
        self._part_type = part_type
        self._max_units = checked_count("max_units", max_units, least=1)
        self._units: dict[str, dict[tuple[str, str], _Reel]] = {}
        self.unusable: int = 0
        self.forgotten: int = 0

    def __len__(self) -> int:
        return len(self._units)

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
            self._forget(list(self._units.pop(next(iter(self._units))).values()))

    def _forget(self, reels: list[_Reel]) -> None:
        self.forgotten += sum(reel.taken_by is None for reel in reels)

    def sub_units_of(self, event: Event) -> list[dict[str, Any]]:
        """The reels for the report of a result, as WSJF has sub-units; those that no report has had.

        Args:
            event: of which the report is made; asked again for the same, it gives the same.
        """
        sub_units = []
        for (part_number, lot), reel in self._units.get(unit_name(event), {}).items():
            if reel.taken_by is None:
                reel.taken_by = event.id
            if reel.taken_by == event.id:
                sub_units.append(
                    {"partType": self._part_type, "pn": part_number, "rev": reel.revision, "sn": lot}
                )
        return sub_units
