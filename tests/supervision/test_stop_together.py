"""A supervisor whose children do not depend on each other may stop them all at once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import ONE_FOR_ALL, REST_FOR_ONE, ChildState, Strategy, Supervisor
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import restarting

SLOW = 1000.0


async def test_all_are_asked_at_once_and_the_longest_grace_bounds_the_stop(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, stop_takes=SLOW, diary=diary) for name in ("a", "b", "c")]
    tree = Supervisor(
        [puppet.spec(shutdown=grace) for puppet, grace in zip(puppets, (1.0, 5.0, 5.0), strict=True)],
        stop_together=True,
    )
    async with running(tree):
        diary.clear()
        await tree.stop()
        assert trio.current_time() == 5
    assert sorted(diary[:3]) == ["asked a", "asked b", "asked c"]


async def test_they_still_start_in_order_each_ready_before_the_next(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary) for name in ("a", "b", "c")]
    async with running(Supervisor([puppet.spec() for puppet in puppets], stop_together=True)):
        assert diary == ["start a", "up a", "start b", "up b", "start c", "up c"]


async def test_they_are_restarted_stopped_and_started_by_hand_as_others_are(
    autojump_clock: MockClock,
) -> None:
    puppets = [Puppet(name) for name in ("a", "b")]
    async with running(tree := Supervisor([puppet.spec() for puppet in puppets], stop_together=True)):
        puppets[0].fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})
        await tree.stop_child("a")
        expect_tree(tree, {"a": ChildState.STOPPED, "b": ChildState.RUNNING})
        await tree.resume_child("a")
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})
    assert puppets[0].diary.count("up a") == 3
    assert puppets[1].diary == ["start b", "up b", "asked b", "end b"]


async def test_a_failed_first_start_stops_the_earlier_ones_and_fails_run(autojump_clock: MockClock) -> None:
    earlier = [Puppet(name, stop_takes=4.0) for name in ("a", "b")]
    failing = Puppet("c").plan(OSError("no port"))
    tree = Supervisor([puppet.spec() for puppet in [*earlier, failing]], stop_together=True)
    with pytest.raises(OSError, match="no port"):
        await tree.run()
    assert trio.current_time() == 4


async def test_one_that_waits_for_its_restart_does_not_hold_up_the_stop(autojump_clock: MockClock) -> None:
    waiting, other = Puppet("a"), Puppet("b", stop_takes=2.0)
    tree = Supervisor([waiting.spec(policy=restarting(60.0)), other.spec()], stop_together=True)
    async with running(tree):
        waiting.fail()
        await settled()
        await tree.stop()
        assert trio.current_time() == 2


@pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE])
def test_children_that_depend_on_each_other_cannot_stop_together(strategy: Strategy) -> None:
    with pytest.raises(ValueError, match="stop_together takes ONE_FOR_ONE"):
        Supervisor(strategy=strategy, stop_together=True)


def test_stop_together_is_a_bool() -> None:
    with pytest.raises(TypeError, match="stop_together must be True or False, not 5"):
        Supervisor(stop_together=5)  # type: ignore[arg-type]
