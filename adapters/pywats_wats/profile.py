"""SourceProfile: who a sender is for WATS, and what it does not say itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["ANYONE", "Profiles", "SourceProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProfile:
    """Who a sender is for WATS.

    Attributes:
        match: a pattern of the sender's name, such as `SMTPlus.*`; case counts.
        machine: machineName of its reports; None takes the sender's name, without the leading `/` and
            with other `/` as `.`.
        location: of its reports.
        purpose: of its reports.
        process_codes: the server's process codes by method (`{"AOI": 110}`), `"*"` for any other; case
            does not count.
        part_number: of units whose part number nobody else says.
        revision: of units whose revision nobody else says.
        asset: serial number of the sender's asset; None takes the machine's name from the event.
        tz: time zone of dates that come without offset, such as `Europe/Oslo`; None takes this machine's.
        unit_ids: whose the identifiers are that the sender gives to units: their `own`, their `panel`'s,
            or `auto`: a panel's where one identifier has several positions.

    Raises:
        TypeError: if a code is no int.
        ValueError: if the pattern is empty, or a value cannot work.
    """

    match: str = "*"
    machine: str | None = None
    location: str = "-"
    purpose: str = "-"
    process_codes: Mapping[str, int] = field(default_factory=dict)
    part_number: str | None = None
    revision: str | None = None
    asset: str | None = None
    tz: str | None = None
    unit_ids: Literal["auto", "own", "panel"] = "auto"

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.match:
            raise ValueError("match of a SourceProfile must be a pattern, such as 'SMTPlus.*', or '*'")
        for method, code in self.process_codes.items():
            if isinstance(code, bool) or not isinstance(code, int):
                raise TypeError(f"process_codes[{method!r}] must be an int the server knows, not {code!r}")
        if self.unit_ids not in {"auto", "own", "panel"}:
            raise ValueError(f'unit_ids must be "auto", "own" or "panel", not {self.unit_ids!r}')
        if self.tz is not None:
            _check_zone(self.tz)
        object.__setattr__(self, "process_codes", MappingProxyType(dict(self.process_codes)))

    def matches(self, source: str) -> bool:
        """Whether a sender is meant."""
        return fnmatchcase(source, self.match)

    def machine_of(self, source: str) -> str:
        """The machineName of a sender's reports."""
        return self.machine or source.strip("/").replace("/", ".")

    def code_of(self, process: str | None) -> int | None:
        """The process code of a method; None if nobody gave one."""
        codes = {method.casefold(): code for method, code in self.process_codes.items()}
        return codes.get((process or "").casefold(), codes.get("*"))


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"tz must be a time zone such as 'Europe/Oslo', not {name!r}; on Windows "
            "`pip install tzdata` brings them"
        ) from error


ANYONE: Final = SourceProfile()
"""Stands for the profile of a sender that none was given for."""


class Profiles:
    """The profiles that a handler goes by: its own, else those of the station that it works in.

    Args:
        own: given to the handler itself.

    Raises:
        TypeError: if one is no SourceProfile.
    """

    def __init__(self, own: Sequence[SourceProfile] = ()) -> None:
        given: tuple[object, ...] = tuple(own)
        for profile in given:
            if not isinstance(profile, SourceProfile):
                raise TypeError(f"profiles must be SourceProfiles, not {profile!r}")
        self._profiles = tuple(own)

    def use(self, profiles: Sequence[SourceProfile]) -> None:
        """Go by these, unless there are some of its own."""
        self._profiles = self._profiles or tuple(profiles)

    def __iter__(self) -> Iterator[SourceProfile]:
        return iter(self._profiles)

    def find(self, source: str) -> SourceProfile | None:
        """The first that a sender matches; None without one."""
        return next((profile for profile in self._profiles if profile.matches(source)), None)

    def of(self, source: str) -> SourceProfile:
        """The first that a sender matches, or `ANYONE`."""
        return self.find(source) or ANYONE
