"""Is pywats-api in the way? It has older modules of the same names as ours."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pywats_events.checks import Finding

__all__ = ["beside_pywats_api"]


def beside_pywats_api() -> Finding:
    """What there is to say of it; where it lies over ours, importing `pywats_supervision` has said so."""
    try:
        there = version("pywats-api")
    except PackageNotFoundError:
        return Finding("ok", "pywats-api", "it is not in the way")
    return Finding(
        "ok",
        f"pywats-api {there}",
        "it is not in the way; when it is upgraded or removed, files of ours go with it, and the next "
        "command says so, with the repair",
    )
