"""An event: made in a moment, never changed, and known by its id."""

from __future__ import annotations

import copy
import operator
import pickle
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

import msgspec
import pytest

from pywats_events.errors import EventsError, EventValidationError
from pywats_events.models import Event, EventType, TestResult, TestResultEvent
from pywats_supervision.runtime import CURRENT_RUNTIME, Runtime
from pywats_supervision.system import system_runtime


def event(**fields: Any) -> Event:
    return Event(**{"event_type": EventType.TEST_RESULT, "payload": {"unit_id": "SN-123"}, **fields})


@contextmanager
def current(runtime: Runtime) -> Iterator[None]:
    token = CURRENT_RUNTIME.set(runtime)
    try:
        yield
    finally:
        CURRENT_RUNTIME.reset(token)


def simulated(start: int = 1_700_000_000_000_000_000) -> Runtime:
    numbers, ticks = count(), count(start, 1_000_000_000)
    return replace(
        system_runtime(seed=1), wall_clock=lambda: next(ticks), ids=lambda: f"simulated-{next(numbers)}"
    )


def test_the_event_of_the_manual_is_built_as_written() -> None:
    made = Event(
        event_type=EventType.TEST_RESULT,
        payload={"unit_id": "SN-123", "result": "pass"},
        source="test-station",
    )
    assert made.payload["unit_id"] == "SN-123"
    assert (made.source, made.attempt, made.event_type) == ("test-station", 1, EventType.TEST_RESULT)


def test_its_id_is_the_text_of_a_version_7_uuid_and_stays_the_same() -> None:
    made = event()
    assert uuid.UUID(made.id).version == 7
    assert uuid.UUID(made.id).variant == uuid.RFC_4122
    assert made.id is made.id


def test_its_time_is_that_of_its_making_however_late_it_is_read() -> None:
    before = datetime.now(UTC)
    made = event()
    after = datetime.now(UTC)
    assert before - timedelta(microseconds=1) <= made.timestamp <= after
    assert made.timestamp.tzinfo is UTC
    milliseconds = uuid.UUID(made.id).int >> 80
    assert milliseconds == int(made.timestamp.timestamp() * 1000)


def test_ids_sort_in_the_order_of_making_even_when_read_in_another() -> None:
    made = [event() for _ in range(5_000)]
    for each in reversed(made):
        assert each.id
    ids = [each.id for each in made]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_given_id_and_time_are_kept() -> None:
    moment = datetime(2026, 11, 23, 7, 59, tzinfo=timezone(timedelta(hours=1)))
    made = event(id="749ecb98", timestamp=moment)
    assert made.id == made.event_id == "749ecb98"
    assert made.timestamp is moment


def test_an_id_that_is_no_text_becomes_its_text() -> None:
    given = uuid.uuid4()
    assert event(id=given).id == str(given)


def test_none_for_id_or_time_means_a_new_one() -> None:
    made = event(id=None, timestamp=None)
    assert uuid.UUID(made.id).version == 7
    assert made.timestamp.tzinfo is UTC


def test_with_a_runtime_of_its_own_a_run_repeats_whoever_reads_first() -> None:
    def run(order: Callable[[list[Event]], list[Event]]) -> list[tuple[str, datetime]]:
        with current(simulated()):
            made = [event(), event().derive(), event()]
        for each in order(made):
            assert each.id
        return [(each.id, each.timestamp) for each in made]

    assert run(lambda made: made) == run(lambda made: made[::-1])
    assert run(list)[0][0] == "simulated-0"
    assert run(list)[0][1].year == 2023


def test_a_retry_in_a_simulation_takes_no_new_id_and_time() -> None:
    with current(simulated()):
        made = event()
        again = made.with_retry()
    assert (again.id, again.timestamp) == (made.id, made.timestamp)


def test_with_the_real_runtime_ids_are_built_late_as_without() -> None:
    with current(system_runtime()):
        made = event()
    assert uuid.UUID(made.id).version == 7


def test_a_name_that_is_known_is_that_type() -> None:
    assert event(event_type="test.result").event_type is EventType.TEST_RESULT


def test_a_name_that_nobody_registered_is_custom_and_kept() -> None:
    made = event(event_type="acme.unheard_of")
    assert made.event_type is EventType.CUSTOM
    assert made.type_name == "acme.unheard_of"
    assert "acme.unheard_of" in repr(made)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"event_type": 5}, "event_type must be an EventType or its dotted name, not 5"),
        ({"event_type": ""}, "event_type"),
        ({"payload": None}, "payload must be a mapping or a struct with named fields, not NoneType"),
        ({"payload": b"raw"}, "not bytes"),
        ({"timestamp": datetime(2026, 11, 23)}, "timestamp must be a datetime with a time zone"),  # noqa: DTZ001
        ({"timestamp": "today"}, "not 'today'"),
        ({"received_at": datetime(2026, 11, 23)}, "received_at must be a datetime with a time zone"),  # noqa: DTZ001
        ({"received_at": "2026-11-23"}, "received_at must be .* not '2026-11-23'"),
        ({"type_name": 5}, "`type_name` of an event must be text, not 5"),
    ],
)
def test_what_an_event_cannot_be_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(EventValidationError, match=text) as caught:
        event(**fields)
    assert caught.value.blames_item
    assert isinstance(caught.value, EventsError)
    assert isinstance(caught.value, ValueError)


def test_its_fields_cannot_be_set() -> None:
    made = event()
    for name in ("payload", "source", "attempt", "event_type", "id", "timestamp"):
        with pytest.raises(AttributeError):
            setattr(made, name, None)


def test_a_retry_is_the_same_event_one_attempt_later() -> None:
    made = event(source="s", correlation_id="c", custom={"a": 1})
    again = made.with_retry()
    assert again.attempt == 2
    assert (again.id, again.timestamp, again.payload) == (made.id, made.timestamp, made.payload)
    assert again.with_attempt(1) == made
    assert made.attempt == 1


def test_a_derived_event_is_new_and_names_its_cause() -> None:
    made = event(source="s", source_topic="t")
    derived = made.derive(payload={"other": 1})
    assert derived.id != made.id
    assert derived.id > made.id
    assert (derived.causation_id, derived.correlation_id) == (made.id, made.id)
    assert (derived.source, derived.source_topic, derived.payload) == ("s", "t", {"other": 1})
    again = derived.derive()
    assert (again.causation_id, again.correlation_id, again.payload) == (derived.id, made.id, {"other": 1})


def test_a_derived_event_can_be_called_for_as_in_0_6() -> None:
    derived = event(source="s").derive(EventType.ASSET_FAULT, {"asset_id": "a"}, "other")
    assert (derived.event_type, derived.payload, derived.source) == (
        EventType.ASSET_FAULT,
        {"asset_id": "a"},
        "other",
    )
    assert derived.attempt == 1


def test_a_derived_event_of_an_unknown_type_keeps_its_name() -> None:
    made = event(event_type="acme.unheard_of")
    assert made.derive().type_name == "acme.unheard_of"
    assert made.derive(EventType.CUSTOM).type_name is None


def test_a_derived_event_goes_on_with_the_trace_in_a_span_of_its_own() -> None:
    made = event(trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    trace = made.derive().trace
    assert trace is not None
    assert trace.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert trace != made.trace
    assert event().derive().trace is None
    assert made.derive(trace=None).trace is None


def test_0_6_create_takes_its_metadata_names() -> None:
    made = Event.create(
        EventType.TEST_RESULT,
        {"unit_id": "a"},
        "cfx",
        "corr",
        event_id="id-1",
        retry_count=2,
        source_topic="topic",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        custom={"lane": 1},
    )
    view = made.metadata
    assert (view.event_id, view.source, view.correlation_id, view.retry_count) == ("id-1", "cfx", "corr", 2)
    assert (view.trace_id, view.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (view.source_topic, view.custom, made.attempt) == ("topic", {"lane": 1}, 3)
    assert view.to_dict()["timestamp"] == made.timestamp.isoformat()
    assert Event.create("asset.fault").payload == {}


def test_the_metadata_view_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        event().metadata.retry_count = 5  # type: ignore[misc]


def test_equal_events_are_equal_in_every_field() -> None:
    made = event()
    assert made == made.with_attempt(1)
    assert operator.ne(made, made.with_attempt(1)) is False
    assert hash(made) == hash(made.with_retry())
    assert made != made.with_retry()
    assert made != event()
    assert made != "an event"


def test_it_survives_pickling_and_copying() -> None:
    payload = TestResultEvent(unit_id="a", result=TestResult.FAIL)
    made = event(payload=payload, event_type="acme.unheard_of", custom={"a": [1]})
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.copy(made) is made
    deep = copy.deepcopy(made)
    assert deep == made
    assert deep.custom is not made.custom


def test_an_encoder_that_does_not_know_its_late_fields_refuses_it() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(event())


def test_a_payload_is_read_alike_as_dict_and_as_struct() -> None:
    as_dict = event(payload={"unit_id": "SN-1", "result": "fail"})
    as_struct = event(payload=TestResultEvent(unit_id="SN-1", result=TestResult.FAIL))
    for each in (as_dict, as_struct):
        assert each.payload["unit_id"] == "SN-1"
        assert each.payload["result"] == "fail"
        assert "result" in each.payload
        result = TestResultEvent(**each.payload)
        assert (result.unit_id, result.passed) == ("SN-1", False)


def test_as_checks_and_converts_the_payload() -> None:
    result = event(payload={"unit_id": "SN-1", "result": "Passed", "lane": 3}).as_(TestResultEvent)
    assert (result.passed, result.custom_data) == (True, {"lane": 3})
    made = event(payload=result)
    assert made.as_(TestResultEvent) is result


def test_as_says_what_is_wrong_and_where() -> None:
    broken = event(payload={"unit_id": "a", "steps": [{"name": "s", "measurements": [{"name": 5}]}]})
    where = r"no TestResultEvent.*steps\[0\]\.measurements\[0\]\.name"
    with pytest.raises(EventValidationError, match=where):
        broken.as_(TestResultEvent)
    with pytest.raises(EventValidationError, match="unit_id"):
        event(payload={}).as_(TestResultEvent)


def test_as_takes_structs_of_users_and_of_other_kinds() -> None:
    class Mine(msgspec.Struct):
        unit_id: str
        lane: int = 0

    assert event(payload=Mine("SN-1", 2)).as_(Mine).lane == 2
    assert event(payload=TestResultEvent(unit_id="SN-2")).as_(Mine).unit_id == "SN-2"
