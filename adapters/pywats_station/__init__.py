"""Stations: transports, handlers and a store, put together as one supervised tree.

Names load when they are first used, so that `pywats-station --help` does not wait for all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pywats_events.secrets import env, file
    from pywats_station.config import HandlerSpec, StationConfig, TransportSpec
    from pywats_station.station import Station
    from pywats_wats.profile import SourceProfile

__all__ = ["HandlerSpec", "SourceProfile", "Station", "StationConfig", "TransportSpec", "env", "file"]

_WHERE: Final = {
    "HandlerSpec": "pywats_station.config",
    "SourceProfile": "pywats_wats.profile",
    "Station": "pywats_station.station",
    "StationConfig": "pywats_station.config",
    "TransportSpec": "pywats_station.config",
    "env": "pywats_events.secrets",
    "file": "pywats_events.secrets",
}


def __getattr__(name: str) -> Any:
    """Load a name on its first use."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pywats_supervision  # noqa: F401 - first: it says so where pywats-api lies over ours

    return getattr(importlib.import_module(_WHERE[name]), name)
