"""Dates and durations as CFX writes them.

They stay texts in the messages: a date has up to 7 digits of a second, a `datetime` has 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final

__all__ = ["seconds_of", "time_of", "wire_duration", "wire_time"]

_DATE: Final = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|z|[+-]\d\d:?\d\d)?\s*"
)
_SPAN: Final = re.compile(r"\s*(-)?(?:(\d{1,9})\.)?(\d{1,9}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*")
NEVER: Final = (1, 9999)
"""The years of .NET's dates that were not set, or that never come."""


def time_of(text: str | datetime | None, zone: tzinfo | Callable[[datetime], tzinfo]) -> datetime | None:
    """The date that a text says; None for none, one that was not set (year 1 or 9999), or no date at all.

    Args:
        text: as on the wire: up to 7 digits of a second, an offset, `Z` or neither.
        zone: of the sender, for a date without offset; or what finds it out for such a date.
    """
    when = text if isinstance(text, datetime) else _read(text) if isinstance(text, str) else None
    if when is None or when.year in NEVER:
        return None
    if when.tzinfo is not None:
        return when
    return when.replace(tzinfo=zone if isinstance(zone, tzinfo) else zone(when))


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _read_freely(text)


def _read_freely(text: str) -> datetime | None:
    """A date with blanks around it, an offset without minutes, and the like."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            micros,
            tzinfo=_zone(offset),
        )
    except ValueError:
        return None


def _zone(offset: str | None) -> tzinfo | None:
    if offset is None:
        return None
    if offset in "Zz":
        return timezone.utc  # noqa: UP017 - as `datetime` names it
    digits = offset[1:].replace(":", "")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-span if offset[0] == "-" else span)


def wire_time(when: datetime) -> str:
    """A date as CFX writes it: ISO 8601 with its offset.

    Args:
        when: with or without a time zone; without it is local to the sender, as CFX has it.
    """
    return when.isoformat()


def seconds_of(text: str | None) -> float | None:
    """The seconds of a `[d.]hh:mm:ss[.fffffff]`; None for no such text."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    sign, days, hours, minutes, seconds, fraction = found.groups()
    whole = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
    total = whole + float(f"0.{fraction or 0}")
    return -total if sign else total


def wire_duration(seconds: float) -> str:
    """Seconds as `[d.]hh:mm:ss[.fffffff]`.

    Args:
        seconds: negative ones are written with a leading minus.
    """
    ticks = round(abs(seconds) * 10_000_000)
    rest, fraction = divmod(ticks, 10_000_000)
    rest, second = divmod(rest, 60)
    rest, minute = divmod(rest, 60)
    days, hour = divmod(rest, 24)
    text = f"{hour:02}:{minute:02}:{second:02}"
    text = f"{days}.{text}" if days else text
    text = f"{text}.{fraction:07}" if fraction else text
    return f"-{text}" if seconds < 0 and ticks else text
