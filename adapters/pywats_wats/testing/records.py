"""What has a server been told? The memory of the stand-in, without HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pywats_supervision.system import current_runtime
from pywats_wats.testing.validation import faults_of

__all__ = ["Records", "Refused"]

MOST_REPORTS: Final = 1_000_000
"""Reports that are kept; of more the oldest are forgotten, and still counted."""
PROCESSES: Final = {10: "ICT", 50: "Programming", 100: "Function test", 110: "AOI", 120: "SPI", 500: "Repair"}


class Refused(Exception):
    """The server does not take it: a status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Records:
    """What a server has been told.

    Args:
        processes: the names of the processes that it knows, by code.
        units: serial and part numbers that it knows; None for all that are asked for.
        assets: serial numbers that it knows; None for all that are asked for.

    Attributes:
        reports: by id, the newest of each.
        submissions: how many were taken, repeats counted.
        repeats: how many of these it had already.
        refused: how many it did not take.
        states: of assets, by serial number.
        logs: of assets, likewise.
        counts: of assets, likewise.
        serviced: maintenance and calibration: serial number, kind, when, comment.
        units: what it knows of each unit, by serial and part number.
    """

    def __init__(
        self,
        *,
        processes: Mapping[int, str] | None = None,
        units: Iterable[tuple[str, str]] | None = None,
        assets: Iterable[str] | None = None,
    ) -> None:
        self.processes: dict[int, str] = dict(PROCESSES if processes is None else processes)
        self.reports: dict[str, dict[str, Any]] = {}
        self.submissions: int = 0
        self.repeats: int = 0
        self.refused: int = 0
        self.states: dict[str, int] = {}
        self.logs: dict[str, list[str]] = {}
        self.counts: dict[str, int] = {}
        self.serviced: list[tuple[str, str, str, str]] = []
        self.units: dict[tuple[str, str], dict[str, Any]] = {}
        self._any_unit = units is None
        self._assets = None if assets is None else set(assets)
        for serial, part in units or ():
            self.units[serial, part] = _unit(serial, part, "")

    def take_report(self, report: Any) -> str:
        """Take a report, and give its id; one that it has already replaces that.

        Raises:
            Refused: if it is none, with all that is wrong with it.
        """
        faults = faults_of(report, self.processes)
        if faults:
            self.refused += 1
            raise Refused(400, "; ".join(faults[:10]))
        identity = str(report["id"])
        self.submissions += 1
        self.repeats += identity in self.reports
        self.reports[identity] = report
        while len(self.reports) > MOST_REPORTS:
            del self.reports[next(iter(self.reports))]
        return identity

    def reports_of(self, serial_number: str) -> list[dict[str, Any]]:
        """The reports of one unit, in the order in which they came first."""
        return [report for report in self.reports.values() if report["sn"] == serial_number]

    # Assets

    def asset(self, serial: str) -> dict[str, Any]:
        """An asset.

        Raises:
            Refused: 404, if it is not known.
        """
        if self._assets is not None and serial not in self._assets:
            raise Refused(404, f"no asset {serial!r}")
        return {
            "assetId": f"asset-{serial}",
            "serialNumber": serial,
            "state": self.states.get(serial, 0),
            "totalCount": self.counts.get(serial, 0),
        }

    def set_state(self, serial: str, state: int) -> None:
        """Set an asset's state, 0 to 6."""
        self.asset(serial)
        if not 0 <= state <= 6:
            raise Refused(400, f"state must be 0 to 6, not {state}")
        self.states[serial] = state

    def count(self, serial: str, increment: int | None, total: int | None) -> None:
        """Count an asset's use."""
        self.asset(serial)
        self.counts[serial] = self.counts.get(serial, 0) + (increment or 0) if total is None else total

    def log(self, asset_id: str, comment: str) -> None:
        """Write to an asset's log."""
        serial = asset_id.removeprefix("asset-")
        self.asset(serial)
        if not comment:
            raise Refused(400, "comment must not be empty")
        self.logs.setdefault(serial, []).append(comment)

    def service(self, serial: str, kind: str, when: str, comment: str) -> None:
        """Note that an asset was maintained or calibrated."""
        self.asset(serial)
        datetime.fromisoformat(when)
        self.serviced.append((serial, kind, when, comment))

    # Units

    def unit(self, serial: str, part: str) -> dict[str, Any]:
        """A unit.

        Raises:
            Refused: 404, if it is not known.
        """
        if self._any_unit and (serial, part) not in self.units:
            self.create_unit(serial, part, "")
        if (serial, part) not in self.units:
            raise Refused(404, f"no unit {serial!r} of {part!r}")
        return self.units[serial, part]

    def create_unit(self, serial: str, part: str, revision: str) -> dict[str, Any]:
        """Make a unit known."""
        if not serial or not part:
            raise Refused(400, "serialNumber and partNumber must not be empty")
        return self.units.setdefault((serial, part), _unit(serial, part, revision))

    def add_child(self, parent: tuple[str, str], child: tuple[str, str]) -> None:
        """Note that a unit was built into another."""
        self.unit(*child)
        children = self.unit(*parent)["subUnits"]
        known = {"serialNumber": child[0], "partNumber": child[1]}
        if known in children:
            raise Refused(409, f"{child[0]!r} is a child of {parent[0]!r} already")
        children.append(known)

    def verification(self, serial: str, part: str) -> dict[str, Any]:
        """Whether a unit may be processed: not if its last report says that it failed."""
        unit = self.unit(serial, part)
        failed = [report for report in self.reports_of(serial) if report["result"] in {"F", "E", "T"}]
        passed = not failed or self.reports_of(serial)[-1]["result"] == "P"
        return {
            "serialNumber": serial,
            "partNumber": part,
            "grade": "AllProcessesPassedFirstRun" if passed else "NotAllProcessesPassed",
            "status": "Passed" if passed else "Failed",
            "unitPhase": unit.get("phase", "Under Production"),
        }

    def summary(self) -> dict[str, Any]:
        """What it has, in numbers."""
        runtime = current_runtime()
        return {
            "what": "a stand-in for tests and demonstrations; it is not WATS",
            "at": datetime.fromtimestamp(runtime.wall_clock() / 1e9, UTC).isoformat(),
            "reports": len(self.reports),
            "submissions": self.submissions,
            "repeats": self.repeats,
            "refused": self.refused,
            "units": len({report["sn"] for report in self.reports.values()}),
            "passed": sum(report["result"] == "P" for report in self.reports.values()),
            "assets": len(self.states),
            "log_lines": sum(len(lines) for lines in self.logs.values()),
        }


def _unit(serial: str, part: str, revision: str) -> dict[str, Any]:
    return {"serialNumber": serial, "partNumber": part, "revision": revision, "subUnits": []}
