"""Children start in order, each up before the next, and stop in reverse (promises 1 and 2)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    TEMPORARY,
    ChildSpec,
    ChildState,
    DuplicateChild,
    DynamicSupervisor,
    Happening,
    NotRunning,
    Supervisor,
)
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import restarting


async def test_children_start_in_order_and_each_is_up_before_the_next_starts(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary).plan(3.0 - number) for number, name in enumerate("abc")]
    async with running(Supervisor(puppet.spec() for puppet in puppets)):
        assert diary == ["start a", "up a", "start b", "up b", "start c", "up c"]
        assert trio.current_time() == 3 + 2 + 1


async def test_children_stop_in_reverse_and_each_is_down_before_the_next_is_asked(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary, stop_takes=1.0) for name in "abc"]
    async with running(Supervisor(puppet.spec() for puppet in puppets)):
        diary.clear()
    assert diary == ["asked c", "end c", "asked b", "end b", "asked a", "end a"]


async def test_run_is_started_only_when_every_child_had_its_turn(autojump_clock: MockClock) -> None:
    late = Puppet("late").plan(7.0)
    tree = Supervisor([Puppet("early").spec(), late.spec()])
    async with trio.open_nursery() as nursery:
        await nursery.start(tree.run)
        assert trio.current_time() == 7
        assert tree.snapshot().state == "running"
        tree.request_stop()


async def test_while_a_child_is_starting_those_after_it_are_pending(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec(), Puppet("b").plan(5.0).spec(), Puppet("c").spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.STARTING, "c": ChildState.PENDING})
        assert tree.snapshot().state == "starting"
        await trio.sleep(6)
        expect_tree(tree, dict.fromkeys("abc", ChildState.RUNNING))
        await tree.stop()


async def test_a_child_that_fails_its_first_start_stops_the_earlier_ones_in_reverse_and_fails_run(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    error = ConnectionError("no broker")
    puppets = [Puppet(name, diary=diary) for name in "abcd"]
    puppets[2].plan(error)
    tree = Supervisor(puppet.spec() for puppet in puppets)
    with pytest.raises(ConnectionError) as raised:
        await tree.run()
    assert raised.value is error
    assert diary == [
        *("start a", "up a", "start b", "up b", "start c", "end c"),
        *("asked b", "end b", "asked a", "end a"),
    ]
    assert puppets[3].lives == 0


async def test_a_failed_first_start_in_a_nested_supervisor_fails_the_root_with_the_same_error(
    autojump_clock: MockClock,
) -> None:
    error = OSError("disk")
    inner = Supervisor([Puppet("leaf").plan(error).spec()], name="inner")
    with pytest.raises(OSError, match="disk") as raised:
        await Supervisor([Puppet("first").spec(), ChildSpec("inner", inner.run)]).run()
    assert raised.value is error


async def test_a_child_that_fails_its_first_start_with_a_policy_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a").plan(OSError("1"), OSError("2"))
    tree = Supervisor([puppet.spec(policy=restarting(10.0)), Puppet("b").spec()], max_restarts=0)
    async with running(tree):
        expect_tree(tree, {"a": ChildState.BACKING_OFF, "b": ChildState.RUNNING})
        await trio.sleep(20.5)
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})
        assert puppet.lives == 3


@pytest.mark.parametrize("whose", ["child", "supervisor"])
async def test_a_first_start_that_fails_with_a_policy_that_leaves_it_open_counts_and_is_tried_again(
    whose: str, autojump_clock: MockClock
) -> None:
    """A retry policy decides about items only; so the intensity does, as about any other failure."""
    policy = RetryPolicy()
    a, b = Puppet("a").plan(OSError("1"), OSError("2")), Puppet("b")
    own = policy if whose == "child" else None
    tree = Supervisor(
        [a.spec(policy=own), b.spec(policy=own)], policy=None if own else policy, max_restarts=3
    )
    async with running(tree):
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})
        assert a.lives == 3
        assert tree.snapshot().restarts_in_window == 2
        await tree.start_child(Puppet("c").plan(OSError("3")).spec(policy=own))
        assert tree.snapshot().restarts_in_window == 3


async def test_a_child_that_backs_off_in_the_first_start_does_not_hold_up_those_after_it_later(
    autojump_clock: MockClock,
) -> None:
    """Its second start takes long; the others had not to wait for the first, so not for this one."""
    flapping = Puppet("flapping").plan(OSError(), 1000.0)
    slow = Puppet("slow").plan(20.0)
    last = Puppet("last")
    tree = Supervisor([flapping.spec(policy=restarting(10.0), start_timeout=2000), slow.spec(), last.spec()])
    async with running(tree):
        assert trio.current_time() == 20
        assert last.lives == 1


async def test_a_start_that_returns_before_it_is_up_is_ignored_and_the_next_starts(
    autojump_clock: MockClock,
) -> None:
    tree = Supervisor(
        [Puppet("a").plan(None).spec(), Puppet("b").plan(None).spec(restart=TEMPORARY), Puppet("c").spec()]
    )
    with_events = Recording(tree)
    async with running(tree):
        expect_tree(tree, {"a": ChildState.STOPPED, "c": ChildState.RUNNING})
        assert with_events.kinds("a") == [
            *(Happening.PENDING, Happening.STARTING),
            *(Happening.IGNORED, Happening.STOPPED),
        ]


async def test_a_plain_child_is_up_at_once_so_its_first_failure_is_a_restart(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("plain", says_up=False, listens=False).plan(OSError())
    async with running(Supervisor([puppet.spec()])):
        await settled()
        assert puppet.lives == 2


async def test_a_supervisor_without_children_is_ready_at_once_and_runs_until_it_is_stopped(
    autojump_clock: MockClock,
) -> None:
    tree = Supervisor()
    async with running(tree):
        await trio.sleep(3600)
        assert tree.snapshot().state == "running"
    assert tree.snapshot().state == "not running"


async def test_run_works_again_after_it_has_ended_with_the_children_it_was_built_with(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec()])
    for lives in (1, 2):
        async with running(tree):
            await tree.start_child(Puppet("guest").spec())
            assert puppet.lives == lives
            assert tree.snapshot().child("a").life == 1


async def test_run_works_again_after_it_has_failed_or_was_cancelled(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(OSError())
    tree = Supervisor([puppet.spec()])
    with pytest.raises(OSError):
        await tree.run()
    with trio.move_on_after(1):
        await tree.run()
    async with running(tree):
        expect_tree(tree, {"a": ChildState.RUNNING})


async def test_running_twice_at_a_time_is_a_clear_error_and_harms_nobody(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec()], name="mine")
    async with running(tree):
        with pytest.raises(RuntimeError, match="'mine' is running already"):
            await tree.run()
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert puppet.lives == 1


async def test_two_children_of_one_name_are_refused_when_the_tree_is_built(autojump_clock: MockClock) -> None:
    with pytest.raises(ValueError, match="'a'"):
        Supervisor([Puppet("a").spec(), Puppet("a").spec()])
    async with running(tree := Supervisor([Puppet("a").spec()])):
        with pytest.raises(DuplicateChild, match="'a'"):
            await tree.start_child(Puppet("a").spec())


async def test_a_stop_during_the_first_start_cancels_it_and_starts_nobody_else(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary) for name in "abc"]
    puppets[1].plan(60.0)
    tree = Supervisor(puppet.spec() for puppet in puppets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        await tree.stop()
    assert diary == ["start a", "up a", "start b", "cancelled b", "end b", "asked a", "end a"]
    assert trio.current_time() == 0


async def test_calls_on_a_supervisor_that_does_not_run_say_so(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec()])
    for call in (
        tree.stop_child,
        tree.restart_child,
        tree.remove_child,
        tree.suspend_child,
        tree.resume_child,
    ):
        with pytest.raises(NotRunning):
            await call("a")
    with pytest.raises(NotRunning):
        await tree.start_child(Puppet("b").spec())
    await tree.stop()
    tree.request_stop()
    assert (tree.children(), tree.count().specs) == ((), 0)


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": 5}, TypeError),
        ({"name": ""}, ValueError),
        ({"runtime": 3}, TypeError),
        ({"policy": 3}, TypeError),
        ({"auto_shutdown": "any"}, TypeError),
    ],
)
def test_a_supervisor_refuses_what_makes_no_sense_by_name_and_value(
    kind: type[Supervisor | DynamicSupervisor], options: dict[str, Any], error: type[Exception]
) -> None:
    (name,) = options
    with pytest.raises(error, match=f"^{name} must"):
        kind(**options)


@pytest.mark.parametrize("children", [5, None, Puppet("a").spec()])
def test_children_that_are_not_several_specifications_are_refused(children: Any) -> None:
    with pytest.raises(TypeError, match=r"^children of 'mine' must be several ChildSpecs, not "):
        Supervisor(children, name="mine")
