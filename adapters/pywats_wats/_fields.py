"""Which texts and ids does WATS take? Lengths and characters, as its report model enforces them (pure)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

from pywats_events.models.result_events import TestResult

__all__ = ["LETTERS", "bad_id", "cut", "filled", "is_uuid", "number", "seconds", "unique", "zoned"]

LETTERS: Final = {
    TestResult.PASS: "P",
    TestResult.FAIL: "F",
    TestResult.ERROR: "E",
    TestResult.ABORTED: "T",
    TestResult.SKIPPED: "S",
}
"""The letter of a result on a step or measurement."""

LONGEST_ID: Final = 100
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WILD: Final = frozenset(r"*%?[]^!/\ ".rstrip())
_NO_TEXT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters but tab and line feed, halves of surrogate pairs, and what no text may have."""


def cut(text: object, length: int) -> str:
    """A text of at most so many characters, without those that are no text; lines end with a line feed."""
    # A line's end of two characters becomes one, so twice the length is enough.
    clean = str(text)[: 2 * length + 2]
    if not clean.isprintable():  # which nothing is that is to be replaced
        clean = _NO_TEXT.sub("?", clean.replace("\r\n", "\n").replace("\r", "\n"))
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def bad_id(what: str, value: str | None, *, wildcards: bool = True) -> str | None:
    """What is wrong with a serial number, part number or name; None if WATS takes it.

    Ids are never cut: two of them could become one.
    """
    if not value or not value.strip():
        return f"{what} is missing"
    if len(value) > LONGEST_ID:
        return f"{what} has {len(value)} characters, and WATS takes {LONGEST_ID}"
    if _NO_TEXT.search(value) or "\n" in value or "\t" in value:
        return f"{what} {value!r} has control characters"
    wild = sorted(set(value) & _WILD) if wildcards else []
    if wild:
        return f"{what} {value!r} has {' '.join(wild)}, which WATS takes for wildcards and separators"
    if wildcards and value in {".", ".."}:
        return f"{what} {value!r} is a step in an address"
    return None


def is_uuid(text: str) -> bool:
    """Whether WATS takes a text for the id of a report."""
    return _UUID.fullmatch(text) is not None


def number(value: float) -> float | str:
    """A number as JSON has it; the three that it has not go out as text."""
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def zoned(when: datetime, tz: str | None) -> datetime:
    """A time with an offset as WATS reads it, in whole minutes.

    Args:
        when: one without offset is the sender's local time, never UTC.
        tz: the sender's time zone; None is this machine's.
    """
    try:
        if when.tzinfo is None:
            when = when.astimezone() if tz is None else when.replace(tzinfo=ZoneInfo(tz))
        offset = when.utcoffset()
        whole = offset is not None and offset.total_seconds() % 60 == 0
        return when if whole else when.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        # In the first and last year, which are no times anyway.
        return when.replace(tzinfo=UTC)


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """From start to end; None unless both are known and in order."""
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return None
    took = (end - start).total_seconds()
    return took if took >= 0 else None


def unique(names: dict[str, int], name: str, length: int = LONGEST_ID) -> str:
    """A name of at most so many characters; a repeat gets ` #2`."""
    text = found = cut(name.strip() or "-", length)
    while found in names:
        names[text] += 1
        suffix = f" #{names[text]}"
        found = cut(text, length - len(suffix)) + suffix
    names[found] = 1
    return found


def filled(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}
