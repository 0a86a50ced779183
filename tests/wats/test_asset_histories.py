"""Whatever a machine tells: calls are changes only, lines keep their limit, and nothing is uncounted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pywats_events import Event, EventType
from pywats_events.models import AssetFaultEvent, AssetStateChangedEvent
from pywats_wats._asset_mapping import state_of_asset
from pywats_wats._fault_limit import MAX_KINDS, FaultLimit
from pywats_wats._once import SeenWindow
from pywats_wats.asset import AssetHandler
from support.wats_plant import Plant

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WINDOW, LINES = 60.0, 10

assets = st.sampled_from(["M1", "M2"])
states = st.builds(
    lambda asset, word, code: Event(
        EventType.ASSET_STATE_CHANGED,
        {"asset_id": asset, "new_state": word, "code": code, "timestamp": NOON},
    ),
    assets,
    st.sampled_from(["online", "offline", "idle", "busy", "error", "maintenance"]),
    st.none() | st.sampled_from(["1100", "2200", "4100", "5100", "5400", "6200", "6400"]),
)
faults = st.tuples(
    st.floats(0, 30).map(lambda seconds: round(seconds, 1)),
    assets,
    st.sampled_from(["E1", "E2", "E3"]),
    st.booleans(),
)


async def handle_all(handler: AssetHandler, events: list[Event]) -> None:
    for event in events:
        await handler.handle(event)


def fault(at: float, asset: str = "M1", code: str = "E1", *, cleared: bool = False) -> Event:
    moment = NOON + timedelta(seconds=at)
    payload: dict[str, Any] = {"asset_id": asset, "fault_code": code, "timestamp": moment}
    if cleared:
        payload |= {"cleared": True, "cleared_time": moment}
    return Event(EventType.ASSET_FAULT, payload)


def told(line: str) -> int:
    """How many faults a line tells of."""
    more = int(line.partition(" - ")[2].removeprefix("and ").partition(" ")[0]) if " - " in line else 0
    return more + line.startswith("[")


class Timed(Plant):
    """Knows at which time of which event a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.lines: list[tuple[float, str, str]] = []

    async def asset_message(self, asset_id: str, comment: str, user: str | None = None) -> None:
        await super().asset_message(asset_id, comment, user)
        self.lines.append((self.at, asset_id, comment))


# States


@given(st.lists(states, max_size=40))
def test_states_are_written_as_changes_only_and_the_last_one_is_right(events: list[Event]) -> None:
    plant = Plant()
    trio.run(handle_all, AssetHandler(plant), events)
    wanted: dict[str, list[int]] = {}
    for event in events:
        state = state_of_asset(event.as_(AssetStateChangedEvent))
        so_far = wanted.setdefault(event.payload["asset_id"], [])
        if state is not None and (not so_far or so_far[-1] != state):
            so_far.append(state)
    for asset, changes in wanted.items():
        assert [call[2] for call in plant.calls if call[1] == asset] == changes
        assert plant.states.get(asset) == (changes[-1] if changes else None)


@given(st.lists(states, max_size=20), st.data())
def test_whatever_fails_the_last_state_is_right_when_each_event_is_tried_until_it_is_done(
    events: list[Event], data: st.DataObject
) -> None:
    async def history() -> None:
        for event in events:
            plant.fail_at = plant.reached + data.draw(st.integers(0, 2))
            plant.answer_lost = data.draw(st.booleans())
            done = False
            while not done:
                try:
                    await handler.handle(event)
                    done = True
                except type(plant.failure):
                    pass

    plant, undisturbed = Plant(), Plant()
    handler = AssetHandler(plant)
    trio.run(history)
    trio.run(handle_all, AssetHandler(undisturbed), events)
    assert plant.states == undisturbed.states


# Faults


async def flood(handler: AssetHandler, plant: Timed, events: list[tuple[float, Event]]) -> None:
    for at, event in events:
        plant.at = at
        await handler.handle(event)


@settings(max_examples=60)
@given(st.lists(faults, max_size=120), st.booleans())
def test_a_flood_of_faults_keeps_both_limits_and_each_fault_is_counted(
    reports: list[tuple[float, str, str, bool]], quick: bool
) -> None:
    events, at = [], 0.0
    for pause, asset, code, cleared in reports:
        at += pause / 30 if quick else pause
        events.append((at, fault(at, asset, code, cleared=cleared)))
    plant = Timed()
    handler = AssetHandler(plant, window=WINDOW, lines_per_window=LINES)
    trio.run(flood, handler, plant, events)
    counts = handler.statistics
    assert counts.lines == len(plant.lines)
    assert sum(told(line) for _, _, line in plant.lines) + counts.waiting == len(events)
    assert sum(line.startswith("[") for _, _, line in plant.lines) + counts.held_back == len(events)
    assert_limits(plant.lines)


def assert_limits(lines: list[tuple[float, str, str]]) -> None:
    last: dict[tuple[str, str], float] = {}
    for index, (at, asset, line) in enumerate(lines):
        kind = kind_of(line)
        assert at - last.get((asset, kind), -WINDOW) >= WINDOW - 1e-6, (asset, kind)
        last[asset, kind] = at
        near = [one for one in lines[: index + 1] if one[1] == asset and at - one[0] < WINDOW - 1e-6]
        assert len(near) <= LINES


def kind_of(line: str) -> str:
    return line.partition(" - ")[0].partition("] ")[2] or line.partition(" - ")[0]


async def test_the_first_fault_has_its_line_at_once_and_the_next_one_after_the_window_tells_of_the_rest() -> (
    None
):
    plant = Plant()
    handler = AssetHandler(plant)
    for at in (0, 1, 2, 59.9, 60):
        await handler.handle(fault(at))
    assert plant.logs == {"M1": ["[error] E1", "[error] E1 - and 3 more since the last such line"]}
    assert (handler.statistics.held_back, handler.statistics.waiting) == (3, 0)


async def test_what_was_held_back_is_told_by_anything_that_is_heard_of_the_asset_later() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for at in (0, 1, 2):
        await handler.handle(fault(at))
    assert handler.statistics.waiting == 2
    later = {"asset_id": "M1", "new_state": "busy", "timestamp": NOON + timedelta(minutes=2)}
    await handler.handle(Event(EventType.ASSET_STATE_CHANGED, later))
    assert plant.logs == {"M1": ["[error] E1", "E1 - 2 more since the last such line"]}
    assert handler.statistics.waiting == 0


async def test_faults_of_another_code_or_asset_have_lines_of_their_own() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for asset, code in (("M1", "E1"), ("M1", "E2"), ("M2", "E1")):
        await handler.handle(fault(0, asset, code))
    assert plant.logs == {"M1": ["[error] E1", "[error] E2"], "M2": ["[error] E1"]}


async def test_a_machine_has_ten_lines_a_minute_however_many_codes_it_has() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for number in range(50):
        await handler.handle(fault(number / 10, code=f"E{number}"))
    assert len(plant.logs["M1"]) == 10
    assert handler.statistics.waiting == 40
    await handler.handle(fault(61, code="E0"))
    assert len(plant.logs["M1"]) == 15, "half of the next minute's lines are for new faults"
    assert handler.statistics.waiting == 36


async def test_a_backlog_after_an_outage_has_the_lines_it_would_have_had_without() -> None:
    events = [fault(60.0 * minute) for minute in range(100)]
    plant = Plant()
    await handle_all(AssetHandler(plant), events)
    assert len(plant.logs["M1"]) == 100


async def test_a_clock_that_steps_back_silences_no_fault() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    await handler.handle(fault(3600))
    await handler.handle(fault(0))
    assert plant.logs == {"M1": ["[error] E1", "[error] E1"]}


async def test_a_clock_that_steps_back_gives_a_machine_its_lines_anew() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for at in (3600, 0):
        for number in range(10):
            await handler.handle(fault(at + number, code=f"E{at} {number}"))
    assert len(plant.logs["M1"]) == 20


async def test_the_end_of_a_fault_counts_at_the_time_when_it_ended() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for minute in (1, 3):
        ended = {"cleared": True, "cleared_time": NOON + timedelta(minutes=minute)}
        payload = {"asset_id": "M1", "fault_code": "E1", "timestamp": NOON, **ended}
        await handler.handle(Event(EventType.ASSET_FAULT, payload))
    assert plant.logs == {"M1": ["[error] E1 cleared after 1m0s", "[error] E1 cleared after 3m0s"]}


@given(st.lists(st.sampled_from(["E1", "E2"]), max_size=30))
def test_events_that_all_come_twice_are_told_and_counted_once(codes: list[str]) -> None:
    events = [fault(number, code=code) for number, code in enumerate(codes)]
    once, twice = Plant(), Plant()
    handler = AssetHandler(twice)
    trio.run(handle_all, AssetHandler(once), events)
    trio.run(handle_all, handler, [event for event in events for _ in range(2)])
    assert twice.logs == once.logs
    assert handler.statistics.repeats == len(events)


# The limit by itself


def test_codes_without_end_have_bounded_memory_and_are_counted_still() -> None:
    limit = FaultLimit(lines_per_window=1)
    limit.wrote("M1", "first", 0.0)
    for number in range(3 * MAX_KINDS):
        assert not limit.allows("M1", f"E{number}", 1.0)
        limit.hold("M1", f"E{number}")
    assert limit.waiting == MAX_KINDS
    assert limit.waiting + limit.untold == 3 * MAX_KINDS


def test_assets_without_end_have_bounded_memory_and_are_counted_still() -> None:
    limit = FaultLimit()
    for number in range(3_000):
        limit.hold(f"M{number}", "E1")
    assert limit.waiting == 1_000
    assert limit.waiting + limit.untold == 3_000


# The window of keys


@given(st.lists(st.integers(0, 30).map(str)), st.integers(1, 10))
def test_a_window_knows_the_latest_keys_and_no_more(keys: list[str], size: int) -> None:
    window = SeenWindow(size)
    order: list[str] = []
    for key in keys:
        assert window.add(key) is (key not in order[-size:])
        if key not in order[-size:]:
            order.append(key)
    assert Counter(order[-size:]) == Counter(key for key in set(keys) if key in window)
    assert len(window) == len(order[-size:])


def test_a_fault_is_a_fault_by_its_struct_too() -> None:
    plant = Plant()
    payload = AssetFaultEvent(asset_id="M1", fault_code="E1", timestamp=NOON)
    trio.run(handle_all, AssetHandler(plant), [Event(EventType.ASSET_FAULT, payload)])
    assert plant.logs == {"M1": ["[error] E1"]}
