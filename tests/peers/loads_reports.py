"""Loads WSJF reports into pywats-api's model, and says for each what it holds then, or why it was refused.

Runs with pywats-api alone: a list of reports comes in by standard input, and a list of as many answers
goes out.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import ValidationError
from pywats.domains.report.report_models.uut.uut_report import UUTReport  # type: ignore[import-not-found]

__all__: list[str] = []


def _loaded(report: dict[str, Any]) -> dict[str, Any]:
    try:
        read = UUTReport.model_validate(report)
    except ValidationError as error:
        wrong = [one for one in error.errors() if one["type"] != "literal_error"]
        return {"refused": [f"{one['loc']}: {one['msg']}, not {one['input']!r}" for one in wrong]}
    return {"read": json.loads(read.model_dump_json(by_alias=True, exclude_none=True))}


json.dump([_loaded(report) for report in json.load(sys.stdin)], sys.stdout)
