"""A life that is over says nothing about the next one, and can do nothing to it (promises 13, 16, 24).

A task that a life left elsewhere, or a helper that it gave its context to, may go on using it.
"""

from __future__ import annotations

from math import inf

import trio
from trio.testing import MockClock

from pywats_supervision import ChildContext, ChildSpec, ChildState, Supervisor
from pywats_supervision.policies.decision import Decision, Failure
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import restarting


class Leaking:
    """A child that leaks the context of each life; its first start fails, later ones take a time."""

    def __init__(self, *, start_takes: float) -> None:
        self.contexts: list[ChildContext] = []
        self.start_takes = start_takes

    async def start(self, task_status: trio.TaskStatus[str], child: ChildContext) -> None:
        self.contexts.append(child)
        if child.number == 1:
            raise OSError("first start")
        await trio.sleep(self.start_takes)
        task_status.started(f"value of life {child.number}")
        await trio.sleep_forever()

    def spec(self) -> ChildSpec:
        return ChildSpec("a", self.start, start_timeout=5, policy=restarting())


async def test_started_of_a_dead_life_does_not_make_the_next_one_up(autojump_clock: MockClock) -> None:
    leaking = Leaking(start_takes=3.0)

    async def too_late() -> None:
        await trio.sleep(1)
        leaking.contexts[0].started("value of life 1")

    async with running(tree := Supervisor()), trio.open_nursery() as nursery:
        nursery.start_soon(too_late)
        assert await tree.start_child(leaking.spec()) == "value of life 2"
        assert trio.current_time() == 3


async def test_started_of_a_dead_life_does_not_end_the_start_timeout_of_the_next(
    autojump_clock: MockClock,
) -> None:
    leaking = Leaking(start_takes=inf)
    async with running(tree := Supervisor()):
        tree.start_child_nowait(leaking.spec())
        await trio.sleep(1)
        leaking.contexts[0].started()
        expect_tree(tree, {"a": ChildState.STARTING})
        await trio.sleep(5)
        assert tree.snapshot().child("a").last_error.startswith("StartTimeout")
        assert len(leaking.contexts) == 3


class Held:
    """A holder that notes what it is told."""

    item = "of life 1"
    attempt = 1
    overtaken = False
    probe = False

    def __init__(self) -> None:
        self.told: list[Failure] = []

    def decided(self, failure: Failure, decision: Decision | None) -> None:
        self.told.append(failure)


async def _second_life(puppet: Puppet) -> ChildContext:
    """Let a puppet's first life fail, and wait for the second; the context of the first."""
    first = puppet.context
    assert first is not None
    puppet.fail()
    await settled()
    assert puppet.lives == 2
    return first


async def test_what_a_dead_life_holds_is_not_charged_to_the_next(autojump_clock: MockClock) -> None:
    puppet, hand = Puppet("a"), Held()
    async with running(Supervisor([puppet.spec()])):
        first = await _second_life(puppet)
        first.hold(hand)
        puppet.fail()
        await settled()
    assert hand.told == []


async def test_who_listens_to_a_dead_life_is_called_at_once_and_the_next_life_is_not_asked_for_it(
    autojump_clock: MockClock,
) -> None:
    called: list[str] = []
    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec(start_timeout=60)])):
        puppet.plan(inf)
        first = await _second_life(puppet)
        first.on_stopping(lambda: called.append("callback"))
        assert called == ["callback"]
        with trio.fail_after(1):
            await first.wait_stopping()
            await first.wait_stopping()
        # The new life is on its way up and has not asked to be told: it is cancelled at once.
        await tree.stop_child("a")
        assert trio.current_time() == 0


async def test_a_callback_of_a_dead_life_that_raises_does_not_cancel_the_next(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec()])):
        first = await _second_life(puppet)
        first.on_stopping(lambda: 1 / 0)
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert puppet.lives == 2
