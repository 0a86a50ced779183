"""one_for_one, and which ends of a life are followed by another (promises 3 and 6)."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from pywats_supervision import (
    PERMANENT,
    TEMPORARY,
    TRANSIENT,
    ChildReturned,
    ChildState,
    DynamicSupervisor,
    Happening,
    RestartType,
    Supervisor,
)
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import Answers, restarting


async def test_one_for_one_restarts_only_the_failed_child(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    async with running(Supervisor([a.spec(), b.spec(), c.spec()])):
        diary.clear()
        b.fail()
        await settled()
        assert diary == ["end b", "start b", "up b"]


@pytest.mark.parametrize(
    ("restart", "fails", "lives"),
    [
        (PERMANENT, True, 2),
        (PERMANENT, False, 2),
        (TRANSIENT, True, 2),
        (TRANSIENT, False, 1),
        (TEMPORARY, True, 1),
        (TEMPORARY, False, 1),
    ],
)
async def test_permanent_always_transient_after_a_failure_temporary_never(
    restart: RestartType, fails: bool, lives: int, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    async with running(Supervisor([puppet.spec(restart=restart)])):
        if fails:
            puppet.fail()
        else:
            puppet.finish()
        await settled()
        assert puppet.lives == lives


async def test_the_specification_of_a_temporary_child_goes_with_it(autojump_clock: MockClock) -> None:
    puppet, other = Puppet("a"), Puppet("b")
    tree = Supervisor([puppet.spec(restart=TEMPORARY), other.spec(restart=TRANSIENT)])
    events = Recording(tree)
    async with running(tree):
        puppet.fail()
        other.finish()
        await settled()
        expect_tree(tree, {"b": ChildState.STOPPED})
        assert events.kinds("a")[-2:] == [Happening.STOPPED, Happening.REMOVED]
        await tree.start_child(Puppet("a").spec())


async def test_a_temporary_child_is_not_restarted_by_a_policy_either(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    policy = restarting()
    async with running(tree := Supervisor([puppet.spec(restart=TEMPORARY, policy=policy)])):
        puppet.fail()
        await settled()
        expect_tree(tree, {})
        assert len(policy.heard) == 1


async def test_a_permanent_child_that_returned_is_a_failure_for_its_policy(autojump_clock: MockClock) -> None:
    policy = restarting(5.0)
    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec(policy=policy)])):
        puppet.finish()
        await settled()
        expect_tree(tree, {"a": ChildState.BACKING_OFF})
        assert isinstance(policy.heard[0].error, ChildReturned)


async def test_the_return_of_a_transient_child_is_no_failure_for_its_policy(
    autojump_clock: MockClock,
) -> None:
    policy = restarting(5.0)
    puppet = Puppet("a")
    async with running(Supervisor([puppet.spec(policy=policy, restart=TRANSIENT)])):
        puppet.finish()
        await settled()
        assert policy.heard == []


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("says_up", [True, False])
async def test_each_shape_of_a_start_is_restarted_and_stopped(
    listens: bool, says_up: bool, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a", listens=listens, says_up=says_up)
    async with running(Supervisor([puppet.spec()])):
        await settled()
        puppet.fail()
        await settled()
        assert puppet.lives == 2
    assert puppet.diary[-1] == "end a"
    assert ("asked a" in puppet.diary) is listens


async def test_a_life_knows_its_number_and_what_was_decided_after_the_last_crash(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    policy = restarting(1.0)
    async with running(tree := Supervisor([puppet.spec(policy=policy)])):
        assert puppet.context is not None
        assert (puppet.context.number, puppet.context.last) == (1, None)
        puppet.fail()
        await settled()
        await tree.resume_child("a")
        assert puppet.context.number == 2
        assert puppet.context.last == policy.answer(policy.heard[0])


async def test_a_life_inherits_nothing_from_the_one_before_it_nor_from_who_restarted_it(
    autojump_clock: MockClock,
) -> None:
    from contextvars import ContextVar

    inherited: ContextVar[str] = ContextVar("inherited", default="clean")
    seen = []

    class Tainting(Puppet):
        async def _obey(self, child: object) -> None:
            seen.append(inherited.get())
            inherited.set("tainted")
            await super()._obey(child)  # type: ignore[arg-type]

    puppet = Tainting("a")
    async with running(tree := Supervisor([puppet.spec()])):
        await settled()
        puppet.fail()
        await settled()
        inherited.set("tainted by the caller")
        await tree.restart_child("a")
        await settled()
    assert seen == ["clean"] * 3


async def test_a_dynamic_supervisor_forgets_what_came_to_rest(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    async with running(tree := DynamicSupervisor()):
        await tree.start_child(a.spec(restart=TRANSIENT))
        await tree.start_child(b.spec())
        await tree.start_child(c.spec())
        a.finish()
        b.fail()
        await tree.stop_child("c")
        await settled()
        expect_tree(tree, {"b": ChildState.RUNNING})
        assert b.lives == 2


async def test_the_uptime_that_a_policy_hears_is_that_of_the_failed_life(autojump_clock: MockClock) -> None:
    import trio

    policy = Answers(lambda failure: None)
    puppet = Puppet("a").plan(1.0, 2.0, OSError())
    async with running(Supervisor([puppet.spec(policy=policy)])):
        await trio.sleep(7)
        puppet.fail()
        await trio.sleep(5)
        puppet.fail()
        await settled()
    assert [failure.uptime for failure in policy.heard] == [7, 3, 0]
