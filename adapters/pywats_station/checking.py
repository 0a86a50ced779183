"""Would a station work? What can be found out without starting it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import trio

from pywats_events import EventType
from pywats_events.checks import Checkable, Finding
from pywats_station._beside import beside_pywats_api
from pywats_station._parts import parts_of, store_of
from pywats_station._policies import unwise
from pywats_station._senders import tell
from pywats_station.config import StationConfig
from pywats_supervision.logs import GuardedLogger

__all__ = ["CHECK_FAILED", "advice", "check", "first_look"]

logger: Final = GuardedLogger("pywats_station")

CHECK_FAILED: Final = EventType.register("system.check_failed", "CHECK_FAILED")
"""Something that will not work was found when the station started."""

PATIENCE = 20.0
"""Seconds that one part has to look."""


async def check(config: StationConfig) -> list[Finding]:
    """All that can be found out of a station without starting it.

    Cancelled: nothing has happened.
    """
    store = store_of(config)
    parts, said = parts_of(config)
    tell(config.sources, parts)
    found = [beside_pywats_api(), *advice(config)]
    of_store = await _of_parts([store])
    of_parts = await _of_parts(parts)
    if any(one.occupied for one in of_store):
        of_parts = [_perhaps_its_own(one) for one in of_parts]
    return [*found, *of_store, *said, *of_parts]


async def first_look(
    handlers: Sequence[object], announce: Callable[[EventType, dict[str, Any]], object]
) -> None:
    """Tell, in the log and by system events, what handlers find that will not work.

    Cancelled: nothing has happened.
    """
    for finding in await _of_parts(handlers):
        if finding.level == "error":
            logger.error("%s: %s", finding.what, finding.text)
            announce(CHECK_FAILED, {"what": finding.what, "message": finding.text})
        elif finding.level == "warning":
            logger.warning("%s: %s", finding.what, finding.text)


async def _of_parts(parts: Sequence[object]) -> list[Finding]:
    found: list[Finding] = []
    for part in parts:
        if isinstance(part, Checkable):
            with trio.move_on_after(PATIENCE) as scope:
                found += await part.check()
            if scope.cancelled_caught:
                found.append(Finding("warning", repr(part), f"it has not answered within {PATIENCE:g} s"))
    return found


def _perhaps_its_own(found: Finding) -> Finding:
    """What is occupied while a process has the station's folder is so by that process, most likely (pure)."""
    if found.level != "error" or not found.occupied:
        return found
    text = f"{found.text}; it may be this very station, which has its data folder now"
    return msgspec.structs.replace(found, level="warning", text=text)


def advice(config: StationConfig) -> Iterator[Finding]:
    """What is likely to be meant otherwise, by the configuration alone (pure)."""
    if not config.transports:
        yield Finding("warning", "transports", "there are none: nothing comes in but what code publishes")
    if not config.handlers:
        yield Finding("warning", "handlers", "there are none: whatever comes in is unrouted")
    if config.folder is None:
        yield Finding(
            "warning",
            "data",
            "there is no folder: what is not settled when the process ends is lost; give data=",
        )
    yield from unwise(config)
    for spec in config.handlers:
        breaker = spec.breaker or config.breaker
        if breaker is None and hasattr(spec.handler, "use_profiles"):
            yield Finding(
                "warning",
                f"breaker of {spec.title}",
                "there is none: an outage of the server uses up the retries, and results become dead "
                "letters; give breaker=",
            )
    if any(hasattr(one.handler, "use_profiles") for one in config.handlers) and not config.sources:
        yield Finding(
            "warning",
            "sources",
            "there are none: reports need a process code, which a SourceProfile says",
        )
