"""How full is a store, when is that alarming, and how long will it last? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

__all__ = ["ALARMS", "Alarm", "Sample", "alarm_between", "bound_of", "fullness", "hours_left"]

ALARMS: Final = (0.5, 0.8, 0.95)
"""Parts of the bound at which an alarm is raised."""

_BACK: Final = 0.05


class Sample(msgspec.Struct, frozen=True):
    """One look at the room that a store takes and has.

    Attributes:
        at: seconds on a monotonic clock.
        size: bytes that it takes.
        free: bytes free on its disk.
        disk: bytes of its disk.
    """

    at: float
    size: int
    free: int
    disk: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """That a store fills, or has room again.

    Attributes:
        level: the highest part of the bound that is reached: 0.5, 0.8 or 0.95; 0.0 when there is room again.
        part: how much of the room is used, 0 to 1.
        hours_left: at the present rate; inf if it does not grow.
        size: bytes that the store takes.
        bound: bytes that it may take now, by its own bound or the disk's.
    """

    level: float
    part: float
    hours_left: float
    size: int
    bound: int


def bound_of(sample: Sample, max_size: int, min_free: float) -> int:
    """Bytes that the store may take: its own bound, or what the disk leaves, whichever is less."""
    return max(0, min(max_size, sample.size + sample.free - int(sample.disk * min_free)))


def fullness(sample: Sample, max_size: int, min_free: float) -> float:
    """The part of its room that a store uses; 1.0 or more means full.

    Args:
        sample: how it is.
        max_size: bytes that it may take.
        min_free: the part of the disk, 0 to 1, that has to stay free.
    """
    bound = bound_of(sample, max_size, min_free)
    return sample.size / bound if bound else inf


def hours_left(samples: Sequence[Sample], max_size: int, min_free: float) -> float:
    """Hours until it is full, at the rate between the first and the last look; inf if it does not grow.

    Args:
        samples: in order of time.
        max_size: as for `fullness`.
        min_free: as for `fullness`.
    """
    if not samples:
        return inf
    left = max(0, bound_of(samples[-1], max_size, min_free) - samples[-1].size)
    if left == 0:
        return 0.0
    seconds = samples[-1].at - samples[0].at
    # What others write on the disk fills it as well.
    grown = max(samples[-1].size - samples[0].size, _left_before(samples[0], max_size, min_free) - left)
    return left / grown * seconds / 3600 if grown > 0 and seconds > 0 else inf


def _left_before(sample: Sample, max_size: int, min_free: float) -> int:
    return bound_of(sample, max_size, min_free) - sample.size


def alarm_between(before: float, part: float) -> float:
    """The alarm level after a look; it goes back only 5% below the level, so that it does not flutter.

    Args:
        before: the level until now; 0.0 for none.
        part: what `fullness` says.
    """
    reached = max((level for level in ALARMS if part >= level), default=0.0)
    if reached >= before:
        return reached
    held = [level for level in ALARMS if level <= before and part >= level - _BACK]
    return max(held, default=0.0)
