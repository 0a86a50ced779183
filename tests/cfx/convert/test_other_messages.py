"""Faults, states, work, units, material, orders; and no message is dropped."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pywats_cfx import CFXConvertError, Envelope, decode, encode
from pywats_cfx.convert import Converter, Letter, SourceRules
from pywats_cfx.convert.context import LONGEST, MOST, Context, Recipe, SourceMemory, _Bounded
from pywats_cfx.convert.machines import state_of
from pywats_cfx.messages import get, names
from pywats_cfx.messages.production.reworkandrepair import UnitsRepaired
from pywats_events import Event, EventType
from support.cfx import envelope_of, sample_bodies

PERFORMANCE = "CFX.ResourcePerformance"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ZEROS = "00000000-0000-0000-0000-000000000000"


class Line:
    """A converter that is told one message after the other."""

    def __init__(self) -> None:
        self.converter = Converter()

    def __call__(self, name: str, body: dict[str, Any], **address: Any) -> list[Event]:
        return self.converter.convert(decode(envelope_of(name, body, **address)), NOON)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.mark.parametrize("name", names())
def test_every_message_becomes_at_least_one_event_that_can_be_written(name: str, line: Line) -> None:
    events = line.converter.convert(decode(encode(Envelope.of(get(name)(), source="S"))))
    assert events
    assert len({event.id for event in events}) == len(events)
    for event in events:
        assert event.source == "cfx:S"
        assert Event.from_json(event.to_json()).id == event.id


@pytest.mark.parametrize(("name", "text"), [p for p in sample_bodies() if p.values[0] in {"", *names()}])
def test_every_documented_message_becomes_events_that_can_be_written(
    name: str, text: str, line: Line
) -> None:
    for event in line(name, json.loads(text)):
        assert Event.from_json(event.to_json()).event_type is event.event_type


def test_what_has_no_event_of_its_own_is_a_custom_one_with_the_whole_body(line: Line) -> None:
    event = line("MyCompany.Own", {"A": {"b": 1}})[0]
    assert (event.event_type, event.type_name, event.payload) == (
        EventType.CUSTOM,
        "MyCompany.Own",
        {"A": {"b": 1}},
    )
    event = line("CFX.Sensor.Identification.IdentifiersRead", {"Extra": 1})[0]
    assert event.type_name == "CFX.Sensor.Identification.IdentifiersRead"
    assert event.payload["unknown_fields"] == {"Extra": 1}


def test_a_user_converts_a_message_in_one_line(line: Line) -> None:
    repaired = EventType.register("acme.repaired")
    line.converter.register(
        UnitsRepaired, lambda message, letter: [letter.event(repaired, {"who": letter.source})]
    )
    event = line(UnitsRepaired.CFX_NAME, {}, Source="R1")[0]
    assert (event.event_type, event.payload) == (repaired, {"who": "R1"})
    line.converter.register("MyCompany.Own", lambda body, letter: [letter.event(repaired, body)])
    assert line("MyCompany.Own", {"a": 1})[0].event_type is repaired
    with pytest.raises(TypeError, match="convert must be callable"):
        line.converter.register(UnitsRepaired, None)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="is a structure, not a message"):
        line.converter.register("CFX.Structures.Tool", lambda message, letter: [])


# Machines


def test_a_fault_is_remembered_until_it_is_cleared(line: Line) -> None:
    fault = {
        "FaultCode": "E1",
        "FaultOccurrenceId": "F1",
        "Severity": "Alarm",
        "Lane": 2,
        "OccurredAt": "2026-11-23T11:00:00Z",
    }
    event = line(f"{PERFORMANCE}.FaultOccurred", {"Fault": {**fault, "Description": None}})[0]
    assert (event.event_type, event.payload.severity, event.payload.lane) == (
        EventType.ASSET_FAULT,
        "critical",
        2,
    )
    assert event.payload.fault_message == "MechanicalFailure"
    assert event.correlation_id == "F1"
    seen = line(f"{PERFORMANCE}.FaultAcknowledged", {"FaultOccurrenceId": "F1"})[0]
    assert (seen.payload.fault_code, seen.payload.custom_data["acknowledged"]) == ("E1", True)
    cleared = line(
        f"{PERFORMANCE}.FaultCleared", {"FaultOccurrenceId": "F1"}, TimeStamp="2026-11-23T11:02:10Z"
    )[0]
    assert (cleared.payload.cleared, cleared.payload.fault_code, cleared.payload.severity) == (
        True,
        "E1",
        "critical",
    )
    assert cleared.payload.custom_data["seconds_open"] == 130
    unknown = line(f"{PERFORMANCE}.FaultCleared", {"FaultOccurrenceId": "F1"})[0]
    assert unknown.payload.fault_code == "F1"


def test_a_fault_is_known_by_its_id_in_any_case_and_one_of_zeros_is_none(line: Line) -> None:
    for occurrence, code in (("2D2132D5-5C00-4AD7-8D98-11D5FB95BF46", "E1"), (ZEROS, "E2")):
        line(f"{PERFORMANCE}.FaultOccurred", {"Fault": {"FaultCode": code, "FaultOccurrenceId": occurrence}})
    for occurrence, code in (("2d2132d5-5c00-4ad7-8d98-11d5fb95bf46", "E1"), (ZEROS, ZEROS)):
        cleared = line(f"{PERFORMANCE}.FaultCleared", {"FaultOccurrenceId": occurrence})[0]
        assert cleared.payload.fault_code == code


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("1100", "busy"),
        ("2100", "idle"),
        ("3312", "busy"),
        ("4100", "maintenance"),
        ("4300", "maintenance"),
        ("4400", "idle"),
        ("5100", "error"),
        ("6000", "offline"),
        ("22A0", "idle"),
        ("X", None),
        (None, None),
    ],
)
def test_states_by_their_codes(code: str | None, state: str | None) -> None:
    assert state_of(code) == state


def test_a_state_keeps_its_code(line: Line) -> None:
    event = line(f"{PERFORMANCE}.StationStateChanged", {"OldState": 2000, "NewState": "1100"})[0]
    assert (event.payload.new_state, event.payload.previous_state, event.payload.code) == (
        "busy",
        "idle",
        "1100",
    )
    assert line(f"{PERFORMANCE}.StationStateChanged", {"NewState": "odd"})[0].event_type is EventType.CUSTOM
    assert line(f"{PERFORMANCE}.StationOnline", {})[0].payload.new_state == "online"
    assert line(f"{PERFORMANCE}.StationOffline", {})[0].payload.new_state == "offline"


def test_maintenance_and_calibration(line: Line) -> None:
    event = line(f"{PERFORMANCE}.MaintenancePerformed", {"MaintenanceType": "Repair"})[0]
    assert (event.event_type, event.payload.maintenance_type) == (EventType.ASSET_MAINTENANCE, "repair")
    calibration = {"CalibrationCode": "C", "Status": "Failed", "CalibrationTime": "2026-11-23T10:00:00Z"}
    event = line(f"{PERFORMANCE}.CalibrationPerformed", {"Calibration": calibration})[0]
    assert (event.event_type, event.payload.status) == (EventType.ASSET_CALIBRATION, "Failed")
    assert event.payload.custom_data["CalibrationCode"] == "C"


# Work and units


STARTED = {
    "PrimaryIdentifier": "P1",
    "TransactionID": "T",
    "Lane": 1,
    "Units": [{"UnitIdentifier": "P1", "PositionNumber": 1}, {"UnitIdentifier": "P1", "PositionNumber": 2}],
}


def test_work_is_one_event_per_unit_and_completed_work_knows_who_was_started(line: Line) -> None:
    started = line("CFX.Production.WorkStarted", STARTED, TimeStamp="2026-11-23T11:00:00Z")
    assert [(e.event_type, e.payload.unit_id, e.payload.batch_sn, e.payload.position) for e in started] == [
        (EventType.WORK_STARTED, "P1-1", "P1", 1),
        (EventType.WORK_STARTED, "P1-2", "P1", 2),
    ]
    completed = line(
        "CFX.Production.WorkCompleted", {"TransactionID": "T", "Result": "Completed", "Units": []}
    )
    assert [e.payload.unit_id for e in completed] == ["P1-1", "P1-2"]
    assert completed[0].payload.start_time == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert completed[0].payload.result == "completed"
    assert {e.correlation_id for e in (*started, *completed)} == {"T"}


def test_what_is_told_of_each_unit_stays_with_it(line: Line) -> None:
    bad = {"UnitIdentifier": "P1", "PositionNumber": "B", "PositionName": "C2", "Status": "Fail"}
    body = {"TransactionID": "T", "PrimaryIdentifier": "P1", "Units": [None, STARTED["Units"][0], bad]}
    started = line("CFX.Production.WorkStarted", body)
    assert [(e.payload.unit_id, e.payload.position) for e in started] == [("P1-1", 1), ("P1-B", None)]
    assert "UnitPosition" not in started[0].payload.custom_data
    told = started[1].payload.custom_data
    assert (told["unit_position"], told["UnitPosition"]["PositionName"]) == ("B", "C2")
    assert told["UnitPosition"]["Status"] == "Fail"
    completed = line("CFX.Production.WorkCompleted", {"TransactionID": "T", "Units": []})
    assert [e.payload.unit_id for e in completed] == ["P1-1", "P1-B"]


def test_completed_work_has_the_part_of_its_work_order(line: Line) -> None:
    order = {"WorkOrderIdentifier": {"WorkOrderId": "W1"}, "PartNumber": "P"}
    line("CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated", {"NewOrders": [order]})
    line("CFX.Production.WorkStarted", {**STARTED, "WorkOrderIdentifier": {"WorkOrderId": "W1"}})
    completed = line("CFX.Production.WorkCompleted", {"TransactionID": "T"})[0]
    assert (completed.payload.work_order_id, completed.payload.part_number) == ("W1", "P")


def test_work_on_nobody_known_is_a_custom_event(line: Line) -> None:
    assert line("CFX.Production.WorkCompleted", {"TransactionID": "T"})[0].event_type is EventType.CUSTOM
    assert line("CFX.Production.WorkCompleted", {"PrimaryIdentifier": "a"})[0].payload.unit_id == "a"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("UnitsArrived", EventType.UNIT_ARRIVED),
        ("UnitsDeparted", EventType.UNIT_DEPARTED),
        ("UnitsDisqualified", EventType.UNIT_DISQUALIFIED),
    ],
)
def test_units_come_and_go(name: str, kind: EventType, line: Line) -> None:
    events = line(f"CFX.Production.{name}", {"PrimaryIdentifier": "P1", "Units": STARTED["Units"]})
    assert [(e.event_type, e.payload.unit_id) for e in events] == [(kind, "P1-1"), (kind, "P1-2")]


def test_material_is_one_event_per_unit_and_what_was_rejected_one_more(line: Line) -> None:
    reel = {"InternalPartNumber": "IPN", "UniqueIdentifier": "LOT1"}
    installed = [
        {
            "UnitIdentifier": "P1",
            "UnitPositionNumber": 1,
            "Material": reel,
            "InstalledComponents": [
                {"ReferenceDesignator": "R1"},
                {"ReferenceDesignator": "U1", "InstalledUnitIdentifier": "SN9"},
            ],
        },
        {
            "UnitIdentifier": "P1",
            "UnitPositionNumber": 2,
            "Material": reel,
            "NonInstalledComponents": [
                {"ReferenceDesignator": "R1", "RejectionReason": "BadPressureTestAfterPickup"}
            ],
        },
    ]
    one, other = line("CFX.Production.Assembly.MaterialsInstalled", {"InstalledMaterials": installed})
    assert (one.event_type, one.payload.unit_id) == (EventType.MATERIAL_INSTALLED, "P1-1")
    assert [
        (c.reference_designator, c.part_number, c.lot_number, c.serial_number) for c in one.payload.components
    ] == [
        ("R1", "IPN", "LOT1", None),
        ("U1", "IPN", "LOT1", "SN9"),
    ]
    assert (other.event_type, other.payload.reason) == (
        EventType.MATERIAL_REJECTED,
        "BadPressureTestAfterPickup",
    )


def test_work_orders_are_one_event_each(line: Line) -> None:
    order = {"WorkOrderIdentifier": {"WorkOrderId": "W1"}, "PartNumber": "P", "LotNumber": "L", "Quantity": 5}
    name = "CFX.InformationSystem.WorkOrderManagement"
    created = line(f"{name}.WorkOrdersCreated", {"NewOrders": [order, order]})
    assert [(e.event_type, e.payload.work_order_id, e.payload.lot) for e in created] == [
        (EventType.WORK_ORDER_CREATED, "W1", "L")
    ] * 2
    updated = line(f"{name}.WorkOrdersUpdated", {"UpdatedOrders": [order]})[0]
    assert (updated.event_type, updated.payload.action) == (EventType.WORK_ORDER_UPDATED, "updated")


# What is remembered is bounded


def test_the_oldest_are_forgotten_beyond_a_number_and_after_a_day() -> None:
    kept: _Bounded[int] = _Bounded()
    for number in range(MOST + 5):
        kept.put(str(number), number, NOON)
    assert len(kept) == MOST
    assert kept.get("4", NOON) is None
    assert kept.get("5", NOON) == 5
    later = NOON + LONGEST + timedelta(seconds=1)
    assert kept.get("5", later) is None
    kept.put("new", 1, later)
    assert len(kept) == 1


def test_sources_are_bounded_too() -> None:
    context = Context()
    context.of("first").work("A", NOON)
    for number in range(10_000):
        context.of(str(number))
    assert context.of("first").operator(NOON) is None


def test_recipes_of_lanes_are_bounded_too_and_forgotten_with_the_operator_after_a_day() -> None:
    memory = SourceMemory()
    for lane in range(MOST + 5):
        memory.run(lane, Recipe(str(lane)), NOON)
    memory.work("A", NOON)
    assert len(memory.recipes) == MOST
    assert (memory.recipe(0, NOON), memory.recipe(MOST, NOON)) == (None, Recipe(str(MOST)))
    later = NOON + LONGEST + timedelta(seconds=1)
    assert (memory.recipe(MOST, later), memory.operator(later)) == (None, None)


def test_a_recipe_without_a_lane_runs_in_all_of_them_and_the_only_lane_s_where_none_is_told(
    line: Line,
) -> None:
    tested = {"TestedUnits": [{"UnitIdentifier": "a"}]}

    def recipe() -> str | None:
        name = line("CFX.Production.TestAndInspection.UnitsTested", tested)[0].payload.recipe_name
        assert name is None or isinstance(name, str)
        return name

    line("CFX.Production.RecipeActivated", {"RecipeName": "one", "Lane": 1})
    assert recipe() == "one"
    line("CFX.Production.RecipeActivated", {"RecipeName": "two", "Lane": 2})
    assert recipe() is None  # in which lane it was tested nobody has said
    line("CFX.Production.RecipeActivated", {"RecipeName": "all", "Lane": None})
    assert recipe() == "all"
    assert line("CFX.Production.WorkStarted", STARTED)[0].payload.recipe_name == "all"


def test_what_the_envelope_says_is_kept_too(line: Line) -> None:
    sent = {"TimeStamp": "noon", "Target": "//A/B", "RequestID": "7"}
    event = line("CFX.Production.UnitsArrived", {"PrimaryIdentifier": "a"}, **sent)[0]
    assert event.timestamp == NOON
    assert event.payload.custom_data["unknown_fields"] == {"TimeStamp": "noon"}
    assert (event.payload.custom_data["Target"], event.payload.custom_data["RequestID"]) == ("//A/B", "7")


def test_a_letter_without_a_date_was_sent_when_it_came() -> None:
    letter = Letter(Envelope(MessageName="X", TimeStamp="?"), Context(), NOON)
    assert letter.sent_at == NOON
    assert letter.source == "unknown"


def test_a_lane_that_is_no_number_is_kept_as_it_is(line: Line) -> None:
    fault = line(f"{PERFORMANCE}.FaultOccurred", {"Fault": {"FaultCode": "E1", "Lane": "L1"}})[0]
    assert (fault.payload.lane, fault.payload.custom_data["Lane"]) == (None, "L1")
    started = {"PrimaryIdentifier": "a", "Lane": "L1", "TransactionID": "T"}
    work = line("CFX.Production.WorkStarted", started)[0]
    assert (work.payload.lane, work.payload.custom_data["Lane"]) == (None, "L1")
    completed = line("CFX.Production.WorkCompleted", {"TransactionID": "T", "Result": "Completed"})[0]
    assert (completed.payload.unit_id, completed.payload.lane) == ("a", None)
    arrived = line("CFX.Production.UnitsArrived", {"PrimaryIdentifier": "a", "Lane": "L1"})[0]
    assert (arrived.payload.lane, arrived.payload.custom_data["Lane"]) == (None, "L1")


@pytest.mark.parametrize("result", ["Strange", None])
def test_how_work_ended_is_not_made_up(line: Line, result: str | None) -> None:
    body = {"PrimaryIdentifier": "a", "TransactionID": "T", "Result": result}
    event = line("CFX.Production.WorkCompleted", body)[0]
    assert event.payload.result == "unknown"
    assert event.payload.custom_data.get("Result") == result


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("Production.UnitsDisqualified", {"PrimaryIdentifier": "a", "Reason": None}, {"reason": "unknown"}),
        (
            "ResourcePerformance.MaintenancePerformed",
            {"MaintenanceType": None},
            {"maintenance_type": "unknown"},
        ),
        (
            "ResourcePerformance.FaultOccurred",
            {"Fault": {"FaultOccurrenceId": "F1", "Cause": None, "Severity": None}},
            {"fault_code": "F1", "fault_message": ""},
        ),
        (
            "ResourcePerformance.CalibrationPerformed",
            {"Calibration": {"CalibrationType": None, "Status": None}},
            {"calibration_type": None, "status": None},
        ),
        (
            "InformationSystem.WorkOrderManagement.WorkOrdersCreated",
            {"NewOrders": [{"Status": None}]},
            {"status": None},
        ),
        (
            "Production.Assembly.MaterialsInstalled",
            {"InstalledMaterials": [{"NonInstalledComponents": [{"RejectionReason": None}]}]},
            {"reason": None},
        ),
    ],
)
def test_a_member_that_is_null_is_not_the_word_none(
    line: Line, name: str, body: dict[str, Any], said: dict[str, Any]
) -> None:
    event = line(f"CFX.{name}", body)[0]
    assert {field: event.payload[field] for field in said} == said


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (f"{PERFORMANCE}.FaultOccurred", {"Fault": None}),
        ("CFX.Production.UnitsArrived", {"Units": [None]}),
        ("CFX.InformationSystem.WorkOrderManagement.WorkOrdersCreated", {"NewOrders": [None]}),
        ("CFX.Production.Assembly.MaterialsInstalled", {"InstalledMaterials": [None]}),
    ],
)
def test_a_message_of_nulls_is_a_custom_event(line: Line, name: str, body: dict[str, Any]) -> None:
    event = line(name, body)[0]
    assert (event.event_type, event.type_name) == (EventType.CUSTOM, name)


def test_components_that_are_null_are_none(line: Line) -> None:
    component = {"ReferenceDesignator": "R1"}
    materials = [{"UnitIdentifier": "a", "InstalledComponents": [None, component]}]
    event = line("CFX.Production.Assembly.MaterialsInstalled", {"InstalledMaterials": materials})[0]
    assert [one.reference_designator for one in event.payload.components] == ["R1"]


def test_a_message_that_cannot_be_converted_leaves_nothing_behind(line: Line) -> None:
    def unit_of(source: str, panel: str, place: int) -> str:
        raise KeyError(panel)

    line.converter.use_rules(lambda source: SourceRules(unit_ids="panel", unit_of=unit_of))
    units = [{"UnitIdentifier": "a", "PositionNumber": 1}]
    with pytest.raises(CFXConvertError, match="WorkStarted"):
        line("CFX.Production.WorkStarted", {"TransactionID": "T", "Units": units, "RecipeName": "R"})
    completed = line("CFX.Production.WorkCompleted", {"TransactionID": "T", "PrimaryIdentifier": "b"})[0]
    assert (completed.payload.unit_id, completed.payload.start_time) == ("b", None)


@pytest.mark.parametrize("never", ["9999-12-31T23:59:59.9999999-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_date_that_was_not_set_is_when_the_message_came(line: Line, never: str) -> None:
    event = line("CFX.Production.UnitsArrived", {"PrimaryIdentifier": "a"}, TimeStamp=never)[0]
    assert event.timestamp == NOON


def test_messages_with_an_id_of_zeros_are_told_apart(line: Line) -> None:
    ids = {
        line("CFX.Production.UnitsArrived", {"PrimaryIdentifier": unit}, UniqueID=ZEROS)[0].id
        for unit in "abc"
    }
    assert len(ids) == 3
