"""A plant in memory: the assets and units of a WATS server, with what was called, and failing when told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import trio

from pywats_wats.errors import WATSRejected, WATSUnavailable

__all__ = ["Plant"]


class Plant:
    """Does what the server's calls do, and remembers each.

    Args:
        units: known units, by serial number and part number.
        fail_at: the number of the call that fails, 1 for the first; 0 for none.
        failure: what it fails with.
        answer_lost: it fails after it has had its effect, not in place of it.
        duration: seconds a call takes.

    Attributes:
        calls: what was called and had its effect, in that order.
        reached: how many calls were begun.
    """

    def __init__(
        self,
        *,
        units: tuple[tuple[str, str], ...] = (),
        fail_at: int = 0,
        failure: Exception | None = None,
        answer_lost: bool = False,
        duration: float = 0.0,
    ) -> None:
        self.unknown_assets: set[str] = set()
        self.states: dict[str, int] = {}
        self.logs: dict[str, list[str]] = {}
        self.counts: dict[str, int] = {}
        self.units: dict[tuple[str, str], dict[str, Any]] = {unit: {} for unit in units}
        self.children: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.fail_at = fail_at
        self.failure = failure or WATSUnavailable("away")
        self.answer_lost = answer_lost
        self.duration = duration
        self.down = False
        self.reached = 0

    @property
    def changes(self) -> list[tuple[Any, ...]]:
        """The calls that are no questions."""
        return [call for call in self.calls if not call[0].startswith("get_")]

    async def _begin(self) -> bool:
        """Begin a call; says whether its answer is to be lost."""
        self.reached += 1
        failing = self.reached == self.fail_at
        await trio.sleep(self.duration)
        if self.down:
            raise WATSUnavailable("down")
        if failing and not self.answer_lost:
            raise self.failure
        return failing

    def _end(self, lost: bool, *call: Any) -> None:
        self.calls.append(call)
        if lost:
            raise self.failure

    # Assets

    async def get_asset(self, serial_number: str) -> Mapping[str, Any]:
        lost = await self._begin()
        self._check_asset(serial_number)
        self._end(lost, "get_asset", serial_number)
        return {"assetId": f"id of {serial_number}", "serialNumber": serial_number}

    def _check_asset(self, serial_number: str) -> None:
        if serial_number in self.unknown_assets:
            raise WATSRejected(f"404: no asset {serial_number}", 404)

    async def set_asset_state(self, serial_number: str, state: int) -> None:
        lost = await self._begin()
        self._check_asset(serial_number)
        self.states[serial_number] = state
        self._end(lost, "set_asset_state", serial_number, state)

    async def count_asset(
        self, serial_number: str, *, increment: int | None = None, total: int | None = None
    ) -> None:
        lost = await self._begin()
        self.counts[serial_number] = (
            total if total is not None else self.counts.get(serial_number, 0) + (increment or 0)
        )
        self._end(lost, "count_asset", serial_number, increment, total)

    async def asset_message(self, asset_id: str, comment: str, user: str | None = None) -> None:
        lost = await self._begin()
        serial = asset_id.removeprefix("id of ")
        self.logs.setdefault(serial, []).append(comment)
        self._end(lost, "asset_message", serial, comment, user)

    async def calibrate(self, serial_number: str, when: datetime, comment: str = "") -> None:
        self._end(await self._begin(), "calibrate", serial_number, when, comment)

    async def maintain(self, serial_number: str, when: datetime, comment: str = "") -> None:
        self._end(await self._begin(), "maintain", serial_number, when, comment)

    # Units

    async def get_unit(self, serial_number: str, part_number: str) -> Mapping[str, Any]:
        lost = await self._begin()
        unit = self._unit(serial_number, part_number)
        self._end(lost, "get_unit", serial_number, part_number)
        children = self.children.get((serial_number, part_number), [])
        return {**unit, "subUnits": [{"serialNumber": sn, "partNumber": pn} for sn, pn in children]}

    def _unit(self, serial_number: str, part_number: str) -> dict[str, Any]:
        try:
            return self.units[serial_number, part_number]
        except KeyError:
            raise WATSRejected(f"404: no unit {serial_number} {part_number}", 404) from None

    async def create_unit(self, serial_number: str, part_number: str, revision: str) -> None:
        lost = await self._begin()
        if (serial_number, part_number) in self.units:
            raise WATSRejected("409: it is there already", 409)
        self.units[serial_number, part_number] = {"revision": revision}
        self._end(lost, "create_unit", serial_number, part_number, revision)

    async def set_unit_phase(
        self, serial_number: str, part_number: str, phase: int | str, comment: str | None = None
    ) -> None:
        lost = await self._begin()
        self._unit(serial_number, part_number)["phase"] = phase
        self._end(lost, "set_unit_phase", serial_number, part_number, phase, comment)

    async def set_unit_process(
        self, serial_number: str, part_number: str, process_code: int, comment: str | None = None
    ) -> None:
        lost = await self._begin()
        self._unit(serial_number, part_number)["process"] = process_code
        self._end(lost, "set_unit_process", serial_number, part_number, process_code, comment)

    async def add_child_unit(self, parent: tuple[str, str], child: tuple[str, str]) -> None:
        lost = await self._begin()
        self._unit(*parent)
        self._unit(*child)
        self.children.setdefault(parent, []).append(child)
        self._end(lost, "add_child_unit", parent, child)
