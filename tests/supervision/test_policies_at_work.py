"""Backoff, breaker and retry in a running supervisor: delays, suspensions, limits (17 to 21)."""

from __future__ import annotations

import threading
from itertools import pairwise
from math import inf

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    ChildContext,
    ChildSpec,
    ChildState,
    Happening,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
)
from pywats_supervision.policies import Backoff, CircuitBreaker, CircuitState, RetryPolicy, compose
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, seeded_runtime, settled

NO_JITTER = Backoff(1.0, 8.0, jitter=0.0, healthy_after=100.0)


async def _starts(policy: Backoff, seed: int = 0) -> list[float]:
    """When a child that fails at once is started, seven times."""
    puppet = Puppet("a", says_up=False).plan(*[OSError()] * 6)
    tree = Supervisor([puppet.spec(policy=policy)], max_restarts=0, runtime=seeded_runtime(seed))
    events = Recording(tree)
    began = trio.current_time()
    async with running(tree):
        await trio.sleep(100)
        return [event.at - began for event in events.events if event.kind is Happening.STARTING]


async def test_the_delay_grows_and_is_capped(autojump_clock: MockClock) -> None:
    assert await _starts(NO_JITTER) == [0, 1, 3, 7, 15, 23, 31]


async def test_jitter_is_the_same_for_the_same_seed_and_another_for_another(
    autojump_clock: MockClock,
) -> None:
    policy = Backoff(1.0, 8.0, jitter=0.5)
    one, again, other = await _starts(policy, 1), await _starts(policy, 1), await _starts(policy, 2)
    assert one == pytest.approx(again)
    assert one != pytest.approx(other)
    assert all(0.4 < later - earlier <= 8.0 for earlier, later in pairwise(one))


async def test_the_delay_is_back_at_its_beginning_after_a_healthy_time(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec(policy=NO_JITTER)], max_restarts=0)
    async with running(tree):
        for delay in (1, 2, 4):
            puppet.fail()
            await settled()
            assert tree.snapshot().child("a").due == trio.current_time() + delay
            await trio.sleep(delay + 0.5)
        await trio.sleep(100)
        puppet.fail()
        await settled()
        assert tree.snapshot().child("a").due == trio.current_time() + 1


async def test_a_delay_blocks_neither_siblings_nor_calls_nor_stopping(autojump_clock: MockClock) -> None:
    slow, quick = Puppet("slow"), Puppet("quick")
    policy = Backoff(1000.0, 1000.0, jitter=0.0)
    async with running(tree := Supervisor([slow.spec(policy=policy), quick.spec()])):
        slow.fail()
        await settled()
        quick.fail()
        await settled()
        assert quick.lives == 2
        await tree.start_child(Puppet("new").spec())
        expect_tree(
            tree,
            {"slow": ChildState.BACKING_OFF, "quick": ChildState.RUNNING, "new": ChildState.RUNNING},
        )
        await tree.stop()
        assert trio.current_time() == 0


async def test_a_breaker_of_the_supervisor_counts_over_all_its_children(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker(3, reset_timeout=60.0)
    puppets = {name: Puppet(name) for name in "abcd"}
    tree = Supervisor((p.spec() for p in puppets.values()), policy=breaker, max_restarts=0)
    async with running(tree):
        for name in "ab":
            puppets[name].fail()
            await settled()
        expect_tree(tree, dict.fromkeys("abcd", ChildState.RUNNING))
        puppets["c"].fail()
        await settled()
        assert breaker.state is CircuitState.OPEN
        expect_tree(tree, {**dict.fromkeys("abcd", ChildState.RUNNING), "c": ChildState.SUSPENDED})
        assert tree.snapshot().child("c").due == 60
        puppets["d"].fail()
        await settled()
        assert tree.snapshot().child("d").state is ChildState.SUSPENDED
        await trio.sleep(61)
        expect_tree(tree, dict.fromkeys("abcd", ChildState.RUNNING))


async def test_a_child_is_not_run_until_the_reset_timeout_and_a_failure_then_opens_it_again(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    breaker = CircuitBreaker(1, reset_timeout=30.0)
    async with running(Supervisor([puppet.spec(policy=breaker)], max_restarts=0)):
        puppet.fail()
        await trio.sleep(29)
        assert puppet.lives == 1
        await trio.sleep(2)
        assert puppet.lives == 2
        puppet.fail()
        await trio.sleep(29)
        assert puppet.lives == 2
        await trio.sleep(2)
        assert puppet.lives == 3


async def test_a_breaker_in_a_group_keeps_the_group_down_while_it_is_open(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor(
        [a.spec(), b.spec(policy=CircuitBreaker(1, reset_timeout=30.0))],
        strategy=ONE_FOR_ALL,
        max_restarts=0,
    )
    async with running(tree):
        b.fail()
        await trio.sleep(29)
        expect_tree(tree, {"a": ChildState.PENDING, "b": ChildState.SUSPENDED})
        await trio.sleep(2)
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("strategy", [ONE_FOR_ONE, ONE_FOR_ALL])
async def test_a_breaker_reset_by_hand_starts_at_once_what_it_kept_down(
    strategy: Strategy, elsewhere: bool, autojump_clock: MockClock
) -> None:
    breaker = CircuitBreaker(1, reset_timeout=1000)
    puppets = [Puppet("a"), Puppet("b")]
    tree = Supervisor([puppet.spec() for puppet in puppets], strategy=strategy, policy=breaker)
    async with running(tree):
        puppets[0].fail()
        await settled()
        assert tree.snapshot().child("a").due is not None
        if elsewhere:
            thread = threading.Thread(target=breaker.reset)
            thread.start()
            thread.join()  # on trio's thread, so that virtual time stands still
        else:
            breaker.reset()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.RUNNING})
        assert breaker.state is CircuitState.CLOSED
        assert trio.current_time() < 1000


async def test_a_breaker_reset_by_hand_leaves_down_what_a_person_suspended(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker(1, reset_timeout=1000)
    a, b = Puppet("a"), Puppet("b")
    async with running(tree := Supervisor([a.spec(), b.spec()], policy=breaker)):
        await tree.suspend_child("b")
        a.fail()
        await settled()
        breaker.reset()
        await settled()
        expect_tree(tree, {"a": ChildState.RUNNING, "b": ChildState.SUSPENDED})


async def test_resetting_the_breaker_of_a_tree_that_has_ended_does_nothing(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker(1, reset_timeout=1000)
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec()], policy=breaker)
    async with running(tree):
        puppet.fail()
        await settled()
    breaker.reset()
    await settled()
    assert tree.snapshot().state == "not running"


async def test_work_may_go_on_asks_one_state_for_all_workers_together(autojump_clock: MockClock) -> None:
    granted: dict[str, int] = {}

    async def worker(child: ChildContext) -> None:
        assert child.policy is not None
        await trio.sleep(1)
        if child.name == "failing" and child.number == 1:
            raise OSError
        await trio.sleep(40)
        granted[child.name] = child.policy.admit(5, trio.current_time()).count
        await child.wait_stopping()

    specs = [ChildSpec(name, worker) for name in ("failing", "one", "two")]
    breaker = CircuitBreaker(1, reset_timeout=30.0, half_open_max_calls=3)
    async with running(Supervisor(specs, policy=breaker, max_restarts=0)):
        await trio.sleep(50)
    assert sum(granted.values()) == 3


async def test_an_error_that_only_a_person_can_help_suspends_until_somebody_resumes(
    autojump_clock: MockClock,
) -> None:
    class Unauthorized(Exception):
        suspend = True

    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec(policy=CircuitBreaker())], max_restarts=0)):
        puppet.fail(Unauthorized())
        await trio.sleep(3600)
        expect_tree(tree, {"a": ChildState.SUSPENDED})
        assert tree.snapshot().child("a").due is None
        await tree.resume_child("a")
        assert puppet.lives == 2


async def test_policies_composed_combine_their_delays_by_the_maximum(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    both = compose(Backoff(5.0, 5.0, jitter=0.0), CircuitBreaker(1, reset_timeout=30.0))
    async with running(tree := Supervisor([puppet.spec(policy=both)], max_restarts=0)):
        puppet.fail()
        await settled()
        assert tree.snapshot().child("a").due == 30


async def test_an_outermost_backoff_hears_only_what_leaves_the_child(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf")
    inner = Supervisor([leaf.spec()], max_restarts=1)
    outermost = Backoff(10.0, 60.0, jitter=0.0)
    tree = Supervisor([ChildSpec("inner", inner.run, policy=outermost)], max_restarts=0)
    async with running(tree):
        leaf.fail()
        await settled()
        expect_tree(tree, {"inner": {"leaf": ChildState.RUNNING}})
        leaf.fail()
        await settled()
        expect_tree(tree, {"inner": ChildState.BACKING_OFF})
        await trio.sleep(11)
        expect_tree(tree, {"inner": {"leaf": ChildState.RUNNING}})


async def test_an_outage_of_one_child_does_not_slow_another(autojump_clock: MockClock) -> None:
    broken, fine = Puppet("broken", says_up=False).plan(*[OSError()] * 99), Puppet("fine")
    policy = Backoff()
    tree = Supervisor([broken.spec(policy=policy), fine.spec(policy=policy)], max_restarts=0)
    async with running(tree):
        await trio.sleep(600)
        fine.fail()
        await settled()
        assert tree.snapshot().child("fine").due == pytest.approx(trio.current_time() + 0.5, rel=0.2)
        assert 10 <= broken.lives <= 25


async def test_a_thousand_failures_a_second_that_policies_decide_never_end_a_tree(
    autojump_clock: MockClock,
) -> None:
    """A hundred children fail ten times a second each."""
    puppets = [Puppet(f"p{number}", says_up=False) for number in range(100)]
    policy = Backoff(0.01, 0.01, jitter=0.0)
    tree = Supervisor((p.spec(policy=policy) for p in puppets), max_restarts=0)
    async with running(tree):
        await settled()
        for _ in range(20):
            for puppet in puppets:
                puppet.fail()
            await trio.sleep(0.1)
        assert tree.count().active == 100
        assert {puppet.lives for puppet in puppets} == {21}


async def test_a_retry_policy_without_items_leaves_failures_to_the_intensity(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([puppet.spec(policy=RetryPolicy())], max_restarts=2, within=inf)):
            for _ in range(3):
                puppet.fail()
                await trio.sleep(100)
