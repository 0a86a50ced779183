"""Would WATS take this report? What is known of the server's rules, as a pure function.

It is written from what the server says of itself, not from the code that makes reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID  # noqa: TID251 - to read one; none is made here

__all__ = ["faults_of"]

_NEEDED: Final = ("pn", "sn", "rev", "machineName", "location", "purpose")
_RESULTS: Final = "PFDET"
_LETTERS: Final = "PFSDET"
_LIMITS: Final = {
    "LOG": 0, "EQ": 1, "NE": 1, "LT": 1, "LE": 1, "GT": 1, "GE": 1,
    "GELE": 2, "GELT": 2, "GTLE": 2, "GTLT": 2,
}  # fmt: skip
_MEASURED: Final = {
    "ET_NLT": "numericMeas", "ET_MNLT": "numericMeas", "ET_PFT": "booleanMeas", "ET_MPFT": "booleanMeas",
    "ET_SVT": "stringMeas", "ET_MSVT": "stringMeas",
}  # fmt: skip
_OF_TEXTS: Final = ("EQ", "NE", "LT", "LE", "GT", "GE", "CASESENSIT", "IGNORECASE")
_DEEPEST: Final = 50
_NOT_IN_IDS: Final = frozenset("*%?[]^!/\\")


def faults_of(report: Any, processes: Collection[int] | None = None) -> list[str]:
    """What is wrong with a report; empty if the server would take it.

    Args:
        report: the decoded body.
        processes: the codes that the server knows; None for any.
    """
    if not isinstance(report, dict):
        return ["the body must be one report, an object"]
    return [*_of_head(report, processes), *_of_step(report.get("root"), "root", 0)]


def _of_head(report: dict[str, Any], processes: Collection[int] | None) -> Iterator[str]:
    try:
        UUID(str(report.get("id")))
    except ValueError:
        yield f"id must be a UUID, not {report.get('id')!r}"
    if report.get("type") != "T":
        yield f'type must be "T", not {report.get("type")!r}'
    yield from _of_names(report)
    code = report.get("processCode")
    if isinstance(code, bool) or not isinstance(code, int):
        yield f"processCode must be a whole number, not {code!r}"
    elif processes is not None and code not in processes:
        yield f"processCode {code} is not known"
    if report.get("result") not in list(_RESULTS):
        yield f"result must be one of {_RESULTS}, not {report.get('result')!r}"
    try:
        datetime.fromisoformat(str(report.get("start")))
    except ValueError:
        yield f"start must be a date and time, not {report.get('start')!r}"
    yield from _of_lists(report)


def _of_names(report: dict[str, Any]) -> Iterator[str]:
    for name in _NEEDED:
        yield from _text(name, report.get(name), 1, 100)
    for name in ("sn", "pn"):
        forbidden = "".join(sorted(_NOT_IN_IDS & set(str(report.get(name)))))
        if forbidden:
            yield f"{name} must not have the characters {forbidden}"


def _of_lists(report: dict[str, Any]) -> Iterator[str]:
    for name in ("miscInfos", "subUnits", "binaryData"):
        yield from _no_objects(name, report.get(name, []))
    for info in _objects(report.get("miscInfos")):
        yield from _text("description of miscInfos", info.get("description"), 1, 100)
        yield from _text("text of miscInfos", info.get("text"), 0, 100)
    uut = report.get("uut", {})
    if not isinstance(uut, dict):
        yield f"uut must be an object, not {uut!r}"
    else:
        yield from _text("uut.user", uut.get("user", ""), 0, 100)
        yield from _text("uut.comment", uut.get("comment", ""), 0, 5000)
    for unit in _objects(report.get("subUnits")):
        yield from _text("pn of subUnits", unit.get("pn"), 1, 100)
        yield from _text("sn of subUnits", unit.get("sn"), 1, 100)
        yield from _text("partType of subUnits", unit.get("partType", ""), 0, 50)


def _objects(values: Any) -> list[dict[str, Any]]:
    """Those of a list that are objects; the others have a line each by `_no_objects`."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _no_objects(where: str, values: Any) -> Iterator[str]:
    if not isinstance(values, list):
        yield f"{where} must be a list, not {values!r}"
        return
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            yield f"{where}[{number}] must be an object, not {value!r}"


def _text(name: str, value: Any, least: int, most: int) -> Iterator[str]:
    if not isinstance(value, str) or not least <= len(value) <= most:
        shown = value if not isinstance(value, str) or len(value) <= most else f"{len(value)} characters"
        yield f"{name} must have {least} to {most} characters, not {shown!r}"


def _of_step(step: Any, where: str, depth: int) -> Iterator[str]:
    if not isinstance(step, dict):
        yield f"{where} must be a step, an object"
        return
    if depth > _DEEPEST:
        yield f"{where} is nested more than {_DEEPEST} deep"
        return
    yield from _text(f"{where}.name", step.get("name"), 1, 100)
    if step.get("group") not in list("SMC"):
        yield f"{where}.group must be S, M or C, not {step.get('group')!r}"
    if step.get("status") not in list(_LETTERS):
        yield f"{where}.status must be one of {_LETTERS}, not {step.get('status')!r}"
    kind = step.get("stepType")
    if kind == "SequenceCall":
        yield from _of_sequence(step, where, depth)
    elif isinstance(kind, str) and kind in _MEASURED:
        yield from _of_values(step, kind, where)
    elif kind != "GenericTest":
        yield f"{where}.stepType {kind!r} is not known"


def _of_sequence(step: dict[str, Any], where: str, depth: int) -> Iterator[str]:
    call = step.get("seqCall")
    if not isinstance(call, dict):
        yield f"{where}.seqCall must be an object, not {call!r}"
        return
    for name, most in (("path", 500), ("name", 200), ("version", 30)):
        yield from _text(f"{where}.seqCall.{name}", call.get(name), 0, most)
    steps = step.get("steps", [])
    yield from _no_objects(f"{where}.steps", steps)
    names = Counter(str(inner.get("name")) for inner in _objects(steps))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        yield f"{where} has more than one step {min(twice)!r}"
    for number, inner in enumerate(_objects(steps)):
        yield from _of_step(inner, f"{where}.steps[{number}]", depth + 1)


def _of_values(step: dict[str, Any], kind: str, where: str) -> Iterator[str]:
    name = _MEASURED[kind]
    values = step.get(name)
    several = kind in {"ET_MNLT", "ET_MPFT", "ET_MSVT"}
    if not isinstance(values, list) or not values or (not several and len(values) != 1):
        yield f"{where}.{name} must be a list of {'at least ' if several else ''}one"
        return
    yield from _no_objects(f"{where}.{name}", values)
    for number, value in enumerate(_objects(values)):
        place = f"{where}.{name}[{number}]"
        if value.get("status") not in list(_LETTERS):
            yield f"{place}.status must be one of {_LETTERS}, not {value.get('status')!r}"
        if several and not value.get("name"):
            yield f"{place} must have a name"
        if name == "numericMeas":
            yield from _of_number(value, place)
        elif name == "stringMeas":
            yield from _of_string(value, place)
        elif value.get("value") is not (value.get("status") == "P"):
            yield f"{place}.value must be true where its status is P, and only there"


def _of_number(value: dict[str, Any], place: str) -> Iterator[str]:
    for name in ("value", "lowLimit", "highLimit"):
        number = value.get(name, 0.0 if name != "value" else None)
        if isinstance(number, bool) or (
            not isinstance(number, int | float) and number not in ["NaN", "Infinity", "-Infinity"]
        ):
            yield f"{place}.{name} must be a number, not {number!r}"
    limits = _LIMITS.get(str(value.get("compOp")))
    if limits is None:
        yield f"{place}.compOp {value.get('compOp')!r} is not known"
    elif ("lowLimit" in value) is not (limits >= 1) or ("highLimit" in value) is not (limits == 2):
        yield f"{place} must have {limits} limits for {value['compOp']}"


def _of_string(value: dict[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value.get("value"), str):
        yield f"{place}.value must be a text, not {value.get('value')!r}"
    comparison = value.get("compOp")
    if comparison not in ["LOG", *_OF_TEXTS]:
        yield f"{place}.compOp {comparison!r} is not known for a text"
    elif isinstance(value.get("limit"), str) is not (comparison != "LOG"):
        yield f"{place} must have {'no' if comparison == 'LOG' else 'a'} limit for {comparison}"
