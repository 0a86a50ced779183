"""What the usual converters make of files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events import Event
from pywats_files import (
    Column,
    Convert,
    FileInfo,
    FileRefused,
    csv_events,
    json_events,
    json_line_events,
    wsjf_events,
)

WRITTEN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
INFO = FileInfo(
    name="a.json",
    path="/hand/a.json",
    source="ICT-01",
    size=1,
    modified=WRITTEN,
    received_at=WRITTEN,
    digest=b"0123456789abcdef",
    custom={"file": "a.json", "folder": "/drop"},
    max_line=200,
)


def made(convert: Convert, data: bytes) -> list[Event]:
    return list(convert(io.BytesIO(data), INFO))


def test_an_event_that_says_nothing_of_itself_is_the_files() -> None:
    (event,) = made(json_events, b'{"event_type": "test.result", "payload": {"unit_id": "SN1"}}')
    assert (event.source, event.timestamp, event.id) == ("ICT-01", WRITTEN, INFO.event_id(0))
    assert event.custom == INFO.custom


@pytest.mark.parametrize(
    "text",
    [
        b'{"event_type": "test.result", "payload": {"unit_id": "SN1"}, "source": "unknown"}',
        b'{"event_type": "test.result", "payload": {"unit_id": "SN1"}, "source": "unknown", "attempt": 1}',
        b'{"event_type": "test.result", "metadata": {"source": "unknown"}}',
        Event(event_type="test.result", payload={"unit_id": "SN1"}).to_json(),  # type: ignore[arg-type]
    ],
)
def test_an_event_whose_maker_did_not_say_its_source_is_the_folders(text: bytes) -> None:
    for convert in (json_events, json_line_events):
        (event,) = made(convert, text)
        assert (event.source, event.custom) == ("ICT-01", INFO.custom)


def test_an_event_keeps_what_it_says_of_itself() -> None:
    written = Event(event_type="test.result", payload={"unit_id": "SN1"}, source="me", custom={"a": 1})  # type: ignore[arg-type]
    (event,) = made(json_events, written.to_json())
    assert (event.source, event.timestamp, event.id) == ("me", written.timestamp, written.id)
    assert event.custom == {"a": 1, **INFO.custom}


def test_an_event_of_the_older_shape_keeps_its_id() -> None:
    (event,) = made(
        json_events, b'{"event_type": "test.result", "metadata": {"event_id": "E1", "source": "me"}}'
    )
    assert (event.id, event.source) == ("E1", "me")


def test_lists_and_lines_give_each_event_an_id_of_its_own() -> None:
    one = b'{"event_type": "test.result"}'
    assert [event.id for event in made(json_events, b"[%s,%s]" % (one, one))] == [
        INFO.event_id(0),
        INFO.event_id(1),
    ]
    lines = made(json_line_events, one + b"\r\n\n" + one)
    assert [event.id for event in lines] == [INFO.event_id(1), INFO.event_id(3)]


@pytest.mark.parametrize(
    ("convert", "data", "told"),
    [
        (json_events, b"", "the file is no JSON"),
        (json_events, b"3", "the file must be an event, which is an object, not int"),
        (json_events, b'[{"event_type": "test.result"}, {}]', "entry 1 is no event"),
        (json_events, b"\xff", "the file is no JSON"),
        (json_line_events, b'{"event_type": "a"}\n{', "line 2 is no JSON"),
        (json_line_events, b" " * 201, "line 1 has more than 200 bytes"),
        (wsjf_events, b"[1]", "report 0 must be an object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(convert: Convert, data: bytes, told: str) -> None:
    with pytest.raises(FileRefused, match=told):
        made(convert, data)


RESULTS = csv_events(
    "test.result",
    {
        "unit_id": Column("Serial", required=True),
        "passed": Column("Result", "PASS".__eq__),
        "value": Column("V", float),
    },
    constants={"station": "FCT"},
    delimiter=";",
)


def test_each_row_of_a_csv_file_is_an_event_by_its_columns() -> None:
    events = made(RESULTS, '\ufeffResult;Serial;V\nPASS;"S;1";1.5\n\nFAIL;S2;\n'.encode())
    assert [event.payload for event in events] == [
        {"station": "FCT", "unit_id": "S;1", "passed": True, "value": 1.5},
        {"station": "FCT", "unit_id": "S2", "passed": False},
    ]
    assert [event.id for event in events] == [INFO.event_id(2), INFO.event_id(4)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"Serial;V\nS1;1\n", "there is no column Result; there are Serial, V"),
        (b"", "there is no column Result, Serial, V; there are none"),
        (b"Result;Serial;V\nPASS;S1;x\n", "line 2, column V: 'x' is not valid"),
        (b"Result;Serial;V\nPASS;;1\n", "line 2, column Serial is empty"),
        (b"Result;Serial;V\n\xff;S1;1\n", "cannot be read"),
        (b"Result;Serial;V\nPASS;" + b"x" * 300, "a line has more than 200 bytes"),
    ],
)
def test_a_csv_file_that_is_not_as_described_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(FileRefused, match=told):
        made(RESULTS, data)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"columns": {}}, ValueError),
        ({"columns": {"a": 1}}, TypeError),
        ({"columns": {"a": "A"}, "delimiter": ";;"}, ValueError),
        ({"columns": {"a": "A"}, "encoding": "latin-99"}, LookupError),
    ],
)
def test_a_bad_description_of_a_csv_file_is_told_when_it_is_made(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        csv_events("test.result", **arguments)


@given(st.binary(max_size=60))
def test_any_bytes_make_events_or_are_refused(data: bytes) -> None:
    for convert in (json_events, json_line_events, wsjf_events, RESULTS):
        with suppress(FileRefused):
            assert all(isinstance(event, Event) for event in made(convert, data))


def test_what_a_converter_of_ones_own_leaves_out_is_filled_in() -> None:
    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        del info
        yield Event(event_type="test.result", payload={"unit_id": stream.read().decode()})  # type: ignore[arg-type]

    (event,) = made(convert, b"SN1")
    event = INFO.completed(event, 0, keep_id=False)
    assert (event.id, event.source, event.custom) == (INFO.event_id(0), "ICT-01", INFO.custom)
    assert INFO.completed(event, 7, keep_id=True) is event
