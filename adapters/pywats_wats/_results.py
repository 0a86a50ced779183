"""Which result does an event hold? That of a test, or an inspection's short form read as one (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pywats_events import Event, EventType
from pywats_events.models.result_events import (
    InspectionResultEvent,
    TestAttachment,
    TestIssue,
    TestResultEvent,
    TestStep,
)

__all__ = ["in_words", "result_in", "source_of"]

_SHORT: Final = frozenset({"inspection_type", "defects", "images"})
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]+@|\?.*", re.DOTALL)


def result_in(event: Event) -> TestResultEvent:
    """The result in an event.

    Raises:
        EventValidationError: if its payload is none.
    """
    if event.event_type == EventType.INSPECTION_RESULT and _SHORT & set(event.payload.keys()):
        return _of_short_form(event.as_(InspectionResultEvent))
    return event.as_(TestResultEvent)


def source_of(event: Event, result: TestResultEvent) -> str:
    """Who sent it, as its own name has it."""
    return result.station_id or (event.source or "").removeprefix("cfx:")


def _of_short_form(short: InspectionResultEvent) -> TestResultEvent:
    step = TestStep(
        name=f"Inspection {short.inspection_type}",
        status=short.result,
        step_type="inspection",
        issues=[_issue(defect) for defect in short.defects],
        attachments=[_place(image) for image in short.images],
    )
    return TestResultEvent(
        unit_id=short.unit_id,
        result=short.result,
        part_number=short.part_number,
        station_id=short.station_id,
        start_time=short.start_time,
        end_time=short.end_time,
        process=short.inspection_type,
        steps=[step],
        custom_data=dict(short.custom_data),
    )


def _issue(defect: Mapping[str, Any]) -> TestIssue:
    rest = {name: value for name, value in defect.items() if name != "code"}
    return TestIssue(kind="defect", code=str(defect.get("code") or ""), description=in_words(rest) or None)


def _place(image: str) -> TestAttachment:
    """Where an image is, without what may be a password."""
    place = _SECRET.sub("", image)
    return TestAttachment(name=place.rstrip("/").rpartition("/")[2] or place, url=place)


def in_words(value: object, levels: int = 10) -> str:
    """A value of any shape as a text for people, so many levels deep."""
    if isinstance(value, Mapping | list | tuple) and not levels:
        return "…"
    if isinstance(value, Mapping):
        named = ((name, inner) for name, inner in value.items() if inner is not None)
        return ", ".join(f"{name} {in_words(inner, levels - 1)}" for name, inner in named)
    if isinstance(value, list | tuple):
        return " ".join(in_words(inner, levels - 1) for inner in value)
    return str(value)
