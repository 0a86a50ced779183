"""What is found when a part is looked at before it runs: `pywats-station check` asks, parts answer."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec

__all__ = ["Checkable", "Finding"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found.

    Attributes:
        level: "ok", "warning" (it will run, perhaps not as meant), or "error" (it will not work).
        what: was looked at.
        text: what there is to say of it, with what to do.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    text: str


@runtime_checkable
class Checkable(Protocol):
    """A transport or handler that can look whether it would work, without starting or changing anything."""

    async def check(self) -> list[Finding]:
        """Look. It raises nothing: what cannot be found out is a finding.

        Cancelled: nothing has happened.
        """
        ...
