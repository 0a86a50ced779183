"""Cancelling the scope around a tree cancels everything, leaves no task, restarts nothing (promise 14)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ChildSpec,
    DynamicSupervisor,
    Happening,
    RestartIntensityExceeded,
    Strategy,
    SupervisionError,
    Supervisor,
)
from pywats_supervision.testing import Puppet, Recording, settled
from support.policies import restarting


async def _cancelled_after(seconds: float, tree: Supervisor | DynamicSupervisor) -> None:
    with trio.move_on_after(seconds) as scope:
        await tree.run()
    assert scope.cancelled_caught


async def test_all_children_are_cancelled_and_none_is_restarted(autojump_clock: MockClock) -> None:
    puppets = [Puppet(name, stop_takes=9.0) for name in "abc"]
    await _cancelled_after(1, Supervisor(p.spec() for p in puppets))
    for puppet in puppets:
        assert puppet.diary[-2:] == [f"cancelled {puppet.name}", f"end {puppet.name}"]
        assert puppet.lives == 1
    assert trio.current_time() == 1


async def test_no_task_is_left(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    inner = DynamicSupervisor()
    tree = Supervisor([ChildSpec("inner", inner.run), *(Puppet(name, shielded=2.0).spec() for name in "ab")])
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        for number in range(50):
            await inner.start_child(Puppet(f"p{number}").spec())
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_child_that_answers_a_cancellation_by_returning_is_not_restarted(
    autojump_clock: MockClock,
) -> None:
    lives = 0

    async def swallow() -> None:
        nonlocal lives
        lives += 1
        with trio.CancelScope(shield=True):
            await trio.sleep(3)

    for _ in range(20):
        lives = 0
        await _cancelled_after(1, Supervisor([ChildSpec(f"c{number}", swallow) for number in range(9)]))
        assert lives == 9


async def test_no_line_of_a_new_life_runs_in_a_cancelled_tree(autojump_clock: MockClock) -> None:
    """Whatever order trio wakes the tasks in, and whoever of the children is first."""
    after_the_cancellation = []

    async def fail_when_cancelled() -> None:
        if scope.cancel_called:
            after_the_cancellation.append("a line ran")
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise ValueError("instead of Cancelled") from None

    for _ in range(50):
        tree = Supervisor(
            [ChildSpec(str(number), fail_when_cancelled, policy=restarting()) for number in range(5)]
        )
        with trio.CancelScope() as scope:
            with pytest.raises(BaseExceptionGroup):
                async with trio.open_nursery() as nursery:
                    await nursery.start(tree.run)
                    await settled()
                    scope.cancel()
    assert after_the_cancellation == []


async def test_a_start_that_says_up_while_it_is_cancelled_starts_nobody_after_it(
    autojump_clock: MockClock,
) -> None:
    started = []

    async def up_at_last(task_status: trio.TaskStatus[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            task_status.started()

    async def next_one() -> None:
        started.append("next")

    for _ in range(20):
        await _cancelled_after(1, Supervisor([ChildSpec("a", up_at_last), ChildSpec("b", next_one)]))
    assert started == []


async def test_what_children_raise_in_their_cancelled_cleanup_comes_out_of_run(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a", cleanup_error=ValueError("a")), Puppet("b", cleanup_error=OSError("b"))
    tree = Supervisor([a.spec(), b.spec(), Puppet("c").spec()])
    with pytest.raises(BaseExceptionGroup) as raised, trio.move_on_after(1):
        await tree.run()
    assert sorted(str(error) for error in _leaves(raised.value)) == ["a", "b"]


async def test_what_children_raise_in_their_cancelled_cleanup_comes_out_of_a_nested_tree_too(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf", cleanup_error=ValueError("deep"))
    tree = Supervisor([leaf.spec()])
    for _ in range(5):
        tree = Supervisor([ChildSpec("inner", tree.run)])
    with pytest.raises(BaseExceptionGroup) as raised, trio.move_on_after(1):
        await tree.run()
    assert [str(error) for error in _leaves(raised.value)] == ["deep"]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


async def test_a_cancellation_while_it_gives_up_raises_both(autojump_clock: MockClock) -> None:
    a, b = Puppet("a", stop_takes=60.0), Puppet("b")
    tree = Supervisor([a.spec(shutdown=90), b.spec()], max_restarts=0, name="mine")
    with pytest.raises(BaseExceptionGroup) as raised, trio.move_on_after(10) as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(tree.run)
            b.fail(ValueError("why"))
    assert scope.cancel_called
    assert raised.group_contains(RestartIntensityExceeded)
    assert raised.group_contains(ValueError, match="why")
    assert not raised.group_contains(trio.Cancelled)
    assert a.diary[-2:] == ["cancelled a", "end a"]


async def test_a_cancellation_during_a_first_start_that_failed_raises_both(autojump_clock: MockClock) -> None:
    a, b = Puppet("a", stop_takes=60.0), Puppet("b").plan(OSError("no start"))
    tree = Supervisor([a.spec(shutdown=90), b.spec()])
    with pytest.raises(BaseExceptionGroup) as raised, trio.move_on_after(10):
        await tree.run()
    assert [str(error) for error in _leaves(raised.value)] == ["no start"]


async def test_a_cancellation_while_children_are_backing_off_starts_none_of_them(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", says_up=False).plan(*[OSError()] * 3)
    tree = Supervisor([puppet.spec(policy=restarting(4.0))])
    await _cancelled_after(6, tree)
    assert puppet.lives == 2


async def test_a_cancellation_in_the_middle_of_a_group_restart(autojump_clock: MockClock) -> None:
    for moment in range(12):
        puppets = [Puppet(name, stop_takes=1.0).plan(0.0, 1.0) for name in "abc"]
        tree = Supervisor((p.spec(policy=restarting(1.0)) for p in puppets), strategy=ONE_FOR_ALL)
        with trio.move_on_after(moment / 2 + 0.25):
            async with trio.open_nursery() as nursery:
                await nursery.start(tree.run)
                puppets[1].fail()
        lives = [puppet.lives for puppet in puppets]
        await trio.sleep(20)
        assert [puppet.lives for puppet in puppets] == lives
        assert all(puppet.diary[-1].startswith("end") for puppet in puppets)


class _CancelsAt:
    """Cancels a scope when the scheduler runs for the n-th time; so every await is hit in turn."""

    def __init__(self, scope: trio.CancelScope, number: int) -> None:
        self.scope = scope
        self.left = number

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def _eventful(tree: Supervisor, puppets: dict[str, Puppet]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        puppets["b"].fail()
        await tree.start_child(Puppet("new").spec())
        await tree.restart_child("a")
        await tree.stop_child("c")
        puppets["a"].fail()
        await settled()
        await tree.stop()


@pytest.mark.parametrize("strategy", Strategy)
async def test_a_cancellation_at_every_single_step_leaves_nothing_behind(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    number, finished = 0, False
    while not finished:
        number += 1
        puppets = {name: Puppet(name).plan(0.5) for name in "abc"}
        leaf = Puppet("leaf")
        inner = Supervisor([leaf.spec()])
        specs = [*(puppet.spec() for puppet in puppets.values()), ChildSpec("inner", inner.run)]
        tree = Supervisor(specs, strategy=strategy, max_restarts=9)
        with trio.CancelScope() as scope:
            instrument = _CancelsAt(scope, number)
            trio.lowlevel.add_instrument(instrument)  # type: ignore[arg-type]
            try:
                await _eventful(tree, puppets)
            except* (RuntimeError, SupervisionError):
                pass  # a child that was told to fail did so, or a call came, just after the cancellation
            finally:
                trio.lowlevel.remove_instrument(instrument)  # type: ignore[arg-type]
        finished = not scope.cancel_called
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert tree.snapshot().state == "not running"
        for puppet in (*puppets.values(), leaf):
            begun = puppet.diary.count(f"start {puppet.name}")
            assert puppet.diary.count(f"end {puppet.name}") == begun == puppet.lives
    assert number > 25


async def test_the_events_of_a_cancelled_tree_say_that_everybody_is_down(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec(), Puppet("b", cleanup_error=OSError("x")).spec()])
    events = Recording(tree)
    with pytest.raises(BaseExceptionGroup), trio.move_on_after(1):
        await tree.run()
    assert events.kinds("a")[-1] is Happening.STOPPED
    assert events.kinds("b")[-2:] == [Happening.FAILED, Happening.STOPPED]
    assert events.events[-1].kind is Happening.FINISHED


async def test_waiting_calls_end_when_the_tree_is_cancelled(autojump_clock: MockClock) -> None:
    outcomes: list[Any] = []

    async def call(tree: Supervisor, name: str) -> None:
        try:
            await tree.stop_child(name)
        except Exception as error:
            outcomes.append(error)
        else:
            outcomes.append("down")

    tree = Supervisor([Puppet("a", stop_takes=99.0).spec(shutdown=100)])
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as around:
            await around.start(tree.run)
            nursery.start_soon(call, tree, "a")
            await settled()
            nursery.start_soon(tree.stop)
            await trio.sleep(1)
            around.cancel_scope.cancel()
    assert outcomes == ["down"]
