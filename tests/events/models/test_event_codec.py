"""Writing an event and reading it again loses nothing."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.errors import EventValidationError
from pywats_events.models import Event, EventType, TestMeasurement, TestResultEvent, TestStep

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
payloads = st.dictionaries(
    texts,
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_size=4,
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC) | offsets)  # noqa: DTZ001
maybe = st.none() | texts.filter(bool)
events = st.builds(
    Event,
    event_type=st.sampled_from(list(EventType)) | st.sampled_from(["acme.unheard_of", "weird name"]),
    payload=payloads,
    source=texts,
    id=texts.filter(bool) | st.none(),
    timestamp=moments | st.none(),
    source_topic=maybe,
    correlation_id=maybe,
    causation_id=maybe,
    trace=maybe,
    attempt=st.integers(1, 1000),
    received_at=moments | st.none(),
    custom=st.none() | payloads.filter(bool),
)


@given(events)
def test_a_dict_gives_the_same_event_back(made: Event) -> None:
    assert Event.from_dict(made.to_dict()) == made


@given(events)
def test_json_gives_the_same_event_back(made: Event) -> None:
    read = Event.from_json(made.to_json())
    assert read == made
    assert read.timestamp.utcoffset() == made.timestamp.utcoffset()
    assert read.type_name == made.type_name


@given(events)
def test_messagepack_gives_the_same_event_back(made: Event) -> None:
    read = Event.from_msgpack(made.to_msgpack())
    assert read == made
    assert read.timestamp.utcoffset() == made.timestamp.utcoffset()


@given(events)
def test_json_is_json_to_others(made: Event) -> None:
    assert json.loads(made.to_json())["id"] == made.id


def test_an_unknown_type_is_written_by_its_name_again() -> None:
    read = Event.from_dict({"event_type": "acme.unheard_of", "payload": {}})
    assert read.event_type is EventType.CUSTOM
    assert read.to_dict()["event_type"] == "acme.unheard_of"
    assert json.loads(read.to_json())["event_type"] == "acme.unheard_of"
    assert Event.from_msgpack(read.to_msgpack()).type_name == "acme.unheard_of"


def test_a_type_that_was_registered_meanwhile_is_known_when_read() -> None:
    written = Event("acme.registered_later").to_json()
    kind = EventType.register("acme.registered_later")
    assert Event.from_json(written).event_type is kind


@pytest.mark.parametrize("write", [Event.to_json, Event.to_msgpack])
def test_numbers_that_json_does_not_know_are_not_lost(write: Any) -> None:
    measured = [TestMeasurement("m", math.nan, low_limit=-math.inf, high_limit=math.inf)]
    payload = TestResultEvent(unit_id="a", steps=[TestStep("s", measurements=measured)])
    made = Event(EventType.TEST_RESULT, payload)
    read = Event.from_json if write is Event.to_json else Event.from_msgpack
    (again,) = read(write(made)).as_(TestResultEvent).steps[0].measurements
    assert math.isnan(again.value)  # type: ignore[arg-type]
    assert (again.low_limit, again.high_limit) == (-math.inf, math.inf)


def test_json_writes_them_as_the_texts_that_cfx_uses() -> None:
    made = Event(payload={"a": math.nan, "b": [math.inf, -math.inf, None, 1.0]}, event_type=EventType.CUSTOM)
    assert json.loads(made.to_json())["payload"] == {"a": "NaN", "b": ["Infinity", "-Infinity", None, 1.0]}


@pytest.mark.parametrize("number", [math.nan, -math.nan, math.inf, -math.inf])
def test_each_such_number_is_found_beside_nulls(number: float) -> None:
    made = Event(EventType.CUSTOM, {"a": None, "b": number})
    assert float(json.loads(made.to_json())["payload"]["b"]) == pytest.approx(number, nan_ok=True)


def test_a_time_in_a_payload_keeps_its_offset() -> None:
    start = datetime(2026, 11, 23, 7, 59, 8, 672652, tzinfo=timezone(timedelta(hours=1)))
    made = Event(EventType.TEST_RESULT, TestResultEvent(unit_id="a", start_time=start))
    for read in (Event.from_json(made.to_json()), Event.from_msgpack(made.to_msgpack())):
        assert read.as_(TestResultEvent).start_time.utcoffset() == timedelta(hours=1)
        assert read.as_(TestResultEvent) == made.payload


def test_a_struct_payload_comes_back_as_the_same_struct() -> None:
    made = Event(EventType.TEST_RESULT, TestResultEvent(unit_id="a", steps=[TestStep("s")]))
    for read in (
        Event.from_dict(made.to_dict()),
        Event.from_json(made.to_json()),
        Event.from_msgpack(made.to_msgpack()),
    ):
        assert read.as_(TestResultEvent) == made.payload


def test_what_0_6_wrote_is_read() -> None:
    read = Event.from_dict(
        {
            "event_id": "e-1",
            "timestamp": "2026-01-02T03:04:05+00:00",
            "event_type": "test.result",
            "payload": {"unit_id": "a"},
            "metadata": {
                "event_id": "e-1",
                "correlation_id": "c",
                "causation_id": None,
                "timestamp": "2026-01-02T03:04:05+00:00",
                "source": "cfx",
                "source_topic": "t",
                "retry_count": 2,
                "trace_id": "not-hexadecimal",
                "span_id": "12345678",
                "custom": {"lane": 1},
            },
        }
    )
    assert (read.id, read.source, read.source_topic, read.correlation_id) == ("e-1", "cfx", "t", "c")
    assert (read.attempt, read.timestamp) == (3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert read.custom == {"lane": 1, "trace_id": "not-hexadecimal", "span_id": "12345678"}
    assert Event.from_dict(read.to_dict()) == read


def test_keys_that_are_no_fields_are_kept() -> None:
    read = Event.from_dict({"event_type": "test.result", "priority": "high", "custom": {"lane": 1}})
    assert read.custom == {"lane": 1, "priority": "high"}


def test_a_time_without_zone_is_utc() -> None:
    read = Event.from_dict({"event_type": "custom", "timestamp": "2026-01-02T03:04:05"})
    assert read.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "event_type"),
        ({"event_type": 5}, "event_type"),
        ({"event_type": "custom", "payload": [1]}, "payload must be a mapping"),
        ({"event_type": "custom", "id": 5}, "`id` of an event must be text, not 5"),
        ({"event_type": "custom", "source": {}}, "`source`"),
        ({"event_type": "custom", "timestamp": "yesterday"}, "`timestamp` of an event must be a time"),
        ({"event_type": "custom", "attempt": 0}, "`attempt` of an event must be a whole number"),
        ({"event_type": "custom", "attempt": True}, "`attempt`"),
        ({"event_type": "custom", "retry_count": "x"}, "`attempt`"),
        ({"event_type": "custom", "metadata": 3}, "`metadata` of an event must be an object"),
        ({"event_type": "custom", "custom": "x"}, "`custom` of an event must be an object"),
        ({"event_type": "custom", "metadata": {"custom": [1]}}, "`custom` of an event must be an object"),
        ("text", "an event must be an object"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(values: Any, text: str) -> None:
    with pytest.raises(EventValidationError, match=text):
        Event.from_dict(values)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 5000, b'"text"', b"null"])
def test_bytes_that_are_no_event_are_refused(data: bytes) -> None:
    with pytest.raises(EventValidationError):
        Event.from_json(data)
    with pytest.raises(EventValidationError):
        Event.from_msgpack(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_refused(data: bytes) -> None:
    for read in (Event.from_json, Event.from_msgpack):
        with suppress(EventValidationError):
            assert isinstance(read(data), Event)


@given(st.dictionaries(st.sampled_from(["event_type", "payload", "metadata", "attempt", "id"]), leaves))
def test_any_fields_are_an_event_or_refused(values: dict[str, Any]) -> None:
    with suppress(EventValidationError):
        assert isinstance(Event.from_dict(values), Event)


def test_numbers_like_those_of_numpy_are_written() -> None:
    class Scalar:
        def tolist(self) -> list[float]:
            return [1.5]

    class Measured(float):
        pass

    payload = {"a": Scalar(), "b": Measured(2.5), "c": PurePosixPath("/x"), "d": Decimal("1.10")}
    made = Event(EventType.CUSTOM, payload)
    expected = {"a": [1.5], "b": 2.5, "c": "/x"}
    assert json.loads(made.to_json())["payload"] == {**expected, "d": 1.1}
    assert made.to_dict()["payload"] == {**expected, "d": Decimal("1.10")}
    assert Event.from_msgpack(made.to_msgpack()).payload["b"] == 2.5


@pytest.mark.parametrize("write", [Event.to_json, Event.to_msgpack, Event.to_dict])
def test_what_cannot_be_written_is_said_by_the_id(write: Any) -> None:
    made = Event(EventType.CUSTOM, {"a": object()}, id="id-1")
    with pytest.raises(EventValidationError, match=r"event id-1 \(custom\) cannot be written: .*object"):
        write(made)
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(EventValidationError, match="id-2"):
        write(Event(EventType.CUSTOM, endless, id="id-2"))


def test_fields_that_say_nothing_are_left_out() -> None:
    made = Event(EventType.CUSTOM, {})
    assert set(made.to_dict()) == {"event_type", "payload", "source", "id", "timestamp"}
