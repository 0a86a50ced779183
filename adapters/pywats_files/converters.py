"""From a file to its events: what a converter is given, and the ones that are usual.

A converter is any callable `(stream, info) -> iterable of events`. It runs in a worker thread. A
generator that reads the stream line by line needs no more memory for a large file than for a small
one. What it raises sends the file to `failed`, but for FileNotReady: then it is tried again later.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from pywats_events import Event, EventType
from pywats_files._ids import event_id
from pywats_files.errors import FileRefused

__all__ = [
    "Column",
    "Convert",
    "FileInfo",
    "csv_events",
    "json_events",
    "json_line_events",
    "keeps_ids",
    "wsjf_events",
]

WSJF: Final = EventType.register("wats.report")
"""The type of an event with a report that is passed on to WATS as it is."""
NO_SOURCE: Final = "unknown"
"""What an event says whose maker did not say it."""
NOBODY: Final = (None, "", NO_SOURCE)


class FileInfo(msgspec.Struct, frozen=True, gc=False):
    """What a converter is told of a file.

    Attributes:
        name: as it was dropped.
        path: where the file is while it is converted, for converters that open it themselves.
        source: whose the events are, unless they say it.
        size: bytes.
        modified: when it was last written, aware.
        received_at: when it was taken, aware.
        digest: of its content (BLAKE2b, 16 bytes).
        custom: what each event is told of its file.
        max_line: bytes of a line, at the most.
    """

    name: str
    path: str
    source: str
    size: int
    modified: datetime
    received_at: datetime
    digest: bytes
    custom: dict[str, Any]
    max_line: int

    def event_id(self, index: int) -> str:
        """The id of the event number `index` (a line, a place in a list): the same content gives the same."""
        return event_id(self.digest, index)

    def lines(self, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, with their numbers from 1, without their ends.

        Raises:
            FileRefused: if one is too long.
        """
        number = 0
        while line := stream.readline(self.max_line + 2):
            number += 1
            line = line.rstrip(b"\r\n")
            if len(line) > self.max_line:
                raise FileRefused(f"line {number} has more than {self.max_line} bytes")
            if line.strip():
                yield number, line

    def event(self, event_type: EventType | str, payload: Any, index: int = 0, **fields: Any) -> Event:
        """An event of this file: its source, its time and an id that the same content gives again.

        Args:
            event_type: of the event.
            payload: a domain event, or a dict.
            index: unique among the file's events: a line's number, a place in a list.
            **fields: others of `Event`, which count more.
        """
        if not fields:  # as nearly all are made; HOT: tests/benchmarks/bench_files.py
            return Event(
                event_type=event_type,  # type: ignore[arg-type]
                payload=payload,
                source=self.source,
                id=self.event_id(index),
                timestamp=self.modified,
                received_at=self.received_at,
                custom=self.custom,
            )
        custom = fields.pop("custom", None)
        return Event(
            event_type=event_type,  # type: ignore[arg-type]
            payload=payload,
            **{
                "source": self.source,
                "id": self.event_id(index),
                "timestamp": self.modified,
                "received_at": self.received_at,
                "custom": {**custom, **self.custom} if custom else self.custom,
                **fields,
            },
        )

    def completed(self, event: Event, index: int, *, keep_id: bool) -> Event:
        """An event as a converter made it, with what it lacks.

        Args:
            event: of this file.
            index: of the event in the file, from 0.
            keep_id: whether its id is its own; else it is made of the content.
        """
        if keep_id and self._is_complete(event):
            return event
        changes: dict[str, Any] = {"custom": {**event.custom, **self.custom} if event.custom else self.custom}
        if not keep_id:
            changes["id"] = self.event_id(index)
        if event.source == NO_SOURCE:
            changes["source"] = self.source
        if event.received_at is None:
            changes["received_at"] = self.received_at
        return msgspec.structs.replace(event, **changes)

    def _is_complete(self, event: Event) -> bool:
        custom = event.custom
        return (
            custom is not None and custom.get("folder") is self.custom["folder"] and event.source != NO_SOURCE
        )


Convert = Callable[[BinaryIO, FileInfo], Iterable[Event]]
"""Makes the events of a file."""
C = TypeVar("C", bound=Callable[..., Any])


def _quick(convert: C) -> C:
    """Say that a converter only computes: it is called where the file is read."""
    convert.is_quick = True  # type: ignore[attr-defined]
    return convert


def _makes_whole(convert: C) -> C:
    """Say that the events of a converter lack nothing that their file can tell, their ids included."""
    convert.makes_whole = True  # type: ignore[attr-defined]
    return convert


def keeps_ids(convert: C) -> C:
    """Say that the events of a converter have ids of their own, which the same content gives again.

    For instance::

        @keeps_ids
        def results(stream, info):
            for number, line in info.lines(stream):
                yield info.event("test.result", payload_of(line), number)

    The ids of other converters' events are replaced, by ones made of the content and their order.
    """
    convert.keeps_ids = True  # type: ignore[attr-defined]
    return convert


@_quick
@_makes_whole
def json_events(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
    """A JSON file with one event, as `Event.to_json` writes it, or a list of them."""
    value = _decoded(stream.read(), "the file")
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield _event_of(each, index, info, f"entry {index}")
    else:
        yield _event_of(value, 0, info, "the file")


@_quick
@_makes_whole
def json_line_events(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
    """A file with one JSON event on each line; read line by line."""
    for number, line in info.lines(stream):
        where = f"line {number}"
        yield _event_of(_decoded(line, where), number, info, where)


@_quick
@_makes_whole
def wsjf_events(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
    """A WATS report as JSON (WSJF), which is passed on as it is; its id is that of its event.

    A list of reports makes an event of each.
    """
    value = _decoded(stream.read(), "the file")
    for index, report in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(report, dict):
            raise FileRefused(f"report {index} must be an object, not {type(report).__name__}")
        yield info.event(WSJF, {"wsjf": report}, index)


def _decoded(data: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FileRefused(f"{where} is no JSON: {error}") from error


PLAIN: Final = frozenset({"event_type", "payload", "source"})
"""The fields of an event that says of itself what most testers say."""


def _event_of(value: Any, index: int, info: FileInfo, where: str) -> Event:
    if not isinstance(value, dict):
        raise FileRefused(f"{where} must be an event, which is an object, not {type(value).__name__}")
    try:
        if PLAIN.issuperset(value) and value.get("event_type") and value.get("payload") is not None:
            return info.event(
                value["event_type"],
                value["payload"],
                index,
                **({} if value.get("source") in NOBODY else {"source": value["source"]}),
            )
        return Event.from_dict(_completed(value, index, info))
    except Exception as error:
        raise FileRefused(f"{where} is no event: {error}") from error


def _completed(value: dict[str, Any], index: int, info: FileInfo) -> dict[str, Any]:
    """What is said of an event, with what its file says."""
    older = value.get("metadata")
    said = {**older, **value} if isinstance(older, dict) else value
    fields = dict(value)
    if not said.get("id") and not said.get("event_id"):
        fields["id"] = info.event_id(index)
    if said.get("source") in NOBODY:
        fields["source"] = info.source
    if not said.get("timestamp"):
        fields["timestamp"] = info.modified
    if not said.get("received_at"):
        fields["received_at"] = info.received_at
    custom = said.get("custom")
    fields["custom"] = {**custom, **info.custom} if isinstance(custom, dict) and custom else info.custom
    return fields


class Column(msgspec.Struct, frozen=True):
    """A column of a CSV file.

    Args:
        header: as in the file's first line.
        read: makes the value of the text, such as `float`; what it raises refuses the file.
        required: whether the text must not be empty; an empty one is left out of the payload.
    """

    header: str
    read: Callable[[str], Any] = str
    required: bool = False


def csv_events(
    event_type: EventType | str,
    columns: Mapping[str, str | Column],
    *,
    constants: Mapping[str, Any] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    make: Callable[[dict[str, Any]], Any] | None = None,
) -> Convert:
    """Make a converter of CSV files with a header, each row of which is an event.

    For instance::

        csv_events("test.result", {"unit_id": "Serial", "passed": Column("Result", "PASS".__eq__)})

    Args:
        event_type: of the events.
        columns: the header of the column, or the column, that a field of the payload comes from.
        constants: fields that are the same in all events.
        delimiter: one character.
        encoding: of the text.
        make: makes the payload of the fields, such as `lambda fields: TestResultEvent(**fields)`;
            default they are the payload.

    Raises:
        TypeError: for a column that is neither a header nor a Column.
        ValueError: if there is no column, or the delimiter is none.
        LookupError: for an encoding that there is not.
    """
    if not columns:
        raise ValueError("columns must name at least one column")
    _check_kind("delimiter", delimiter, str)
    if len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, not {delimiter!r}")
    "".encode(encoding)
    table: dict[str, Column] = {}
    for name, column in columns.items():
        table[name] = Column(column) if isinstance(column, str) else column
        _check_kind(f"columns[{name!r}]", table[name], Column)
    given = dict(constants or {})

    @_makes_whole
    def convert(stream: BinaryIO, info: FileInfo) -> Iterator[Event]:
        text = io.TextIOWrapper(
            io.BufferedReader(_Bounded(stream, info), 65536), encoding=encoding, newline=""
        )
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            headers = [each.strip() for each in next(rows, [])]
            places = _places(table, headers)
            for row in rows:
                if any(row):
                    fields = {**given, **_fields(table, places, row, rows.line_num)}
                    yield info.event(event_type, fields if make is None else make(fields), rows.line_num)
        except (csv.Error, UnicodeError) as error:
            raise FileRefused(f"line {rows.line_num} cannot be read: {error}") from error
        finally:
            text.detach()

    return convert if make is not None else _quick(convert)


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")


def _places(table: Mapping[str, Column], headers: list[str]) -> dict[str, int]:
    missing = sorted({each.header for each in table.values()} - set(headers))
    if missing:
        raise FileRefused(
            f"there is no column {', '.join(missing)}; there are {', '.join(headers) or 'none'}"
        )
    return {name: headers.index(column.header) for name, column in table.items()}


def _fields(
    table: Mapping[str, Column], places: Mapping[str, int], row: list[str], line: int
) -> dict[str, Any]:
    fields = {}
    for name, column in table.items():
        text = row[places[name]].strip() if places[name] < len(row) else ""
        if text:
            try:
                fields[name] = column.read(text)
            except Exception as error:
                raise FileRefused(
                    f"line {line}, column {column.header}: {text!r} is not valid: {error}"
                ) from error
        elif column.required:
            raise FileRefused(f"line {line}, column {column.header} is empty")
    return fields


class _Bounded(io.RawIOBase):
    """A stream that refuses lines that are too long, for readers that would take them in whole."""

    def __init__(self, stream: BinaryIO, info: FileInfo) -> None:
        self._stream = stream
        self._limit = info.max_line
        self._since_end = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read on, and look for the ends of lines."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        last = data.rfind(b"\n")
        self._since_end = len(data) - last - 1 if last >= 0 else self._since_end + len(data)
        if self._since_end > self._limit:
            raise FileRefused(f"a line has more than {self._limit} bytes")
        return len(data)
