"""What happens when a supervisor gives up: who hears of it, and with which errors (promise 9)."""

from __future__ import annotations

import traceback

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ChildSpec,
    ChildState,
    Happening,
    PolicyEscalated,
    RestartIntensityExceeded,
    Supervisor,
)
from pywats_supervision.policies.decision import Escalate
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import answering, restarting


async def test_a_supervisor_that_gives_up_stops_its_children_in_reverse_first(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, diary=diary) for name in "abc")
    with pytest.raises(RestartIntensityExceeded):
        async with running(Supervisor([a.spec(), b.spec(), c.spec()], max_restarts=0)):
            diary.clear()
            b.fail()
            await trio.sleep(1)
    assert diary == ["end b", "asked c", "end c", "asked a", "end a"]


async def test_the_parent_treats_it_like_the_failure_of_any_child(autojump_clock: MockClock) -> None:
    leaf, sibling = Puppet("leaf"), Puppet("sibling")
    inner = Supervisor([leaf.spec()], max_restarts=0, name="inner")
    tree = Supervisor([ChildSpec("inner", inner.run), sibling.spec()], strategy=ONE_FOR_ALL)
    async with running(tree):
        leaf.fail()
        await settled()
        assert (leaf.lives, sibling.lives) == (2, 2)
        expect_tree(tree, {"inner": {"leaf": ChildState.RUNNING}, "sibling": ChildState.RUNNING})
        assert "RestartIntensityExceeded" in tree.snapshot().child("inner").last_error


async def test_it_reaches_the_grandparent_when_the_parents_own_intensity_is_exceeded(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf")
    inner = Supervisor([leaf.spec()], max_restarts=1, name="inner")
    middle = Supervisor([ChildSpec("inner", inner.run)], max_restarts=1, name="middle")
    outer = Supervisor([ChildSpec("middle", middle.run)], max_restarts=0, name="outer")
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(outer):
            for number in range(4):
                leaf.fail(ValueError(number))
                await settled()
    assert leaf.lives == 4
    assert raised.value.supervisor == "outer"
    (of_middle,) = raised.value.exceptions
    assert isinstance(of_middle, RestartIntensityExceeded)
    assert of_middle.supervisor == "middle"
    numbers = [error.args[0] for of_inner in of_middle.exceptions for error in of_inner.exceptions]
    assert numbers == [0, 1, 2, 3]


async def test_every_original_exception_is_in_the_group_with_its_traceback(autojump_clock: MockClock) -> None:
    def deep_in_the_driver() -> None:
        raise OSError("spindle")

    async def start() -> None:
        await trio.sleep(1)
        deep_in_the_driver()

    inner = Supervisor([ChildSpec("drive", start)], max_restarts=1)
    with pytest.raises(RestartIntensityExceeded) as raised:
        await Supervisor([ChildSpec("inner", inner.run)], max_restarts=0).run()
    text = "".join(traceback.format_exception(raised.value))
    assert text.count("deep_in_the_driver()\n") == 2
    assert text.count("OSError: spindle") == 2


async def test_a_policy_escalates_with_the_error_that_it_heard_of(autojump_clock: MockClock) -> None:
    error = OSError("no")
    puppet = Puppet("a")
    with pytest.raises(PolicyEscalated) as raised:
        async with running(Supervisor([puppet.spec(policy=answering(Escalate()))])):
            puppet.fail(error)
            await trio.sleep(1)
    assert raised.value.exceptions == (error,)


async def test_a_policy_of_the_parent_decides_on_the_failure_of_the_supervisor(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf")
    inner = Supervisor([leaf.spec()], max_restarts=0, name="inner")
    outermost = restarting(60.0)
    tree = Supervisor([ChildSpec("inner", inner.run, policy=outermost)], max_restarts=0)
    async with running(tree):
        leaf.fail()
        await settled()
        expect_tree(tree, {"inner": ChildState.BACKING_OFF})
        assert isinstance(outermost.heard[0].error, RestartIntensityExceeded)
        await trio.sleep(61)
        expect_tree(tree, {"inner": {"leaf": ChildState.RUNNING}})


async def test_an_escalation_in_the_first_start_fails_run(autojump_clock: MockClock) -> None:
    puppet, earlier = Puppet("a").plan(OSError("x")), Puppet("earlier")
    with pytest.raises(PolicyEscalated):
        await Supervisor([earlier.spec(), puppet.spec(policy=answering(Escalate()))]).run()
    assert earlier.diary[-1] == "end earlier"


async def test_a_listening_last_child_whose_policy_escalates_ends_the_tree_in_order(
    autojump_clock: MockClock,
) -> None:
    """It is down when the supervisor gives up, so nobody asks it to stop."""
    a, b = Puppet("a"), Puppet("b")
    tree = Supervisor([a.spec(), b.spec(policy=answering(Escalate()))])
    events = Recording(tree)
    with pytest.raises(PolicyEscalated):
        async with running(tree):
            b.fail()
            await trio.sleep(1)
    assert events.kinds("b")[-2:] == [Happening.FAILED, Happening.STOPPED]
    assert [event.kind for event in events.events][-2:] == [Happening.STOPPED, Happening.FINISHED]


async def test_what_fails_while_a_supervisor_gives_up_is_noted_on_its_error(
    autojump_clock: MockClock,
) -> None:
    a, b = Puppet("a", stop_error=ValueError("while stopping")), Puppet("b")
    with pytest.raises(RestartIntensityExceeded) as raised:
        async with running(Supervisor([a.spec(), b.spec()], max_restarts=0)):
            b.fail()
            await trio.sleep(1)
    assert any("while stopping" in note for note in raised.value.__notes__)


async def test_a_child_that_fails_by_itself_while_the_tree_stops_is_not_restarted_and_noted(
    autojump_clock: MockClock,
) -> None:
    a, b, c = Puppet("a"), Puppet("b", stop_takes=3.0), Puppet("c")
    tree = Supervisor([a.spec(), b.spec(), c.spec()], max_restarts=0)

    async def fail_two() -> None:
        await settled()
        c.fail()
        await trio.sleep(1)
        a.fail(ValueError("meanwhile"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail_two)
        with pytest.raises(RestartIntensityExceeded) as raised:
            await tree.run()
    assert a.lives == 1
    assert any("meanwhile" in note for note in raised.value.__notes__)


async def test_a_crash_loop_of_a_nested_supervisor_without_a_limit_goes_on_for_ever(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf")
    inner = Supervisor([leaf.spec()], max_restarts=0)
    async with running(Supervisor([ChildSpec("inner", inner.run, policy=restarting())], max_restarts=0)):
        for _ in range(50):
            leaf.fail()
            await settled()
        assert leaf.lives == 51
