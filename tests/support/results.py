"""Test results of every kind, for whoever makes reports of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from pywats_events import Event, EventType
from pywats_events.models.result_events import (
    TestAttachment,
    TestCondition,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestResultEvent,
    TestStep,
)

__all__ = ["COMPARISONS", "KINDS", "START", "any_result"]

COMPARISONS = ("LOG", "EQ", "NE", "LT", "LE", "GT", "GE", "GELE", "GELT", "GTLE", "GTLT", "", "what")
KINDS = ("offset", "text", "boolean", "other")
START = datetime(2026, 11, 23, 7, 59, tzinfo=UTC)

_texts = st.text(max_size=120)
_ids = st.text("ABCdef0189-_ .", min_size=1, max_size=60).filter(lambda text: text.strip(" ."))
_numbers = st.none() | st.floats(width=32) | st.integers(-(10**6), 10**6).map(float)
_times = st.none() | st.integers(0, 10**6).map(lambda seconds: START + timedelta(milliseconds=seconds))
_measurements = st.builds(
    TestMeasurement,
    name=_texts,
    value=_numbers | st.booleans() | _texts,
    unit=st.sampled_from(["V", "?", "kOhm"]),
    status=st.sampled_from(TestResult),
    low_limit=_numbers,
    high_limit=_numbers,
    nominal=_numbers | st.booleans() | _texts,
    comp_op=st.sampled_from(COMPARISONS),
    kind=st.sampled_from(KINDS),
    group=st.none() | st.sampled_from(["g", "h"]),
)
_attachments = st.builds(
    TestAttachment, _texts, st.sampled_from(["image/png", "text/plain", "?", ""]), st.binary(max_size=40)
)
_steps = st.builds(
    TestStep,
    name=_texts,
    status=st.sampled_from(TestResult),
    measurements=st.lists(_measurements, max_size=4),
    message=st.none() | _texts,
    comments=st.none() | _texts,
    start_time=_times,
    end_time=_times,
    issues=st.lists(
        st.builds(TestIssue, kind=st.just("symptom"), code=_texts, description=_texts), max_size=2
    ),
    conditions=st.lists(st.builds(TestCondition, name=_texts, value=_numbers), max_size=2),
    attachments=st.lists(_attachments, max_size=1),
)


any_result: st.SearchStrategy[Event] = st.builds(
    TestResultEvent,
    unit_id=_ids,
    result=st.sampled_from([result for result in TestResult if result is not TestResult.SKIPPED]),
    start_time=st.just(START),
    end_time=_times,
    recipe_name=st.none() | _texts,
    recipe_revision=st.none() | _texts,
    batch_sn=st.none() | _texts,
    test_socket=st.none() | st.integers(1, 40),
    verification=st.none() | st.sampled_from(["DefectRejected", "DefectConfirmed"]),
    conflicts=st.lists(_texts, max_size=2),
    custom_data=st.dictionaries(st.sampled_from(["start_from", "PCBVariant"]), _texts),
    steps=st.lists(_steps, max_size=4),
).map(lambda result: Event(EventType.TEST_RESULT, result, source="tester"))
"""The event of a result that makes a report, whatever else it says."""
