"""The restart intensity: how many restarts within which window are too many (OTP's rule).

Only restarts that no policy decided are counted here, a group restart once. The window's edge
belongs to it: a restart exactly `within` seconds old still counts.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from pywats_supervision.core.spec import checked_duration
from pywats_supervision.errors import KEPT_ERRORS, RestartIntensityExceeded

__all__ = ["Intensity", "checked_intensity"]


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

    def failure(self, supervisor: str) -> RestartIntensityExceeded:
        """What the supervisor of that name gives up with: the newest errors in the window, oldest first."""
        restarts, errors = len(self._times), list(self._errors)
        text = (
            f"supervisor {supervisor!r}: {restarts} restarts within {self.within:g} s, "
            f"{self.limit} are allowed; the newest {len(errors)} errors are here"
        )
        more = restarts - len(errors)
        return RestartIntensityExceeded(text, errors, supervisor=supervisor, more=more)
