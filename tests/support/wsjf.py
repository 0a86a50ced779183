"""Is a report one that WATS takes? Written from the server's facts, not from the code that makes reports."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["check_report"]

NEEDED = ("pn", "sn", "rev", "machineName", "location", "purpose")
LETTERS = set("PFSDET")
COMPARISONS = {
    "LOG": 0, "EQ": 1, "NE": 1, "LT": 1, "LE": 1, "GT": 1, "GE": 1,
    "GELE": 2, "GELT": 2, "GTLE": 2, "GTLT": 2,
}  # fmt: skip
MEASURED = {
    "ET_NLT": "numericMeas", "ET_MNLT": "numericMeas", "ET_PFT": "booleanMeas", "ET_MPFT": "booleanMeas",
    "ET_SVT": "stringMeas", "ET_MSVT": "stringMeas",
}  # fmt: skip


def check_report(report: dict[str, Any]) -> None:
    """Assert that the server would take a report."""
    json.dumps(report, allow_nan=False)
    UUID(report["id"])
    assert report["type"] == "T"
    for name in NEEDED:
        assert 1 <= len(report[name]) <= 100, name
    assert not set(report["sn"] + report["pn"]) & set("*%?[]^!/\\")
    assert isinstance(report["processCode"], int)
    assert report["result"] in set("PFDET")
    datetime.fromisoformat(report["start"])
    for info in report["miscInfos"]:
        assert 1 <= len(info["description"]) <= 100
        assert len(info["text"]) <= 100
    assert len(report["uut"].get("user", "")) <= 100
    assert report["root"]["stepType"] == "SequenceCall"
    _check_step(report["root"])


def _check_step(step: dict[str, Any]) -> None:
    assert 1 <= len(step["name"]) <= 100
    assert step["group"] in set("SMC")
    assert step["status"] in LETTERS
    kind = step["stepType"]
    if kind == "SequenceCall":
        assert len(step["seqCall"]["path"]) <= 500
        assert len(step["seqCall"]["name"]) <= 200
        assert len(step["seqCall"]["version"]) <= 30
        names = [inner["name"] for inner in step["steps"]]
        assert len(names) == len(set(names))
        for inner in step["steps"]:
            _check_step(inner)
    elif kind != "GenericTest":
        values = step[MEASURED[kind]]
        several = kind in {"ET_MNLT", "ET_MPFT", "ET_MSVT"}
        assert several or len(values) == 1
        for value in values:
            assert value["status"] in LETTERS
            assert ("name" in value) is several
            _check_value(kind, value)


def _check_value(kind: str, value: dict[str, Any]) -> None:
    if MEASURED[kind] == "numericMeas":
        number = value["value"]
        assert isinstance(number, float | int) or number in {"NaN", "Infinity", "-Infinity"}
        limits = COMPARISONS[value["compOp"]]
        assert ("lowLimit" in value) is (limits >= 1)
        assert ("highLimit" in value) is (limits == 2)
    elif MEASURED[kind] == "booleanMeas":
        assert value["value"] is (value["status"] == "P")
    else:
        assert isinstance(value["value"], str)
        assert ("limit" in value) is (value["compOp"] == "EQ")
