"""CFX messages for tests, and the documented samples of the standard where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["envelope_of", "sample_bodies", "samples_folder"]

ROOT = Path(__file__).parents[2]
ADDRESS = {
    "Version": "2.1",
    "TimeStamp": "2026-11-23T07:59:08.6726521+01:00",
    "UniqueID": "2d2132d5-5c00-4ad7-8d98-11d5fb95bf46",
    "Source": "SMTPlus.Model_21232.SN23123",
    "Target": None,
    "RequestID": None,
}


def envelope_of(name: str, body: Any, **address: Any) -> bytes:
    """The bytes of a message as a sender writes it."""
    return json.dumps({"MessageName": name, **ADDRESS, **address, "MessageBody": body}).encode()


def samples_folder() -> Path:
    """Where the standard's documented examples are; users do not have them."""
    return Path(os.environ.get("PYWATS_SHARED", ROOT.parent / "shared")) / "cfx" / "samples"


def sample_bodies() -> list[Any]:
    """The samples as parameters (full name, JSON text); one that is skipped where there are none."""
    files = sorted(samples_folder().glob("*.json"))
    if not files:
        return [pytest.param("", "", marks=pytest.mark.skip(reason="the standard's samples are not here"))]
    return [
        pytest.param(file.stem.partition("--")[0], file.read_text(encoding="utf-8"), id=file.stem)
        for file in files
    ]
