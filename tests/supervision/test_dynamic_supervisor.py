"""DynamicSupervisor: children without an order, in time linear in their number (promise 23)."""

from __future__ import annotations

import gc
import time
from math import inf

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from pywats_supervision import (
    TEMPORARY,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Supervisor,
    TooManyChildren,
)
from pywats_supervision.core.dynamic import DynamicDecider
from pywats_supervision.core.intensity import Intensity
from pywats_supervision.core.spec import NEVER, ONE_FOR_ONE
from pywats_supervision.policies.decision import Suspend
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import answering, restarting

SLOW = 1000.0


@pytest.mark.parametrize("waiting", ["running", "starting", "backing off", "suspended", "delayed"])
async def test_max_children_counts_those_that_wait_or_restart_too(
    waiting: str, autojump_clock: MockClock
) -> None:
    policy = answering(Suspend()) if waiting == "suspended" else restarting(60.0)
    puppet = Puppet("a").plan(inf) if waiting == "starting" else Puppet("a")
    async with running(tree := DynamicSupervisor(max_children=2)):
        await tree.start_child(Puppet("other").spec())
        tree.start_child_nowait(puppet.spec(policy=policy), delay=60.0 if waiting == "delayed" else 0.0)
        await settled()
        if waiting in {"backing off", "suspended"}:
            puppet.fail()
            await settled()
        with pytest.raises(TooManyChildren):
            tree.start_child_nowait(Puppet("b").spec())
        await tree.stop_child("a")
        await tree.start_child(Puppet("b").spec())


async def test_a_place_is_free_again_when_a_child_has_gone(autojump_clock: MockClock) -> None:
    async with running(tree := DynamicSupervisor(max_children=1)):
        for number in range(5):
            puppet = Puppet(f"p{number}")
            await tree.start_child(puppet.spec(restart=TEMPORARY))
            puppet.fail()
            await settled()
        assert tree.count().specs == 0


async def test_all_children_stop_at_once(autojump_clock: MockClock) -> None:
    puppets = [Puppet(f"p{number}", stop_takes=3.0) for number in range(20)]
    async with running(tree := DynamicSupervisor()):
        for puppet in puppets:
            await tree.start_child(puppet.spec())
        await tree.stop()
        assert trio.current_time() == 3


async def test_each_child_has_its_own_grace(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    ended = {}
    async with running(tree := DynamicSupervisor()):
        for grace in (1, 2, 4):
            puppet = Puppet(f"{grace}", stop_takes=SLOW, diary=diary)
            await tree.start_child(puppet.spec(shutdown=grace))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.stop)
            for now in range(1, 5):
                await trio.sleep(1)
                await settled()
                ended[now] = [line for line in diary if line.startswith("end")]
    assert {now: len(lines) for now, lines in ended.items()} == {1: 1, 2: 2, 3: 2, 4: 3}


def test_a_stop_sets_one_timer_for_each_distinct_grace() -> None:
    async def start(task_status: object, child: object) -> None: ...

    decider = DynamicDecider(
        "d",
        max_children=None,
        strategy=ONE_FOR_ONE,
        intensity=Intensity(3, 5),
        auto_shutdown=NEVER,
        policy=None,
        chance=lambda: 0.5,
        announce=lambda kind, child=None, *, error=None, until=None: None,
        on_reset=lambda policy: None,
    )
    decider.begin((), 0.0)
    for number in range(1000):
        child = decider.start_child(ChildSpec(str(number), start, shutdown=1 + 1.5 * (number % 3)), 0.0)
        decider.up(child, None, 0.0)
    assert len(decider.agenda) == 0
    decider.request_stop(inf, 10.0)
    assert len(decider.agenda) == 3
    assert decider.agenda.next_due == 11
    decider.due(11.0)
    assert len(decider.agenda) == 3
    assert len([child for child in decider.children if child.cancelled]) == 334


async def test_a_child_that_was_being_stopped_already_is_not_asked_again(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", stop_takes=3.0)
    async with running(tree := DynamicSupervisor()), trio.open_nursery() as nursery:
        await tree.start_child(puppet.spec())
        nursery.start_soon(tree.stop_child, "a")
        await settled()
        await tree.stop()
    assert puppet.diary.count("asked a") == 1


async def test_a_suspended_child_of_a_dynamic_supervisor_stays_until_it_is_resumed(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    async with running(tree := DynamicSupervisor()):
        await tree.start_child(puppet.spec())
        await tree.suspend_child("a")
        expect_tree(tree, {"a": ChildState.SUSPENDED})
        await tree.resume_child("a")
        expect_tree(tree, {"a": ChildState.RUNNING})


async def test_a_dynamic_supervisor_restarts_without_its_children(autojump_clock: MockClock) -> None:
    inner = DynamicSupervisor(max_restarts=0)
    puppet = Puppet("a")
    async with running(tree := Supervisor([ChildSpec("inner", inner.run)])):
        await inner.start_child(puppet.spec())
        puppet.fail()
        await settled()
        expect_tree(tree, {"inner": {}})
        await inner.start_child(puppet.spec())
        expect_tree(tree, {"inner": {"a": ChildState.RUNNING}})


async def _seconds_for(number: int, *, says_up: bool) -> float:
    """Real seconds to start and stop so many children."""

    async def bare() -> None:
        await trio.sleep_forever()

    async def up(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    tree = DynamicSupervisor()
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            await nursery.start(tree.run)
            for index in range(number):
                tree.start_child_nowait(ChildSpec(str(index), up if says_up else bare))
            while tree.count().active < number:
                await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            await tree.stop()
        return time.perf_counter() - began
    finally:
        gc.enable()


@pytest.mark.parametrize(("number", "says_up"), [(100_000, False), (20_000, True)])
def test_very_many_children_cost_time_linear_in_their_number(number: int, says_up: bool) -> None:
    async def both() -> tuple[float, float]:
        few = min([await _seconds_for(2_000, says_up=says_up) for _ in range(3)])
        return few, await _seconds_for(number, says_up=says_up)

    few, many = trio.run(both)
    assert many < 3 * few * number / 2_000, f"2,000 took {few:.2f} s, {number:,} took {many:.2f} s"


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_limit_that_makes_no_sense_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_children"):
        DynamicSupervisor(max_children=value)  # type: ignore[arg-type]
