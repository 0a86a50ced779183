"""When the end of significant children ends the supervisor (promise 12)."""

from __future__ import annotations

from math import inf

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    NEVER,
    ONE_FOR_ALL,
    PERMANENT,
    TEMPORARY,
    TRANSIENT,
    AutoShutdown,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Happening,
    RestartType,
    Supervisor,
)
from pywats_supervision.policies.decision import Suspend
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import answering, restarting


@pytest.mark.parametrize(
    ("restart", "fails", "ends"),
    [(TRANSIENT, False, True), (TRANSIENT, True, False), (TEMPORARY, False, True), (TEMPORARY, True, True)],
)
async def test_any_significant_child_that_ends_by_itself_ends_the_supervisor(
    restart: RestartType, fails: bool, ends: bool, autojump_clock: MockClock
) -> None:
    diary: list[str] = []
    a, b = Puppet("a", diary=diary), Puppet("b", diary=diary)
    tree = Supervisor([a.spec(), b.spec(restart=restart, significant=True)], auto_shutdown=ANY_SIGNIFICANT)
    async with running(tree):
        if fails:
            b.fail()
        else:
            b.finish()
        await settled()
        assert (tree.snapshot().state == "not running") is ends
        assert (diary[-2:] == ["asked a", "end a"]) is ends


async def test_all_significant_waits_for_the_last_of_them(autojump_clock: MockClock) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    tree = Supervisor(
        [
            a.spec(restart=TRANSIENT, significant=True),
            b.spec(restart=TEMPORARY, significant=True),
            c.spec(restart=TRANSIENT),
        ],
        auto_shutdown=ALL_SIGNIFICANT,
    )
    async with running(tree):
        c.finish()
        b.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "c": ChildState.STOPPED})
        a.finish()
        await settled()
        assert tree.snapshot().state == "not running"


@pytest.mark.parametrize("down", ["backing off", "suspended by its policy", "suspended by hand"])
async def test_all_significant_waits_for_one_that_is_down_but_may_come_back(
    down: str, autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b")
    policy = answering(Suspend(inf)) if down == "suspended by its policy" else restarting(10.0)
    specs = [p.spec(restart=TRANSIENT, significant=True, policy=policy) for p in (a, b)]
    async with running(tree := Supervisor(specs, auto_shutdown=ALL_SIGNIFICANT)):
        if down == "suspended by hand":
            await tree.suspend_child("a")
        else:
            a.fail()
            await settled()
        b.finish()
        await settled()
        assert tree.snapshot().state == "running"
        await tree.resume_child("a")
        a.finish()
        await settled()
        assert tree.snapshot().state == "not running"


@pytest.mark.parametrize("auto_shutdown", [ANY_SIGNIFICANT, ALL_SIGNIFICANT])
@pytest.mark.parametrize("call", ["stop_child", "remove_child", "suspend_child", "restart_child"])
async def test_a_call_that_stops_a_significant_child_does_not_trigger_it(
    auto_shutdown: AutoShutdown, call: str, autojump_clock: MockClock
) -> None:
    a = Puppet("a")
    tree = Supervisor([a.spec(restart=TRANSIENT, significant=True)], auto_shutdown=auto_shutdown)
    async with running(tree):
        await getattr(tree, call)("a")
        await settled()
        assert tree.snapshot().state == "running"


async def test_the_restart_of_a_sibling_does_not_trigger_it(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor(
        [a.spec(), b.spec(restart=TEMPORARY, significant=True)],
        strategy=ONE_FOR_ALL,
        auto_shutdown=ANY_SIGNIFICANT,
    )
    async with running(tree):
        a.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING})


async def test_a_start_that_is_ignored_does_not_trigger_it(autojump_clock: MockClock) -> None:
    a = Puppet("a").plan(None)
    tree = Supervisor([a.spec(restart=TRANSIENT, significant=True)], auto_shutdown=ANY_SIGNIFICANT)
    async with running(tree):
        await settled()
        assert tree.snapshot().state == "running"


async def test_an_end_during_the_first_start_ends_the_supervisor_as_one_that_was_up(
    autojump_clock: MockClock,
) -> None:
    async def quick() -> None:
        return

    slow = Puppet("slow").plan(100.0)
    inner = Supervisor(
        [ChildSpec("quick", quick, TEMPORARY, significant=True), slow.spec()],
        auto_shutdown=ANY_SIGNIFICANT,
    )
    tree = Supervisor([ChildSpec("inner", inner.run, TRANSIENT)])
    events = Recording(tree)
    async with running(tree):
        await settled()
        expect_tree(tree, {"inner": ChildState.STOPPED})
        assert events.kinds("inner")[-3:] == [*(Happening.FINISHED, Happening.RETURNED, Happening.STOPPED)]


async def test_a_transient_supervisor_that_shut_itself_down_stays_down_and_a_permanent_one_lives_again(
    autojump_clock: MockClock,
) -> None:
    for restart, lives in ((TRANSIENT, 1), (PERMANENT, 2)):
        leaf = Puppet("leaf")
        inner = Supervisor([leaf.spec(restart=TRANSIENT, significant=True)], auto_shutdown=ANY_SIGNIFICANT)
        async with running(Supervisor([ChildSpec("inner", inner.run, restart)])):
            leaf.finish()
            await trio.sleep(1)
            assert leaf.lives == lives


async def test_a_dynamic_supervisor_can_end_with_its_significant_children_too(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a"), Puppet("b")
    async with running(tree := DynamicSupervisor(auto_shutdown=ALL_SIGNIFICANT)):
        for puppet in (a, b):
            await tree.start_child(puppet.spec(restart=TRANSIENT, significant=True))
        a.finish()
        await settled()
        assert tree.snapshot().state == "running"
        b.finish()
        await settled()
        assert tree.snapshot().state == "not running"


def test_a_significant_permanent_child_is_an_error() -> None:
    with pytest.raises(ValueError, match="'a' is significant and PERMANENT"):
        Puppet("a").spec(significant=True)


async def test_a_significant_child_of_a_supervisor_that_never_shuts_itself_down_is_an_error(
    autojump_clock: MockClock,
) -> None:
    spec = Puppet("a").spec(restart=TRANSIENT, significant=True)
    with pytest.raises(ValueError, match="auto_shutdown"):
        Supervisor([spec], auto_shutdown=NEVER)
    async with running(tree := Supervisor()):
        with pytest.raises(ValueError, match="auto_shutdown"):
            await tree.start_child(spec)
