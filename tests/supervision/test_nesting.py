"""A supervisor is a child like any other, also 50 deep (promise 27)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled

DEPTH = 50


def nested(leaf: ChildSpec, depth: int = DEPTH, **options: Any) -> Supervisor:
    """A chain of supervisors with one child each."""
    tree = Supervisor([leaf], name="level 0", **options)
    for level in range(1, depth):
        tree = Supervisor([ChildSpec("next", tree.run)], name=f"level {level}", **options)
    return tree


async def test_fifty_supervisors_start_and_stop_in_each_other(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf", stop_takes=1.0).plan(1.0)
    async with running(tree := nested(leaf.spec())):
        assert trio.current_time() == 1
        shape: Any = {"leaf": ChildState.RUNNING}
        for _ in range(DEPTH - 1):
            shape = {"next": shape}
        expect_tree(tree, shape)
    assert trio.current_time() == 2
    assert leaf.diary == ["start leaf", "up leaf", "asked leaf", "end leaf"]


async def test_a_failure_at_the_bottom_of_fifty_reaches_the_top_and_keeps_its_error(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf")
    error = ValueError("deep")
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(nested(leaf.spec(), max_restarts=0)):
            leaf.fail(error)
            await trio.sleep(1)
    level: BaseException = raised.value
    for _ in range(DEPTH):
        assert isinstance(level, RestartIntensityExceeded)
        (level,) = level.exceptions
    assert level is error


async def test_a_first_start_that_fails_fifty_deep_fails_run_with_the_bare_error(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(OSError, match="deep"):
        await nested(Puppet("leaf").plan(OSError("deep")).spec()).run()


async def test_a_deadline_reaches_fifty_deep(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf", stop_takes=1000.0)
    async with running(tree := nested(leaf.spec(shutdown=500))):
        await tree.stop(3)
    assert trio.current_time() == 3


async def test_a_cancellation_reaches_fifty_deep_with_what_is_raised_there(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf", cleanup_error=ValueError("deep"))
    with pytest.raises(BaseExceptionGroup) as raised, trio.move_on_after(1):
        await nested(leaf.spec()).run()
    assert raised.group_contains(ValueError, match="deep")


async def test_events_are_heard_at_every_level_with_the_whole_path(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf")
    inner = Supervisor([leaf.spec()], name="its own name")
    middle = Supervisor([ChildSpec("inner", inner.run)])
    tree = Supervisor([ChildSpec("middle", middle.run)], name="root")
    recordings = [Recording(supervisor) for supervisor in (tree, middle, inner)]
    async with running(tree):
        assert inner.path == ("root", "middle", "inner")
        leaf.fail()
        await settled()
    for recording in recordings:
        paths = {event.path for event in recording.events if event.path[-1] == "leaf"}
        assert paths == {("root", "middle", "inner", "leaf")}


async def test_a_restart_of_a_nested_supervisor_gives_it_fresh_state_and_its_first_children(
    autojump_clock: MockClock,
) -> None:
    leaf, sibling = Puppet("leaf"), Puppet("sibling")
    inner = Supervisor([leaf.spec()])
    tree = Supervisor([ChildSpec("inner", inner.run), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        await inner.start_child(Puppet("guest").spec())
        leaf.fail()
        await settled()
        assert inner.snapshot().restarts_in_window == 1
        sibling.fail()
        await settled()
        expect_tree(tree, {"inner": {"leaf": ChildState.RUNNING}, "sibling": ChildState.RUNNING})
        assert inner.snapshot().restarts_in_window == 0


async def test_one_supervisor_in_two_places_is_a_clear_error(autojump_clock: MockClock) -> None:
    inner = Supervisor([Puppet("leaf").spec()], name="shared")
    with pytest.raises(RuntimeError, match="'shared' is running already"):
        await Supervisor([ChildSpec("one", inner.run), ChildSpec("two", inner.run)]).run()


async def test_a_supervisor_may_run_inside_an_ordinary_child(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf")

    async def wrapper(task_status: trio.TaskStatus[None]) -> None:
        await Supervisor([leaf.spec()]).run(task_status=task_status)

    async with running(tree := Supervisor([ChildSpec("wrapper", wrapper)])):
        leaf.fail()
        await settled()
        assert leaf.lives == 2
        await tree.restart_child("wrapper")
        assert leaf.lives == 3


async def test_what_waits_for_the_end_for_good_is_told_when_no_restart_can_follow(
    autojump_clock: MockClock,
) -> None:
    gone: list[str] = []

    def note() -> None:
        gone.append("gone")

    leaf = Puppet("leaf")
    inner = DynamicSupervisor()
    tree = Supervisor([ChildSpec("inner", inner.run)])
    async with running(tree):
        await inner.start_child(leaf.spec())
        for _ in range(3):
            assert leaf.context is not None
            leaf.context.on_gone(note)
            leaf.fail()
            await settled()
        await tree.restart_child("inner")
        assert gone == []
        await inner.start_child(leaf.spec())
        await tree.stop_child("inner")
        assert gone == []
        await tree.remove_child("inner")
        assert gone == ["gone"]


@pytest.mark.parametrize("end", ["removed", "root stopped", "root cancelled"])
async def test_gone_for_good_is_told_once_whatever_the_end(end: str, autojump_clock: MockClock) -> None:
    gone: list[str] = []
    leaf = Puppet("leaf")
    tree = Supervisor([leaf.spec()])
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        await settled()
        assert leaf.context is not None
        leaf.context.on_gone(lambda: gone.append("gone"))
        if end == "removed":
            await tree.remove_child("leaf")
            assert gone == ["gone"]
        if end == "root cancelled":
            nursery.cancel_scope.cancel()
        else:
            await tree.stop()
    assert gone == ["gone"]
