"""The testing kit keeps its promises: puppets obey, recordings are whole, mismatches are drawn."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import ChildSpec, ChildState, Supervisor
from pywats_supervision.testing import (
    Puppet,
    Recording,
    crash_child,
    expect_tree,
    running,
    seeded_runtime,
    settled,
)
from support.time_limits import VIRTUAL


async def test_expect_tree_draws_both_trees_when_they_differ(autojump_clock: MockClock) -> None:
    inner = Supervisor([Puppet("leaf").spec()])
    async with running(tree := Supervisor([ChildSpec("inner", inner.run), Puppet("b").spec()])):
        with pytest.raises(AssertionError) as raised:
            expect_tree(tree, {"inner": {"leaf": ChildState.STOPPED}, "b": ChildState.RUNNING})
        assert str(raised.value) == (
            "the tree is\n  inner\n    leaf: running\n  b: running\n"
            "but should be\n  inner\n    leaf: stopped\n  b: running"
        )


async def test_expect_tree_heeds_the_order(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor([Puppet("a").spec(), Puppet("b").spec()])):
        with pytest.raises(AssertionError):
            expect_tree(tree, {"b": ChildState.RUNNING, "a": ChildState.RUNNING})


async def test_running_raises_what_the_supervisor_raises_and_cancels_the_block(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    reached = []
    with pytest.raises(ExceptionGroup, match="restarts within"):
        async with running(Supervisor([puppet.spec()], max_restarts=0)):
            puppet.fail()
            await trio.sleep_forever()
            reached.append("the end")
    assert reached == []


async def test_running_raises_the_error_of_the_block_bare(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running(Supervisor([Puppet("a").spec()])):
            raise ZeroDivisionError


async def test_a_recording_that_lost_events_says_so(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec()])
    recording = Recording(tree)
    recording._stream.size = 2
    async with running(tree):
        await settled()
    with pytest.raises(AssertionError, match="were lost"):
        assert recording.events


async def test_a_seeded_runtime_repeats_chance_ids_and_time(autojump_clock: MockClock) -> None:
    def drawn(seed: int) -> list[object]:
        runtime = seeded_runtime(seed)
        return [runtime.random.random(), runtime.ids(), runtime.ids(), runtime.wall_clock(), runtime.ticks()]

    first = drawn(1)
    assert drawn(1) == first
    assert drawn(2)[:3] != first[:3]
    runtime = seeded_runtime()
    before = runtime.wall_clock()
    await trio.sleep(2.5)
    assert runtime.wall_clock() - before == 2_500_000_000
    assert await runtime.run_blocking(lambda number: number + 1, 41) == 42


async def test_ids_of_a_seeded_runtime_are_time_ordered_uuids(autojump_clock: MockClock) -> None:
    from uuid import UUID

    runtime = seeded_runtime()
    ids = []
    for _ in range(3):
        ids.append(runtime.ids())
        await trio.sleep(1)
    assert ids == sorted(ids)
    assert {UUID(text).version for text in ids} == {7}


async def test_a_crashed_child_fails_where_it_waits_and_its_supervisor_decides(
    autojump_clock: MockClock,
) -> None:
    crashed, other = Puppet("a"), Puppet("b")
    async with running(tree := Supervisor([crashed.spec(), other.spec()])):
        recording = Recording(tree)
        crash_child(tree, "a")
        crash_child(tree, "b", OSError("lost"))
        await settled()
        assert (crashed.lives, other.lives) == (2, 2)
        failed = {event.path[-1]: event.error for event in recording.events if event.error}
        assert failed == {"a": "Crashed: child 'a' was crashed by the test", "b": "OSError: lost"}


async def test_only_a_child_that_is_up_can_be_crashed(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor([Puppet("a").spec()])):
        await tree.stop_child("a")
        with pytest.raises(LookupError, match="'a' of 'supervisor' is not up"):
            crash_child(tree, "a")
        with pytest.raises(LookupError, match="nobody"):
            crash_child(tree, "nobody")


async def test_running_raises_bare_what_fails_a_first_start_and_does_not_enter_the_block(
    autojump_clock: MockClock,
) -> None:
    error = OSError("first start")
    entered = False
    with pytest.raises(OSError, match="first start") as raised:
        async with running(Supervisor([Puppet("a").plan(error).spec()])):
            entered = True
    assert raised.value is error
    assert not entered


async def test_a_test_of_a_tree_in_virtual_time_cannot_hang(autojump_clock: MockClock) -> None:
    assert trio.current_effective_deadline() == VIRTUAL


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stop_takes": -1}, "stop_takes must be 0 or more seconds"),
        ({"shielded": "long"}, "shielded must be a number of seconds, not 'long'"),
        ({"stop_error": "broken"}, "stop_error must be an exception or None, not 'broken'"),
        (
            {"cleanup_error": ValueError},
            "cleanup_error must be an exception or None, not <class 'ValueError'>",
        ),
    ],
)
def test_a_puppet_refuses_what_makes_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        Puppet("a", **options)


@pytest.mark.parametrize("plan", [-1, "slow", float("nan"), ValueError])
def test_a_puppet_refuses_a_plan_that_makes_no_sense(plan: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="a plan must be"):
        Puppet("a").plan(None, 1.0, OSError(), plan)
