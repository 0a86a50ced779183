"""ReportHandler: results go to WATS, each unit's in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from pywats_events import BaseHandler, Event, EventType
from pywats_events.checks import Finding
from pywats_events.models.result_events import TestResultEvent
from pywats_wats._checking import findings
from pywats_wats._fields import is_uuid
from pywats_wats._payloads import unit_name
from pywats_wats._pywats_api import PywatsApiReports, is_of_pywats_api
from pywats_wats._results import result_in, source_of
from pywats_wats.errors import IncompleteReport
from pywats_wats.profile import Profiles, SourceProfile
from pywats_wats.report import ATTACHMENTS_LIMIT, Part, is_reported, report_of

if TYPE_CHECKING:
    from pywats_asyncio import AsyncioBridge

__all__ = [
    "CONCURRENCY",
    "DRAIN_RATE",
    "WSJF",
    "PartOf",
    "ReportHandler",
    "ReportService",
    "ReportStatistics",
]

PartOf = Callable[[Event], "Part | Awaitable[Part | None] | None"]
"""Says what a unit is one of; sync or async, None if it does not know."""

WSJF: Final = EventType.register("wats.report")
"""The type of an event whose payload has a report under "wsjf", which is passed on as it is."""

CONCURRENCY: Final = 4
"""Calls to the server at once, unless `subscribe` says otherwise."""

DRAIN_RATE: Final = 50.0
"""Events per second by which a backlog on the disk becomes less, unless `subscribe` says otherwise.

After an outage all stations come back to one server at once: a weekend's 30,000 reports of one of them
take ten minutes. What comes in meanwhile is sent beside that, so it does not grow.
"""

_REQUIRED: Final = (
    "id",
    "pn",
    "sn",
    "rev",
    "processCode",
    "result",
    "machineName",
    "location",
    "purpose",
    "start",
    "root",
)


class ReportService(Protocol):
    """Where reports go: a `WATSClient`, a report service of pywats-api, or one's own.

    Only those of pywats-api may be sync.
    """

    def submit(self, report: Any, /) -> Any:
        """Hand a report in; whatever it raises is judged by the handler's policies."""
        ...


class ReportStatistics(msgspec.Struct):
    """What a handler has done.

    Attributes:
        submitted: reports that the service took.
        skipped: results of skipped units, which make no report.
        conflicts: reports of results that contradict themselves.
        incomplete: results that could not make a report.
    """

    submitted: int = 0
    skipped: int = 0
    conflicts: int = 0
    incomplete: int = 0


class ReportHandler(BaseHandler):
    """Makes a report of each test result and inspection, and hands it to a service.

    Reports of one unit stay in order, and those of others go in parallel, `concurrency` at once. After an
    outage the backlog on the disk shrinks by `drain_rate`, 50 a second, at the most.

    Args:
        report_service: anything with `async submit(report)`, or a report service of pywats-api: a
            sync one is called in a thread, an async one through `bridge`. It stays open: it may serve
            others, and who made it closes it.
        bridge: for an async service of pywats-api; its `run` must be a child of the tree.
        part_of: says part number and revision of a unit that its event does not name.
        profiles: who senders are; the first that matches counts.
        sub_units_of: gives the components to be told with a unit's report, each with partType, pn, rev
            and sn, such as `ReelMemory.sub_units_of`; the same at each attempt.
        attachments_limit: bytes of images and files in one report.
        all_measurements: keep all of more than 5,000 measurements in a report.
        name: of the handler.

    Raises:
        TypeError: if the service has no `submit` or lacks a bridge, or a profile is none.
    """

    def __init__(
        self,
        report_service: ReportService,
        *,
        bridge: AsyncioBridge | None = None,
        part_of: PartOf | None = None,
        profiles: Sequence[SourceProfile] = (),
        sub_units_of: Callable[[Event], Sequence[dict[str, Any]]] | None = None,
        attachments_limit: int = ATTACHMENTS_LIMIT,
        all_measurements: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        service: Any = report_service
        if is_of_pywats_api(service):
            service = PywatsApiReports(service, bridge)
        elif not callable(getattr(service, "submit", None)):
            raise TypeError(
                f"report_service must have `async submit(report)`, and {report_service!r} has not"
            )
        self._service = service
        self._part_of = part_of
        self._profiles = Profiles(profiles)
        self._sub_units_of = sub_units_of
        self._attachments_limit = attachments_limit
        self._all_measurements = all_measurements
        self.statistics: ReportStatistics = ReportStatistics()

    concurrency = CONCURRENCY
    drain_rate = DRAIN_RATE

    @property
    def event_types(self) -> list[EventType]:
        """Test results, inspections, and reports that are to be passed on."""
        return [EventType.TEST_RESULT, EventType.INSPECTION_RESULT, WSJF]

    @staticmethod
    def unit_of(event: Event) -> str:
        """The serial number that an event is about; its events stay in order."""
        if event.event_type == WSJF:
            return str((_report_in(event) or {}).get("sn", ""))
        return unit_name(event)

    @property
    def order_by(self) -> Callable[[Event], str]:
        """Its key is the unit."""
        return self.unit_of

    def profile_of(self, event: Event) -> SourceProfile:
        """The profile of an event's sender."""
        return self._profiles.of(source_of(event, result_in(event)))

    def use_profiles(self, profiles: Sequence[SourceProfile]) -> None:
        """Go by the profiles of the station, unless it was given its own."""
        self._profiles.use(profiles)

    async def check(self) -> list[Finding]:
        """Ask the server whether it is there, lets us in and knows the profiles' process codes.

        Of a service that has no `processes()`, nothing is asked. Cancelled: nothing has happened.
        """
        return await findings(self._service, self._profiles)

    async def handle(self, event: Event) -> None:
        """Make the report and hand it in.

        Raises:
            IncompleteReport: if the event cannot make a valid one.
            Exception: what the service raises.

        Cancelled: the service may have it; it comes again with the same id.
        """
        if event.event_type == WSJF:
            await self._service.submit(self._passed_on(event))
        else:
            result = result_in(event)
            if not is_reported(result):
                self.statistics.skipped += 1
                return
            await self._service.submit(await self._report(event, result))
        self.statistics.submitted += 1

    async def _report(self, event: Event, result: TestResultEvent) -> dict[str, Any]:
        part = None if self._part_of is None else self._part_of(event)
        if isawaitable(part):
            part = await part
        try:
            report = report_of(
                event,
                self._profiles.of(source_of(event, result)),
                part,
                sub_units=() if self._sub_units_of is None else self._sub_units_of(event),
                attachments_limit=self._attachments_limit,
                all_measurements=self._all_measurements,
                result=result,
            )
        except IncompleteReport:
            self.statistics.incomplete += 1
            raise
        if result.conflicts:
            self.statistics.conflicts += 1
        return report

    def _passed_on(self, event: Event) -> Mapping[str, Any]:
        report = _report_in(event)
        if report is None:
            self.statistics.incomplete += 1
            raise IncompleteReport(f"event {event.id} has no report under 'wsjf'", ("wsjf",))
        missing = tuple(field for field in _REQUIRED if report.get(field) in (None, ""))
        if missing:
            self.statistics.incomplete += 1
            raise IncompleteReport(
                f"the report in event {event.id} has no {', '.join(missing)}, which WATS needs", missing
            )
        if not is_uuid(str(report["id"])):
            self.statistics.incomplete += 1
            raise IncompleteReport(
                f"the id {report['id']!r} of the report in event {event.id} is no UUID", ("id",)
            )
        return report


def _report_in(event: Event) -> Mapping[str, Any] | None:
    report = event.payload.get("wsjf") if isinstance(event.payload, Mapping) else None
    return report if isinstance(report, Mapping) else None
