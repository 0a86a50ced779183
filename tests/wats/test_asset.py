"""States, faults and care of machines reach the assets of WATS, row by row of the mapping."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pywats_cfx import decode
from pywats_cfx.convert import Converter
from pywats_cfx.convert.machines import state_of
from pywats_events import Event, EventType
from pywats_events.durability import Store
from pywats_events.errors import EventValidationError
from pywats_events.models import AssetFaultEvent, AssetStateChangedEvent, CalibrationEvent, MaintenanceEvent
from pywats_wats._asset_mapping import state_of_asset
from pywats_wats._once import SeenKeys, SeenWindow
from pywats_wats.asset import AssetHandler, AssetService, CountAsset, WATSAssetState, fault_line, tools_used
from pywats_wats.client import WATSClient
from pywats_wats.errors import WATSRejected, WATSUnavailable
from pywats_wats.profile import SourceProfile
from support.cfx import envelope_of
from support.stores import running
from support.wats_plant import Plant

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
IN_OPERATION = WATSAssetState.IN_OPERATION
IN_MAINTENANCE = WATSAssetState.IN_MAINTENANCE


def state_event(state: str, asset: str = "M1", **fields: Any) -> Event:
    return Event(EventType.ASSET_STATE_CHANGED, {"asset_id": asset, "new_state": state, **fields})


def fault_event(code: str = "E1", asset: str = "M1", at: datetime = NOON, **fields: Any) -> Event:
    correlation = fields.pop("correlation_id", None)
    payload = {"asset_id": asset, "fault_code": code, "timestamp": at, **fields}
    return Event(EventType.ASSET_FAULT, payload, source="cfx:M1", correlation_id=correlation)


def from_cfx(name: str, body: dict[str, Any], converter: Converter | None = None) -> Event:
    envelope = envelope_of(name, body, UniqueID=name)
    return (converter or Converter()).convert(decode(envelope), NOON)[0]


# States


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        ("1000 1100 1300 2000 2100 22A0 3000 3312 4000 4400 4500", IN_OPERATION),
        ("4100 4200 42A0 4300 5100 5200 52F1 5300 6200 6300", IN_MAINTENANCE),
        ("5000 5400 5500 6000 6100 6400", None),
    ],
)
def test_the_code_of_a_station_says_the_state_of_its_asset(codes: str, state: int | None) -> None:
    for code in codes.split():
        event = from_cfx("CFX.ResourcePerformance.StationStateChanged", {"NewState": code})
        change = event.as_(AssetStateChangedEvent)
        assert change.new_state == state_of(code)
        assert state_of_asset(change) == state, code


@pytest.mark.parametrize(
    ("word", "state"),
    [("busy", 1), ("running", 1), ("idle", 1), ("maintenance", 3), ("error", None), ("offline", None)],
)
def test_without_a_code_the_word_says_the_state(word: str, state: int | None) -> None:
    change = AssetStateChangedEvent(asset_id="M1", new_state=word)  # type: ignore[arg-type]
    assert state_of_asset(change) == state


async def test_a_state_is_written_only_when_it_is_another() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for word in ("busy", "idle", "busy", "error", "maintenance", "maintenance", "offline", "idle"):
        await handler.handle(state_event(word))
    assert plant.calls == [("set_asset_state", "M1", state) for state in (1, 3, 1)]
    assert handler.statistics.states_written == 3
    assert handler.statistics.states_unchanged == 5


async def test_a_new_handler_knows_no_state_and_writes_the_first() -> None:
    plant = Plant()
    for _ in range(2):
        await AssetHandler(plant).handle(state_event("busy"))
    assert plant.calls == [("set_asset_state", "M1", 1)] * 2


async def test_the_states_of_two_assets_are_their_own() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    for asset in ("M1", "M2", "M1", "M2"):
        await handler.handle(state_event("busy", asset))
    assert plant.states == {"M1": 1, "M2": 1}
    assert len(plant.calls) == 2


async def test_after_a_write_of_unknown_outcome_the_old_state_is_written_again() -> None:
    plant = Plant(fail_at=2, answer_lost=True, failure=WATSRejected("proxy"))
    handler = AssetHandler(plant)
    await handler.handle(state_event("busy"))
    with pytest.raises(WATSRejected):
        await handler.handle(state_event("maintenance"))
    await handler.handle(state_event("busy"))
    assert plant.states == {"M1": 1}


async def test_states_can_be_mapped_otherwise_by_word_and_by_code() -> None:
    plant = Plant()
    states = {"error": WATSAssetState.IN_MAINTENANCE, "51": 4, "idle": None, "22a0": 5}
    handler = AssetHandler(plant, states=states)
    for word, code in (
        ("error", None),
        ("error", "5100"),
        ("idle", "2100"),
        ("idle", "22A0"),
        ("busy", "1100"),
    ):
        await handler.handle(state_event(word, code=code))
    assert [call[2] for call in plant.calls] == [3, 4, 5, 1]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"bussy": 1}, "the key 'bussy', which is neither what a machine does (online, offline"),
        ({"12345": 1}, "the key '12345'"),
        ({5: 1}, "the key 5"),
        ({"busy": 7}, r"states['busy'] must be one of 0 UNKNOWN, 1 IN_OPERATION"),
        ({"busy": True}, "or None for no call, not True"),
        ({"busy": "in operation"}, "not 'in operation'"),
    ],
)
def test_a_wrong_table_of_states_is_refused_when_the_handler_is_made(states: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        AssetHandler(Plant(), states=states)
    assert said in str(caught.value)


# Who is the asset


async def test_the_name_of_a_machine_becomes_a_serial_number_that_wats_takes() -> None:
    plant = Plant()
    await AssetHandler(plant).handle(state_event("busy", "/Line1/Printer"))
    assert plant.states == {"Line1.Printer": 1}


async def test_another_serial_number_or_none_can_be_given() -> None:
    plant = Plant()
    serials = {"M1": "A-17", "M2": None}
    handler = AssetHandler(plant, serial_of=lambda event: serials[event.payload["asset_id"]])
    await handler.handle(state_event("busy", "M1"))
    await handler.handle(state_event("busy", "M2"))
    assert plant.states == {"A-17": 1}
    assert handler.statistics.skipped == 1


@pytest.mark.parametrize(
    ("asset", "said"), [("", "is missing"), ("M*", "wildcards"), ("M" * 101, "101 characters")]
)
async def test_a_serial_number_that_wats_does_not_take_is_the_events_fault(asset: str, said: str) -> None:
    with pytest.raises(EventValidationError, match=said):
        await AssetHandler(Plant()).handle(state_event("busy", asset))


async def test_an_unknown_asset_is_the_events_fault() -> None:
    plant = Plant()
    plant.unknown_assets.add("M1")
    for event in (state_event("busy"), fault_event()):
        with pytest.raises(WATSRejected):
            await AssetHandler(plant).handle(event)


async def test_a_payload_that_is_none_is_the_events_fault() -> None:
    with pytest.raises(EventValidationError):
        await AssetHandler(Plant()).handle(Event(EventType.ASSET_FAULT, {"asset_id": "M1"}))


# Faults


async def test_a_fault_and_its_end_are_lines_in_the_assets_log() -> None:
    plant, converter = Plant(), Converter()
    handler = AssetHandler(plant)
    occurrence = "b2c0e3ac-0000-4000-8000-000000000001"
    fault = {
        "FaultCode": "ERROR 3943480",
        "FaultOccurrenceId": occurrence,
        "Cause": "MechanicalFailure",
        "Severity": "Error",
        "Lane": 1,
        "Description": None,
        "OccurredAt": "2026-11-23T11:57:50+00:00",
    }
    await handler.handle(from_cfx("CFX.ResourcePerformance.FaultOccurred", {"Fault": fault}, converter))
    for name in ("FaultAcknowledged", "FaultCleared"):
        body = {"FaultOccurrenceId": occurrence, "Operator": {"OperatorIdentifier": "BADGE4486"}}
        event = from_cfx(f"CFX.ResourcePerformance.{name}", body, converter)
        await handler.handle(event)
    began, ended = plant.logs.popitem()[1]
    assert began == f"[error] ERROR 3943480 MechanicalFailure lane 1 ({occurrence})"
    assert ended.startswith("[error] ERROR 3943480 cleared after ")
    assert ended.endswith(f" by BADGE4486 ({occurrence})")
    assert [call[0] for call in plant.calls] == ["get_asset", "asset_message", "asset_message"]
    assert plant.calls[-1][3] == "BADGE4486"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (45, "45s"), (130, "2m10s"), (3605, "1h0m5s"), (-5, "0s")]
)
def test_how_long_a_fault_lasted_is_said_in_words(seconds: float, said: str) -> None:
    fault = AssetFaultEvent(
        asset_id="M1",
        fault_code="E1",
        timestamp=NOON,
        cleared=True,
        custom_data={"seconds_open": seconds, "operator": "ANN"},
    )
    assert fault_line(fault, "F-1") == f"[error] E1 cleared after {said} by ANN (F-1)"


def test_the_end_of_a_fault_that_nobody_knew_is_told_by_its_id() -> None:
    fault = AssetFaultEvent(asset_id="M1", fault_code="F-1", timestamp=NOON, cleared=True, cleared_time=NOON)
    assert fault_line(fault, "F-1") == "[error] F-1 cleared"


def test_how_long_a_fault_lasted_is_known_from_its_times_too() -> None:
    fault = AssetFaultEvent(
        asset_id="M1",
        fault_code="E1",
        timestamp=NOON,
        cleared=True,
        cleared_time=NOON + timedelta(seconds=61),
    )
    assert fault_line(fault, None) == "[error] E1 cleared after 1m1s"


async def test_a_fault_that_comes_again_under_the_same_id_has_one_line() -> None:
    plant = Plant()
    handler = AssetHandler(plant, window=0.001)
    event = fault_event()
    for _ in range(3):
        await handler.handle(event)
    assert plant.logs == {"M1": ["[error] E1"]}
    assert handler.statistics.repeats == 2


async def test_what_was_done_is_known_to_the_next_handler_by_a_window_they_share() -> None:
    plant, seen, event = Plant(), SeenWindow(), fault_event()
    for _ in range(2):
        await AssetHandler(plant, seen=seen).handle(event)
    assert len(plant.logs["M1"]) == 1


async def test_what_was_done_is_known_to_the_next_life_by_the_window_of_a_store(tmp_path: Path) -> None:
    plant, event = Plant(), fault_event()
    for _ in range(2):
        async with running(Store(tmp_path)) as store:
            seen: SeenKeys = store.seen
            await AssetHandler(plant, seen=seen).handle(event)
    assert len(plant.logs["M1"]) == 1


async def test_two_handlers_of_different_names_keep_their_keys_apart() -> None:
    here, there, seen, event = Plant(), Plant(), SeenWindow(), fault_event()
    await AssetHandler(here, seen=seen, name="here").handle(event)
    await AssetHandler(there, seen=seen, name="there").handle(event)
    assert here.logs == there.logs != {}


async def test_the_line_of_a_fault_can_be_another_or_none() -> None:
    def mine(fault: AssetFaultEvent, occurrence: str | None) -> str | None:
        return None if fault.severity == "info" else f"{fault.fault_code}!"

    plant = Plant()
    handler = AssetHandler(plant, line_of=mine)
    await handler.handle(fault_event("E1"))
    await handler.handle(fault_event("E2", severity="info"))
    assert plant.logs == {"M1": ["E1!"]}


async def test_a_line_has_a_bound() -> None:
    plant = Plant()
    await AssetHandler(plant).handle(fault_event(fault_message="x" * 100_000))
    assert len(plant.logs["M1"][0]) == 1_000


async def test_an_asset_that_was_made_anew_is_asked_for_its_id_again() -> None:
    plant = Plant(fail_at=3, failure=WATSRejected("404: no such assetId"))
    handler = AssetHandler(plant)
    await handler.handle(fault_event("E1"))
    with pytest.raises(WATSRejected):
        await handler.handle(fault_event("E2"))
    await handler.handle(fault_event("E3"))
    assert [call[0] for call in plant.calls].count("get_asset") == 2


async def test_an_answer_without_an_id_is_an_error_that_names_the_asset() -> None:
    class Blank(Plant):
        async def get_asset(self, serial_number: str) -> dict[str, Any]:
            return {}

    with pytest.raises(LookupError, match="no assetId of the asset 'M1'"):
        await AssetHandler(Blank()).handle(fault_event())


# Care


async def test_maintenance_is_recorded_with_its_time_and_what_was_done() -> None:
    plant = Plant()
    done = MaintenanceEvent(
        asset_id="M1",
        maintenance_type="preventive",
        description="cleaned",
        performed_by="ANN",
        timestamp=NOON,
        duration_minutes=30,
        parts_replaced=["nozzle"],
    )
    await AssetHandler(plant).handle(Event(EventType.ASSET_MAINTENANCE, done))
    assert plant.calls == [("maintain", "M1", NOON, "preventive; cleaned; 30 min; replaced nozzle (by ANN)")]


@pytest.mark.parametrize(("status", "made"), [("Ok", 1), (None, 1), ("Unknown", 1), ("Failed", 0)])
async def test_a_calibration_is_recorded_unless_it_failed(status: str | None, made: int) -> None:
    plant = Plant()
    done = CalibrationEvent(asset_id="M1", status=status, calibration_type="Position", timestamp=NOON)
    await AssetHandler(plant).handle(Event(EventType.ASSET_CALIBRATION, done))
    assert plant.calls == [("calibrate", "M1", NOON, "Position")] * made


# Counts


TOOLS = {
    "UsedTools": [
        {"Tool": {"UniqueIdentifier": "NOZZLE-1"}, "UsageCycles": 3},
        {"Tool": {"UniqueIdentifier": "NOZZLE-2"}, "UsageCycles": 1},
        {"Tool": {"UniqueIdentifier": "NOZZLE-1"}, "UsageCycles": 2},
        {"Tool": {"UniqueIdentifier": "NOZZLE-3"}, "UsageCycles": 0},
        {"Tool": None, "UsageCycles": 9},
    ]
}


async def test_the_use_of_tools_is_counted_where_it_is_asked_for_once_per_event() -> None:
    plant = Plant()
    event = from_cfx("CFX.Production.ToolsUsed", TOOLS)
    assert EventType.CUSTOM not in AssetHandler(plant).event_types
    handler = AssetHandler(plant, counts={EventType.CUSTOM: tools_used})
    assert EventType.CUSTOM in handler.event_types
    for _ in range(2):
        await handler.handle(event)
    assert plant.counts == {"NOZZLE-1": 5, "NOZZLE-2": 1}
    assert handler.statistics.counted == 2


async def test_other_custom_events_count_nothing() -> None:
    plant = Plant()
    handler = AssetHandler(plant, counts={EventType.CUSTOM: tools_used})
    await handler.handle(Event("acme.own", {"UsedTools": 3}))
    assert plant.calls == []


def test_uses_of_tools_that_are_none_are_the_events_fault() -> None:
    event = Event("CFX.Production.ToolsUsed", {"UsedTools": [{"UsageCycles": "many"}]})
    with pytest.raises(EventValidationError):
        tools_used(event)


async def test_a_total_is_taken_rather_than_an_increment() -> None:
    plant = Plant()
    count = CountAsset("M1", increment=1, total=4711)
    handler = AssetHandler(plant, counts={EventType.TEST_RESULT: lambda event: [count]})
    event = Event(EventType.TEST_RESULT, {"unit_id": "U1"})
    for _ in range(2):
        await handler.handle(event)
    assert plant.calls == [("count_asset", "M1", None, 4711)] * 2


@pytest.mark.parametrize("counts", [{"custom": tools_used}, {EventType.CUSTOM: 5}])
def test_a_wrong_table_of_counts_is_refused(counts: Any) -> None:
    with pytest.raises(TypeError, match="counts must be functions by EventType"):
        AssetHandler(Plant(), counts=counts)


# How it is made and subscribed


def test_a_service_that_lacks_a_call_is_refused_by_the_names_of_what_is_missing() -> None:
    with pytest.raises(TypeError, match="asset_service must have async get_asset, set_asset_state"):
        AssetHandler(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"window": 0}, ValueError, "window must be more than 0 seconds"),
        ({"window": "1"}, TypeError, "window must be a number of seconds, not '1'"),
        ({"lines_per_window": 0}, ValueError, "lines_per_window must be at least 1"),
        ({"lines_per_window": 1.5}, TypeError, "lines_per_window must be an int"),
        ({"seen": {}}, TypeError, "seen must have"),
        ({"serial_of": "M1"}, TypeError, "serial_of must be a function"),
        ({"line_of": None}, TypeError, "line_of must be a function"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        AssetHandler(Plant(), **options)


def test_the_client_has_all_calls_that_a_handler_makes() -> None:
    service: AssetService = WATSClient("https://wats.example.com", "dG9rZW4=")
    assert AssetHandler(service).name == "AssetHandler"


def test_events_about_one_asset_have_one_key_whatever_they_carry() -> None:
    change = AssetStateChangedEvent(asset_id="M1", new_state="busy")  # type: ignore[arg-type]
    assert AssetHandler.asset_of(Event(EventType.ASSET_STATE_CHANGED, change)) == "M1"
    assert AssetHandler.asset_of(state_event("busy")) == "M1"
    assert AssetHandler.asset_of(Event("acme.own", {"asset_id": [1]}, source="S")) == "S"


async def test_an_event_of_a_written_and_read_journal_is_handled_alike() -> None:
    plant = Plant()
    event = Event.from_json(fault_event(lane=2).to_json())
    assert json.loads(event.to_json())["payload"]["lane"] == 2
    await AssetHandler(plant).handle(event)
    assert plant.logs == {"M1": ["[error] E1 lane 2"]}


async def test_an_outage_is_the_outages_fault_and_leaves_no_trace() -> None:
    plant = Plant(fail_at=1)
    handler = AssetHandler(plant)
    with pytest.raises(WATSUnavailable):
        await handler.handle(state_event("busy"))
    await handler.handle(state_event("busy"))
    assert plant.calls == [("set_asset_state", "M1", 1)]


# Profiles


async def test_the_profile_of_a_sender_says_its_asset_its_own_before_the_station_s() -> None:
    plant = Plant()
    handler = AssetHandler(plant)
    handler.use_profiles([SourceProfile(match="M1", asset="SN-4711")])
    await handler.handle(state_event("running"))
    await handler.handle(state_event("running", asset="M2"))
    own = AssetHandler(plant, profiles=[SourceProfile(asset="OWN")])
    own.use_profiles([SourceProfile(asset="STATION")])
    await own.handle(state_event("running"))
    assert [call[1] for call in plant.calls if call[0] == "set_asset_state"] == ["SN-4711", "M2", "OWN"]
