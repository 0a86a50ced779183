"""An actor that has nothing to do at its start has no task before its first message; nobody else can tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, ActorStopped, Terminated, WrongThread
from pywats_actors.testing import crash_now, drain, hold, release
from pywats_supervision import (
    ONE_FOR_ALL,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.testing import Puppet, expect_tree, running, settled


class Counter(Actor[int]):
    """Counts; has a constructor and no hooks."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.total = 0

    async def receive(self, message: int) -> int:
        if message < 0:
            raise ValueError("negative")
        self.total += message
        return self.total


class Hooked(Counter):
    """The same with hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[str] = []

    async def on_start(self) -> None:
        self.hooks.append("start")

    async def on_stop(self) -> None:
        self.hooks.append("stop")


@pytest.fixture(autouse=True)
def nobody_made() -> None:
    Counter.made = Hooked.made = 0


def tasks_of(tree: Supervisor | DynamicSupervisor) -> int:
    return len(tree._nursery.child_tasks)


@pytest.mark.parametrize("actor", [Counter, Counter()], ids=["class", "instance"])
async def test_it_has_no_task_before_its_first_message(actor: Any, autojump_clock: MockClock) -> None:
    ref = ActorRef[int]("counter", actor)
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        expect_tree(tree, {"counter": ChildState.RUNNING})
        assert tree.snapshot().child("counter").detail == ref.statistics()
        assert tasks_of(tree) == 0
        assert await ref.ask(2) == 2
        assert await ref.ask(3) == 5
        assert (tasks_of(tree), tree.snapshot().child("counter").life) == (1, 1)


async def test_its_constructor_runs_once_a_life_at_its_start(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    async with running(tree := Supervisor([ref.spec()])):
        assert Counter.made == 1
        await ref.tell(1)
        await drain(ref)
        await tree.restart_child("counter")
        assert Counter.made == 2
        assert await ref.ask(4) == 4


async def test_a_constructor_that_raises_is_a_failed_start(autojump_clock: MockClock) -> None:
    class Broken(Counter):
        def __init__(self) -> None:
            raise OSError("no instrument")

    ref = ActorRef("broken", Broken)
    with pytest.raises(OSError, match="no instrument"):
        await Supervisor([ref.spec()]).run()
    assert ref.terminated


@pytest.mark.parametrize(
    "options", [{"concurrency": 2}, {"policy": RetryPolicy()}], ids=["two workers", "retries aside"]
)
async def test_hooks_and_groups_have_their_tasks_from_the_start(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    hooked = Hooked()
    ref = ActorRef[int]("hooked", hooked)
    group = ActorRef[int]("group", Counter, **options)
    async with running(tree := Supervisor([ref.spec(), group.spec()])):
        assert (tasks_of(tree), hooked.hooks) == (2, ["start"])
        assert await group.ask(1) == 1
    assert hooked.hooks == ["start", "stop"]


async def test_what_it_was_told_before_it_came_up_is_done(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    async with running(tree := DynamicSupervisor()):
        ref.tell_nowait(1)
        tree.start_child_nowait(ref.spec())
        ref.tell_nowait(2)
        assert await ref.ask(0) == 3


async def test_what_its_own_constructor_tells_it_is_done(autojump_clock: MockClock) -> None:
    class Eager(Counter):
        def __init__(self) -> None:
            super().__init__()
            ref.tell_nowait(7)

    ref = ActorRef("eager", Eager)
    async with running(Supervisor([ref.spec()])):
        assert await ref.ask(0) == 7
        assert Eager.made == 1


async def test_a_constructor_may_wake_another(autojump_clock: MockClock) -> None:
    class Waking(Counter):
        def __init__(self) -> None:
            super().__init__()
            sleeper.tell_nowait(5)

    sleeper, waking = ActorRef("sleeper", Counter), ActorRef("waking", Waking)
    async with running(Supervisor([sleeper.spec(), waking.spec()])):
        assert await sleeper.ask(1) == 6


async def test_what_is_told_between_two_lives_is_done_by_the_next(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    slow, culprit = Puppet("slow", stop_takes=3.0), Puppet("culprit")
    tree = Supervisor([slow.spec(), ref.spec(), culprit.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        for expected in (1, 2):
            culprit.fail()
            await trio.sleep(1)
            expect_tree(
                tree,
                {"slow": ChildState.STOPPING, "counter": ChildState.PENDING, "culprit": ChildState.PENDING},
            )
            ref.tell_nowait(expected)
            ref.tell_nowait(expected)
            await trio.sleep(3)
            assert await ref.ask(0) == 2 * expected
            ref.tell_nowait(0)
            await drain(ref)


async def test_many_lives_that_sleep_leave_one_place_in_line(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    async with running(tree := Supervisor([ref.spec()])):
        for _ in range(5):
            await tree.restart_child("counter")
        assert ref._workers.mailbox.idle == [ref._workers.mailbox.slots[0]]
        for number in range(3):
            await ref.tell(number)
        assert await ref.ask(0) == 3


async def test_told_after_its_tree_was_cancelled_it_does_it_in_the_next_run(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("counter", Counter)
    inner = Supervisor([ref.spec()], name="inner")
    async with running(outer := Supervisor([ChildSpec("inner", inner.run, shutdown=0)])):
        await outer.stop_child("inner")
        assert not ref.terminated
        ref.tell_nowait(3)
        await settled()
        await outer.resume_child("inner")
        assert await ref.ask(1) == 4


async def test_it_is_terminated_when_its_root_is_cancelled(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    with trio.CancelScope() as scope:
        async with running(Supervisor([ref.spec()])):
            scope.cancel()
    assert scope.cancelled_caught
    assert ref.terminated


async def test_one_that_is_removed_asleep_is_terminated(autojump_clock: MockClock) -> None:
    ref, told = ActorRef("counter", Counter), list[Terminated]()
    async with running(tree := Supervisor([ref.spec()])):
        ref.watch(told.append)
        await tree.remove_child("counter")
        assert told == [Terminated(ref)]
        with pytest.raises(ActorStopped):
            ref.tell_nowait(1)


async def test_its_place_in_a_second_tree_is_an_error(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    spec = ref.spec()
    async with running(Supervisor([spec])):
        with pytest.raises(RuntimeError, match="'counter' runs already; its spec has one place in one tree"):
            await Supervisor([spec]).run()
        assert await ref.ask(1) == 1


async def test_a_failure_after_the_first_message_has_it_sleep_again(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter, policy=RetryPolicy(max_retries=0), ordered=True)
    async with running(tree := Supervisor([ref.spec()])):
        await ref.tell(-1)
        await settled()
        assert (tasks_of(tree), tree.snapshot().child("counter").life, Counter.made) == (0, 2, 2)
        assert await ref.ask(1) == 1


async def test_without_a_policy_the_failed_message_comes_back_to_a_life_with_a_task(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("counter", Counter)
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([ref.spec()], max_restarts=2)):
            await ref.tell(-1)
            await trio.sleep_forever()
    assert Counter.made == 3


async def test_the_testing_kit_crashes_holds_and_drains_one_that_sleeps(autojump_clock: MockClock) -> None:
    ref = ActorRef("counter", Counter)
    async with running(tree := Supervisor([ref.spec()])):
        await drain(ref)
        crash_now(ref)
        assert tree.snapshot().child("counter").life == 2
        hold(ref)
        await ref.tell(4)
        await settled()
        assert ref.statistics().queued == 1
        release(ref)
        assert await ref.ask(1) == 5


@pytest.mark.parametrize(
    "tell", [ActorRef.tell_nowait, partial(trio.run, ActorRef.tell)], ids=["thread", "run"]
)
async def test_a_tell_from_another_thread_is_refused_and_it_sleeps_on(tell: Callable[..., object]) -> None:
    ref = ActorRef("counter", Counter)
    async with running(tree := Supervisor([ref.spec()])):
        for _ in range(2):
            with pytest.raises(WrongThread, match="'counter' was told from outside of its trio run"):
                await trio.to_thread.run_sync(tell, ref, 5)
        assert (ref.statistics().queued, tasks_of(tree)) == (0, 0)
        assert await ref.ask(1) == 1
