"""More than max_restarts within the window escalates; what a policy decided does not count (7, 8, 21)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TRANSIENT,
    ChildReturned,
    ChildState,
    DynamicSupervisor,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.core.intensity import Intensity
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import answering, restarting


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_exactly_max_restarts_go_on_and_one_more_escalates(
    allowed: int, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(tree := Supervisor([puppet.spec()], max_restarts=allowed)):
            for number in range(allowed):
                puppet.fail(ValueError(number))
                await settled()
                expect_tree(tree, {"a": ChildState.RUNNING})
            puppet.fail(ValueError("last"))
            await trio.sleep(1)
            pytest.fail("it goes on")
    assert puppet.lives == allowed + 1
    assert [error.args[0] for error in raised.value.exceptions] == [*range(allowed), "last"]


@pytest.mark.parametrize(("between", "survives"), [(4.9, False), (5.0, False), (5.1, True)])
async def test_a_restart_exactly_as_old_as_the_window_still_counts(
    between: float, survives: bool, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec()], max_restarts=1, within=5.0)
    try:
        async with running(tree):
            puppet.fail()
            await trio.sleep(between)
            puppet.fail()
            await settled()
            assert puppet.lives == 3
    except RestartIntensityExceeded:
        assert not survives
    else:
        assert survives


async def test_the_window_slides_so_a_slow_drip_never_escalates(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    async with running(Supervisor([puppet.spec()], max_restarts=2, within=5.0)):
        for _ in range(100):
            puppet.fail()
            await trio.sleep(2.6)
        assert puppet.lives == 101


async def test_all_children_share_one_intensity(autojump_clock: MockClock) -> None:
    a, b = Puppet("a"), Puppet("b")
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([a.spec(), b.spec()], max_restarts=1)):
            a.fail()
            b.fail()
            await trio.sleep(1)


async def test_the_return_of_a_permanent_child_counts_that_of_a_transient_one_does_not(
    autojump_clock: MockClock,
) -> None:
    transient, permanent = Puppet("t"), Puppet("p")
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(
            tree := Supervisor([transient.spec(restart=TRANSIENT), permanent.spec()], max_restarts=0)
        ):
            transient.finish()
            await settled()
            assert tree.snapshot().restarts_in_window == 0
            permanent.finish()
            await trio.sleep(1)
    assert isinstance(raised.value.exceptions[0], ChildReturned)


async def test_a_restart_by_hand_does_not_count(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    async with running(tree := Supervisor([puppet.spec()], max_restarts=0)):
        for _ in range(10):
            await tree.restart_child("a")
        assert puppet.lives == 11


async def test_failures_that_a_policy_decides_do_not_count(autojump_clock: MockClock) -> None:
    """1,000 a second for ten seconds end no station."""
    puppet = Puppet("a", says_up=False)
    async with running(tree := Supervisor([puppet.spec(policy=restarting(0.0005))], max_restarts=0)):
        await settled()
        for _ in range(10_000):
            puppet.fail()
            await trio.sleep(0.001)
        assert puppet.lives == 10_001
        assert tree.snapshot().restarts_in_window == 0


async def test_failures_that_a_policy_leaves_to_the_supervisor_count(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([puppet.spec(policy=answering(None))], max_restarts=0)):
            puppet.fail()
            await trio.sleep(1)


async def test_a_failure_by_itself_while_its_group_goes_down_anyway_does_not_count(
    autojump_clock: MockClock,
) -> None:
    a, b, c = Puppet("a"), Puppet("b", stop_takes=5.0), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], strategy=ONE_FOR_ALL, max_restarts=1)
    async with running(tree):
        c.fail()
        await trio.sleep(1)
        a.fail()
        await trio.sleep(10)
        expect_tree(tree, dict.fromkeys("abc", ChildState.RUNNING))
        assert (a.lives, b.lives, c.lives) == (2, 2, 2)


async def test_a_dynamic_supervisor_counts_the_same_way(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    with pytest.raises(RestartIntensityExceeded):
        async with running(tree := DynamicSupervisor(max_restarts=1)):
            await tree.start_child(puppet.spec())
            for _ in range(2):
                puppet.fail()
                await settled()
            await trio.sleep(1)


async def test_the_newest_32_errors_are_kept_and_the_rest_is_counted(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", says_up=False).plan(*[ValueError(number) for number in range(41)])
    with pytest.raises(RestartIntensityExceeded) as raised:
        await Supervisor([puppet.spec()], max_restarts=40).run()
    group = raised.value
    assert [error.args[0] for error in group.exceptions] == list(range(9, 41))
    assert group.more == 9
    assert group.supervisor == "supervisor"


@pytest.mark.parametrize(
    ("max_restarts", "within", "error"),
    [(-1, 5, ValueError), (1.5, 5, TypeError), (True, 5, TypeError), (3, 0, ValueError), (3, "5", TypeError)],
)
def test_an_intensity_that_makes_no_sense_is_refused_by_name_and_value(
    max_restarts: object, within: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"max_restarts|within"):
        Supervisor(max_restarts=max_restarts, within=within)  # type: ignore[arg-type]


def test_the_window_counts_what_is_at_most_as_old_as_it_is_long() -> None:
    window = Intensity(2, 10.0)
    assert [window.exceeded_by(ValueError(), at) for at in (0, 5, 10, 15, 16, 30)] == [
        *(False, False, True, True, True, False)
    ]
    assert (window.count(40), window.count(40.1)) == (1, 0)
