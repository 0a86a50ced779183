"""Restart policies whose answers a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pywats_supervision.policies.decision import (
    ChildDecision,
    Decision,
    Failure,
    ItemDecision,
    Restart,
    RestartPolicy,
    Retry,
)

__all__ = ["Answers", "answering", "restarting"]


class Answers(RestartPolicy[list[Failure]]):
    """Asks a function, and keeps the failures that it heard of as its state and in `heard`."""

    def __init__(self, answer: Callable[[Failure], Any], *, skips: bool = False) -> None:
        self.answer = answer
        self.heard: list[Failure] = []
        self._skips = skips

    @property
    def skips(self) -> bool:
        return self._skips

    def new_state(self, chance: Callable[[], float]) -> list[Failure]:
        return []

    def failed(self, state: list[Failure], failure: Failure, now: float) -> Decision | None:
        state.append(failure)
        self.heard.append(failure)
        answer: Decision | None = self.answer(failure)
        return answer

    def describe(self, state: list[Failure]) -> dict[str, Any]:
        return {"failures": len(state)}


def answering(child: ChildDecision | None, item: ItemDecision | None = None) -> Answers:
    """A policy with one answer to everything; None leaves it to the supervisor."""
    decision = None if child is None else Decision(item or Retry(), child)
    return Answers(lambda failure: decision)


def restarting(delay: float = 0.0) -> Answers:
    """A policy that restarts, always after the same delay."""
    return answering(Restart(delay))
