"""RetryPolicy: how often, after which errors and how late an item in hand is tried again.

The item waits, not the child: whoever failed on it lives again at once and takes other items.
What decides about an error is the type nearest to it in its line of ancestors (its MRO) among
those that `retry_on` and `no_retry_on` were given:

    nearest type is of no_retry_on, or `error.blames_item`    skipped; the item is to blame
    nearest type is of retry_on                               retried
    none, and retry_on was given other types                  skipped
    none, and retry_on was never called                       retried

An attempt that circumstances excuse (see `Verdict`) is never the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from pywats_supervision.policies.backoff import asked_delay, growing_delay
from pywats_supervision.policies.checks import checked_count, checked_number
from pywats_supervision.policies.decision import (
    Decision,
    Failure,
    Restart,
    RestartPolicy,
    Retry,
    Skip,
    Verdict,
)

__all__ = ["RetryPolicy", "RetryState"]


@dataclass(eq=False, frozen=True, slots=True)
class RetryState:
    """What one user of a `RetryPolicy` keeps; the attempts are counted beside the item.

    Attributes:
        chance: gives numbers in [0, 1).
    """

    chance: Callable[[], float]


@dataclass(frozen=True, repr=False)
class RetryPolicy(RestartPolicy[RetryState]):
    """Try the item in hand again, a limited number of times, after growing delays.

    `error.retry_after` lengthens a delay, beyond `max_delay` if need be. A failure with no item
    in hand is left to other policies and the supervisor's own rules.

    Args:
        max_retries: how often an item is tried again after its first attempt, 0 or more.
        initial_delay: seconds before the first retry, 0 or more.
        max_delay: longest delay, in seconds, at least `initial_delay`.
        exponential_base: by which each delay is longer than the one before, at least 1.
        jitter: whether chance spreads the delays.
        jitter_factor: the part of a delay, 0 to 1, by which chance may shorten or lengthen it.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for a number out of its range.
    """

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True
    jitter_factor: float = 0.1
    _rules: dict[type[Exception], bool] = field(default_factory=dict, init=False, hash=False)
    _in_use: bool = field(default=False, init=False, compare=False)

    def __post_init__(self) -> None:
        checked_count("max_retries", self.max_retries, least=0)
        checked_number("initial_delay", self.initial_delay)
        checked_number("max_delay", self.max_delay, least=self.initial_delay)
        checked_number("exponential_base", self.exponential_base, least=1.0)
        if not isinstance(self.jitter, bool):
            raise TypeError(f"jitter must be True or False, not {self.jitter!r}; see jitter_factor")
        checked_number("jitter_factor", self.jitter_factor, most=1.0)

    def __repr__(self) -> str:
        rules = "".join(
            f".{'retry_on' if retried else 'no_retry_on'}({kind.__name__})"
            for kind, retried in self._rules.items()
        )
        return (
            f"{type(self).__name__}(max_retries={self.max_retries}, initial_delay={self.initial_delay:g}, "
            f"max_delay={self.max_delay:g}, exponential_base={self.exponential_base:g}, "
            f"jitter={self.jitter}, jitter_factor={self.jitter_factor:g}){rules}"
        )

    @property
    def skips(self) -> bool:
        """True: it gives items up, so a child that it decides on must have items in hand."""
        return True

    def retry_on(self, *types: type[Exception]) -> Self:
        """Retry after errors of these types, and from now on only after those so named.

        Args:
            types: exception types, at least one; of a type named twice the later call holds.

        Returns:
            The policy itself.

        Raises:
            TypeError: if one is not a type of exception.
            ValueError: without any type.
            RuntimeError: if the policy is in use.
        """
        self._set_rules(types, retried=True)
        return self

    def no_retry_on(self, *types: type[Exception]) -> Self:
        """Give an item up at once after errors of these types: they say that the item is to blame.

        Args:
            types: exception types, at least one; of a type named twice the later call holds.

        Returns:
            The policy itself.

        Raises:
            TypeError: if one is not a type of exception.
            ValueError: without any type.
            RuntimeError: if the policy is in use.
        """
        self._set_rules(types, retried=False)
        return self

    def _set_rules(self, types: tuple[object, ...], *, retried: bool) -> None:
        name = "retry_on" if retried else "no_retry_on"
        if self._in_use:
            raise RuntimeError(f"{name} was called on {self!r}, which is in use; build another policy")
        if not types:
            raise ValueError(f"{name} needs at least one type of exception")
        rules: dict[type[Exception], bool] = {}
        for kind in types:
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                raise TypeError(f"{name} takes types of exceptions, not {kind!r}")
            rules[kind] = retried
        self._rules.update(rules)

    def new_state(self, chance: Callable[[], float]) -> RetryState:
        """Make the state for one user; from now on `retry_on` and `no_retry_on` raise."""
        object.__setattr__(self, "_in_use", True)
        return RetryState(chance)

    def delay_for(self, attempt: int, chance: float) -> float:
        """The delay after the failure of that attempt, in seconds; at most `max_delay`.

        Args:
            attempt: 1 for the first.
            chance: a number in [0, 1); without jitter it makes no difference.
        """
        return growing_delay(
            attempt,
            initial=self.initial_delay,
            maximum=self.max_delay,
            factor=self.exponential_base,
            jitter=self.jitter_factor if self.jitter else 0.0,
            chance=chance,
        )

    def judge(self, state: RetryState, failure: Failure, now: float) -> Verdict:
        """BLAMED if the error says that no retry of the item in hand can succeed."""
        del state, now
        error = failure.error
        if failure.item is None:
            return Verdict.CHARGED
        blamed = getattr(error, "blames_item", False) is True or self._rule_for(error) is False
        return Verdict.BLAMED if blamed else Verdict.CHARGED

    def failed(self, state: RetryState, failure: Failure, now: float) -> Decision | None:
        """Retry the item, or skip it; None without one. The child lives again at once."""
        del now
        if failure.item is None:
            return None
        if failure.verdict is Verdict.BLAMED or (
            failure.verdict is Verdict.CHARGED
            and (failure.attempt > self.max_retries or not self._retries(failure))
        ):
            return Decision(Skip(), Restart())
        delay = self.delay_for(failure.attempt, state.chance())
        return Decision(Retry(max(delay, asked_delay(failure.error))), Restart())

    def _retries(self, failure: Failure) -> bool:
        """Whether an error of this kind is one to retry after, however often it was tried."""
        rule = self._rule_for(failure.error)
        return not any(self._rules.values()) if rule is None else rule

    def _rule_for(self, error: Exception) -> bool | None:
        """What was said about the nearest type; None if nothing was."""
        return next((self._rules[kind] for kind in type(error).__mro__ if kind in self._rules), None)

    def describe(self, state: RetryState) -> dict[str, Any]:
        """How many retries an item has."""
        del state
        return {"max_retries": self.max_retries}
