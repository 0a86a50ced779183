"""Is pywats-api in the way? It has older modules of the same names as ours."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pywats_events.checks import Finding
from pywats_supervision._overlay import REPAIR, check_overlay

__all__ = ["beside_pywats_api"]


def beside_pywats_api() -> Finding:
    """What there is to say of it: that it is in the way, or could be when it is upgraded or removed."""
    try:
        check_overlay()
    except ImportError as error:
        return Finding("error", "pywats-api", str(error))
    try:
        there = version("pywats-api")
    except PackageNotFoundError:
        return Finding("ok", "pywats-api", "it is not in the way")
    return Finding(
        "ok",
        f"pywats-api {there}",
        f"it is not in the way; when it is upgraded or removed, files of ours go with it. Repair: {REPAIR}",
    )
