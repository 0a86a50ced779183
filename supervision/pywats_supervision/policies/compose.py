"""compose: several policies as one, each with its own state.

First all judge a failure, and the gravest verdict stands; then all hear of the failure with that
verdict, and their answers are combined half by half, so that two limits reached in one failure
both take effect. An item that is to blame is skipped and the child goes on at once, whatever the
policies answer; they hear of it all the same, as it gives back its probe.

*Probes* of the whole are not those of each part: an item may have been granted by one half-open
breaker while another was closed. The state counts what each part has granted, and gives a part a
probe back only when more of its probes than are in flight in all would be left. That may be late,
never early, so no part ever has more in flight than it allows; and it is made up for as soon as
nothing is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from pywats_supervision.policies.decision import (
    CHILD_SEVERITY,
    Admission,
    ChildDecision,
    Decision,
    Failure,
    ItemDecision,
    Restart,
    RestartPolicy,
    Retry,
    Skip,
    Suspend,
    Verdict,
)

__all__ = ["Composed", "ComposedState", "compose"]

VERDICT_SEVERITY: Final = (Verdict.CHARGED, Verdict.EXCUSED, Verdict.BLAMED)
"""From mildest to gravest."""


def compose(*policies: RestartPolicy[Any]) -> RestartPolicy[Any]:
    """Make one policy of several.

    Skip beats Retry; of two decisions about the child the graver stands (`CHILD_SEVERITY`);
    delays and times combine by maximum; what one leaves undecided the others decide. Work goes on
    as far as all admit it. The order makes no difference but for the order in which they hear.

    Args:
        policies: at least one; one alone is returned as it is, and a composed one stands for
            what it is made of.

    Raises:
        TypeError: if one is not a RestartPolicy.
        ValueError: without any.
    """
    if not policies:
        raise ValueError("compose needs at least one policy")
    parts: list[RestartPolicy[Any]] = []
    for policy in policies:
        if not isinstance(policy, RestartPolicy):
            raise TypeError(f"compose takes restart policies, not {policy!r}")
        parts += policy.policies if isinstance(policy, Composed) else [policy]
    return parts[0] if len(parts) == 1 else Composed(tuple(parts))


@dataclass(eq=False, slots=True)
class ComposedState:
    """What one user of a `Composed` keeps.

    Attributes:
        parts: each policy with its state, in their order.
        held: how many probes each policy believes to be in flight.
        in_flight: how many are, of all together.
    """

    parts: tuple[tuple[RestartPolicy[Any], Any], ...]
    held: list[int]
    in_flight: int = 0

    @property
    def states(self) -> list[Any]:
        """The states alone, in the order of their policies."""
        return [own for _, own in self.parts]

    def give_back(self, probes: int) -> list[int]:
        """Count probes as ended; how many of them to tell each policy of."""
        if self.in_flight == 0:
            return self.held  # nothing but zeros, and nothing to give back
        self.in_flight = max(0, self.in_flight - probes)
        released = [max(0, held - self.in_flight) for held in self.held]
        self.held = [held - back for held, back in zip(self.held, released, strict=True)]
        return released


@dataclass(frozen=True)
class Composed(RestartPolicy[ComposedState]):
    """Several policies as one; made by `compose`.

    Args:
        policies: in the order in which they hear.
    """

    policies: tuple[RestartPolicy[Any], ...]

    @property
    def skips(self) -> bool:
        """Whether one of them may answer Skip."""
        return any(policy.skips for policy in self.policies)

    def new_state(self, chance: Callable[[], float]) -> ComposedState:
        """Make a state of each policy."""
        parts = tuple((policy, policy.new_state(chance)) for policy in self.policies)
        return ComposedState(parts, [0] * len(parts))

    def judge(self, state: ComposedState, failure: Failure, now: float) -> Verdict:
        """The gravest verdict."""
        verdicts = [policy.judge(own, failure, now) for policy, own in state.parts]
        return max(verdicts, key=VERDICT_SEVERITY.index)

    def failed(self, state: ComposedState, failure: Failure, now: float) -> Decision | None:
        """Tell all, and combine their answers; None if none of them decides."""
        released = state.give_back(1 if failure.probe else 0)
        answers = [
            policy.failed(own, _as_probe(failure, back > 0), now)
            for (policy, own), back in zip(state.parts, released, strict=True)
        ]
        decisions = [answer for answer in answers if answer is not None]
        if failure.verdict is Verdict.BLAMED:
            return Decision(Skip(), Restart())
        if not decisions:
            return None
        return Decision(
            _gravest_items([decision.item for decision in decisions]),
            _gravest_children([decision.child for decision in decisions]),
        )

    def progressed(self, state: ComposedState, count: int, probes: int, now: float) -> None:
        """Tell all."""
        released = state.give_back(probes)
        for (policy, own), back in zip(state.parts, released, strict=True):
            policy.progressed(own, count, back, now)

    def admit(self, state: ComposedState, wanted: int, now: float) -> Admission:
        """Grant what all grant; probes that one granted beyond that are withdrawn at once."""
        answers = [policy.admit(own, wanted, now) for policy, own in state.parts]
        granted = min(answer.count for answer in answers)
        for index, ((policy, own), answer) in enumerate(zip(state.parts, answers, strict=True)):
            if answer.limited:
                state.held[index] += granted
                if answer.count > granted:
                    policy.withdrawn(own, answer.count - granted, now)
        limited = any(answer.limited for answer in answers)
        if granted == 0:
            return Admission(0, limited, max(answer.at for answer in answers if answer.count == 0))
        if limited:
            state.in_flight += granted
        return Admission(granted, limited)

    def unlimited(self, state: ComposedState) -> bool:
        """Whether all of them are."""
        for policy, own in state.parts:  # noqa: SIM110 - all() would make a generator for each batch
            if not policy.unlimited(own):
                return False
        return True

    def withdrawn(self, state: ComposedState, probes: int, now: float) -> None:
        """Tell those whose probes they were."""
        released = state.give_back(probes)
        for (policy, own), back in zip(state.parts, released, strict=True):
            if back:
                policy.withdrawn(own, back, now)

    def resumed(self, state: ComposedState, now: float) -> bool:
        """Tell all; whether that changes the answers of any."""
        answers = [policy.resumed(own, now) for policy, own in state.parts]
        return any(answers)

    def watch(self, state: ComposedState, changed: Callable[[], None]) -> None:
        """Watch all."""
        for policy, own in state.parts:
            policy.watch(own, changed)

    def describe(self, state: ComposedState) -> dict[str, Any]:
        """What each says of its state, by the name of its class, numbered from the second of a name."""
        described: dict[str, Any] = {}
        for policy, own in state.parts:
            name = kind = type(policy).__name__
            number = 1
            while name in described:
                number += 1
                name = f"{kind} {number}"
            described[name] = policy.describe(own)
        return described


def _as_probe(failure: Failure, probe: bool) -> Failure:
    return failure if failure.probe is probe else replace(failure, probe=probe)


def _gravest_items(items: list[ItemDecision]) -> ItemDecision:
    delay = 0.0
    for item in items:
        if isinstance(item, Skip):
            return item
        delay = max(delay, item.delay)
    return Retry(delay)


def _gravest_children(children: list[ChildDecision]) -> ChildDecision:
    gravest = max(children, key=lambda child: CHILD_SEVERITY.index(type(child)))
    match gravest:
        case Restart():
            return Restart(max(child.delay for child in children if isinstance(child, Restart)))
        case Suspend():
            return Suspend(max(child.until for child in children if isinstance(child, Suspend)))
        case _:
            return gravest
