"""OTP's rules for supervisors as a small model, independent of the implementation.

It follows the manual of `supervisor` and knows nothing of tasks, stops that take time or policies:
each call is complete when it returns. Where we differ from OTP on purpose, the line says so; the
reasons stand in docs/decisions/0002.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ModelChild", "ModelSupervisor"]


@dataclass
class ModelChild:
    """One child: a leaf, or a supervisor with children of its own."""

    name: str
    restart: Literal["permanent", "transient", "temporary"] = "permanent"
    significant: bool = False
    sub: ModelSupervisor | None = None
    state: Literal["running", "stopped", "suspended"] = "stopped"
    life: int = 0
    by_hand: bool = False
    """A person stopped it: it stays down in a group restart, where OTP would start it (0002)."""
    failing_starts: int = 0


@dataclass
class ModelSupervisor:
    """A supervisor and its children, in the order of their start."""

    name: str
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"]
    max_restarts: int
    within: float
    auto_shutdown: Literal["never", "any", "all"]
    initial: list[ModelChild]
    diary: list[str]
    children: list[ModelChild] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    ended: Literal["", "normal", "too many restarts"] = ""

    # Its own life

    def start(self, now: float) -> None:
        """Start with the children it was built with, whatever was added or removed before."""
        self.children = [
            ModelChild(c.name, c.restart, c.significant, c.sub, failing_starts=c.failing_starts)
            for c in self.initial
        ]
        self.restarts = []
        self.ended = ""
        for child in list(self.children):
            self._start(child, now)

    def stop(self, how: Literal["normal", "too many restarts"] = "normal") -> None:
        """Stop the children in reverse order."""
        for child in reversed(self.children):
            self._stop(child)
        self.ended = how

    # What happens to children

    def failed(self, child: ModelChild, now: float) -> None:
        """A child's life has ended with an error."""
        self._over(child)
        if child.restart == "temporary":
            self._gone_by_itself(child)
        else:
            self._restart(child, now)

    def returned(self, child: ModelChild, now: float) -> None:
        """A child's life has ended without an error."""
        self._over(child)
        if child.restart == "permanent":
            self._restart(child, now)
        else:
            self._gone_by_itself(child)

    def _over(self, child: ModelChild) -> None:
        if child.sub is None:
            self.diary.append(f"end {child.name}")
        child.state = "stopped"

    def _gone_by_itself(self, child: ModelChild) -> None:
        if child.restart == "temporary":
            self.children.remove(child)
        if not child.significant or self.auto_shutdown == "never":
            return
        others = [c for c in self.children if c.significant and c.state != "stopped"]
        if self.auto_shutdown == "any" or not others:
            self.stop()

    def _restart(self, child: ModelChild, now: float) -> None:
        """One restart, which counts; a group restart counts once."""
        self.restarts = [when for when in self.restarts if now - when <= self.within] + [now]
        if len(self.restarts) > self.max_restarts:
            self.stop("too many restarts")
            return
        place = self.children.index(child)
        group = {"one_for_one": [child], "one_for_all": self.children, "rest_for_one": self.children[place:]}
        members = list(group[self.strategy])
        for member in reversed(members):
            if member.state == "running":
                self._stop(member)
                if member.restart == "temporary":
                    self.children.remove(member)
        for member in members:
            down = member in self.children and member.state == "stopped" and not member.by_hand
            if down and not self._start(member, now):
                return  # its failure was answered, and took the rest along

    def _start(self, child: ModelChild, now: float) -> bool:
        """Start a child; False if that failed and was answered."""
        child.life += 1
        child.by_hand = False
        if child.sub is None:
            self.diary.append(f"start {child.name}")
        if child.failing_starts:
            child.failing_starts -= 1
            self.failed(child, now)
            return False
        child.state = "running"
        if child.sub is not None:
            child.sub.start(now)
        return True

    def _stop(self, child: ModelChild) -> None:
        if child.state != "running":
            return
        if child.sub is not None:
            child.sub.stop()
        self._over(child)

    # What people ask for; none of it counts as a restart

    def stop_child(self, child: ModelChild) -> None:
        """OTP's terminate_child."""
        self._stop(child)
        child.state, child.by_hand = "stopped", True
        if child.restart == "temporary":
            self.children.remove(child)

    def suspend_child(self, child: ModelChild) -> None:
        """Stop it, and show that it is down for a person's reason (0002)."""
        self._stop(child)
        child.state, child.by_hand = "suspended", True

    def remove_child(self, child: ModelChild) -> None:
        """OTP's terminate_child and delete_child in one (0002)."""
        self._stop(child)
        self.children.remove(child)

    def restart_child(self, child: ModelChild, now: float) -> None:
        """Also of one that runs, where OTP answers {error, running} (0002)."""
        self._stop(child)
        self._start(child, now)

    def resume_child(self, child: ModelChild, now: float) -> None:
        """Start one that is down (0002)."""
        if child.state != "running":
            self._start(child, now)

    def start_child(self, child: ModelChild, now: float) -> None:
        """Add one at the end."""
        self.children.append(child)
        self._start(child, now)

    def escalated(self, now: float) -> None:
        """Hand the ends of the supervisors below on, until nobody has ended."""
        for child in list(self.children):
            if child.sub is None or child.state != "running":
                continue
            child.sub.escalated(now)
            if child.sub.ended == "too many restarts":
                self.failed(child, now)
            elif child.sub.ended == "normal":
                self.returned(child, now)
            if self.ended:
                return
