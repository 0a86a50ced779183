"""Nothing wedges when failures meet: in every phase, of several at once, while others stop (promise 10)."""

from __future__ import annotations

from itertools import accumulate, product

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    REST_FOR_ONE,
    ChildState,
    DynamicSupervisor,
    Happening,
    Strategy,
    Supervisor,
)
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import restarting

STRATEGIES = [ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE]
GROUPS = [ONE_FOR_ALL, REST_FOR_ONE]
ALL_UP = dict.fromkeys("abc", ChildState.RUNNING)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("failing", ["ab", "ba", "ac", "cb", "abc", "cba", "bca"])
async def test_children_that_fail_in_one_scheduler_pass_all_live_again(
    strategy: Strategy, failing: str, autojump_clock: MockClock
) -> None:
    puppets = {name: Puppet(name) for name in "abc"}
    tree = Supervisor((p.spec() for p in puppets.values()), strategy=strategy, max_restarts=9)
    async with running(tree):
        for name in failing:
            puppets[name].fail()
        await trio.sleep(1)
        expect_tree(tree, ALL_UP)
        assert all(puppets[name].lives >= 2 for name in failing)


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("strategy", GROUPS)
async def test_a_group_whose_children_all_fail_in_one_pass_lives_once_more_and_counts_what_goes_down_once(
    strategy: Strategy, listens: bool, autojump_clock: MockClock
) -> None:
    """Trio runs them in any order, so it is tried often; who goes down anyway counts for nothing."""
    for _ in range(20):
        puppets = [Puppet(name, listens=listens) for name in "abc"]
        tree = Supervisor((p.spec() for p in puppets), strategy=strategy, max_restarts=3)
        recording = Recording(tree)
        async with running(tree):
            for puppet in puppets:
                puppet.fail()
            await settled()
            expect_tree(tree, ALL_UP)
            assert [puppet.lives for puppet in puppets] == [2, 2, 2]
            failed = [event.path[-1] for event in recording.events if event.kind is Happening.FAILED]
            first_of_all = failed[:1] if strategy is ONE_FOR_ALL else accumulate(failed, min)
            assert tree.snapshot().restarts_in_window == len(set(first_of_all))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("first", "abc")
@pytest.mark.parametrize("second", "abc")
async def test_a_child_that_fails_while_a_siblings_stop_is_slow(
    strategy: Strategy, first: str, second: str, autojump_clock: MockClock
) -> None:
    puppets = {name: Puppet(name, stop_takes=2.0) for name in "abc"}
    tree = Supervisor((p.spec() for p in puppets.values()), strategy=strategy, max_restarts=9)
    async with running(tree):
        puppets[first].fail()
        await trio.sleep(1)
        puppets[second].fail()
        await trio.sleep(20)
        expect_tree(tree, ALL_UP)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", "abc")
async def test_a_child_that_fails_in_its_stop_comes_up_with_the_group(
    strategy: Strategy, name: str, autojump_clock: MockClock
) -> None:
    puppets = {name: Puppet(name) for name in "abc"}
    puppets[name].stop_error = ValueError("in on_stop")
    tree = Supervisor((p.spec() for p in puppets.values()), strategy=strategy, max_restarts=1)
    async with running(tree):
        puppets["a"].fail()
        await trio.sleep(1)
        expect_tree(tree, ALL_UP)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", "abc")
async def test_a_child_that_fails_in_its_cancelled_cleanup_comes_up_with_the_group(
    strategy: Strategy, name: str, autojump_clock: MockClock
) -> None:
    puppets = {name: Puppet(name, listens=False) for name in "abc"}
    puppets[name].cleanup_error = ValueError("in finally")
    tree = Supervisor((p.spec() for p in puppets.values()), strategy=strategy, max_restarts=1)
    async with running(tree):
        puppets["a"].fail()
        await trio.sleep(1)
        expect_tree(tree, ALL_UP)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("starting", "abc")
@pytest.mark.parametrize("failing", "abc")
async def test_a_child_that_fails_while_another_one_starts(
    strategy: Strategy, starting: str, failing: str, autojump_clock: MockClock
) -> None:
    puppets = {name: Puppet(name) for name in "abc"}
    tree = Supervisor((p.spec() for p in puppets.values()), strategy=strategy, max_restarts=9)
    async with running(tree):
        puppets[starting].plan(5.0, 5.0)
        puppets[starting].fail()
        await trio.sleep(1)
        puppets[failing].fail()
        await trio.sleep(30)
        expect_tree(tree, ALL_UP)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_child_that_fails_during_the_first_start_of_a_later_one(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    a, b, c = Puppet("a"), Puppet("b").plan(5.0, 5.0), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], strategy=strategy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(1)
        a.fail()
        await trio.sleep(20)
        expect_tree(tree, ALL_UP)
        assert a.lives == 2
        await tree.stop()


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_child_that_waits_for_its_turn_before_one_that_fails_still_gets_it(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    """Stopped and resumed by hand, a and b come after c, which was not held up; then c fails."""
    a = Puppet("a", shielded=3.0).plan(50.0, 50.0)
    b = Puppet("b", shielded=3.0).plan(50.0)
    c, d = Puppet("c"), Puppet("d").plan(40.0)
    tree = Supervisor([puppet.spec(start_timeout=99) for puppet in (a, b, c, d)], strategy=strategy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        for name in ("a", "b"):
            nursery.start_soon(tree.stop_child, name)
            await settled()
        for name in ("a", "b"):
            nursery.start_soon(tree.resume_child, name)
        await trio.sleep(5)
        found = {child.name: child.state for child in tree.children()}
        assert found["a"] is ChildState.STARTING
        assert found["c"] is ChildState.RUNNING
        c.fail()
        await trio.sleep(200)
        expect_tree(tree, dict.fromkeys("abcd", ChildState.RUNNING))
        await tree.stop()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("delay_a", "delay_c"), [(3.0, 10.0), (10.0, 3.0), (5.0, 5.0)])
@pytest.mark.parametrize("pause", [0.0, 1.0])
async def test_two_pending_delays_end_in_everybody_up(
    strategy: Strategy, delay_a: float, delay_c: float, pause: float, autojump_clock: MockClock
) -> None:
    a, b, c = Puppet("a"), Puppet("b"), Puppet("c")
    specs = [a.spec(policy=restarting(delay_a)), b.spec(), c.spec(policy=restarting(delay_c))]
    tree = Supervisor(specs, strategy=strategy, max_restarts=0)
    async with running(tree):
        c.fail()
        await trio.sleep(pause)
        a.fail()
        await trio.sleep(15)
        expect_tree(tree, ALL_UP)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_stop_ends_everything_at_every_moment_of_a_restart(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    """Starts, stops and delays take a second each; the stop comes at every half second."""
    for half_seconds in range(24):
        puppets = [Puppet(name, stop_takes=1.0).plan(1.0, 1.0, 1.0) for name in "abc"]
        tree = Supervisor(
            (p.spec(policy=restarting(1.0)) for p in puppets), strategy=strategy, max_restarts=0
        )
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.run)
                await trio.sleep(3.25)
                puppets[1].fail()
                await trio.sleep(half_seconds / 2)
                await tree.stop()
        assert all(puppet.diary[-1].startswith("end") for puppet in puppets if puppet.lives)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_person_can_do_anything_at_every_moment_of_a_restart(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    calls = ["stop_child", "restart_child", "suspend_child", "resume_child", "remove_child"]
    for call, name, half_seconds in product(calls, "abc", range(14)):
        puppets = {name: Puppet(name, stop_takes=1.0).plan(0.0, 1.0, 1.0) for name in "abc"}
        tree = Supervisor((p.spec(policy=restarting(1.0)) for p in puppets.values()), strategy=strategy)
        async with running(tree):
            puppets["b"].fail()
            await trio.sleep(half_seconds / 2)
            with trio.fail_after(30):
                await getattr(tree, call)(name)
            await trio.sleep(30)
            expected = dict(ALL_UP)
            if call == "remove_child":
                del expected[name]
            elif call in {"stop_child", "suspend_child"}:
                expected[name] = ChildState.STOPPED if call == "stop_child" else ChildState.SUSPENDED
            expect_tree(tree, expected)


async def test_many_dynamic_children_that_fail_at_once_all_live_again(autojump_clock: MockClock) -> None:
    puppets = [Puppet(f"p{number}") for number in range(200)]
    async with running(tree := DynamicSupervisor(max_restarts=200)):
        for puppet in puppets:
            await tree.start_child(puppet.spec())
        for puppet in puppets:
            puppet.fail()
        await settled()
        assert tree.count().active == 200
        assert all(puppet.lives == 2 for puppet in puppets)
