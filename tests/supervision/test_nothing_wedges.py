"""Whatever fails and whoever calls what, in any order and all at once: the tree keeps the rules of order and
time at every event, comes to rest, and can be stopped by a deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from random import Random
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Happening,
    SupervisionError,
    Supervisor,
)
from pywats_supervision.policies.decision import Decision, Failure, Restart, Stop, Suspend
from pywats_supervision.testing import Puppet, Recording
from support.policies import Answers
from support.tree_rules import Child, broken_rules

NO_LIMIT = 1_000_000
AT_REST = {ChildState.RUNNING, ChildState.STOPPED, ChildState.SUSPENDED}


class Chaos:
    """A tree of puppets with all kinds of habits, and somebody who calls and crashes at random."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.calm = False
        self.waiting = 0
        self.puppets: dict[str, Puppet] = {}
        self.known: dict[str, Child] = {}
        first = [self.new_spec(place) for place in range(random.randint(1, 5))]
        self.strategy = strategy = random.choice([ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE, None])
        self.tree: Supervisor | DynamicSupervisor
        if strategy is None:
            self.tree = DynamicSupervisor(max_restarts=NO_LIMIT)
        else:
            self.tree = Supervisor(first, strategy=strategy, max_restarts=NO_LIMIT)
        self.recording = Recording(self.tree)

    def new_spec(self, place: int = 99) -> ChildSpec:
        """A new child."""
        pick = self.random.choice
        name = f"p{len(self.puppets)}"
        self.puppets[name] = puppet = Puppet(
            name,
            listens=pick([True, True, False]),
            says_up=pick([True, True, False]),
            stop_takes=pick([0.0, 0.0, 1.0, 4.0, 9.0]),
            stop_error=pick([None, None, ValueError()]),
            shielded=pick([0.0, 0.0, 2.0]),
            cleanup_error=pick([None, None, OSError()]),
        )
        spec = puppet.spec(
            restart=pick([PERMANENT, PERMANENT, TRANSIENT, TEMPORARY]),
            policy=pick([None, Answers(self.answer)]),
            shutdown=pick([0, 2.0, 5.0]),
            start_timeout=pick([1.0, 30.0]),
        )
        self.known[name] = Child(place, spec.grace, spec.patience, puppet.shielded)
        return spec

    def answer(self, failure: Failure) -> Decision | None:
        """What a policy says."""
        if self.calm:
            return Decision()
        now = trio.current_time()
        later = [Restart(), Restart(1.0), Restart(3.0), Suspend(now), Suspend(now + 5.0)]
        return self.random.choice(
            [None, *(Decision(child=child) for child in (*later, Suspend(inf), Stop()))]
        )

    async def call(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Call and wait, whatever comes of it."""
        self.waiting += 1
        try:
            await function(*args)
        except (SupervisionError, ValueError, OSError, RuntimeError):
            pass  # the caller has its answer
        finally:
            self.waiting -= 1

    def step(self, nursery: trio.Nursery) -> None:
        """Do one thing."""
        pick, tree = self.random.choice, self.tree
        puppet = pick(list(self.puppets.values()))
        match self.random.randrange(10):
            case 0 | 1 | 2:
                puppet.plan(*pick([(), (), (0.5,), (2.0,), (OSError(),), (None,)]))
                puppet.fail()
            case 3:
                puppet.finish()
            case 4:
                tree.start_child_nowait(self.new_spec(), delay=pick([0.0, 1.0, 4.0]))
            case 5:
                nursery.start_soon(self.call, tree.start_child, self.new_spec())
            case _:
                calls = [tree.stop_child, tree.restart_child, tree.suspend_child, tree.remove_child]
                nursery.start_soon(self.call, pick([*calls, tree.resume_child]), puppet.name)

    async def run(self) -> None:
        """Cause trouble, wait for rest, resume what waits for a person, and stop."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.tree.run)
            for _ in range(self.random.randint(5, 40)):
                self.step(nursery)
                await trio.sleep(self.random.choice([0.0, 0.0, 0.5, 1.0, 3.0]))
            self.calm = True
            await trio.sleep(300)
            states = {child.state for child in self.tree.children()}
            # Only with a group that waits for a person.
            assert ChildState.PENDING not in states or ChildState.SUSPENDED in states
            for child in (*self.tree.children(), *self.tree.children()):
                if child.state not in {ChildState.RUNNING, ChildState.STOPPED}:
                    with trio.move_on_after(100):
                        await self.call(self.tree.resume_child, child.name)
            await trio.sleep(300)
            assert {child.state for child in self.tree.children()} <= AT_REST
            assert self.waiting == 0
            # From the deadline on each that is left is cancelled in its turn, and may shield itself.
            longest = self.random.choice([0.0, 1.5, 500.0])
            with trio.fail_after(longest + sum(child.shielded for child in self.known.values()) + 0.1):
                await self.tree.stop(longest)
        self.check_the_end()
        ordered, group = self.strategy is not None, self.strategy in {ONE_FOR_ALL, REST_FOR_ONE}
        assert broken_rules(self.recording.events, self.known, ordered=ordered, group=group) == []

    def check_the_end(self) -> None:
        """Every life that began has ended, and the events say so."""
        for puppet in self.puppets.values():
            assert puppet.diary.count(f"end {puppet.name}") == puppet.lives
        last = {event.path[1]: event.kind for event in self.recording.events if len(event.path) == 2}
        assert set(last.values()) <= {Happening.STOPPED, Happening.REMOVED}
        assert self.recording.events[-1].kind is Happening.FINISHED


@settings(max_examples=150)
@given(st.randoms(use_true_random=True))
def test_any_sequence_of_failures_and_calls_comes_to_rest_and_can_be_stopped(random: Random) -> None:
    trio.run(Chaos(random).run, clock=MockClock(autojump_threshold=0))
