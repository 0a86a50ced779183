"""OTP's rules for supervisors as a small model, independent of the implementation.

It follows the manual of `supervisor` and knows neither tasks nor policies: like OTP's supervisor it
does one thing after the other, and each takes the time that its starts and stops take. Where we
differ from OTP on purpose, the line says so; the reasons stand in docs/decisions/0002.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal, TypeAlias

__all__ = ["Clock", "Habits", "ModelChild", "ModelSupervisor", "Start"]

Start: TypeAlias = float | Literal["fails", "is ignored", "hangs"]
"""What one start does; a number of seconds is how long it takes to be up."""


@dataclass
class Clock:
    """The time, and by when a stop of the whole tree has to be over."""

    now: float = 0.0
    deadline: float = inf


@dataclass
class Habits:
    """How one child behaves, in all its lives.

    Attributes:
        starts: what its next starts do; those after them are up at once.
        listens: whether it is asked before it is cancelled.
        stop_takes: seconds from being asked to its end.
        grace: seconds after which it is cancelled then.
        shielded: seconds for which it goes on when it is cancelled.
        patience: seconds that a start may take.
    """

    starts: list[Start] = field(default_factory=list)
    listens: bool = True
    stop_takes: float = 0.0
    grace: float = 5.0
    shielded: float = 0.0
    patience: float = 7.0

    def seconds_to_stop(self, clock: Clock) -> float:
        """How long it takes to go down from now on."""
        granted = min(self.grace, clock.deadline - clock.now)
        if not self.listens or granted <= 0:
            return self.shielded
        return self.stop_takes if self.stop_takes <= granted else granted + self.shielded


@dataclass
class ModelChild:
    """One child: a leaf, or a supervisor with children of its own."""

    name: str
    restart: Literal["permanent", "transient", "temporary"] = "permanent"
    significant: bool = False
    habits: Habits = field(default_factory=Habits)
    sub: ModelSupervisor | None = None
    state: Literal["running", "stopped", "suspended"] = "stopped"
    life: int = 0
    by_hand: bool = False
    """A person stopped it: it stays down in a group restart, where OTP would start it (0002)."""
    was_up: bool = False


@dataclass
class ModelSupervisor:
    """A supervisor and its children, in the order of their start."""

    name: str
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one", "dynamic"]
    max_restarts: int
    within: float
    auto_shutdown: Literal["never", "any", "all"]
    initial: list[ModelChild]
    clock: Clock
    diary: list[tuple[float, str]]
    children: list[ModelChild] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    ended: Literal["", "normal", "too many restarts", "failed start"] = ""

    # Its own life

    def start(self) -> bool:
        """Start with the children it was built with, whatever was added or removed; False if one fails."""
        self.children = [ModelChild(c.name, c.restart, c.significant, c.habits, c.sub) for c in self.initial]
        self.restarts = []
        self.ended = ""
        for child in list(self.children):
            if not self._start(child):
                self.stop("failed start")
                return False
        return True

    def stop(self, how: Literal["normal", "too many restarts", "failed start"] = "normal") -> None:
        """Stop the children in reverse order, or all at once."""
        began, over = self.clock.now, self.clock.now
        for child in reversed(self.children):
            if self.strategy == "dynamic":
                self.clock.now = began
            self._stop(child)
            over = max(over, self.clock.now)
        self.clock.now = over
        self.ended = how

    # What happens to children

    def failed(self, child: ModelChild) -> None:
        """A child's life, or a start of one that was up before, has ended with an error."""
        child.state = "stopped"
        if child.restart == "temporary":
            self._gone_by_itself(child)
        else:
            self._restart(child)

    def returned(self, child: ModelChild) -> None:
        """A child's life has ended without an error."""
        child.state = "stopped"
        if child.restart == "permanent":
            self._restart(child)
        else:
            self._gone_by_itself(child)

    def end_life(self, child: ModelChild, *, failed: bool) -> None:
        """A leaf comes to its end by itself."""
        self._write("end", child)
        if failed:
            self.failed(child)
        else:
            self.returned(child)

    def _gone_by_itself(self, child: ModelChild) -> None:
        self._forget_if_over(child)
        if not child.significant or self.auto_shutdown == "never":
            return
        others = [c for c in self.children if c.significant and c.state != "stopped"]
        if self.auto_shutdown == "any" or not others:
            self.stop()

    def _forget_if_over(self, child: ModelChild) -> None:
        if child.restart == "temporary" or self.strategy == "dynamic":
            self.children.remove(child)

    def _restart(self, child: ModelChild) -> None:
        """One restart, which counts; a group restart counts once."""
        now = self.clock.now
        self.restarts = [when for when in self.restarts if now - when <= self.within] + [now]
        if len(self.restarts) > self.max_restarts:
            self.stop("too many restarts")
            return
        place = self.children.index(child)
        group = {"one_for_all": self.children, "rest_for_one": self.children[place:]}
        members = list(group.get(self.strategy, [child]))
        for member in reversed(members):
            if member.state == "running":
                self._stop(member)
                if member.restart == "temporary":
                    self.children.remove(member)
        for member in members:
            down = member in self.children and member.state == "stopped" and not member.by_hand
            if down and not self._bring_up(member):
                return  # its failure was answered, and took the rest along

    def _bring_up(self, child: ModelChild) -> bool:
        """Start a child of a supervisor that is up; False if that failed and was answered."""
        if self._start(child):
            return True
        if child.was_up:
            self.failed(child)
        else:
            self.children.remove(child)  # an added one, which never was
        return False

    def _start(self, child: ModelChild) -> bool:
        """Start a child; False if that failed."""
        child.life += 1
        child.by_hand = False
        if child.sub is not None:
            came_up = child.sub.start()
        else:
            self._write("start", child)
            what = child.habits.starts.pop(0) if child.habits.starts else 0.0
            came_up = isinstance(what, float)
            if isinstance(what, float):
                self.clock.now += what
            elif what == "hangs":
                self.clock.now += child.habits.patience + child.habits.shielded
            if not came_up:
                self._write("end", child)
            if what == "is ignored":
                child.was_up = True
                self._forget_if_over(child)
                return True
        if came_up:
            child.state, child.was_up = "running", True
        return came_up

    def _stop(self, child: ModelChild) -> None:
        """Stop a child; whether it fails in that makes no difference."""
        if child.state != "running":
            return
        if child.sub is not None:
            child.sub.stop()
        else:
            self.clock.now += child.habits.seconds_to_stop(self.clock)
            self._write("end", child)
        child.state = "stopped"

    def _write(self, what: str, child: ModelChild) -> None:
        self.diary.append((self.clock.now, f"{what} {child.name}"))

    # What people ask for; none of it counts as a restart

    def stop_child(self, child: ModelChild) -> None:
        """OTP's terminate_child."""
        self._stop(child)
        child.state, child.by_hand = "stopped", True
        self._forget_if_over(child)

    def suspend_child(self, child: ModelChild) -> None:
        """Stop it, and show that it is down for a person's reason (0002)."""
        self._stop(child)
        child.state, child.by_hand = "suspended", True

    def remove_child(self, child: ModelChild) -> None:
        """OTP's terminate_child and delete_child in one (0002)."""
        self._stop(child)
        self.children.remove(child)

    def restart_child(self, child: ModelChild) -> None:
        """Also of one that runs, where OTP answers {error, running} (0002)."""
        self._stop(child)
        child.state = "stopped"
        self._bring_up(child)

    def resume_child(self, child: ModelChild) -> None:
        """Start one that is down (0002)."""
        if child.state != "running":
            self.restart_child(child)

    def start_child(self, child: ModelChild) -> bool:
        """Add one at the end; False if its first start failed, and it is forgotten."""
        self.children.append(child)
        return self._bring_up(child)

    def escalated(self) -> None:
        """Hand the ends of the supervisors below on, until nobody has ended."""
        for child in list(self.children):
            if child.sub is None or child.state != "running":
                continue
            child.sub.escalated()
            if child.sub.ended == "too many restarts":
                self.failed(child)
            elif child.sub.ended == "normal":
                self.returned(child)
            if self.ended:
                return
