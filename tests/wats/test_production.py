"""WATS hears in which process and phase a unit is, row by row of the mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from pywats_cfx import decode
from pywats_cfx.convert import Converter
from pywats_events import Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.models import UnitDisqualifiedEvent, WorkCompletedEvent
from pywats_wats import Part, SourceProfile, WATSRejected, WATSUnavailable
from pywats_wats.client import WATSClient
from pywats_wats.production import PHASES, ProductionHandler, ProductionService, UnitPhase, unit_calls
from support.cfx import envelope_of
from support.wats_plant import Plant

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
U1 = ("U1", "PCBA-1")
PROFILE = SourceProfile(match="M*", process_codes={"*": 10}, part_number="PCBA-1", revision="A")
FINAL = {EventType.WORK_COMPLETED: UnitPhase.FINALIZED}


def started(unit: str = "U1", **fields: Any) -> Event:
    return Event(EventType.WORK_STARTED, {"unit_id": unit, "station_id": "M1", **fields})


def completed(result: str = "completed", **fields: Any) -> Event:
    payload = {"unit_id": "U1", "station_id": "M1", "result": result, **fields}
    return Event(EventType.WORK_COMPLETED, payload)


def disqualified(**fields: Any) -> Event:
    payload = {"unit_id": "U1", "station_id": "M1", "reason": "Scrap", **fields}
    return Event(EventType.UNIT_DISQUALIFIED, payload)


def handler_on(plant: Plant, **options: Any) -> ProductionHandler:
    return ProductionHandler(plant, **{"profiles": [PROFILE], **options})


# The rows


async def test_work_that_starts_sets_the_process_of_the_unit() -> None:
    plant = Plant(units=(U1,))
    await handler_on(plant).handle(started())
    assert plant.calls == [("set_unit_process", *U1, 10, None)]


async def test_without_a_process_code_work_that_starts_makes_no_call() -> None:
    plant = Plant()
    handler = ProductionHandler(plant)
    await handler.handle(started())
    assert plant.calls == []
    assert handler.statistics.without_call == 1


async def test_the_process_code_can_be_said_by_a_function() -> None:
    plant = Plant(units=(U1,))
    handler = handler_on(plant, process_of=lambda event: 20 if event.payload["lane"] == 2 else None)
    await handler.handle(started(lane=2))
    await handler.handle(started(lane=1))
    assert plant.calls == [("set_unit_process", *U1, 20, None)]


@pytest.mark.parametrize("code", ["10", True, 10.0])
async def test_a_process_code_that_is_none_is_refused_by_its_value(code: Any) -> None:
    with pytest.raises(TypeError, match="process_of must give a process code"):
        await handler_on(Plant(units=(U1,)), process_of=lambda event: code).handle(started())


def test_work_that_ends_makes_no_call_unless_the_station_is_the_last() -> None:
    assert unit_calls(completed(), 10) == ()
    assert EventType.WORK_COMPLETED not in handler_on(Plant()).event_types
    assert EventType.WORK_COMPLETED in handler_on(Plant(), phases=FINAL).event_types


@pytest.mark.parametrize(
    ("result", "calls"), [("completed", 1), ("failed", 0), ("aborted", 0), ("skipped", 0)]
)
async def test_only_completed_work_at_the_last_station_finalizes_a_unit(result: str, calls: int) -> None:
    plant = Plant(units=(U1,))
    await handler_on(plant, phases=FINAL).handle(completed(result))
    assert plant.calls == [("set_unit_phase", *U1, 16, None)] * calls


async def test_a_function_of_the_event_can_say_the_phase_of_failed_work_too() -> None:
    def phase(event: Event) -> int | None:
        failed = event.as_(WorkCompletedEvent).result == "failed"
        return UnitPhase.PRODUCTION_REPAIR if failed else None

    plant = Plant(units=(U1,))
    handler = handler_on(plant, phases={EventType.WORK_COMPLETED: phase})
    for result in ("completed", "failed", "skipped"):
        await handler.handle(completed(result))
    assert plant.calls == [("set_unit_phase", *U1, 4, None)]


async def test_a_disqualified_unit_is_scrapped_with_the_reason_as_comment() -> None:
    plant = Plant(units=(U1,))
    handler = handler_on(plant)
    await handler.handle(disqualified(comments="burnt"))
    await handler.handle(disqualified())
    assert [call[3:] for call in plant.calls] == [(32, "Scrap: burnt"), (32, "Scrap")]


@pytest.mark.parametrize("kind", ["reworked", "returned"])
async def test_a_unit_that_is_reworked_or_returned_is_not_scrapped(kind: str) -> None:
    plant = Plant(units=(U1,))
    await handler_on(plant).handle(disqualified(disqualification_type=kind))
    assert plant.calls == []


async def test_disqualified_units_of_cfx_are_scrapped_each() -> None:
    body = {
        "Reason": "Unspecified",
        "Comments": "fell down",
        "Units": [{"UnitIdentifier": name, "PositionNumber": 1} for name in ("U1", "U2")],
    }
    events = Converter().convert(
        decode(envelope_of("CFX.Production.UnitsDisqualified", body, Source="M1")), NOON
    )
    plant = Plant(units=(U1, ("U2", "PCBA-1")))
    for event in events:
        await handler_on(plant).handle(event)
    assert [(call[1], call[3]) for call in plant.calls] == [("U1", 32), ("U2", 32)]
    assert plant.calls[0][4].endswith(": fell down")


async def test_a_unit_on_its_way_makes_a_call_only_where_phases_say_so() -> None:
    plant = Plant(units=(U1,))
    event = Event(EventType.UNIT_DEPARTED, {"unit_id": "U1", "station_id": "M1"})
    assert unit_calls(event, 10) == ()
    await handler_on(plant, phases={EventType.UNIT_DEPARTED: UnitPhase.SHIPPED}).handle(event)
    assert plant.calls == [("set_unit_phase", *U1, 2048, None)]


async def test_work_that_starts_can_set_a_phase_after_the_process() -> None:
    plant = Plant(units=(U1,))
    phases = {EventType.WORK_STARTED: UnitPhase.UNDER_PRODUCTION}
    await handler_on(plant, phases=phases).handle(started())
    assert [call[0] for call in plant.calls] == ["set_unit_process", "set_unit_phase"]


def test_a_row_can_be_taken_away() -> None:
    handler = handler_on(Plant(), phases={EventType.UNIT_DISQUALIFIED: None})
    assert handler.event_types == [EventType.WORK_STARTED]
    assert PHASES.keys() == {EventType.UNIT_DISQUALIFIED}


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ({EventType.TEST_RESULT: 16}, "which is no event about a unit; there are WORK_STARTED"),
        ({"production.work_order_created": 2}, "which is no event about a unit"),
        ({EventType.WORK_COMPLETED: 3}, "must be one of 1 UNKNOWN, 2 UNDER_PRODUCTION"),
        ({EventType.WORK_COMPLETED: True}, "or None for no call, not True"),
        ({EventType.WORK_COMPLETED: "Finalized"}, "not 'Finalized'"),
    ],
)
def test_a_wrong_table_of_phases_is_refused_when_the_handler_is_made(phases: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        handler_on(Plant(), phases=phases)
    assert said in str(caught.value)


async def test_a_function_that_gives_no_phase_is_refused_by_what_it_gave() -> None:
    handler = handler_on(Plant(units=(U1,)), phases={EventType.WORK_COMPLETED: lambda event: 3})
    with pytest.raises(ValueError, match="not 3"):
        await handler.handle(completed())


def test_a_comment_has_a_bound() -> None:
    event = Event(EventType.UNIT_DISQUALIFIED, UnitDisqualifiedEvent(unit_id="U1", reason="x" * 10_000))
    (call,) = unit_calls(event, None)
    assert len(call.comment or "") == 500  # type: ignore[union-attr]


# Which unit it is


async def part_by_lookup(event: Event) -> Part:
    await trio.lowlevel.checkpoint()
    return Part("FROM-RESOLVER", "B")


@pytest.mark.parametrize(
    ("fields", "part_of", "expected"),
    [
        ({"part_number": "OWN"}, part_by_lookup, "OWN"),
        ({}, part_by_lookup, "FROM-RESOLVER"),
        ({}, lambda event: Part("SYNC"), "SYNC"),
        ({}, lambda event: None, "PCBA-1"),
        ({}, lambda event: Part(None, "C"), "PCBA-1"),
        ({}, None, "PCBA-1"),
    ],
)
async def test_event_resolver_and_profile_are_asked_for_the_part_in_that_order(
    fields: dict[str, str], part_of: Callable[[Event], Any] | None, expected: str
) -> None:
    plant = Plant(units=(("U1", expected),))
    await handler_on(plant, part_of=part_of).handle(started(**fields))
    assert plant.calls == [("set_unit_process", "U1", expected, 10, None)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "the part number is missing"),
        ({"part_number": "P?"}, "wildcards"),
        ({"part_number": "P" * 101}, "101 characters"),
        ({"unit_id": "U[1]", "part_number": "P"}, "serial number 'U"),
        ({"unit_id": "", "part_number": "P"}, "the unit's serial number is missing"),
    ],
)
async def test_what_a_call_lacks_is_said_with_who_may_give_it(fields: dict[str, str], said: str) -> None:
    plant = Plant()
    handler = ProductionHandler(plant, process_of=lambda event: 10)
    with pytest.raises(EventValidationError) as caught:
        await handler.handle(Event(EventType.WORK_STARTED, {"unit_id": "U1", "station_id": "M1", **fields}))
    assert said in str(caught.value)
    assert "ProductionHandler(part_of=...), or in a SourceProfile for 'M1'" in str(caught.value)
    assert plant.calls == []


async def test_a_resolver_that_gives_no_part_is_refused() -> None:
    handler = handler_on(Plant(), part_of=lambda event: "PCBA-1")
    with pytest.raises(TypeError, match="part_of must give a Part"):
        await handler.handle(started())


# Units that the server does not know


async def test_an_unknown_unit_is_the_events_fault() -> None:
    plant = Plant()
    with pytest.raises(WATSRejected):
        await handler_on(plant).handle(started())
    assert plant.calls == []


async def test_an_unknown_unit_is_made_known_first_where_that_is_asked_for() -> None:
    plant = Plant()
    handler = handler_on(plant, create_units=True)
    await handler.handle(started())
    await handler.handle(disqualified())
    assert plant.changes == [
        ("create_unit", *U1, "A"),
        ("set_unit_process", *U1, 10, None),
        ("set_unit_phase", *U1, 32, "Scrap"),
    ]


async def test_a_unit_of_unknown_revision_is_not_made_known() -> None:
    plant = Plant()
    handler = ProductionHandler(plant, create_units=True, process_of=lambda event: 10)
    with pytest.raises(EventValidationError, match="nobody said the revision of 'P'"):
        await handler.handle(started(part_number="P"))
    assert plant.changes == []


class Busy(Plant):
    """Somebody else makes a unit known at the same time."""

    async def create_unit(self, serial_number: str, part_number: str, revision: str) -> None:
        self.units[serial_number, part_number] = {}
        await super().create_unit(serial_number, part_number, revision)


async def test_a_unit_that_somebody_else_makes_known_at_the_same_time_is_known() -> None:
    plant = Busy()
    await handler_on(plant, create_units=True).handle(started())
    assert plant.changes == [("set_unit_process", *U1, 10, None)]


@pytest.mark.parametrize(("fail_at", "reached"), [(1, 1), (2, 2), (3, 3)])
async def test_an_outage_while_a_unit_is_made_known_is_the_outages_fault(fail_at: int, reached: int) -> None:
    plant = Busy(fail_at=fail_at)
    with pytest.raises(WATSUnavailable):
        await handler_on(plant, create_units=True).handle(started())
    assert plant.reached == reached
    assert plant.changes == []


async def test_a_unit_that_the_server_will_not_have_is_refused_by_its_words() -> None:
    class Stern(Plant):
        async def create_unit(self, serial_number: str, part_number: str, revision: str) -> None:
            raise WATSRejected("no such product")

    with pytest.raises(WATSRejected, match="no such product"):
        await handler_on(Stern(), create_units=True).handle(started())


@pytest.mark.parametrize(("status", "made"), [(404, True), (None, True), (400, False), (422, False)])
async def test_only_a_unit_that_the_server_does_not_know_is_made_known(
    status: int | None, made: bool
) -> None:
    class Answering(Plant):
        async def get_unit(self, serial_number: str, part_number: str) -> Mapping[str, Any]:
            raise WATSRejected("the server's words", status)

    plant = Answering()
    with nullcontext() if made else pytest.raises(WATSRejected, match="the server's words"):
        await handler_on(plant, create_units=True).handle(started())
    assert [call[0] for call in plant.changes][:1] == (["create_unit"] if made else [])


# How it is made and subscribed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"process_of": 10}, "process_of must be a function of an event, not 10"),
        ({"part_of": "P"}, "part_of must be a function of an event, not 'P'"),
        ({"profiles": ["M1"]}, "profiles must be SourceProfiles, not 'M1'"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        ProductionHandler(Plant(), **options)


def test_a_service_that_lacks_a_call_is_refused_by_the_names_of_what_is_missing() -> None:
    with pytest.raises(TypeError, match="production_service must have async get_unit, create_unit"):
        ProductionHandler(object())  # type: ignore[arg-type]


def test_the_client_has_all_calls_that_a_handler_makes() -> None:
    service: ProductionService = WATSClient("https://wats.example.com", "dG9rZW4=")
    assert ProductionHandler(service).name == "ProductionHandler"


def test_events_about_one_unit_have_one_key() -> None:
    assert {ProductionHandler.unit_of(event) for event in (started(), completed(), disqualified())} == {"U1"}
