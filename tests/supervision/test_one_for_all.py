"""one_for_all stops all others in reverse, then starts all in order (promises 4, 22)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TEMPORARY,
    TRANSIENT,
    ChildState,
    Happening,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.policies.decision import Stop, Suspend
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import answering, restarting


async def test_a_failure_stops_all_others_in_reverse_then_starts_all_in_order(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary, stop_takes=1.0) for name in "abc"]
    async with running(Supervisor((p.spec() for p in puppets), strategy=ONE_FOR_ALL)):
        diary.clear()
        puppets[1].fail()
        await trio.sleep(10)
        assert diary == [
            *("end b", "asked c", "end c", "asked a", "end a"),
            *("start a", "up a", "start b", "up b", "start c", "up c"),
        ]


async def test_nobody_starts_before_the_last_is_down(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a", stop_takes=3.0), Puppet("b"), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        c.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.STOPPING, "b": ChildState.PENDING, "c": ChildState.PENDING})
        await trio.sleep(3.5)
        expect_tree(tree, dict.fromkeys("abc", ChildState.RUNNING))


async def test_a_permanent_child_that_returns_takes_all_others_along(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    async with running(Supervisor([a.spec(), b.spec()], strategy=ONE_FOR_ALL)):
        b.finish()
        await settled()
        assert (a.lives, b.lives) == (2, 2)


async def test_temporary_siblings_stop_and_are_gone(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    tree = Supervisor([a.spec(), b.spec(restart=TEMPORARY), c.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        c.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "c": ChildState.RUNNING})
        assert "asked b" in diary


async def test_the_failure_of_a_temporary_child_takes_nobody_along(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    async with running(Supervisor([a.spec(), b.spec(restart=TEMPORARY)], strategy=ONE_FOR_ALL)):
        b.fail()
        await settled()
        assert a.lives == 1


async def test_a_transient_sibling_that_had_finished_starts_again_with_the_group(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(restart=TRANSIENT), b.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        a.finish()
        await settled()
        expect_tree(tree, {"a": ChildState.STOPPED, "b": ChildState.RUNNING})
        b.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})


@pytest.mark.parametrize("call", ["stop_child", "suspend_child"])
async def test_a_sibling_that_a_person_stopped_stays_down(call: str, autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    async with running(tree := Supervisor([a.spec(), b.spec()], strategy=ONE_FOR_ALL)):
        await getattr(tree, call)("a")
        b.fail()
        await settled()
        assert (a.lives, b.lives) == (1, 2)
        await tree.resume_child("a")
        assert a.lives == 2


async def test_a_delay_stops_the_group_now_and_starts_it_later(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=restarting(60.0))], strategy=ONE_FOR_ALL, max_restarts=0)
    events = Recording(tree)
    async with running(tree):
        b.fail()
        await trio.sleep(59)
        expect_tree(tree, {"a": ChildState.PENDING, "b": ChildState.BACKING_OFF})
        assert [child.due for child in tree.children()] == [60, 60]
        await trio.sleep(2)
        assert (a.lives, b.lives) == (2, 2)
        assert events.kinds("a")[-4:] == [
            *(Happening.STOPPING, Happening.PENDING, Happening.STARTING, Happening.UP)
        ]


async def test_a_suspension_keeps_the_group_down_until_a_person_resumes_it(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Suspend()))], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await trio.sleep(3600)
        expect_tree(tree, {"a": ChildState.PENDING, "b": ChildState.SUSPENDED})
        await tree.resume_child("b")
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})


async def test_resuming_a_sibling_that_waits_starts_the_whole_group(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Suspend())), c.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await settled()
        await tree.resume_child("c")
        expect_tree(tree, dict.fromkeys("abc", ChildState.RUNNING))


async def test_resuming_while_the_group_still_goes_down_is_not_forgotten(autojump_clock: MockClock) -> None:
    a, b = Puppet("a", stop_takes=2.0), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Suspend()))], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await settled()
        with trio.fail_after(3):
            await tree.resume_child("b")
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})


@pytest.mark.parametrize("call", ["stop_child", "suspend_child", "remove_child"])
async def test_a_group_does_not_wait_for_a_child_that_a_person_took_out(
    call: str, autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Suspend()))], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await settled()
        await getattr(tree, call)("b")
        await settled()
        assert tree.snapshot().child("a").state is ChildState.RUNNING
        assert (a.lives, b.lives) == (2, 1)


async def test_a_policy_that_says_stop_stops_only_its_child(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Stop()))], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.STOPPED})
        a.fail()
        await settled()
        assert b.lives == 1


async def test_a_group_restart_counts_once(autojump_clock: MockClock) -> None:
    puppets = [Puppet(name) for name in "abcdef"]
    tree = Supervisor((p.spec() for p in puppets), strategy=ONE_FOR_ALL, max_restarts=2)
    async with running(tree):
        for _ in range(2):
            puppets[3].fail()
            await settled()
        assert tree.snapshot().restarts_in_window == 2
        assert [p.lives for p in puppets] == [3] * 6


async def test_a_failed_start_in_a_group_restart_counts_and_the_group_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], strategy=ONE_FOR_ALL, max_restarts=2)
    async with running(tree):
        diary.clear()
        b.plan(OSError())
        c.fail()
        await settled()
        assert diary == [
            *("end c", "asked b", "end b", "asked a", "end a"),
            *("start a", "up a", "start b", "end b", "asked a", "end a"),
            *("start a", "up a", "start b", "up b", "start c", "up c"),
        ]
        assert tree.snapshot().restarts_in_window == 2


async def test_a_start_that_fails_for_ever_in_a_group_restart_ends_in_too_many_restarts(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b").plan(0.0, *[OSError(str(n)) for n in range(9)])
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(Supervisor([a.spec(), b.spec()], strategy=ONE_FOR_ALL, max_restarts=2)):
            b.fail(ValueError("first"))
            await trio.sleep(1)
    assert [str(error) for error in raised.value.exceptions] == ["first", "0", "1"]


async def test_a_new_child_that_comes_while_the_group_is_down_starts_after_it(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    tree = Supervisor([a.spec(), b.spec(policy=restarting(5.0))], strategy=ONE_FOR_ALL)
    async with running(tree):
        b.fail()
        await settled()
        diary.clear()
        await tree.start_child(c.spec())
        assert trio.current_time() == 5
        assert diary == ["start a", "up a", "start b", "up b", "start c", "up c"]


async def test_a_delayed_new_child_keeps_its_delay_when_the_group_restarts_meanwhile(
    autojump_clock: MockClock,
) -> None:
    a, late = Puppet("a"), Puppet("late")
    tree = Supervisor([a.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        tree.start_child_nowait(late.spec(restart=TEMPORARY), delay=10.0)
        await trio.sleep(1)
        a.fail()
        await trio.sleep(8)
        expect_tree(tree, {"a": ChildState.RUNNING, "late": ChildState.BACKING_OFF})
        await trio.sleep(2)
        expect_tree(tree, {"a": ChildState.RUNNING, "late": ChildState.RUNNING})


async def test_a_delayed_new_child_that_is_due_while_the_group_is_down_starts_with_it(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, late = Puppet("a", diary=diary), Puppet("late", diary=diary)
    tree = Supervisor([a.spec(policy=restarting(20.0))], strategy=ONE_FOR_ALL)
    async with running(tree):
        tree.start_child_nowait(late.spec(), delay=10.0)
        a.fail()
        await trio.sleep(15)
        expect_tree(tree, {"a": ChildState.BACKING_OFF, "late": ChildState.PENDING})
        await trio.sleep(6)
        assert diary[-4:] == ["start a", "up a", "start late", "up late"]


async def test_a_delayed_new_child_that_is_due_while_the_group_comes_up_starts_in_its_place(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, late, last = (Puppet(name, diary=diary) for name in ("a", "late", "last"))
    tree = Supervisor([a.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        tree.start_child_nowait(late.spec(), delay=5.0)
        await trio.sleep(1)
        a.plan(10.0)
        a.fail()
        await settled()
        tree.start_child_nowait(last.spec())
        await trio.sleep(20)
        expect_tree(tree, dict.fromkeys(("a", "late", "last"), ChildState.RUNNING))
        assert diary[-6:] == ["start a", "up a", "start late", "up late", "start last", "up last"]
