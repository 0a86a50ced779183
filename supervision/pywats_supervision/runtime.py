"""Runtime: the one value through which time, chance and the outside world come in.

Everything above takes clocks, ids, random numbers and threads from here, so that a run can be
repeated from its seed. Disks and sockets have their place here for the simulation of a whole
station, which does not exist yet: what opens them does not ask here. The real ones are made in
`system`; this file imports nothing that the pure rooms may not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

__all__ = ["CURRENT_RUNTIME", "Random", "RunBlocking", "Runtime"]

T = TypeVar("T")


class Random(Protocol):
    """The part of `random.Random` that this project uses."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""
        ...


class RunBlocking(Protocol):
    """Runs blocking code off the trio thread; inline in a simulation."""

    def __call__(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        abandon_on_cancel: bool = False,
        limiter: Any = None,
    ) -> Awaitable[T]:
        """Call `fn(*args)`; the arguments mean what they mean for `trio.to_thread.run_sync`."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the root of a tree hands down.

    Attributes:
        clock: seconds on the monotonic clock that every delay is measured with (trio's).
        wall_clock: nanoseconds since 1970 in UTC, for the timestamps of events.
        ids: makes the text of a new, time-ordered UUID. Who makes very many, as events are, may
            build them from `wall_clock` instead, and asks here only if that is not the real one.
        random: the source of chance, for jitter and sampling.
        ticks: seconds on a fast clock that tells how long the trio thread was held; it stands
            still in a simulation.
        run_blocking: runs blocking code in a thread.
        storage: kept for how files and databases are opened; nobody reads it yet.
        network: kept for how sockets are opened; nobody reads it yet.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], int]
    ids: Callable[[], str]
    random: Random
    ticks: Callable[[], float]
    run_blocking: RunBlocking
    storage: Any = None
    network: Any = None


CURRENT_RUNTIME: Final[ContextVar[Runtime | None]] = ContextVar("pywats_runtime", default=None)
"""The runtime of the tree that the current task belongs to; None outside of any tree."""
