"""rest_for_one restarts the failed child and those started after it (promise 5)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import REST_FOR_ONE, TEMPORARY, ChildState, Supervisor
from pywats_supervision.policies.decision import Suspend
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import answering, restarting


@pytest.mark.parametrize("failed", range(4))
async def test_the_failed_child_and_those_after_it_go_down_in_reverse_and_come_up_in_order(
    failed: int, autojump_clock: MockClock
) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, diary=diary, stop_takes=1.0) for name in "abcd"]
    async with running(Supervisor((p.spec() for p in puppets), strategy=REST_FOR_ONE)):
        diary.clear()
        puppets[failed].fail()
        await trio.sleep(10)
        rest = "abcd"[failed:]
        down = [f"{what} {name}" for name in reversed(rest[1:]) for what in ("asked", "end")]
        up = [f"{what} {name}" for name in rest for what in ("start", "up")]
        assert diary == [f"end {rest[0]}", *down, *up]


async def test_a_child_added_later_belongs_to_the_rest(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    async with running(tree := Supervisor([a.spec(), b.spec()], strategy=REST_FOR_ONE)):
        await tree.start_child(c.spec())
        b.fail()
        await settled()
        assert (a.lives, b.lives, c.lives) == (1, 2, 2)


async def test_a_temporary_child_after_the_failed_one_is_gone(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    async with running(tree := Supervisor([a.spec(), b.spec(restart=TEMPORARY)], strategy=REST_FOR_ONE)):
        a.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING})


async def test_two_pending_delays_combine_by_their_maximum_and_the_earlier_child_takes_the_later_along(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    tree = Supervisor(
        [a.spec(policy=restarting(2.0)), b.spec(), c.spec(policy=restarting(10.0))],
        strategy=REST_FOR_ONE,
    )
    async with running(tree):
        c.fail()
        await trio.sleep(1)
        diary.clear()
        a.fail()
        await trio.sleep(8.5)
        expect_tree(tree, {"a": ChildState.BACKING_OFF, "b": ChildState.PENDING, "c": ChildState.BACKING_OFF})
        assert [child.due for child in tree.children()] == [10, 10, 10]
        await trio.sleep(1)
        assert diary == [
            *("end a", "asked b", "end b"),
            *("start a", "up a", "start b", "up b", "start c", "up c"),
        ]


async def test_a_longer_delay_of_an_earlier_child_absorbs_the_pending_start_of_a_later_one(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor(
        [a.spec(policy=restarting(100.0)), b.spec(policy=restarting(10.0))], strategy=REST_FOR_ONE
    )
    async with running(tree):
        b.fail()
        await trio.sleep(1)
        a.fail()
        await trio.sleep(50)
        assert (a.lives, b.lives) == (1, 1)
        await trio.sleep(51)
        assert (a.lives, b.lives) == (2, 2)


async def test_those_before_the_failed_child_go_on_while_the_rest_waits(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Suspend())), c.spec()], strategy=REST_FOR_ONE)
    async with running(tree):
        b.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.SUSPENDED, "c": ChildState.PENDING})
        await tree.restart_child("a")
        assert (a.lives, b.lives, c.lives) == (2, 1, 1)
        a.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.PENDING, "b": ChildState.SUSPENDED, "c": ChildState.PENDING})
        await tree.resume_child("b")
        await settled()
        expect_tree(tree, dict.fromkeys("abc", ChildState.RUNNING))


async def test_a_failure_of_an_earlier_child_while_the_rest_comes_up_starts_all_of_them_anew(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], strategy=REST_FOR_ONE)
    async with running(tree):
        c.plan(10.0)
        b.fail()
        await trio.sleep(1)
        diary.clear()
        a.fail()
        await trio.sleep(1)
        assert diary == [
            *("end a", "cancelled c", "end c", "asked b", "end b"),
            *("start a", "up a", "start b", "up b", "start c", "up c"),
        ]


async def test_a_suspended_group_that_a_person_resumes_is_suspended_again_by_the_next_failure(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(policy=answering(Suspend())), b.spec()], strategy=REST_FOR_ONE)
    async with running(tree):
        for lives in (1, 2, 3):
            assert (a.lives, b.lives) == (lives, lives)
            a.fail()
            await settled()
            expect_tree(tree, {"a": ChildState.SUSPENDED, "b": ChildState.PENDING})
            await tree.resume_child("a")
            await settled()
