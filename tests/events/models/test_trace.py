"""W3C trace context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.models._trace import Trace, child_trace, make_trace, read_trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
digits = st.text("0123456789abcdef", min_size=1)


def test_the_example_of_the_recommendation_is_read_and_written() -> None:
    text = f"00-{TRACE}-{SPAN}-01"
    assert read_trace(text) == Trace(TRACE, SPAN, "01")
    assert make_trace(TRACE, SPAN) == text
    assert make_trace("0AF76519-16CD-43DD-8448-EB211C80319C", SPAN) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
    ],
)
def test_an_invalid_one_starts_a_new_trace(text: str | None) -> None:
    assert read_trace(text) is None
    assert child_trace(text, SPAN) is None


def test_a_later_version_may_say_more() -> None:
    assert read_trace(f"01-{TRACE}-{SPAN}-01-more") == Trace(TRACE, SPAN, "01")


def test_a_child_keeps_trace_and_flags() -> None:
    assert child_trace(f"00-{TRACE}-{SPAN}-00", "00f067aa0ba902b7") == f"00-{TRACE}-00f067aa0ba902b7-00"


@given(st.none() | digits, st.none() | digits)
def test_what_is_made_can_be_read(trace_id: str | None, span_id: str | None) -> None:
    made = make_trace(trace_id, span_id)
    assert made is None or read_trace(made) == Trace(trace_id or "", span_id or "", "01")
