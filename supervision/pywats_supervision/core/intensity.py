"""The restart intensity: how many restarts within which window are too many (OTP's rule).

Only restarts that no policy decided are counted here, a group restart once. The window's edge
belongs to it: a restart exactly `within` seconds old still counts.

The errors are kept with their tracebacks, which keep alive what their frames held; so they are let
go when the window has passed them, whether or not anything happens then.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from pywats_supervision.core.spec import checked_duration
from pywats_supervision.errors import KEPT_ERRORS, RestartIntensityExceeded

__all__ = ["Intensity", "checked_intensity"]

LET_GO_AFTER: Final = 1.0
"""Seconds past the window at which an error is let go: surely past its edge, and one look for many."""


def checked_intensity(max_restarts: object, within: object) -> tuple[int, float]:
    """Return the restart intensity, or say what is wrong with it."""
    if isinstance(max_restarts, bool) or not isinstance(max_restarts, int):
        raise TypeError(f"max_restarts must be an int, not {max_restarts!r}")
    if max_restarts < 0:
        raise ValueError(f"max_restarts must be 0 or more restarts, not {max_restarts}")
    return max_restarts, checked_duration("within", within, positive=True)


class Intensity:
    """The sliding window of one supervisor, with the errors that the restarts in it answered."""

    __slots__ = ("_errors", "_times", "limit", "within")

    def __init__(self, limit: int, within: float) -> None:
        self.limit: Final = limit
        self.within: Final = within
        self._times: deque[float] = deque()
        self._errors: deque[Exception] = deque(maxlen=KEPT_ERRORS)

    def exceeded_by(self, error: Exception, now: float) -> bool:
        """Count a restart because of `error`; say whether it is one too many."""
        self.count(now)
        self._times.append(now)
        self._errors.append(error)
        return len(self._times) > self.limit

    def count(self, now: float) -> int:
        """How many restarts the window that ends now holds."""
        times = self._times
        while times and times[0] < now - self.within:
            times.popleft()
        while len(self._errors) > len(times):
            self._errors.popleft()
        return len(times)

    def let_go(self, now: float) -> float:
        """Let go of the errors that the window has passed; say when to do so next, inf for never."""
        self.count(now)
        return self._times[0] + self.within + LET_GO_AFTER if self._times else inf

    def failure(self, supervisor: str) -> RestartIntensityExceeded:
        """What the supervisor of that name gives up with: the newest errors in the window, oldest first."""
        restarts, errors = len(self._times), list(self._errors)
        text = (
            f"supervisor {supervisor!r}: {restarts} restarts within {self.within:g} s, "
            f"{self.limit} are allowed; the newest {len(errors)} errors are here"
        )
        more = restarts - len(errors)
        return RestartIntensityExceeded(text, errors, supervisor=supervisor, more=more)
