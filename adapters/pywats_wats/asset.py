"""AssetHandler: states, faults and care of machines go to the assets of WATS.

| event | call | at a repeat |
|---|---|---|
| ASSET_STATE_CHANGED | `PUT Asset/State`, only when the WATS state is another (`STATES`) | harmless |
| ASSET_FAULT | `POST Asset/Message`: `[error] 3943480 MechanicalFailure lane 1 (id)` | known by its key |
| ... cleared | `POST Asset/Message`: `[error] 3943480 cleared after 2m10s by ANN (id)` | known by its key |
| ... acknowledged | none | |
| ASSET_MAINTENANCE | `POST Asset/Maintenance` with its time and what was done | harmless |
| ASSET_CALIBRATION | `POST Asset/Calibration` likewise; none for one that failed | harmless |
| those of `counts` | `PUT Asset/Count`: the total where it is known, else the increment | known by its key |

The decisions are `AssetDecisions`, without I/O; the handler carries out what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, TypeVar, assert_never

import msgspec

from pywats_events import BaseHandler, Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.models.asset_events import (
    AssetFaultEvent,
    AssetStateChangedEvent,
    CalibrationEvent,
    MaintenanceEvent,
)
from pywats_wats._asset_mapping import (
    LONGEST_COMMENT,
    STATES,
    WATSAssetState,
    asset_name,
    asset_serial,
    calibration_call,
    checked_states,
    fault_line,
    maintenance_call,
    state_of_asset,
    tools_used,
)
from pywats_wats._calls import (
    AssetCall,
    CountAsset,
    RecordCalibration,
    RecordMaintenance,
    SetAssetState,
    WriteToLog,
)
from pywats_wats._fault_limit import FaultLimit
from pywats_wats._fields import bad_id, cut, zoned
from pywats_wats._once import KeptKeys, SeenKeys, checked_seen
from pywats_wats._services import check_service
from pywats_wats.profile import Profiles, SourceProfile
from pywats_wats.report_handler import CONCURRENCY, DRAIN_RATE

__all__ = [
    "STATES",
    "AssetDecisions",
    "AssetHandler",
    "AssetService",
    "AssetStatistics",
    "CountAsset",
    "WATSAssetState",
    "asset_serial",
    "fault_line",
    "tools_used",
]

V = TypeVar("V")

Counts: TypeAlias = Mapping[EventType, Callable[[Event], Iterable[CountAsset]]]
"""By type of event, a function that says what it counts; the same of the same event at each attempt."""

MAX_ASSETS: Final = 10_000
"""Assets whose state and id are remembered; of one that was forgotten both are asked or written again."""


def _checked_counts(counts: Mapping[Any, Any] | None) -> Counts:
    for kind, function in (counts or {}).items():
        if not isinstance(kind, EventType) or not callable(function):
            raise TypeError(
                "counts must be functions by EventType, such as {EventType.CUSTOM: tools_used}, not "
                f"{kind!r}: {function!r}"
            )
    return MappingProxyType(dict(counts or {}))


class AssetStatistics(msgspec.Struct):
    """What has been done, and what has not been.

    Attributes:
        states_written: states that were written.
        states_unchanged: changes of a machine that left the WATS state as it was.
        lines: lines in logs, those about faults held back among them.
        held_back: faults that got no line of their own.
        waiting: of those, how many no line has told of yet.
        untold: of those, how many no line will tell of.
        serviced: maintenances and calibrations.
        counted: counts of use.
        repeats: what came again, and was not done again.
        skipped: events about what is no asset.
    """

    states_written: int = 0
    states_unchanged: int = 0
    lines: int = 0
    held_back: int = 0
    waiting: int = 0
    untold: int = 0
    serviced: int = 0
    counted: int = 0
    repeats: int = 0
    skipped: int = 0


class AssetDecisions:
    """What to do about an event, by what was done before; without I/O.

    Args:
        owner: whose keys in `seen` they are.
        states: see `STATES`.
        serial_of: the asset's serial number of an event; None if it is about no asset.
        line_of: the line for a fault; None for none.
        counts: by type of event, what it counts.
        limit: of lines about faults.
        seen: what was done already.
    """

    def __init__(
        self,
        owner: str,
        *,
        states: Mapping[str, int | None],
        serial_of: Callable[[Event], str | None],
        line_of: Callable[[AssetFaultEvent, str | None], str | None],
        counts: Counts,
        limit: FaultLimit,
        seen: SeenKeys,
    ) -> None:
        self._owner = owner
        self._states = states
        self._serial_of = serial_of
        self._line_of = line_of
        self._counts = counts
        self._limit = limit
        self._seen = seen
        self._written: dict[str, int] = {}
        self._statistics = AssetStatistics()

    @property
    def statistics(self) -> AssetStatistics:
        """What has been done, up to now."""
        self._statistics.waiting = self._limit.waiting
        self._statistics.untold = self._limit.untold
        return self._statistics

    def calls_of(self, event: Event) -> Iterator[AssetCall]:
        """The calls for an event, one after the other.

        A call counts as made when the next one is asked for. Who fails to make one drops the iterator;
        asked again, the event leads to what is left of it.

        Raises:
            EventValidationError: if the payload, or the asset's serial number, is not what it has to be.
        """
        if event.event_type in _PAYLOADS:
            yield from self._of_asset(event)
        if event.event_type in self._counts:
            yield from self._of_counts(event)

    def _of_asset(self, event: Event) -> Iterator[AssetCall]:
        serial = self._serial_of(event)
        if serial is None:
            self._statistics.skipped += 1
            return
        _check_serial(serial, event)
        payload = event.as_(_PAYLOADS[event.event_type])
        if isinstance(payload, AssetStateChangedEvent):
            yield from self._state(serial, payload)
        elif isinstance(payload, AssetFaultEvent):
            yield from self._fault(serial, payload, event)
        else:
            yield from self._service(serial, payload)
        yield from self._held_back(serial, _time_of(payload), event)

    def _state(self, serial: str, change: AssetStateChangedEvent) -> Iterator[AssetCall]:
        wanted = state_of_asset(change, self._states)
        if wanted is None or self._written.get(serial) == wanted:
            self._statistics.states_unchanged += 1
            return
        # While the call is under way nobody knows which one the server has.
        self._written.pop(serial, None)
        yield SetAssetState(serial, int(wanted))
        _remember(self._written, serial, wanted)
        self._statistics.states_written += 1

    def _fault(self, serial: str, fault: AssetFaultEvent, event: Event) -> Iterator[AssetCall]:
        line = self._line_of(fault, event.correlation_id)
        if line is None:
            return
        key = self._key(event, "line")
        if key in self._seen:
            self._statistics.repeats += 1
            return
        kind = f"{fault.fault_code} cleared" if fault.cleared else fault.fault_code
        at = _time_of(fault)
        if not self._limit.allows(serial, kind, at):
            self._limit.hold(serial, kind)
            self._statistics.held_back += 1
        else:
            held = self._limit.held(serial, kind)
            suffix = f" - and {held} more since the last such line" if held else ""
            yield WriteToLog(serial, cut(line, LONGEST_COMMENT - len(suffix)) + suffix, _user(fault, event))
            self._limit.wrote(serial, kind, at)
            self._statistics.lines += 1
        self._seen.add(key)

    def _held_back(self, serial: str, at: float, event: Event) -> Iterator[AssetCall]:
        for kind, faults in self._limit.due(serial, at):
            comment = cut(kind, LONGEST_COMMENT - 40) + f" - {faults} more since the last such line"
            yield WriteToLog(serial, comment, event.source)
            self._limit.wrote(serial, kind, at)
            self._statistics.lines += 1

    def _service(self, serial: str, done: MaintenanceEvent | CalibrationEvent) -> Iterator[AssetCall]:
        call = (
            maintenance_call(done, serial)
            if isinstance(done, MaintenanceEvent)
            else calibration_call(done, serial)
        )
        if call is not None:
            yield call
            self._statistics.serviced += 1

    def _of_counts(self, event: Event) -> Iterator[AssetCall]:
        for number, count in enumerate(self._counts[event.event_type](event)):
            _check_serial(count.serial_number, event)
            if count.total is not None:
                yield CountAsset(count.serial_number, total=count.total)
            else:
                key = self._key(event, f"count {number}")
                if key in self._seen:
                    self._statistics.repeats += 1
                    continue
                yield count
                self._seen.add(key)
            self._statistics.counted += 1

    def _key(self, event: Event, what: str) -> str:
        return f"{self._owner}:{event.id}:{what}"


_PAYLOADS: Final[dict[EventType, Any]] = {
    EventType.ASSET_STATE_CHANGED: AssetStateChangedEvent,
    EventType.ASSET_FAULT: AssetFaultEvent,
    EventType.ASSET_MAINTENANCE: MaintenanceEvent,
    EventType.ASSET_CALIBRATION: CalibrationEvent,
}


def _remember(values: dict[str, V], key: str, value: V) -> None:
    """Keep a value as the latest; the oldest goes when there are too many."""
    values.pop(key, None)
    values[key] = value
    if len(values) > MAX_ASSETS:
        del values[next(iter(values))]


def _check_serial(serial: str, event: Event) -> None:
    wrong = bad_id("the asset's serial number", serial)
    if wrong is not None:
        raise EventValidationError(
            f"event {event.id} ({event.event_type}) is about no asset: {wrong}; "
            "AssetHandler(serial_of=..., counts=...) can say another"
        )


def _time_of(payload: Any) -> float:
    moment: datetime = payload.timestamp
    if isinstance(payload, AssetFaultEvent) and payload.cleared and payload.cleared_time is not None:
        moment = payload.cleared_time
    return zoned(moment, None).timestamp()


def _user(fault: AssetFaultEvent, event: Event) -> str:
    return cut(fault.custom_data.get("operator") or event.source, 100)


# Carrying it out


class AssetService(Protocol):
    """Where it goes: a `WATSClient`, or one's own; whatever it raises is judged by the handler's policies."""

    async def get_asset(self, serial_number: str, /) -> Mapping[str, Any]:
        """The asset of a serial number, with its `assetId`."""
        ...

    async def set_asset_state(self, serial_number: str, state: int, /) -> object:
        """Set its state."""
        ...

    async def count_asset(
        self, serial_number: str, /, *, increment: int | None = None, total: int | None = None
    ) -> object:
        """Count its use."""
        ...

    async def asset_message(self, asset_id: str, comment: str, user: str, /) -> object:
        """Write a line to its log."""
        ...

    async def calibrate(self, serial_number: str, when: datetime, comment: str, /) -> object:
        """Say that it was calibrated."""
        ...

    async def maintain(self, serial_number: str, when: datetime, comment: str, /) -> object:
        """Say that it was maintained."""
        ...


class AssetHandler(BaseHandler):
    """Tells WATS how its assets are.

    What concerns one asset stays in order, and others go in parallel, `concurrency` at once. Without
    that order, more than one at a time may write a fault's line too many.

    The service stays open: it may serve others, and who made it closes it.

    Args:
        asset_service: such as a `WATSClient`.
        states: WATS states by what the machine does or by the beginning of its code, above those of
            `STATES`; None makes no call.
        serial_of: gives the asset's serial number of an event, None if it is about no asset; default
            `asset_serial`, where no profile says another.
        line_of: gives the line for a fault and its occurrence's id, None for no line; default `fault_line`.
        counts: by type of event, a function that gives what it counts, for instance
            `{EventType.CUSTOM: tools_used}`; default none.
        window: seconds in which a fault of one code has one line, and a machine `lines_per_window`.
        lines_per_window: at least 1.
        profiles: who senders are; the first that matches counts.
        seen: where it is remembered what must not be done twice, such as the `seen` of a store; default
            the store of its bus, and without one a window in memory, which ends with the process.
        name: of the handler; what is `seen` is kept by it.

    Raises:
        TypeError: if the service lacks a call, or an argument is of the wrong type.
        ValueError: if a value cannot work.
    """

    def __init__(
        self,
        asset_service: AssetService,
        *,
        states: Mapping[str, int | None] | None = None,
        serial_of: Callable[[Event], str | None] = asset_serial,
        line_of: Callable[[AssetFaultEvent, str | None], str | None] = fault_line,
        counts: Counts | None = None,
        window: float = 60.0,
        lines_per_window: int = 10,
        profiles: Sequence[SourceProfile] = (),
        seen: SeenKeys | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_service("asset_service", asset_service, AssetService)
        for what, function in (("serial_of", serial_of), ("line_of", line_of)):
            if not callable(function):
                raise TypeError(f"{what} must be a function, not {function!r}")
        self._service = asset_service
        self._profiles = Profiles(profiles)
        self._counts = _checked_counts(counts)
        self._seen = checked_seen(seen)
        self._decisions = AssetDecisions(
            self.name,
            states=checked_states(states),
            serial_of=self._serial_of if serial_of is asset_serial else serial_of,
            line_of=line_of,
            counts=self._counts,
            limit=FaultLimit(window, lines_per_window),
            seen=self._seen,
        )
        self._ids: dict[str, str] = {}

    concurrency = CONCURRENCY
    drain_rate = DRAIN_RATE

    @property
    def event_types(self) -> list[EventType]:
        """States, faults, maintenance, calibration, and what counts."""
        return list(dict.fromkeys([*_PAYLOADS, *self._counts]))

    @staticmethod
    def asset_of(event: Event) -> str:
        """The asset that an event is about, or its sender; its events stay in order."""
        return asset_name(event) or event.source

    @property
    def order_by(self) -> Callable[[Event], str]:
        """Its key is the asset."""
        return self.asset_of

    def use_profiles(self, profiles: Sequence[SourceProfile]) -> None:
        """Go by the profiles of the station, unless it was given its own."""
        self._profiles.use(profiles)

    def _profile_of(self, event: Event) -> SourceProfile | None:
        return self._profiles.find(asset_name(event) or event.source.removeprefix("cfx:"))

    def _serial_of(self, event: Event) -> str | None:
        profile = self._profile_of(event)
        return asset_serial(event) if profile is None or profile.asset is None else profile.asset

    @property
    def statistics(self) -> AssetStatistics:
        """What has been done, up to now."""
        return self._decisions.statistics

    async def on_start(self) -> None:
        """Take up what was done in earlier lives.

        Cancelled: nothing has happened.
        """
        if isinstance(self._seen, KeptKeys):
            await self._seen.open()

    async def handle(self, event: Event) -> None:
        """Make the calls for an event.

        Raises:
            EventValidationError: if the event can make none.
            Exception: what the service raises.

        Cancelled: the call under way may have been made; what was made before it is not made again.
        """
        profile = self._profile_of(event)
        for call in self._decisions.calls_of(event):
            await self._make(call, None if profile is None else profile.tz)

    async def _make(self, call: AssetCall, tz: str | None) -> None:
        service = self._service
        match call:
            case SetAssetState():
                await service.set_asset_state(call.serial_number, call.state)
            case WriteToLog():
                await self._write(call)
            case CountAsset():
                await service.count_asset(call.serial_number, increment=call.increment, total=call.total)
            case RecordMaintenance():
                await service.maintain(call.serial_number, zoned(call.when, tz), call.comment)
            case RecordCalibration():
                await service.calibrate(call.serial_number, zoned(call.when, tz), call.comment)
            case _:
                assert_never(call)

    async def _write(self, call: WriteToLog) -> None:
        serial = call.serial_number
        identity = self._ids.get(serial)
        if identity is None:
            identity = await self._id_of(serial)
            _remember(self._ids, serial, identity)
        try:
            await self._service.asset_message(identity, call.comment, call.user)
        except Exception:
            # Perhaps it is another asset's by now.
            self._ids.pop(serial, None)
            raise

    async def _id_of(self, serial: str) -> str:
        identity = (await self._service.get_asset(serial)).get("assetId")
        if not identity:
            raise LookupError(f"the server told no assetId of the asset {serial!r}")
        return str(identity)
