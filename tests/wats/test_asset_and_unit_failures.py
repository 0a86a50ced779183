"""Whatever call fails, is cancelled or loses its answer: in the end WATS has what it was to have, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import BaseHandler, Event, EventType
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.testing import running_async_bus
from pywats_wats import SourceProfile, WATSUnavailable
from pywats_wats.asset import AssetHandler, tools_used
from pywats_wats.material import MaterialHandler, ReelMemory
from pywats_wats.production import ProductionHandler, UnitPhase
from support.wats_plant import Plant

PROFILE = SourceProfile(part_number="PCBA-1", revision="A", process_codes={"*": 10})
RETRIES = RetryPolicy(max_retries=3, initial_delay=1.0, jitter=False)
Make = Callable[[Plant], BaseHandler]


class Broke(Exception):
    """An ordinary failure, of which nobody knows whose fault it is."""


def make_asset_handler(plant: Plant) -> AssetHandler:
    return AssetHandler(plant, counts={EventType.CUSTOM: tools_used})


def make_production_handler(plant: Plant) -> ProductionHandler:
    return ProductionHandler(
        plant,
        profiles=[PROFILE],
        create_units=True,
        phases={EventType.WORK_STARTED: 2, EventType.WORK_COMPLETED: UnitPhase.FINALIZED},
    )


def make_material_handler(plant: Plant) -> MaterialHandler:
    return MaterialHandler(plant, profiles=[PROFILE], create_units=True, reels=ReelMemory())


def asset_events() -> list[Event]:
    def about(kind: EventType | str, **payload: Any) -> Event:
        return Event(kind, {"asset_id": "M1", **payload})

    tools = [{"Tool": {"UniqueIdentifier": name}, "UsageCycles": 2} for name in ("N1", "N2")]
    return [
        about(EventType.ASSET_STATE_CHANGED, new_state="busy"),
        about(EventType.ASSET_FAULT, fault_code="E1", timestamp="2026-11-23T12:00:00Z"),
        about(EventType.ASSET_FAULT, fault_code="E1", timestamp="2026-11-23T12:00:01Z"),
        about(EventType.ASSET_FAULT, fault_code="E2", timestamp="2026-11-23T12:00:02Z"),
        about(EventType.ASSET_STATE_CHANGED, new_state="maintenance", timestamp="2026-11-23T12:05:00Z"),
        about(EventType.ASSET_MAINTENANCE, maintenance_type="corrective", timestamp="2026-11-23T12:06:00Z"),
        about(EventType.ASSET_CALIBRATION, status="Ok", timestamp="2026-11-23T12:07:00Z"),
        about(EventType.ASSET_STATE_CHANGED, new_state="busy", timestamp="2026-11-23T12:08:00Z"),
        about("CFX.Production.ToolsUsed", UsedTools=tools),
    ]


def production_events() -> list[Event]:
    unit = {"unit_id": "U1", "station_id": "M1"}
    return [
        Event(EventType.WORK_STARTED, unit),
        Event(EventType.WORK_COMPLETED, unit),
        Event(EventType.UNIT_DISQUALIFIED, {**unit, "reason": "burnt"}),
    ]


def material_events() -> list[Event]:
    def component(serial: str) -> dict[str, Any]:
        return {"reference_designator": "U3", "part_number": "CPU", "serial_number": serial, "revision": "B"}

    return [
        Event(
            EventType.MATERIAL_INSTALLED, {"unit_id": "U1", "components": [component("C1"), component("C2")]}
        ),
        Event(EventType.MATERIAL_INSTALLED, {"unit_id": "U1", "components": [component("C3")]}),
    ]


REPEATS_BADLY = {"asset_message", "count_asset", "create_unit", "add_child_unit"}

SCENARIOS = [
    pytest.param(make_asset_handler, asset_events, id="asset"),
    pytest.param(make_production_handler, production_events, id="production"),
    pytest.param(make_material_handler, material_events, id="material"),
]


def what_wats_has(plant: Plant) -> dict[str, Any]:
    """What stands at the server in the end; a call that repeats without harm may have been made twice."""
    return {
        "states": plant.states,
        "logs": plant.logs,
        "counts": plant.counts,
        "units": plant.units,
        "children": plant.children,
        "serviced": sorted({call[0] for call in plant.calls if call[0] in {"maintain", "calibrate"}}),
    }


def once(plant: Plant) -> list[tuple[Any, ...]]:
    """The calls that are to be made exactly once, in order."""
    return [call for call in plant.calls if call[0] in REPEATS_BADLY]


async def undisturbed(make: Make, events: Callable[[], list[Event]]) -> Plant:
    plant = Plant()
    handler = make(plant)
    for event in events():
        await handler.handle(event)
    return plant


@pytest.mark.parametrize("failure", [Broke("broke"), WATSUnavailable("away")], ids=["broke", "away"])
@pytest.mark.parametrize(("make", "events"), SCENARIOS)
async def test_a_failure_in_place_of_any_call_leaves_what_was_to_be(
    make: Make, events: Callable[[], list[Event]], failure: Exception, autojump_clock: MockClock
) -> None:
    expected = await undisturbed(make, events)
    for at in range(1, expected.reached + 1):
        plant = Plant(fail_at=at, failure=failure)
        handler: Any = make(plant)
        key = getattr(handler, "asset_of", None) or handler.unit_of
        async with running_async_bus(retry_policy=RETRIES) as bus:
            bus.subscribe(handler, order_by=key, concurrency=4)
            for event in events():
                receipt = await bus.publish(event)
                await receipt.wait_settled()
            assert not bus.error_policy.dead_letter_queue.get_entries()
        assert what_wats_has(plant) == what_wats_has(expected), at
        assert once(plant) == once(expected), at


@pytest.mark.parametrize(("make", "events"), SCENARIOS)
async def test_a_call_cancelled_at_any_moment_is_made_again_and_what_was_before_it_is_not(
    make: Make, events: Callable[[], list[Event]], autojump_clock: MockClock
) -> None:
    expected = await undisturbed(make, events)
    for at in range(1, expected.reached + 1):
        plant = Plant(duration=1.0)
        handler = make(plant)
        with trio.move_on_after(at - 0.5) as scope:
            done = 0
            given = events()
            for event in given:
                await handler.handle(event)
                done += 1
        assert scope.cancelled_caught
        for event in given[done:]:
            await handler.handle(event)
        assert what_wats_has(plant) == what_wats_has(expected), at
        assert once(plant) == once(expected), at


@pytest.mark.parametrize(("make", "events"), SCENARIOS)
async def test_an_answer_that_is_lost_makes_at_most_one_line_or_count_too_many(
    make: Make, events: Callable[[], list[Event]]
) -> None:
    expected = await undisturbed(make, events)
    for at in range(1, expected.reached + 1):
        plant = Plant(fail_at=at, answer_lost=True, failure=Broke("lost"))
        handler = make(plant)
        for event in events():
            try:
                await handler.handle(event)
            except Broke:
                await handler.handle(event)
        assert {*plant.changes} == {*expected.changes}, at
        assert len(once(plant)) - len(once(expected)) in {0, 1}, at
        assert (plant.units, plant.children) == (expected.units, expected.children), at


@pytest.mark.parametrize(("make", "events"), SCENARIOS)
async def test_three_days_of_outage_make_no_dead_letter_and_everything_arrives_in_order(
    make: Make, events: Callable[[], list[Event]], autojump_clock: MockClock
) -> None:
    expected = await undisturbed(make, events)
    plant = Plant()
    plant.down = True
    handler: Any = make(plant)
    key = getattr(handler, "asset_of", None) or handler.unit_of
    async with running_async_bus(retry_policy=RETRIES) as bus:
        breaker = CircuitBreaker(failure_threshold=3, reset_timeout=600.0)
        bus.subscribe(handler, order_by=key, concurrency=4, breaker=breaker)
        receipts = [await bus.publish(event) for event in events()]
        await trio.sleep(3 * 86_400)
        plant.down = False
        for receipt in receipts:
            await receipt.wait_settled()
        assert not bus.error_policy.dead_letter_queue.get_entries()
    assert plant.changes == expected.changes
    assert what_wats_has(plant) == what_wats_has(expected)


async def test_what_is_about_one_unit_stays_in_order_while_others_go_on(autojump_clock: MockClock) -> None:
    units = tuple((f"U{number}", "PCBA-1") for number in range(4))
    plant = Plant(units=units, duration=1.0)
    handler = make_production_handler(plant)
    start = trio.current_time()
    async with running_async_bus() as bus:
        bus.subscribe(handler, order_by=handler.unit_of, concurrency=4)
        for kind in (EventType.WORK_STARTED, EventType.WORK_COMPLETED):
            for unit, _ in units:
                await bus.publish(Event(kind, {"unit_id": unit, "station_id": "M1"}))
        await bus.wait_idle()
    assert trio.current_time() - start == pytest.approx(5.0, abs=0.1), "four at a time: 3 and 2 calls each"
    for unit, _ in units:
        calls = [call[0] for call in plant.changes if call[1] == unit]
        assert calls == ["set_unit_process", "set_unit_phase", "set_unit_phase"]
    assert {unit["phase"] for unit in plant.units.values()} == {UnitPhase.FINALIZED}
