"""What is found when a part is looked at before it runs: `pywats-station check` asks, parts answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Checkable", "Finding", "nearest", "unwritable"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found.

    Attributes:
        level: "ok", "warning" (it will run, perhaps not as meant), or "error" (it will not work).
        what: was looked at.
        text: what there is to say of it, with what to do.
        occupied: whether that is only because another process has it now.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    text: str
    occupied: bool = False


@runtime_checkable
class Checkable(Protocol):
    """A transport or handler that can look whether it would work, without starting or changing anything."""

    async def check(self) -> list[Finding]:
        """Look. It raises nothing: what cannot be found out is a finding.

        Cancelled: nothing has happened.
        """
        ...


def nearest(path: Path) -> Path:
    """The path itself, or what there is above it: where a folder that is missing would be made. Blocks."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written to a folder; None if it can be. Blocks.

    A file without a name is made there: rights alone do not tell, as of a medium that is read-only.
    """
    import tempfile  # only who checks needs it

    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"nothing can be written to {folder} ({error.strerror or error}); give this user the right"
