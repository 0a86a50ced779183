"""Nothing accepted is lost by a crash: an actor's lives fail in place of each thing that they await.

One scenario is run again and again, each time with one error more to the right, until it runs through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, DeadLetter
from pywats_actors.ref import _Performer
from pywats_actors.testing import drain
from pywats_supervision import ONE_FOR_ALL, NotRunning, Supervisor
from pywats_supervision.policies import Backoff, CircuitBreaker, RetryPolicy, compose
from pywats_supervision.testing import Puppet, running
from support.faults import WATCHED, Fault, Faults

MESSAGES = 5
POISON = 2
"""The message that the actor never does, where a policy gives it up."""
QUESTION = 100
HEALTHY = 201
"""What else comes, with another key, until the poison has been given up."""

RETRIES = RetryPolicy(max_retries=3, initial_delay=0.5, jitter=False)
BREAKER = CircuitBreaker(failure_threshold=2, reset_timeout=2.0, success_threshold=1, half_open_max_calls=1)

Options = dict[str, Any]

WAYS: dict[str, Options] = {
    "alone": {},
    "alone, small": {"capacity": 1},
    "ordered": {"policy": RETRIES, "ordered": True},
    "retries": {"policy": RETRIES, "capacity": 2},
    "workers": {"concurrency": 2},
    "workers with retries": {"policy": RETRIES, "concurrency": 2},
    "keyed": {"policy": RETRIES, "concurrency": 2, "order_by": lambda message: message % 2},
    "breaker": {"policy": compose(RETRIES, BREAKER)},
    "breaker, keyed": {"policy": compose(RETRIES, BREAKER), "order_by": lambda message: message % 2},
}


class ActorFaults(Faults):
    """Raises in place of what the lives of an actor await; calls of the actor are points too."""

    def install(self, patch: pytest.MonkeyPatch) -> None:
        super().install(patch)
        for call in ("start", "handle", "stop"):
            patch.setattr(_Performer, call, self._watched_call(getattr(_Performer, call)))

    def _watched_call(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(performer: Any, *args: Any) -> Any:
            if WATCHED.get() is self:
                self.point()
            return await call(performer, *args)

        return watched


class Subject(Actor[int]):
    """Awaits something before and after each thing that it does."""

    def __init__(self, run: Run) -> None:
        self.run = run

    async def on_start(self) -> None:
        await self.pause(0.0)

    async def on_stop(self) -> None:
        await self.pause(0.0)

    async def receive(self, message: int) -> int:
        run = self.run
        run.active += 1
        run.most_active = max(run.most_active, run.active)
        try:
            await self.pause(0.1)
            if message == POISON and run.has_policy:
                raise ValueError("it is poison")
            await self.pause(0.0)
        finally:
            run.active -= 1
        run.done.append(message)
        return message * 2

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.run.in_user_code.point()


@dataclass
class Run:
    """One run of the scenario: messages told, one question, and a sibling that restarts the group."""

    options: Options
    in_user_code: Faults
    letters: list[DeadLetter[int]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    replies: list[int] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    active: int = 0
    most_active: int = 0
    healthy: int = 0

    def __post_init__(self) -> None:
        self.has_policy = "policy" in self.options
        self.ref: ActorRef[int] = ActorRef(
            "subject", lambda: Subject(self), dead_letters=self.letters.append, **self.options
        )
        self.sibling = Puppet("sibling")
        self.tree = Supervisor(
            [self.sibling.spec(), self.ref.spec(policy=Backoff(initial=0.1))], strategy=ONE_FOR_ALL
        )

    async def ask(self) -> None:
        try:
            self.replies.append(await self.ref.ask(QUESTION))
        except Exception as error:
            self.errors.append(error)

    async def go(self, faults: Faults) -> None:
        async with running(self.tree), trio.open_nursery() as nursery:
            faults.armed = True
            for number in range(MESSAGES):
                if number == 1:
                    nursery.start_soon(self.ask)
                if number == 3:
                    nursery.start_soon(self.restart)
                await self.ref.tell(number)
                await trio.sleep(0.07)
            while self.has_policy and not self.letters:
                # An open breaker charges nobody: while nothing else succeeds, the poison is tried for ever.
                await self.ref.tell(HEALTHY)
                self.healthy += 1
                await trio.sleep(1)
            await drain(self.ref)

    async def restart(self) -> None:
        try:
            await self.tree.restart_child("subject")
        except NotRunning:
            return

    def check(self) -> None:
        """Every message has exactly one end, and the asker exactly one answer."""
        ended = Counter(self.done) + Counter(letter.message for letter in self.letters)
        ended[QUESTION] += len(self.errors)
        ended[HEALTHY] -= self.healthy
        assert +ended == Counter([*range(MESSAGES), QUESTION])
        assert ended[HEALTHY] == 0
        assert len(self.replies) + len(self.errors) == 1
        assert all(letter.reason == "failed" for letter in self.letters)
        assert self.most_active <= self.options.get("concurrency", 1)
        statistics = self.ref.statistics()
        assert (statistics.queued, statistics.in_hand, statistics.retrying, statistics.keys_held) == (0,) * 4
        if self.options.get("ordered"):
            assert [message for message in self.done if message < QUESTION] == [0, 1, 3, 4]


async def at_every_point(options: Options, *, in_user_code: bool) -> int:
    """Run the scenario with an error at each point in turn; returns how many points it has."""
    at = 0
    while True:
        at += 1
        faults = ActorFaults("subject", at)
        with pytest.MonkeyPatch.context() as patch:
            if not in_user_code:
                faults.install(patch)
            run = Run(options, faults if in_user_code else Faults("nobody", 0))
            with trio.fail_after(10_000):
                await run.go(faults)
        run.check()
        if not faults.raised:
            return faults.reached


@pytest.mark.parametrize("way", WAYS)
async def test_a_crash_in_place_of_anything_a_life_awaits_loses_nothing(
    way: str, autojump_clock: MockClock
) -> None:
    assert await at_every_point(WAYS[way], in_user_code=False) >= 2 * MESSAGES


@pytest.mark.parametrize("way", WAYS)
async def test_a_crash_after_any_await_of_the_actor_s_own_code_loses_nothing(
    way: str, autojump_clock: MockClock
) -> None:
    assert await at_every_point(WAYS[way], in_user_code=True) >= 2 * MESSAGES


async def test_a_fault_is_told_from_any_other_error() -> None:
    faults = Faults("subject", 1)
    faults.armed = True
    with pytest.raises(Fault, match="at point 1 of 'subject'"):
        faults.point()
    faults.point()
