"""Steps and measurements of a result as WATS has them (pure).

A step with measurements or conditions is a sequence, passed or failed, so that a measurement keeps
its path whatever its result. The sender's verdict stands on every level.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import fsum, isfinite
from typing import Any, Final

from pywats_events.models.result_events import (
    TestAttachment,
    TestIssue,
    TestMeasurement,
    TestResult,
    TestStep,
)
from pywats_wats._fields import LETTERS, cut, filled, number, seconds, unique, zoned
from pywats_wats._results import in_words

__all__ = ["Attachments", "steps_of", "verified"]

REJECTED: Final = frozenset({"DefectRejected", "DefectAccepted"})
"""Verifications that make a failure a false call."""

MOST_MEASUREMENTS: Final = 5000
"""In a unit; of more, those that passed are summed up."""

_TEXT: Final = 5000
_BETWEEN: Final = frozenset({"GELE", "GELT", "GTLE", "GTLT"})
_OF_TEXTS: Final = frozenset({"EQ", "NE", "LT", "LE", "GT", "GE", "CASESENSIT", "IGNORECASE"})


def verified(result: TestResult, verification: str | None) -> TestResult:
    """The result after a person looked: a false call passes."""
    return TestResult.PASS if result is TestResult.FAIL and verification in REJECTED else result


class Attachments:
    """The images and files of one report, up to a limit of bytes.

    Args:
        limit: bytes in all; of what is over only the name is told.

    Attributes:
        beside: those that have no step of their own to hang on.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.beside: list[dict[str, Any]] = []

    def of(self, step: TestStep) -> tuple[dict[str, Any] | None, list[str]]:
        """The step's own attachment, and lines of text about those that are not sent."""
        first: dict[str, Any] | None = None
        lines = []
        for attachment in step.attachments:
            sent = self._sent(attachment)
            if sent is None:
                lines.append(f"Attachment {attachment.name}: {attachment.url or 'not sent'}")
            elif first is None:
                first = sent
            else:
                self.beside.append(sent)
        return first, lines

    def _sent(self, attachment: TestAttachment) -> dict[str, Any] | None:
        # WATS takes none without a byte.
        if not attachment.data or len(attachment.data) > self._left:
            return None
        self._left -= len(attachment.data)
        return {
            "name": cut(attachment.name.strip(), 100) or "attachment",
            "contentType": cut(attachment.content_type.strip(), 100) or "application/octet-stream",
            "data": b64encode(attachment.data).decode(),
        }


def steps_of(
    steps: Sequence[TestStep],
    attachments: Attachments,
    *,
    tz: str | None = None,
    all_measurements: bool = False,
) -> list[dict[str, Any]]:
    """The steps of a report.

    Args:
        steps: in the sender's order.
        attachments: takes their images and files.
        tz: time zone of times without offset; None is this machine's.
        all_measurements: keep every one, though they are more than 5,000.
    """
    reduce = not all_measurements and sum(len(step.measurements) for step in steps) > MOST_MEASUREMENTS
    names: dict[str, int] = {}
    return [_step(step, unique(names, step.name), attachments, tz, reduce=reduce) for step in steps]


def _step(
    step: TestStep, name: str, attachments: Attachments, tz: str | None, *, reduce: bool
) -> dict[str, Any]:
    start, end = (None if when is None else zoned(when, tz) for when in (step.start_time, step.end_time))
    status = LETTERS[verified(step.status, step.verification)]
    issues = [_issue(issue) for issue in step.issues]
    first, unsent = attachments.of(step)
    inner = list(_inner(step, reduce=reduce))
    kind: dict[str, Any]
    if inner:
        path = step.name.strip() or name
        kind = {"seqCall": {"path": cut(path, 500), "name": cut(path, 200), "version": "-"}}
    else:
        kind = {"booleanMeas": [{"status": status, "value": status == "P"}]}
    verification = None if step.verification is None else f"Verification {step.verification}"
    return {
        "stepType": "SequenceCall" if inner else "ET_PFT",
        "name": name,
        "group": "M",
        "status": status,
        **kind,
        **filled(
            errorMessage=cut(step.message or (issues[0] if issues else ""), _TEXT),
            reportText=_lines([*issues, verification, step.comments, *unsent]),
            start=None if start is None else start.isoformat(),
            totTime=seconds(start, end),
            attachment=first,
        ),
        **({"steps": inner} if inner else {}),
    }


def _issue(issue: TestIssue) -> str:
    head = f"{issue.kind.capitalize()} {issue.code}".strip()
    parts = [head, issue.category, issue.description, ", ".join(issue.reference_designators), issue.comments]
    if issue.verification is not None:
        parts.append(f"{issue.verification} {issue.verification_detail or ''}".strip())
    return " | ".join(part for part in parts if part)


def _lines(lines: Iterable[str | None]) -> str:
    return cut("\n".join(line for line in lines if line), _TEXT)


# Measurements


def _inner(step: TestStep, *, reduce: bool) -> Iterator[dict[str, Any]]:
    names: dict[str, int] = {}
    for condition in step.conditions:
        parts = {"Mean": condition.value, "Min": condition.minimum, "Max": condition.maximum}
        if any(value is not None for value in parts.values()):
            yield _condition(parts, condition.unit, unique(names, condition.name))
    measurements = list(_reduced(step.measurements) if reduce else step.measurements)
    for group, members in groupby(measurements, key=lambda one: one.group):
        if group is None:
            for one in members:
                yield _single(one, unique(names, one.name))
        else:
            yield _several(unique(names, group), list(members))


def _condition(parts: dict[str, float | None], unit: str, name: str) -> dict[str, Any]:
    return {
        "stepType": "ET_MNLT",
        "name": name,
        "group": "S",
        "status": "D",
        "numericMeas": [
            {"status": "P", "name": part, "value": number(value), "unit": cut(unit, 20), "compOp": "LOG"}
            for part, value in parts.items()
            if value is not None
        ],
    }


def _single(one: TestMeasurement, name: str) -> dict[str, Any]:
    status = LETTERS[one.status]
    step = {"name": name, "group": "M", "status": status}
    lines = [_designators(one)]
    if isinstance(one.value, bool) or one.kind == "boolean":
        said = (
            f"{_word(one.value)}, expected {_word(one.nominal)}"
            if one.nominal is not None
            else _word(one.value)
        )
        values = {"booleanMeas": [{"status": status, "value": status == "P"}]}
        return {"stepType": "ET_PFT", **step, **filled(reportText=_lines([said, *lines])), **values}
    if isinstance(one.value, str) or one.kind == "text":
        expected = one.nominal if one.comp_op != "LOG" else None
        value = filled(limit=None if expected is None else cut(expected, _TEXT))
        text = {"status": status, "value": cut(one.value if one.value is not None else "", _TEXT)}
        comparison = one.comp_op if one.comp_op in _OF_TEXTS else "EQ"
        values = {"stringMeas": [{**text, "compOp": comparison if value else "LOG", **value}]}
        return {"stepType": "ET_SVT", **step, **filled(reportText=_lines(lines)), **values}
    if one.value is None:
        said = json.dumps(one.to_dict(), ensure_ascii=False)
        return {"stepType": "GenericTest", **step, **filled(reportText=_lines([*lines, said]))}
    numeric, more = _numeric(one)
    return {
        "stepType": "ET_NLT",
        **step,
        **filled(reportText=_lines([*lines, more])),
        "numericMeas": [numeric],
    }


def _designators(one: TestMeasurement) -> str | None:
    """The components that a measurement is about, as its sender names them."""
    crds = one.custom_data.get("CRDs")
    return f"CRD {in_words(crds)}" if crds else None


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numeric(one: TestMeasurement) -> tuple[dict[str, Any], str | None]:
    """The numeric measurement, and a line about limits that it cannot be compared with."""
    low, high = one.low_limit, one.high_limit
    compared = _compared(one.comp_op, low, high)
    limits = {name: number(value) for name, value in compared[1].items()}
    value = {
        "status": LETTERS[one.status],
        "value": number(float(one.value or 0.0)),
        "unit": cut(one.unit, 20),
    }
    unused = compared[0] == "LOG" and (low is not None or high is not None)
    return {**value, "compOp": compared[0], **limits}, f"limits {low} to {high}" if unused else None


def _compared(comp_op: str, low: float | None, high: float | None) -> tuple[str, dict[str, float]]:
    """How value and limits are compared, and the limits where WATS has them: a single one is the low one."""
    if comp_op in _BETWEEN:
        if low is not None and high is not None:
            return comp_op, {"lowLimit": low, "highLimit": high}
        comp_op = comp_op[:2] if low is not None else comp_op[2:]
    if comp_op in {"EQ", "NE", "GT", "GE"} and low is not None:
        return comp_op, {"lowLimit": low}
    if comp_op in {"LT", "LE"} and (high if high is not None else low) is not None:
        return comp_op, {"lowLimit": high if high is not None else low}  # type: ignore[dict-item]
    return "LOG", {}


def _several(name: str, members: list[TestMeasurement]) -> dict[str, Any]:
    """Measurements that belong together, such as the axes of a position."""
    inner: dict[str, int] = {}
    worst = next(
        (
            status
            for status in (TestResult.ERROR, TestResult.ABORTED, TestResult.FAIL)
            if any(member.status is status for member in members)
        ),
        members[0].status,
    )
    numbers = [
        {**_numeric(member)[0], "name": unique(inner, member.name)}
        for member in members
        if isinstance(member.value, float | int)
    ]
    others = [
        f"{member.name}: {member.value}" for member in members if not isinstance(member.value, float | int)
    ]
    crds = next((said for member in members if (said := _designators(member))), None)
    return {
        "stepType": "ET_MNLT" if numbers else "GenericTest",
        "name": name,
        "group": "M",
        "status": LETTERS[worst],
        **filled(reportText=_lines([crds, *others])),
        **({"numericMeas": numbers} if numbers else {}),
    }


def _reduced(measurements: Sequence[TestMeasurement]) -> Iterator[TestMeasurement]:
    """All that did not pass, and count, mean, least and greatest per name for the numbers that did.

    A number that is the only one of its name stays as it is: four would be told of it.
    """
    alike = Counter((one.name, one.unit) for one in measurements if _is_summed_up(one))
    passed: dict[tuple[str, str], list[float]] = {}
    for one in measurements:
        if _is_summed_up(one) and alike[one.name, one.unit] > 1:
            passed.setdefault((one.name, one.unit), []).append(float(one.value or 0.0))
        else:
            yield one
    for (name, unit), values in passed.items():
        summary = {
            "count": float(len(values)),
            "min": min(values),
            "mean": fsum(values) / len(values),
            "max": max(values),
        }
        for what, value in summary.items():
            yield TestMeasurement(
                name=what,
                value=value,
                unit="" if what == "count" else unit,
                comp_op="LOG",
                group=f"{name} (passed)",
            )


def _is_summed_up(one: TestMeasurement) -> bool:
    if isinstance(one.value, bool) or not isinstance(one.value, float | int):
        return False
    return one.status is TestResult.PASS and isfinite(one.value)
