"""Would the server take what a handler will send? Asked before anything is sent."""

from __future__ import annotations

from typing import Any

from pywats_events.checks import Finding
from pywats_wats.errors import WATSError, WATSRefused
from pywats_wats.processes import unknown_codes
from pywats_wats.profile import Profiles

__all__ = ["findings"]


async def findings(service: Any, profiles: Profiles) -> list[Finding]:
    """What there is to say of a service and the profiles that its reports go by.

    Cancelled: nothing has happened.
    """
    ask = getattr(service, "processes", None)
    if not callable(ask):
        return []
    what = f"WATS at {getattr(service, 'base_url', service)}"
    try:
        processes = await ask()
        wrong = unknown_codes(profiles, processes)
    except WATSRefused as error:
        return [Finding("error", what, str(error))]
    except WATSError as error:
        return [Finding("warning", what, f"{error}; the station will wait for it")]
    except Exception as error:  # noqa: BLE001 - a service may be the user's, and a check raises nothing
        return [Finding("error", what, f"it cannot be asked: {type(error).__name__}: {error}")]
    return [
        Finding("ok", what, f"it answers, and knows {len(processes)} processes"),
        *(Finding("error", "process codes", line) for line in wrong),
    ]
