"""Would the server take what a handler will send? Asked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pywats_events.checks import Finding
from pywats_wats.errors import WATSError, WATSRefused
from pywats_wats.profile import Profiles, SourceProfile

__all__ = ["findings", "unknown_codes"]


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
    except WATSRefused as error:
        return [Finding("error", what, str(error))]
    except WATSError as error:
        return [Finding("warning", what, f"{error}; the station will wait for it")]
    known = {process.get("code") for process in processes if isinstance(process, dict)}
    found = [Finding("ok", what, f"it answers, and knows {len(known)} processes")]
    for profile, codes in unknown_codes(profiles, known):
        listed = ", ".join(str(code) for code in codes)
        found.append(
            Finding(
                "error",
                f"process codes of SourceProfile({profile.match!r})",
                f"the server does not know {listed}, so it would refuse these reports; it knows "
                f"{', '.join(str(code) for code in sorted(known, key=str)[:20])}",
            )
        )
    return found


def unknown_codes(
    profiles: Iterable[SourceProfile], known: set[Any]
) -> list[tuple[SourceProfile, list[int]]]:
    """The profiles with process codes that a server does not know, and these codes."""
    wrong = [
        (profile, sorted(code for code in set(profile.process_codes.values()) if code not in known))
        for profile in profiles
    ]
    return [(profile, codes) for profile, codes in wrong if codes]
