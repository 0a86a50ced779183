"""What the handlers must remember survives the process, on a bus with a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import trio

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.durability import Store
from pywats_events.models import InstalledComponent
from pywats_wats import ReportHandler, SourceProfile
from pywats_wats._once import KeptKeys, SeenWindow
from pywats_wats.asset import AssetHandler, CountAsset
from pywats_wats.material import MaterialHandler, ReelMemory
from support.stores import image
from support.wats_plant import Plant

PROFILE = SourceProfile(part_number="PCBA-1", revision="A", process_codes={"*": 10})


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)


def bus_on(folder: Path) -> tuple[AsyncEventBus, Store]:
    store = Store(folder, commit_after=0.0)
    return AsyncEventBus(store=store), store


async def finish(bus: AsyncEventBus) -> None:
    with trio.fail_after(20):
        async with bus:
            await bus.wait_replayed()
            await bus.wait_idle()


def two_counts(event: Event) -> Iterable[CountAsset]:
    return [CountAsset("A", increment=1), CountAsset("B", increment=1)]


class Counting(Plant):
    """A server that counts, and may not answer about one asset."""

    def __init__(self, silent: str = "") -> None:
        super().__init__()
        self.counted: list[str] = []
        self.asked = 0
        self._silent = silent

    async def count_asset(
        self, serial_number: str, *, increment: int | None = None, total: int | None = None
    ) -> None:
        self.asked += 1
        if serial_number == self._silent:
            await trio.sleep_forever()
        self.counted.append(serial_number)
        await trio.lowlevel.checkpoint()


async def test_a_count_that_was_told_before_a_kill_is_not_told_again_and_the_rest_of_its_event_is(
    tmp_path: Path,
) -> None:
    bus, store = bus_on(tmp_path / "store")
    before, after, other = Counting(silent="B"), Counting(), Counting(silent="A")
    bus.subscribe(AssetHandler(before, counts={EventType.CUSTOM: two_counts}))
    bus.subscribe(AssetHandler(other, counts={EventType.CUSTOM: two_counts}))
    async with bus:
        await bus.publish(Event(EventType.CUSTOM, {}))
        await until(lambda: (before.asked, other.asked) == (2, 1))
        await store.commit().wait()
        image(store, tmp_path / "killed")
        await bus.stop(timeout=0)
    bus, _ = bus_on(tmp_path / "killed")
    late = Counting()
    bus.subscribe(AssetHandler(after, counts={EventType.CUSTOM: two_counts}))
    bus.subscribe(AssetHandler(late, counts={EventType.CUSTOM: two_counts}))
    await finish(bus)
    assert (before.counted, after.counted) == (["A"], ["B"])
    assert late.counted == ["A", "B"]


class Reports:
    """Takes reports, or fails to."""

    def __init__(self, *, away: bool = False) -> None:
        self.reels: list[list[str]] = []
        self.asked = 0
        self._away = away

    async def submit(self, report: Any) -> None:
        self.asked += 1
        if self._away:
            await trio.sleep_forever()
        self.reels.append([one["sn"] for one in report.get("subUnits") or ()])
        await trio.lowlevel.checkpoint()


def installed(lot: str) -> Event:
    part = {"reference_designator": "U3", "part_number": "R21", "lot_number": lot}
    return Event(EventType.MATERIAL_INSTALLED, {"unit_id": "U1", "components": [part]})


def result() -> Event:
    return Event(EventType.TEST_RESULT, {"unit_id": "U1", "result": "pass", "process": "ICT"})


def line(folder: Path, reports: Reports) -> tuple[AsyncEventBus, Store, MaterialHandler]:
    bus, store = bus_on(folder)
    reels = ReelMemory()
    bus.subscribe(ReportHandler(reports, profiles=[PROFILE], sub_units_of=reels.sub_units_of))
    material = MaterialHandler(Plant(), profiles=[PROFILE], reels=reels)
    bus.subscribe(material)
    return bus, store, material


async def test_reels_installed_before_a_kill_go_into_the_next_report_after_it(tmp_path: Path) -> None:
    reports = Reports()
    bus, store, _ = line(tmp_path / "store", reports)
    async with bus:
        for lot in ("L1", "L2"):
            await bus.publish(installed(lot))
        await bus.wait_idle()
        image(store, tmp_path / "killed")
    bus, _, material = line(tmp_path / "killed", reports)
    async with bus:
        for event in (result(), installed("L1"), installed("L3"), result()):
            await bus.publish(event)
            await bus.wait_idle()
    assert reports.reels == [["L1", "L2"], ["L3"]]
    assert material.statistics.reels == 2


async def test_a_report_under_way_at_a_kill_has_the_same_reels_after_it(tmp_path: Path) -> None:
    away, reports = Reports(away=True), Reports()
    bus, store, material = line(tmp_path / "store", away)
    async with bus:
        await bus.publish(installed("L1"))
        await bus.wait_idle()
        await bus.publish(result())
        await until(lambda: away.asked)
        await bus.publish(installed("L2"))
        await until(lambda: material.statistics.reels == 2)
        await store.commit().wait()
        image(store, tmp_path / "killed")
        await bus.stop(timeout=0)
    bus, _, _ = line(tmp_path / "killed", reports)
    await finish(bus)
    assert reports.reels == [["L1"]]


async def test_a_reel_memory_that_is_full_forgets_the_same_on_the_disk(tmp_path: Path) -> None:
    memory, store = ReelMemory(max_units=2), Store(tmp_path, commit_after=0.0)
    bus = AsyncEventBus(store=store)
    bus.subscribe(MaterialHandler(Plant(), profiles=[PROFILE], reels=memory))
    async with bus:
        for unit in ("U1", "U2", "U1", "U3", "U4"):
            memory.add(unit, InstalledComponent(reference_designator="U", part_number="R", lot_number="L"))
        shelf = await store.shelf("reels:reels", max_count=3)
        assert [unit for unit, _ in shelf.items()] == ["U3", "U4"]


async def test_a_handler_that_has_a_place_of_its_own_for_what_was_done_uses_that(tmp_path: Path) -> None:
    bus, store = bus_on(tmp_path)
    plant, seen = Counting(), SeenWindow()
    bus.subscribe(AssetHandler(plant, counts={EventType.CUSTOM: two_counts}, seen=seen))
    async with bus:
        await bus.publish(Event(EventType.CUSTOM, {}))
        await bus.wait_idle()
        assert (plant.counted, len(seen)) == (["A", "B"], 2)
        assert len(await store.shelf("handler:AssetHandler:done")) == 0


async def test_without_a_store_and_outside_of_a_bus_keys_are_remembered_in_memory() -> None:
    keys = KeptKeys()
    await keys.open()
    keys.add("a")
    assert ("a" in keys, "b" in keys) == (True, False)
