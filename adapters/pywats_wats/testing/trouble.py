"""In which way is the stand-in to fail next? Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Trouble", "Troubles", "Way"]

Way: TypeAlias = Literal["status", "hang", "drop", "garbage"]


@dataclass
class Trouble:
    """One way to fail.

    Attributes:
        way: "status" answers with one; "hang" never answers; "drop" ends the connection in the middle of
            an answer; "garbage" answers with a page that is no JSON.
        status: the one.
        retry_after: seconds, for the header of that name; None without it.
        path: beginning of the paths that it concerns.
        times: how often it still happens; None until `clear`.
    """

    way: Way
    status: int = 503
    retry_after: float | None = None
    path: str = "/api/"
    times: int | None = None


@dataclass
class Troubles:
    """What is wrong with a server at present; the first that concerns a path happens.

    Attributes:
        delay: seconds that each answer takes.
    """

    delay: float = 0.0
    _all: list[Trouble] = field(default_factory=list)

    def add(self, trouble: Trouble) -> None:
        """Have something go wrong, after what is wrong already."""
        self._all.append(trouble)

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self._all.clear()
        self.delay = 0.0

    def next(self, path: str) -> Trouble | None:
        """What goes wrong with this call; None if nothing does."""
        for trouble in self._all:
            if path.startswith(trouble.path):
                if trouble.times is not None:
                    trouble.times -= 1
                    if not trouble.times:
                        self._all.remove(trouble)
                return trouble
        return None
