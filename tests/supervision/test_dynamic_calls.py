"""start, stop, restart, remove, suspend and resume, whatever the child is doing (promise 13)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    ChildState,
    ChildStopped,
    DuplicateChild,
    DynamicSupervisor,
    NotRunning,
    RestartIntensityExceeded,
    StartTimeout,
    Supervisor,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    WrongThread,
)
from pywats_supervision.policies.decision import Escalate, Stop
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import Answers, answering, restarting

LEFT_BY: dict[str, dict[str, ChildState]] = {
    "stop_child": {"a": ChildState.STOPPED},
    "restart_child": {"a": ChildState.RUNNING},
    "remove_child": {},
    "suspend_child": {"a": ChildState.SUSPENDED},
    "resume_child": {"a": ChildState.RUNNING},
}
"""How each call leaves child "a"."""

CALLS = list(LEFT_BY)


class Caller:
    """Waits for a call in the background and keeps what came of it."""

    def __init__(self, nursery: trio.Nursery, call: Any, *args: Any) -> None:
        self.outcome: Any = "waits"
        nursery.start_soon(self._call, call, args)

    async def _call(self, call: Any, args: Any) -> None:
        try:
            self.outcome = await call(*args)
        except Exception as error:
            self.outcome = error


# start_child


async def test_start_child_returns_what_started_was_given_once_the_child_is_up(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a").plan(3.0)
    puppet.value = {"port": 5000}
    async with running(tree := Supervisor()):
        assert await tree.start_child(puppet.spec()) == {"port": 5000}
        assert trio.current_time() == 3


async def test_start_child_of_a_plain_or_an_ignored_child_returns_none(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor()):
        assert await tree.start_child(Puppet("plain", says_up=False).spec()) is None
        assert await tree.start_child(Puppet("ignored").plan(None).spec()) is None
        expect_tree(tree, {"plain": ChildState.RUNNING, "ignored": ChildState.STOPPED})


async def test_start_child_raises_what_the_first_start_raised_and_forgets_the_child(
    autojump_clock: MockClock,
) -> None:
    error = OSError("no")
    async with running(tree := Supervisor([Puppet("a").spec()], max_restarts=0)):
        with pytest.raises(OSError, match="no") as raised:
            await tree.start_child(Puppet("b").plan(error).spec())
        assert raised.value is error
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert tree.snapshot().restarts_in_window == 0


async def test_start_child_with_a_policy_waits_through_its_retries(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(OSError(), OSError())
    puppet.value = "third"
    async with running(tree := Supervisor(max_restarts=0)):
        assert await tree.start_child(puppet.spec(policy=restarting(5.0))) == "third"
        assert trio.current_time() == 10


async def test_start_child_raises_the_childs_error_when_its_policy_stops_it(
    autojump_clock: MockClock,
) -> None:
    async with running(tree := Supervisor()):
        with pytest.raises(OSError, match="gone"):
            await tree.start_child(Puppet("a").plan(OSError("gone")).spec(policy=answering(Stop())))
        expect_tree(tree, {"a": ChildState.STOPPED})


async def test_start_child_raises_the_childs_error_when_its_policy_escalates(
    autojump_clock: MockClock,
) -> None:
    caught: list[object] = []
    tree = Supervisor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_and_catch, tree, caught)
        await settled()
        with pytest.raises(OSError, match="gone"):
            await tree.start_child(Puppet("a").plan(OSError("gone")).spec(policy=answering(Escalate())))
    assert len(caught) == 1


async def _run_and_catch(tree: Supervisor, caught: list[object]) -> None:
    try:
        await tree.run()
    except Exception as error:
        caught.append(error)


async def test_start_child_of_a_temporary_child_raises_its_error_even_with_a_policy(
    autojump_clock: MockClock,
) -> None:
    async with running(tree := Supervisor()):
        with pytest.raises(OSError, match="gone"):
            await tree.start_child(
                Puppet("a").plan(OSError("gone")).spec(restart=TEMPORARY, policy=restarting())
            )
        expect_tree(tree, {})


async def test_start_child_raises_start_timeout(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor()):
        with pytest.raises(StartTimeout, match="'a' of 'supervisor'"):
            await tree.start_child(Puppet("a").plan(inf).spec(start_timeout=4))
        assert trio.current_time() == 4
        expect_tree(tree, {})


@pytest.mark.parametrize("call", ["stop_child", "suspend_child", "remove_child"])
async def test_start_child_says_that_the_child_was_stopped_before_it_was_up(
    call: str, autojump_clock: MockClock
) -> None:
    async with running(tree := Supervisor()), trio.open_nursery() as nursery:
        caller = Caller(nursery, tree.start_child, Puppet("a").plan(inf).spec())
        await settled()
        await getattr(tree, call)("a")
        await settled()
        assert isinstance(caller.outcome, ChildStopped)


async def test_start_child_survives_a_restart_by_hand_and_returns_the_second_lives_value(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a").plan(inf)
    async with running(tree := Supervisor()), trio.open_nursery() as nursery:
        caller = Caller(nursery, tree.start_child, puppet.spec())
        await settled()
        puppet.value = 2
        assert await tree.restart_child("a") == 2
        await settled()
        assert caller.outcome == 2


async def test_start_child_ends_when_the_supervisor_stops(autojump_clock: MockClock) -> None:
    tree = Supervisor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        caller = Caller(nursery, tree.start_child, Puppet("a").plan(inf).spec())
        await settled()
        await tree.stop()
    assert isinstance(caller.outcome, ChildStopped)


async def test_start_child_ends_when_the_supervisor_is_cancelled(autojump_clock: MockClock) -> None:
    tree = Supervisor()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as inner:
            await inner.start(tree.run)
            callers = [
                Caller(nursery, tree.start_child, Puppet("a").plan(inf).spec()),
                Caller(nursery, tree.start_child, Puppet("b").plan(OSError()).spec(policy=restarting(9))),
            ]
            await settled()
            inner.cancel_scope.cancel()
        await settled()
    assert all(isinstance(caller.outcome, ChildStopped | NotRunning) for caller in callers)


async def test_a_caller_of_start_child_that_is_cancelled_leaves_the_child_starting(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a").plan(5.0)
    async with running(tree := Supervisor()):
        with trio.move_on_after(1):
            await tree.start_child(puppet.spec())
        expect_tree(tree, {"a": ChildState.STARTING})
        await trio.sleep(5)
        expect_tree(tree, {"a": ChildState.RUNNING})


async def test_start_child_during_the_first_start_takes_its_turn_after_it(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    a.plan(5.0)
    tree = Supervisor([a.spec(), b.spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        await tree.start_child(c.spec())
        assert diary == ["start a", "up a", "start b", "up b", "start c", "up c"]
        await tree.stop()


async def test_a_delayed_start_waits_and_can_be_stopped(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor()):
        tree.start_child_nowait(Puppet("a").spec(), delay=10)
        tree.start_child_nowait(Puppet("b").spec(), delay=10)
        await trio.sleep(5)
        expect_tree(tree, {"a": ChildState.BACKING_OFF, "b": ChildState.BACKING_OFF})
        assert tree.snapshot().child("a").due == 10
        await tree.stop_child("b")
        await trio.sleep(6)
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.STOPPED})


async def test_a_delayed_first_start_that_fails_is_logged_and_forgotten(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor(max_restarts=0)):
        tree.start_child_nowait(Puppet("a").plan(OSError()).spec(), delay=1)
        await trio.sleep(2)
        expect_tree(tree, {})


# Each state and each call


async def _brought_to(state: ChildState, tree: Supervisor, nursery: trio.Nursery) -> Puppet:
    """Start child "a" and bring it into a state."""
    puppet = Puppet("a", stop_takes=2.0 if state is ChildState.STOPPING else 0.0)
    policy = restarting(50.0) if state is ChildState.BACKING_OFF else None
    if state is ChildState.STARTING:
        tree.start_child_nowait(puppet.plan(3.0).spec())
        return puppet
    await tree.start_child(puppet.spec(policy=policy))
    if state is ChildState.BACKING_OFF:
        puppet.fail()
    elif state is ChildState.SUSPENDED:
        await tree.suspend_child("a")
    elif state is ChildState.STOPPED:
        await tree.stop_child("a")
    elif state is ChildState.STOPPING:
        nursery.start_soon(tree.stop_child, "a")
    await settled()
    return puppet


STATES = [state for state in ChildState if state is not ChildState.PENDING]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("call", CALLS)
async def test_each_call_does_what_it_says_in_each_state_of_the_child(
    state: ChildState, call: str, autojump_clock: MockClock
) -> None:
    async with running(tree := Supervisor()), trio.open_nursery() as nursery:
        puppet = await _brought_to(state, tree, nursery)
        assert tree.snapshot().child("a").state is state
        with trio.fail_after(10):
            await getattr(tree, call)("a")
        await settled()
        expect_tree(tree, LEFT_BY[call])
        await trio.sleep(100)
        lives = puppet.lives
        await trio.sleep(100)
        assert puppet.lives == lives
        expect_tree(tree, LEFT_BY[call])


@pytest.mark.parametrize("call", CALLS)
async def test_each_call_works_on_a_child_that_waits_for_its_turn_in_a_group(
    call: str, autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b", stop_takes=2.0)
    async with running(tree := Supervisor([b.spec(), a.spec()], strategy=ONE_FOR_ALL)):
        a.fail()
        await settled()
        expect_tree(tree, {"b": ChildState.STOPPING, "a": ChildState.PENDING})
        with trio.fail_after(10):
            await getattr(tree, call)("a")
        await trio.sleep(10)
        expect_tree(tree, {"b": ChildState.RUNNING} | LEFT_BY[call])


@pytest.mark.parametrize("first", CALLS)
@pytest.mark.parametrize("second", CALLS)
async def test_two_callers_about_one_child_both_get_an_answer(
    first: str, second: str, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a", stop_takes=2.0)
    async with running(tree := Supervisor([puppet.spec()])), trio.open_nursery() as nursery:
        one = Caller(nursery, getattr(tree, first), "a")
        await trio.sleep(1)
        two = Caller(nursery, getattr(tree, second), "a")
        await trio.sleep(10)
        # The child takes two seconds to stop, so the last call stands, but what is being removed is removed.
        stands = first if first == "remove_child" else second
        expect_tree(tree, LEFT_BY[stands])
        comes_up = stands in {"restart_child", "resume_child"}
        for call, caller in ((first, one), (second, two)):
            # To resume first was to leave alone one that ran.
            waited_for_up = call == "restart_child" or (call == "resume_child" and caller is two)
            if waited_for_up and not comes_up:
                assert isinstance(caller.outcome, ChildStopped)
            else:
                assert caller.outcome is None


async def test_a_child_that_is_being_removed_is_removed_whoever_asks_for_what(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", stop_takes=2.0)
    async with running(tree := Supervisor([puppet.spec()])), trio.open_nursery() as nursery:
        nursery.start_soon(tree.remove_child, "a")
        await settled()
        await tree.stop_child("a")
        expect_tree(tree, {})


async def test_restart_child_keeps_the_position(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor([Puppet(name).spec() for name in "abc"])):
        await tree.restart_child("b")
        await tree.stop_child("a")
        await tree.resume_child("a")
        assert [child.name for child in tree.children()] == ["a", "b", "c"]


async def test_restart_child_in_the_first_start_holds_up_those_after_it(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    a, b = Puppet("a", diary=diary).plan(10.0, 10.0), Puppet("b", diary=diary)
    tree = Supervisor([a.spec(), b.spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(5)
        await tree.restart_child("a")
        await settled()
        assert diary == ["start a", "cancelled a", "end a", "start a", "up a", "start b", "up b"]
        assert trio.current_time() == 15
        await tree.stop()


async def test_restart_child_that_fails_to_start_counts_and_is_tried_again(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec()], max_restarts=1)):
        puppet.plan(OSError())
        puppet.value = "second try"
        assert await tree.restart_child("a") == "second try"
        assert tree.snapshot().restarts_in_window == 1


async def test_restart_child_raises_the_last_error_when_the_supervisor_gives_up(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded):
        async with running(tree := Supervisor([puppet.spec()], max_restarts=1)):
            puppet.plan(OSError("1"), OSError("2"))
            with pytest.raises(OSError, match="2"):
                await tree.restart_child("a")
            await trio.sleep(1)


async def test_a_child_that_was_never_up_and_fails_when_resumed_stays_down_with_its_error(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a").plan(inf, OSError("x"))
    tree = Supervisor(max_restarts=0)
    async with running(tree), trio.open_nursery() as nursery:
        Caller(nursery, tree.start_child, puppet.spec())
        await settled()
        await tree.stop_child("a")
        with pytest.raises(OSError, match="x"):
            await tree.resume_child("a")
        expect_tree(tree, {"a": ChildState.STOPPED})


async def test_a_child_of_the_first_start_whose_turn_never_came_stays_when_it_fails_to_be_resumed(
    autojump_clock: MockClock,
) -> None:
    slow, stopped = Puppet("slow").plan(5.0), Puppet("stopped").plan(OSError("x"))
    tree = Supervisor([slow.spec(), stopped.spec()], max_restarts=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(1)
        await tree.stop_child("stopped")
        await trio.sleep(10)
        with pytest.raises(OSError, match="x"):
            await tree.resume_child("stopped")
        expect_tree(tree, {"slow": ChildState.RUNNING, "stopped": ChildState.STOPPED})
        await tree.resume_child("stopped")
        expect_tree(tree, dict.fromkeys(("slow", "stopped"), ChildState.RUNNING))
        await tree.stop()


async def test_a_new_child_that_fails_while_the_first_start_goes_on_fails_its_call_and_not_run(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        tree = Supervisor([Puppet("first").plan(10.0).spec()])
        nursery.start_soon(tree.run)
        await trio.sleep(1)
        with pytest.raises(OSError, match="x"):
            await tree.start_child(Puppet("new").plan(OSError("x")).spec())
        await settled()
        expect_tree(tree, {"first": ChildState.RUNNING})
        assert tree.snapshot().state == "running"
        await tree.stop()


@pytest.mark.parametrize("first", ["restart_child", "group"])
async def test_a_child_restarted_by_hand_keeps_the_order_of_the_group_that_restarts_meanwhile(
    first: str, autojump_clock: MockClock
) -> None:
    """Also a temporary one, which the group alone would have taken along for good."""
    diary: list[str] = []
    a = Puppet("a", diary=diary).plan(0.0, 3.0)
    b = Puppet("b", diary=diary, stop_takes=2.0)
    tree = Supervisor([a.spec(), b.spec(restart=TEMPORARY)], strategy=ONE_FOR_ALL)
    async with running(tree), trio.open_nursery() as nursery:
        diary.clear()
        if first == "restart_child":
            caller = Caller(nursery, tree.restart_child, "b")
            await settled()
            a.fail()
        else:
            a.fail()
            await settled()
            caller = Caller(nursery, tree.restart_child, "b")
        await trio.sleep(10)
        assert caller.outcome is None
        assert [line for line in diary if "asked" not in line] == [
            *("end a", "end b", "start a", "up a", "start b", "up b"),
        ]


async def test_resuming_a_temporary_child_that_goes_down_with_its_group_does_not_keep_it(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b", stop_takes=2.0)
    tree = Supervisor([a.spec(), b.spec(restart=TEMPORARY)], strategy=ONE_FOR_ALL)
    async with running(tree):
        a.fail()
        await trio.sleep(1)
        expect_tree(tree, {"a": ChildState.PENDING, "b": ChildState.STOPPING})
        with pytest.raises(ChildStopped):
            await tree.resume_child("b")
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING})


# From inside the tree


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_about_itself_raises_instead_of_deadlocking(
    call: str, autojump_clock: MockClock
) -> None:
    caught: list[Exception] = []

    async def about_itself() -> None:
        try:
            await getattr(tree, call)("me")
        except WouldDeadlock as error:
            caught.append(error)
        await trio.sleep_forever()

    tree = Supervisor([ChildSpec("me", about_itself)])
    async with running(tree):
        await settled()
        assert len(caught) == 1


@pytest.mark.parametrize("call", [*CALLS, "start_child", "stop"])
async def test_a_call_from_a_childs_own_start_raises_instead_of_deadlocking(
    call: str, autojump_clock: MockClock
) -> None:
    async def in_start(task_status: trio.TaskStatus[None]) -> None:
        arguments = {"start_child": [Puppet("new").spec()], "stop": []}.get(call, ["other"])
        with pytest.raises(WouldDeadlock):
            await getattr(tree, call)(*arguments)
        task_status.started()
        await trio.sleep_forever()

    tree = Supervisor([ChildSpec("me", in_start), Puppet("other").spec()])
    with trio.fail_after(5):
        async with running(tree):
            pass


async def test_a_grandchild_cannot_wait_for_what_waits_for_its_own_start(autojump_clock: MockClock) -> None:
    async def in_start(task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(WouldDeadlock):
            await tree.restart_child("inner")
        with pytest.raises(WouldDeadlock):
            await tree.start_child(Puppet("new").spec())
        task_status.started()
        await trio.sleep_forever()

    inner = Supervisor([ChildSpec("leaf", in_start)], name="inner")
    tree = Supervisor([ChildSpec("inner", inner.run)])
    async with running(tree):
        await settled()


async def test_a_child_cannot_wait_for_the_end_of_its_supervisor_but_can_ask_for_it(
    autojump_clock: MockClock,
) -> None:
    async def child() -> None:
        with pytest.raises(WouldDeadlock):
            await tree.stop()
        tree.request_stop()
        await trio.sleep_forever()

    tree = Supervisor([ChildSpec("me", child)])
    with trio.fail_after(5):
        await tree.run()


async def test_a_child_may_start_stop_and_restart_its_siblings(autojump_clock: MockClock) -> None:
    sibling, new = Puppet("sibling"), Puppet("new")

    async def boss() -> None:
        await tree.start_child(new.spec())
        await tree.restart_child("sibling")
        await tree.stop_child("new")
        await trio.sleep_forever()

    tree = Supervisor([sibling.spec(), ChildSpec("boss", boss)])
    async with running(tree):
        await settled()
        expect_tree(
            tree, {"sibling": ChildState.RUNNING, "boss": ChildState.RUNNING, "new": ChildState.STOPPED}
        )
        assert sibling.lives == 2


async def test_a_task_that_a_dead_life_left_elsewhere_may_call_about_its_successor(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as elsewhere, running(tree := Supervisor()):
        outcome: list[str] = []

        async def later() -> None:
            await trio.sleep(5)
            await tree.restart_child("a")
            outcome.append("done")

        async def life(child: ChildContext) -> None:
            if child.number == 1:
                elsewhere.start_soon(later)
                raise OSError
            await trio.sleep_forever()

        await tree.start_child(ChildSpec("a", life, shutdown=0))
        await trio.sleep(10)
        assert outcome == ["done"]


async def test_a_child_that_restarts_its_sibling_is_cancelled_when_the_group_restarts(
    autojump_clock: MockClock,
) -> None:
    async def boss(child: ChildContext) -> None:
        if child.number == 1:
            await tree.restart_child("sibling")
        await trio.sleep_forever()

    sibling = Puppet("sibling").plan(0.0, OSError())
    tree = Supervisor(
        [sibling.spec(), ChildSpec("boss", boss, shutdown=1)], strategy=ONE_FOR_ALL, max_restarts=5
    )
    async with running(tree):
        await trio.sleep(10)
        expect_tree(tree, {"sibling": ChildState.RUNNING, "boss": ChildState.RUNNING})


# Names and arguments


@pytest.mark.parametrize("call", CALLS)
async def test_an_unknown_name_is_a_clear_error(call: str, autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor()):
        with pytest.raises(UnknownChild, match="'nobody'"):
            await getattr(tree, call)("nobody")


async def test_a_duplicate_name_is_a_clear_error_even_for_one_that_is_down(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor([Puppet("a").spec()])):
        await tree.stop_child("a")
        with pytest.raises(DuplicateChild, match="'a'"):
            await tree.start_child(Puppet("a").spec())
        await tree.remove_child("a")
        await tree.start_child(Puppet("a").spec())


async def test_a_policy_that_cannot_be_used_leaves_no_child_behind(autojump_clock: MockClock) -> None:
    class Broken(Answers):
        def new_state(self, chance: Any) -> Any:
            raise RuntimeError("no state")

    spec = Puppet("a").spec(policy=Broken(lambda failure: None))
    async with running(tree := Supervisor()):
        with pytest.raises(RuntimeError, match="no state"):
            await tree.start_child(spec)
        expect_tree(tree, {})
    with pytest.raises(RuntimeError, match="no state"):
        await Supervisor([spec]).run()


async def test_what_is_no_specification_is_refused(autojump_clock: MockClock) -> None:
    async with running(tree := Supervisor()):
        with pytest.raises(TypeError, match="ChildSpec"):
            await tree.start_child("a")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="delay"):
            tree.start_child_nowait(Puppet("a").spec(), delay=-1)


async def test_while_it_stops_a_supervisor_takes_no_calls(autojump_clock: MockClock) -> None:
    slow = Puppet("a", stop_takes=3.0)
    async with running(tree := Supervisor([slow.spec()])):
        tree.request_stop()
        await settled()
        for call in CALLS:
            with pytest.raises(NotRunning, match="stopping"):
                await getattr(tree, call)("a")
        with pytest.raises(NotRunning, match="stopping"):
            await tree.start_child(Puppet("b").spec())


async def test_max_children_is_said_in_the_error(autojump_clock: MockClock) -> None:
    async with running(tree := DynamicSupervisor(max_children=1)):
        await tree.start_child(Puppet("a").spec())
        with pytest.raises(TooManyChildren, match="max_children is 1"):
            await tree.start_child(Puppet("b").spec())


async def test_a_call_from_outside_of_its_trio_run_is_refused_and_changes_nothing() -> None:
    puppet, late = Puppet("a"), Puppet("late")
    tree = Supervisor([puppet.spec()])
    calls: list[Callable[[], Any]] = [
        lambda: tree.start_child_nowait(late.spec()),
        lambda: tree.request_stop(0),
        lambda: trio.run(tree.start_child, late.spec()),
        lambda: trio.run(tree.stop_child, "a"),
        lambda: trio.run(tree.restart_child, "a"),
        lambda: trio.run(tree.stop, 0),
    ]
    async with running(tree):
        for call in calls:
            with pytest.raises(WrongThread, match="'supervisor' was called outside of its trio run"):
                await trio.to_thread.run_sync(call)
        expect_tree(tree, {"a": ChildState.RUNNING})
        assert tree.snapshot().child("a").life == 1
