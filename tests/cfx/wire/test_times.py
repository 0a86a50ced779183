"""Dates and durations of the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_cfx.wire import seconds_of, time_of, wire_duration, wire_time

OSLO = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-23T07:59:08.6726521+01:00", datetime(2026, 11, 23, 7, 59, 8, 672652, OSLO)),
        ("2026-11-23T07:59:08Z", datetime(2026, 11, 23, 7, 59, 8, tzinfo=UTC)),
        (
            "2026-11-23T07:59:08.5-0330",
            datetime(2026, 11, 23, 7, 59, 8, 500000, timezone(timedelta(hours=-3.5))),
        ),
        ("2026-11-23T07:59", datetime(2026, 11, 23, 7, 59, tzinfo=OSLO)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=OSLO)),
        ("0001-01-01T00:00:00", None),
        ("2026-13-23T07:59:08", None),
        ("yesterday", None),
        ("9999-12-31T23:59:59.9999999", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_without_offset_is_local_to_the_sender(text: str | None, when: datetime | None) -> None:
    assert time_of(text, OSLO) == when


@given(
    st.datetimes(
        datetime(2, 1, 2),  # noqa: DTZ001 - as hypothesis wants it
        datetime(9998, 12, 31),  # noqa: DTZ001 - as above
        timezones=st.sampled_from([UTC, OSLO]),
    )
)
def test_dates_come_back(when: datetime) -> None:
    assert time_of(wire_time(when), UTC) == when


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:05", 5),
        ("1.02:03:04.5", 93784.5),
        ("-00:01:00", -60),
        ("00:05", 300),
        ("5", None),
        (None, None),
    ],
)
def test_a_duration_is_days_hours_minutes_and_seconds(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@given(st.integers(-(10**14), 10**14).map(lambda ticks: ticks / 10_000_000))
def test_durations_come_back(seconds: float) -> None:
    assert seconds_of(wire_duration(seconds)) == pytest.approx(seconds, abs=1e-6)
