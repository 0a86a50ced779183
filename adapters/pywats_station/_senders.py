"""Who is a sender? The profiles of a station, told to its parts; and senders that none of them matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from pywats_events import Event, EventType
from pywats_supervision.logs import GuardedLogger
from pywats_wats.profile import Profiles, SourceProfile

__all__ = ["UNMAPPED", "GoesByProfiles", "GoesByRules", "UnmappedSenders", "tell"]

logger: Final = GuardedLogger("pywats_station")

UNMAPPED: Final = EventType.register("system.sender_unmapped", "SENDER_UNMAPPED")
"""A sender that no profile matches; once for each."""

MOST_SENDERS: Final = 10_000
"""Senders that are remembered; of more nothing is told."""


@runtime_checkable
class GoesByProfiles(Protocol):
    """A handler that wants to know who senders are."""

    def use_profiles(self, profiles: Sequence[SourceProfile], /) -> None:
        """Go by these, unless it has its own."""
        ...


@runtime_checkable
class GoesByRules(Protocol):
    """A CFX endpoint, which has to know time zone and identifiers of its machines."""

    def use_rules(self, rules_of: Callable[[str], Any], /) -> None:
        """Go by these, unless it has its own."""
        ...


def tell(profiles: Sequence[SourceProfile], parts: Sequence[object]) -> None:
    """Tell handlers and transports who senders are, each in the way that it wants to hear it."""
    known = Profiles(profiles)
    for part in parts:
        if isinstance(part, GoesByProfiles):
            part.use_profiles(profiles)
        if isinstance(part, GoesByRules) and profiles:
            part.use_rules(lambda source: _rules(known.of(source)))


def _rules(profile: SourceProfile) -> Any:
    from pywats_cfx.convert import SourceRules

    zone = None if profile.tz is None else ZoneInfo(profile.tz)
    return SourceRules(tz=zone, unit_ids=profile.unit_ids)


class UnmappedSenders:
    """Hears each event, and tells of each sender that no profile matches, once, also in the log.

    Args:
        profiles: of the station.
        announce: makes a system event.
    """

    def __init__(
        self, profiles: Sequence[SourceProfile], announce: Callable[[EventType, dict[str, Any]], None]
    ) -> None:
        self._profiles = Profiles(profiles)
        self._announce = announce
        self._known: set[str] = set()

    def hear(self, event: Event) -> None:
        """Look at an event's sender. HOT: called for each event."""
        if event.source in self._known or event.event_type.is_system:
            return
        if len(self._known) >= MOST_SENDERS:
            return
        self._known.add(event.source)
        source = event.source.removeprefix("cfx:")
        if self._profiles.find(source) is None:
            message = (
                f"no SourceProfile matches the sender {source!r}: its reports have no process code, nor what "
                "else only a profile says; add one to `sources`"
            )
            logger.warning("%s", message, extra={"event_id": event.id, "sender": source})
            self._announce(UNMAPPED, {"sender": source, "message": message})
