"""Components that are units become children, and reels go into the unit's next report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pywats_cfx import decode
from pywats_cfx.convert import Converter
from pywats_events import Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.models import InstalledComponent
from pywats_wats import Part, SourceProfile, WATSRejected, report_of
from pywats_wats._once import SeenWindow
from pywats_wats.client import WATSClient
from pywats_wats.material import MaterialHandler, MaterialService, ReelMemory, child_calls
from support.cfx import envelope_of
from support.wats_plant import Plant

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOARD = ("U1", "PCBA-1")
CPU = ("CPU-7", "CPU")
PROFILE = SourceProfile(part_number="PCBA-1", revision="A", process_codes={"*": 10})


def component(serial: str | None = None, lot: str | None = None, **fields: Any) -> dict[str, Any]:
    given = {
        "reference_designator": "U3",
        "part_number": "CPU",
        "serial_number": serial,
        "lot_number": lot,
        **fields,
    }
    return {name: value for name, value in given.items() if value is not None}


def installed(*components: dict[str, Any], unit: str = "U1") -> Event:
    return Event(EventType.MATERIAL_INSTALLED, {"unit_id": unit, "components": list(components)})


def result(unit: str = "U1") -> Event:
    return Event(EventType.TEST_RESULT, {"unit_id": unit, "result": "pass", "process": "ICT"})


def handler_on(plant: Plant, **options: Any) -> MaterialHandler:
    return MaterialHandler(plant, **{"profiles": [PROFILE], **options})


# Children


async def test_a_component_with_a_serial_number_becomes_a_child_of_the_unit() -> None:
    plant = Plant(units=(BOARD, CPU))
    handler = handler_on(plant)
    await handler.handle(installed(component("CPU-7"), component(lot="REEL-1"), component()))
    assert plant.calls == [("get_unit", *BOARD), ("add_child_unit", BOARD, CPU)]
    assert handler.statistics.left_out == 2


async def test_without_such_a_component_nothing_is_called_and_no_part_needed() -> None:
    plant = Plant()
    await MaterialHandler(plant).handle(installed(component(lot="REEL-1"), component()))
    assert plant.calls == []


async def test_a_component_named_twice_is_one_child() -> None:
    plant = Plant(units=(BOARD, CPU))
    await handler_on(plant).handle(installed(component("CPU-7"), component("CPU-7")))
    assert plant.children == {BOARD: [CPU]}


async def test_a_child_that_the_server_has_already_is_not_added_again() -> None:
    plant = Plant(units=(BOARD, CPU))
    plant.children[BOARD] = [CPU]
    handler = handler_on(plant)
    await handler.handle(installed(component("CPU-7")))
    assert plant.changes == []
    assert handler.statistics.known == 1


async def test_an_event_that_comes_again_asks_nothing() -> None:
    plant, event = Plant(units=(BOARD, CPU)), installed(component("CPU-7"))
    handler = handler_on(plant)
    for _ in range(3):
        await handler.handle(event)
    assert len(plant.calls) == 2
    assert handler.statistics.repeats == 2


async def test_what_was_done_is_known_to_the_next_handler_by_a_window_they_share() -> None:
    plant, seen, event = Plant(units=(BOARD, CPU)), SeenWindow(), installed(component("CPU-7"))
    for _ in range(2):
        await handler_on(plant, seen=seen).handle(event)
    assert len(plant.calls) == 2


async def test_installed_materials_of_cfx_become_children_by_the_identifier_of_the_installed_unit() -> None:
    body = {
        "InstalledMaterials": [
            {
                "UnitIdentifier": "U1",
                "Material": {"UniqueIdentifier": "REEL-1", "InternalPartNumber": "CPU"},
                "InstalledComponents": [
                    {"ReferenceDesignator": "U3", "InstalledUnitIdentifier": "CPU-7"},
                    {"ReferenceDesignator": "U4"},
                ],
            }
        ]
    }
    plant, reels = Plant(units=(BOARD, CPU)), ReelMemory()
    handler = handler_on(plant, reels=reels)
    envelope = envelope_of("CFX.Production.Assembly.MaterialsInstalled", body)
    for event in Converter().convert(decode(envelope), NOON):
        await handler.handle(event)
    assert plant.children == {BOARD: [CPU]}
    assert [reel["sn"] for reel in reels.sub_units_of(result())] == ["REEL-1"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([component("CPU-7", part_number="")], "the part number of the component at 'U3' is missing"),
        ([component("CPU*")], "wildcards"),
        ([component("C" * 101)], "101 characters"),
    ],
)
async def test_a_child_that_wats_does_not_take_is_the_events_fault_before_any_call(
    parts: list[dict[str, Any]], said: str
) -> None:
    plant = Plant(units=(BOARD, CPU))
    with pytest.raises(EventValidationError, match=said):
        await handler_on(plant).handle(installed(component("CPU-7"), *parts))
    assert plant.calls == []


async def test_a_parent_whose_part_nobody_knows_is_the_events_fault() -> None:
    with pytest.raises(EventValidationError, match=r"MaterialHandler\(part_of=...\)"):
        await MaterialHandler(Plant()).handle(installed(component("CPU-7")))


async def test_the_parents_part_can_be_said_by_a_function() -> None:
    plant = Plant(units=(("U1", "X"), CPU))
    await MaterialHandler(plant, part_of=lambda event: Part("X", "B")).handle(installed(component("CPU-7")))
    assert plant.children == {("U1", "X"): [CPU]}


@pytest.mark.parametrize("known", [(), (BOARD,)])
async def test_unknown_units_are_the_events_fault(known: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(WATSRejected):
        await handler_on(Plant(units=known)).handle(installed(component("CPU-7")))


async def test_unknown_units_are_made_known_where_that_is_asked_for() -> None:
    plant = Plant()
    await handler_on(plant, create_units=True).handle(installed(component("CPU-7", revision="C")))
    assert plant.changes == [
        ("create_unit", *BOARD, "A"),
        ("create_unit", *CPU, "C"),
        ("add_child_unit", BOARD, CPU),
    ]


def test_a_payload_that_is_none_is_the_events_fault() -> None:
    with pytest.raises(EventValidationError):
        child_calls(Event(EventType.MATERIAL_INSTALLED, {"components": []}))


# Reels


def reel(lot: str, part_number: str = "R21", **fields: Any) -> InstalledComponent:
    return InstalledComponent(reference_designator="R1", lot_number=lot, part_number=part_number, **fields)


async def test_reels_are_sub_units_of_the_units_next_report() -> None:
    reels = ReelMemory(part_type="IC")
    handler = handler_on(Plant(), reels=reels)
    await handler.handle(installed(component(lot="REEL-1", part_number="R21", revision="2")))
    event = result()
    report = report_of(event, PROFILE, sub_units=reels.sub_units_of(event))
    assert report["subUnits"] == [{"partType": "IC", "pn": "R21", "rev": "2", "sn": "REEL-1"}]
    assert handler.statistics.reels == 1


def test_a_report_that_is_tried_again_has_the_same_reels_and_the_next_one_those_installed_since() -> None:
    reels = ReelMemory()
    reels.add("U1", reel("L1"))
    first, second = result(), result()
    for _ in range(2):
        assert [one["sn"] for one in reels.sub_units_of(first)] == ["L1"]
    reels.add("U1", reel("L1"))
    reels.add("U1", reel("L2"))
    assert [one["sn"] for one in reels.sub_units_of(second)] == ["L2"]
    assert [one["sn"] for one in reels.sub_units_of(first)] == ["L1"]


def test_reels_are_those_of_one_unit() -> None:
    reels = ReelMemory()
    reels.add("U1", reel("L1"))
    assert reels.sub_units_of(result("U2")) == []


@pytest.mark.parametrize(
    "component", [reel("L*"), reel("L" * 101), reel("L1", part_number=""), reel("L1", part_number="P?")]
)
def test_a_reel_that_would_spoil_the_report_is_counted_and_left_out(component: InstalledComponent) -> None:
    reels = ReelMemory()
    reels.add("U1", component)
    assert reels.sub_units_of(result()) == []
    assert reels.unusable == 1


def test_the_memory_of_reels_is_bounded_and_counts_what_no_report_had() -> None:
    reels = ReelMemory(max_units=2)
    for unit in ("U1", "U2", "U3"):
        reels.add(unit, reel("L1"))
    assert len(reels) == 2
    assert reels.forgotten == 1
    reels.sub_units_of(result("U2"))
    reels.add("U4", reel("L1"))
    assert reels.forgotten == 1
    for number in range(600):
        reels.add("U4", reel(f"lot {number}"))
    assert len(reels.sub_units_of(result("U4"))) == 500


async def test_an_event_that_comes_again_gives_its_reels_once() -> None:
    reels = ReelMemory()
    handler = handler_on(Plant(), reels=reels)
    event = installed(component(lot="L*"), component())
    for _ in range(2):
        await handler.handle(event)
    assert (reels.unusable, handler.statistics.reels, handler.statistics.left_out) == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"part_type": ""}, ValueError, "part_type must have 1 to 50 characters, not 0"),
        ({"part_type": "x" * 51}, ValueError, "not 51"),
        ({"part_type": 5}, TypeError, "part_type must be a str"),
        ({"max_units": 0}, ValueError, "max_units must be at least 1"),
    ],
)
def test_a_memory_that_cannot_work_is_refused(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        ReelMemory(**options)


# How it is made and subscribed


def test_options_that_cannot_work_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="reels must be a ReelMemory"):
        MaterialHandler(Plant(), reels=[])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="production_service must have async get_unit"):
        MaterialHandler(object())  # type: ignore[arg-type]


def test_the_client_has_all_calls_that_a_handler_makes() -> None:
    service: MaterialService = WATSClient("https://wats.example.com", "dG9rZW4=")
    handler = MaterialHandler(service)
    assert handler.event_types == [EventType.MATERIAL_INSTALLED]
    assert MaterialHandler.unit_of(installed()) == "U1"
