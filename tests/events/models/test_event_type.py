"""EventType: used like an enum, looked up like a text, and open."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest

from pywats_events.models import event_types
from pywats_events.models.event_types import EventType

TABLE = {
    "TEST_RESULT": "test.result",
    "TEST_STARTED": "test.started",
    "INSPECTION_RESULT": "inspection.result",
    "INSPECTION_STARTED": "inspection.started",
    "ASSET_FAULT": "asset.fault",
    "ASSET_STATE_CHANGED": "asset.state_changed",
    "ASSET_MAINTENANCE": "asset.maintenance",
    "ASSET_CALIBRATION": "asset.calibration",
    "MATERIAL_INSTALLED": "material.installed",
    "MATERIAL_CONSUMED": "material.consumed",
    "MATERIAL_REJECTED": "material.rejected",
    "WORK_STARTED": "production.work_started",
    "WORK_COMPLETED": "production.work_completed",
    "UNIT_ARRIVED": "production.unit_arrived",
    "UNIT_DEPARTED": "production.unit_departed",
    "UNIT_DISQUALIFIED": "production.unit_disqualified",
    "WORK_ORDER_CREATED": "production.work_order_created",
    "WORK_ORDER_UPDATED": "production.work_order_updated",
    "TRANSPORT_CONNECTED": "system.transport_connected",
    "TRANSPORT_DISCONNECTED": "system.transport_disconnected",
    "TRANSPORT_ERROR": "system.transport_error",
    "HANDLER_ERROR": "system.handler_error",
    "HANDLER_RECOVERED": "system.handler_recovered",
    "CHILD_FAILED": "system.child_failed",
    "CIRCUIT_OPENED": "system.circuit_opened",
    "CIRCUIT_CLOSED": "system.circuit_closed",
    "EVENT_DEAD_LETTER": "system.dead_letter",
    "STORE_ALARM": "system.store_alarm",
    "STORE_DAMAGED": "system.store_damaged",
    "CUSTOM": "custom",
}


@pytest.mark.parametrize(("name", "value"), TABLE.items())
def test_each_type_has_its_name_and_its_dotted_value(name: str, value: str) -> None:
    kind = getattr(EventType, name)
    assert (kind.name, kind.value, str(kind), f"{kind}") == (name, value, value, value)
    assert EventType(value) is kind
    assert EventType.from_string(value) is kind
    assert EventType[name] is kind
    assert repr(kind) == f"EventType.{name}"


def test_every_constant_that_type_checkers_see_is_there() -> None:
    source = Path(event_types.__file__).read_text(encoding="utf-8")
    declared = set(re.findall(r"^    ([A-Z_]+): ClassVar\[EventType\]", source, re.MULTILINE))
    assert declared == set(TABLE)


def test_it_is_iterated_like_an_enum() -> None:
    assert [kind.name for kind in EventType][: len(TABLE)] == list(EventType.__members__)[: len(TABLE)]
    assert set(TABLE) <= set(EventType.__members__)
    assert len(EventType) == len(list(EventType))
    assert "test.result" in EventType
    assert EventType.CUSTOM in EventType
    assert "no.such" not in EventType
    assert 5 not in EventType


def test_equality_is_that_of_its_value_and_identity_that_of_the_type() -> None:
    assert EventType.TEST_RESULT == "test.result"
    assert {EventType.TEST_RESULT: 1}["test.result"] == 1
    assert EventType.TEST_RESULT != EventType.TEST_STARTED


def test_an_unknown_value_says_how_to_add_it() -> None:
    with pytest.raises(ValueError, match=re.escape("EventType.register('no.such') adds it")):
        EventType("no.such")
    with pytest.raises(ValueError, match=r"no\.such"):
        EventType.from_string("no.such")
    with pytest.raises(KeyError):
        EventType["NO_SUCH"]


def test_users_add_their_own() -> None:
    kind = EventType.register("acme.line_cleared")
    assert EventType.register("acme.line_cleared") is kind
    assert (kind.name, kind.value) == ("ACME_LINE_CLEARED", "acme.line_cleared")
    assert EventType("acme.line_cleared") is kind
    assert EventType["ACME_LINE_CLEARED"] is kind
    assert kind in list(EventType)
    assert not kind.is_system


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "test.*"])
def test_a_value_that_cannot_be_a_name_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="printable name"):
        EventType.register(value)


def test_a_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="5"):
        EventType.register(5)  # type: ignore[arg-type]


def test_constants_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="register"):
        EventType.MINE = "mine"  # type: ignore[attr-defined]


def test_it_stays_the_same_object_when_pickled_and_copied() -> None:
    for kind in EventType:
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert copy.copy(kind) is kind
        assert copy.deepcopy(kind) is kind


def test_groups_hold_their_types() -> None:
    assert EventType.INSPECTION_STARTED in EventType.test_events()
    assert set(EventType.asset_events()) >= {EventType.ASSET_FAULT, EventType.ASSET_CALIBRATION}
    assert set(EventType.material_events()) >= {EventType.MATERIAL_REJECTED}
    assert set(EventType.production_events()) >= {EventType.WORK_STARTED, EventType.UNIT_ARRIVED}
    assert set(EventType.system_events()) >= {EventType.HANDLER_ERROR, EventType.CIRCUIT_OPENED}
    assert all(kind.is_system for kind in EventType.system_events())
    assert not any(kind.is_system for kind in EventType.test_events())
