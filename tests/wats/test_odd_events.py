"""Whatever a sender says, what goes to WATS is what it takes, or the event is told to be at fault at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx2
import trio
from hypothesis import given
from hypothesis import strategies as st

from pywats_events import BaseHandler, Event, EventType
from pywats_wats import (
    WSJF,
    AssetHandler,
    MaterialHandler,
    ProductionHandler,
    ReelMemory,
    ReportHandler,
    SourceProfile,
    WATSClient,
)
from pywats_wats.testing import faults_of

UUID = "749ecb98-95b4-5d9d-a4db-ad45da7c58d8"
Values: TypeAlias = st.SearchStrategy[Any]

PHASES = {EventType.WORK_COMPLETED: 16, EventType.UNIT_DISQUALIFIED: 32}
PROFILE = SourceProfile(machine="M", process_codes={"*": 10}, part_number="P", revision="A")

_odd_texts = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(categories=["Cc", "Cs", "Zs", "Cf"]), max_size=4),
    st.sampled_from(
        ["", " ", ".", "..", "*", "A/B", "NaN", "Infinity", "what", "\r\n", "x" * 101, "y" * 9_999]
    ),
)
_times = st.sampled_from(
    [
        "2026-07-01T10:30:00",
        "2026-07-01T10:30:00.1234567Z",
        "2026-07-01T10:30:00+05:45",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-12:00",
    ]
)
_numbers = st.integers(-(2**63), 2**63) | st.floats() | st.just(-0.0)
_anything = st.recursive(
    st.none() | st.booleans() | _numbers | st.just(10**400) | _odd_texts | _times | st.just("yesterday"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_texts, inner, max_size=3),
    max_leaves=6,
)


def rarely_odd(usual: Values) -> Values:
    """What is usual, and now and then anything else."""
    return st.integers(0, 63).flatmap(lambda chance: usual if chance else _anything)


def odd(needed: dict[str, Values], **others: Values) -> Values:
    """A payload: each field usual as a rule, and those that need not be there not always there."""
    return st.fixed_dictionaries(
        {name: rarely_odd(usual) for name, usual in needed.items()},
        optional={name: rarely_odd(usual) for name, usual in others.items()},
    )


_units = st.sampled_from(["SN-1", "SN 2", "ü"]) | _odd_texts
_words = st.sampled_from(["pass", "Failed", "error", "skipped", "ABORTED", "P"])
_measurements = odd(
    {"name": _odd_texts},
    value=_numbers | st.booleans() | _odd_texts,
    unit=_odd_texts,
    status=_words,
    low_limit=_numbers,
    high_limit=_numbers,
    nominal=_numbers | _odd_texts,
    comp_op=st.sampled_from(["GELE", "GTLT", "EQ", "LT", "NE", "LOG", "IGNORECASE", "what"]),
    kind=st.sampled_from(["numeric", "text", "boolean", "other"]),
    group=st.sampled_from(["g", ""]),
    CRDs=_anything,
)
_steps = odd(
    {"name": _odd_texts},
    status=_words,
    start_time=_times,
    end_time=_times,
    measurements=st.lists(_measurements, max_size=3),
    message=_odd_texts,
    comments=_odd_texts,
    verification=_odd_texts,
    issues=st.lists(odd({"kind": _odd_texts}, code=_odd_texts, description=_odd_texts), max_size=2),
    conditions=st.lists(odd({"name": _odd_texts}, value=_numbers, unit=_odd_texts), max_size=2),
    attachments=st.lists(
        odd({"name": _odd_texts}, data=st.binary(max_size=9), content_type=_odd_texts), max_size=2
    ),
)
_results = odd(
    {"unit_id": _units},
    result=_words,
    part_number=_odd_texts,
    revision=_odd_texts,
    station_id=_odd_texts,
    operator_id=_odd_texts,
    start_time=_times,
    end_time=_times,
    steps=st.lists(_steps, max_size=3),
    test_socket=st.integers(-5, 2**70),
    batch_sn=_odd_texts,
    fixture_id=_odd_texts,
    process=_odd_texts,
    recipe_name=_odd_texts,
    recipe_revision=_odd_texts,
    verification=_odd_texts,
    conflicts=st.lists(_odd_texts, max_size=2),
    SamplingInformation=_anything,
    TotalInspectionCount=_anything,
    defects=st.lists(odd({"code": _odd_texts}), max_size=2),
    images=st.lists(_odd_texts, max_size=2),
)
_reports = odd(
    {
        "wsjf": st.fixed_dictionaries(
            {"id": st.just(UUID), "sn": _units, "start": _times, "root": _anything}
            | dict.fromkeys(("pn", "rev", "result", "machineName", "location", "purpose"), st.just("P"))
            | {"processCode": st.just(10)}
        )
    }
)
_states = odd(
    {"asset_id": _units, "new_state": st.sampled_from(["busy", "Down", "idle", "maintenance"])},
    code=_odd_texts,
    timestamp=_times,
)
_faults = odd(
    {"asset_id": _units, "fault_code": _odd_texts},
    fault_message=_odd_texts,
    severity=st.sampled_from(["Alarm", "info", "fatal"]),
    timestamp=_times,
    cleared=st.booleans(),
    cleared_time=_times,
    lane=st.integers(),
    seconds_open=_anything,
    operator=_anything,
)
_services = odd(
    {"asset_id": _units, "maintenance_type": _odd_texts},
    status=_odd_texts,
    description=_odd_texts,
    performed_by=_odd_texts,
    timestamp=_times,
    duration_minutes=_numbers,
    parts_replaced=st.lists(_odd_texts, max_size=2),
)
_work = odd(
    {"unit_id": _units, "station_id": _odd_texts, "reason": _odd_texts},
    part_number=_odd_texts,
    revision=_odd_texts,
    comments=_odd_texts,
    timestamp=_times,
    result=st.sampled_from(["completed", "failed", "lost"]),
)
_components = odd(
    {"reference_designator": _odd_texts},
    part_number=_units,
    serial_number=_units,
    lot_number=_odd_texts,
    revision=_odd_texts,
    quantity=_numbers,
)
_installed = odd({"unit_id": _units}, components=st.lists(_components, max_size=3), part_number=_odd_texts)


def server(request: httpx2.Request) -> httpx2.Response:
    """Takes what can be sent; of the reports that are made here, what the stand-in takes."""
    if request.url.path == "/api/Report/WSJF":
        report = json.loads(request.content)
        assert report["id"] == UUID or faults_of(report) == []
    return httpx2.Response(200, json={"id": "x", "assetId": "a"})


async def handle(handler: BaseHandler, kind: EventType, payload: Any) -> None:
    """Hand an event to a handler as a bus does; what is raised must blame the event."""
    try:
        event = Event(kind, payload, source="tester")
        assert handler.order_by is not None
        hash(handler.order_by(event))
        await handler.handle(event)
    except Exception as error:
        if not getattr(error, "blames_item", False):
            raise


def handled(make: Callable[[WATSClient], BaseHandler], kind: EventType, payload: Any) -> None:
    async def main() -> None:
        async with WATSClient("https://wats", "dDp0", transport=httpx2.MockTransport(server)) as wats:
            await handle(make(wats), kind, payload)

    trio.run(main)


@given(_results, st.sampled_from([EventType.TEST_RESULT, EventType.INSPECTION_RESULT]))
def test_a_result_makes_a_report_that_wats_takes_or_is_at_fault(payload: Any, kind: EventType) -> None:
    handled(lambda wats: ReportHandler(wats, profiles=[PROFILE]), kind, payload)


@given(_reports)
def test_what_is_to_be_passed_on_is_a_report_or_at_fault(payload: Any) -> None:
    handled(ReportHandler, WSJF, payload)


@given(
    st.one_of(
        st.tuples(st.just(EventType.ASSET_STATE_CHANGED), _states),
        st.tuples(st.just(EventType.ASSET_FAULT), _faults),
        st.tuples(st.sampled_from([EventType.ASSET_MAINTENANCE, EventType.ASSET_CALIBRATION]), _services),
    )
)
def test_what_is_told_of_an_asset_can_be_sent_or_is_at_fault(event: tuple[EventType, Any]) -> None:
    handled(AssetHandler, *event)


@given(st.sampled_from([EventType.WORK_STARTED, *PHASES]), _work)
def test_what_is_told_of_a_unit_can_be_sent_or_is_at_fault(kind: EventType, payload: Any) -> None:
    handled(
        lambda wats: ProductionHandler(wats, phases=PHASES, profiles=[PROFILE], create_units=True),
        kind,
        payload,
    )


@given(_installed)
def test_what_is_told_of_material_can_be_sent_or_is_at_fault_with_the_next_report(payload: Any) -> None:
    reels = ReelMemory()
    handled(
        lambda wats: MaterialHandler(wats, reels=reels, profiles=[PROFILE], create_units=True),
        EventType.MATERIAL_INSTALLED,
        payload,
    )
    unit = payload.get("unit_id") if isinstance(payload, dict) else None
    handled(
        lambda wats: ReportHandler(wats, profiles=[PROFILE], sub_units_of=reels.sub_units_of),
        EventType.TEST_RESULT,
        {"unit_id": unit},
    )


def test_a_result_of_100_000_measurements_and_one_of_10_mb_of_files_are_one_report_each() -> None:
    many = [
        {
            "name": "Vol",
            "group": f"Pad {number}",
            "value": number / 7,
            "status": "pass" if number % 50 else "F",
        }
        for number in range(100_000)
    ]
    files = [{"name": "board.png", "data": b"x" * (5 << 20)} for _ in range(3)]
    for fields in ({"measurements": many}, {"attachments": files}):
        payload = {"unit_id": "SN-1", "steps": [{"name": "S", **fields}]}
        handled(lambda wats: ReportHandler(wats, profiles=[PROFILE]), EventType.TEST_RESULT, payload)
