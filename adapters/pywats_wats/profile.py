"""SourceProfile: who a sender is for WATS, and what it does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

__all__ = ["ANYONE", "SourceProfile"]


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

    Raises:
        TypeError: if a code is no int.
        ValueError: if the pattern is empty.
    """

    match: str = "*"
    machine: str | None = None
    location: str = "-"
    purpose: str = "-"
    process_codes: Mapping[str, int] = field(default_factory=dict)
    part_number: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.match:
            raise ValueError("match of a SourceProfile must be a pattern, such as 'SMTPlus.*', or '*'")
        for method, code in self.process_codes.items():
            if isinstance(code, bool) or not isinstance(code, int):
                raise TypeError(f"process_codes[{method!r}] must be an int the server knows, not {code!r}")
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


ANYONE: Final = SourceProfile()
"""Stands for the profile of a sender that none was given for."""
