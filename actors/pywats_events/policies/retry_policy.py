"""RetryPolicy of a bus: the supervisors' own, with the calls that plain code makes by hand.

There is one decision. `should_retry` asks what a supervisor would ask after the same failure,
and `get_delay` is the delay that it would wait; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import msgspec

from pywats_supervision import policies
from pywats_supervision.policies import Failure, Retry, RetryState
from pywats_supervision.system import current_runtime

__all__ = ["Attempted", "ImmediateRetryPolicy", "NoRetryPolicy", "RetryConfig", "RetryPolicy"]


class Attempted(Protocol):
    """What an event tells a retry policy."""

    @property
    def attempt(self) -> int:
        """1 for the first."""
        ...


class RetryConfig(msgspec.Struct, frozen=True):
    """The numbers of a retry policy, as pywats-api 0.6 showed them (see `RetryPolicy`)."""

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True
    jitter_factor: float = 0.1


@dataclass(frozen=True, repr=False)
class RetryPolicy(policies.RetryPolicy):
    """Try an event again, a limited number of times, after growing delays.

    An event whose handling fails with `msgspec.ValidationError`, or with an error whose
    `blames_item` is True, is given up at once; `retry_on(msgspec.ValidationError)` changes the
    first.

    Args:
        max_retries: how often an event is tried again after its first attempt, 0 or more.
        initial_delay: seconds before the first retry, 0 or more.
        max_delay: longest delay, in seconds, at least `initial_delay`.
        exponential_base: by which each delay is longer than the one before, at least 1.
        jitter: whether chance spreads the delays.
        jitter_factor: the part of a delay, 0 to 1, by which chance may shorten or lengthen it.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for a number out of its range.
    """

    _predicates: tuple[Callable[[Any, Exception], bool], ...] = field(default=(), init=False, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.no_retry_on(msgspec.ValidationError)

    @property
    def config(self) -> RetryConfig:
        """Its numbers in one value, as pywats-api 0.6 showed them; they are attributes of the policy too."""
        numbers = {name: getattr(self, name) for name in RetryConfig.__struct_fields__}
        return RetryConfig(**numbers)

    def add_predicate(self, predicate: Callable[[Any, Exception], bool]) -> Self:
        """Retry only if `predicate(event, error)` is true too; of several, all must be.

        One that raises counts as false, and what it raised is added to the error as a note.

        Returns:
            The policy itself.

        Raises:
            TypeError: if it cannot be called.
            RuntimeError: if the policy is in use.
        """
        if not callable(predicate):
            raise TypeError(f"predicate must be callable, not {predicate!r}")
        if self._in_use:
            raise RuntimeError(f"add_predicate was called on {self!r}, which is in use; build another policy")
        object.__setattr__(self, "_predicates", (*self._predicates, predicate))
        return self

    def should_retry(self, event: Attempted, error: Exception) -> bool:
        """Whether the event is to be tried again after this error.

        Args:
            event: as it was handled; its `attempt` counts.
            error: what its handler raised.
        """
        state = RetryState(current_runtime().random.random)
        failure = Failure(error, event, event.attempt)
        decision = self.failed(state, replace(failure, verdict=self.judge(state, failure, 0.0)), 0.0)
        return decision is not None and isinstance(decision.item, Retry)

    def get_delay(self, event: Attempted) -> float:
        """The seconds to wait before the event is tried again; another number each time, with jitter.

        Args:
            event: as it was handled; its `attempt` counts.
        """
        return self.delay_for(event.attempt, current_runtime().random.random())

    def _retries(self, failure: Failure) -> bool:
        if not super()._retries(failure):
            return False
        # What a bus has in hand carries the event; plain code hands over the event itself.
        event = getattr(failure.item, "event", failure.item)
        return all(self._agrees(predicate, event, failure.error) for predicate in self._predicates)

    def _agrees(self, predicate: Callable[[Any, Exception], bool], event: Any, error: Exception) -> bool:
        try:
            return bool(predicate(event, error))
        except Exception as raised:  # noqa: BLE001 - a user's predicate; the dead letter shows the note
            error.add_note(f"not retried, as the predicate {predicate!r} raised {raised!r}")
            return False


class NoRetryPolicy(RetryPolicy):
    """Never try an event again: one that fails is a dead letter at once."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)


class ImmediateRetryPolicy(RetryPolicy):
    """Try an event again without delay.

    Args:
        max_retries: how often after the first attempt, 0 or more.
    """

    def __init__(self, max_retries: int = 3) -> None:
        super().__init__(max_retries=max_retries, initial_delay=0.0, jitter=False)
