"""Is a report one that WATS takes?"""

from __future__ import annotations

import json
from typing import Any

from pywats_wats.testing import faults_of

__all__ = ["check_report"]


def check_report(report: dict[str, Any]) -> None:
    """Assert that the server would take a report."""
    json.dumps(report, allow_nan=False)
    assert faults_of(report) == []
