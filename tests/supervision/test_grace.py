"""How long a child may take to stop, alone and in a tree with one deadline (promise 11)."""

from __future__ import annotations

from math import inf

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ChildContext,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Happening,
    Supervisor,
)
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled

SLOW = 1000.0


async def _stop_takes(tree: Supervisor | DynamicSupervisor, within: float = inf) -> float:
    began = trio.current_time()
    await tree.stop(within)
    return trio.current_time() - began


async def test_a_child_that_stops_within_its_grace_is_not_cancelled(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", stop_takes=4.5)
    async with running(tree := Supervisor([puppet.spec()])):
        assert await _stop_takes(tree) == 4.5
    assert puppet.diary == ["start a", "up a", "asked a", "end a"]


@pytest.mark.parametrize(("shutdown", "takes"), [(None, 5.0), (2.0, 2.0), (0.5, 0.5)])
async def test_a_child_that_takes_longer_than_its_grace_is_cancelled(
    shutdown: float | None, takes: float, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a", stop_takes=SLOW)
    async with running(tree := Supervisor([puppet.spec(shutdown=shutdown)])):
        assert await _stop_takes(tree) == takes
    assert puppet.diary[-3:] == ["asked a", "cancelled a", "end a"]


async def test_a_grace_of_zero_cancels_at_once_without_asking(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", stop_takes=1.0)
    async with running(tree := Supervisor([puppet.spec(shutdown=0)])):
        assert await _stop_takes(tree) == 0
    assert puppet.diary[-2:] == ["cancelled a", "end a"]


async def test_a_grace_without_end_never_cancels(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", stop_takes=SLOW)
    async with running(tree := Supervisor([puppet.spec(shutdown=inf)])):
        assert await _stop_takes(tree) == SLOW
    assert "cancelled a" not in puppet.diary


@pytest.mark.parametrize("says_up", [True, False])
async def test_a_plain_child_cannot_be_asked_and_is_cancelled_at_once(
    says_up: bool, autojump_clock: MockClock
) -> None:
    puppet = Puppet("a", listens=False, says_up=says_up)
    async with running(tree := Supervisor([puppet.spec(shutdown=100)])):
        await settled()
        assert await _stop_takes(tree) == 0
    assert puppet.diary[-2:] == ["cancelled a", "end a"]


async def test_a_child_that_listens_can_look_at_its_deadline_and_poll(autojump_clock: MockClock) -> None:
    seen = []

    async def poll(child: ChildContext) -> None:
        while not child.stopping:
            await trio.sleep(0.25)
        seen.append(child.deadline)

    async with running(tree := Supervisor([ChildSpec("a", poll, shutdown=3)])):
        await trio.sleep(1.1)
        await tree.stop()
    assert seen == [4.1]


async def test_waiting_to_be_stopped_works_before_and_after_the_request(autojump_clock: MockClock) -> None:
    async def wait(child: ChildContext) -> None:
        await child.wait_stopping()
        await child.wait_stopping()

    async with running(Supervisor([ChildSpec("a", wait), ChildSpec("b", wait)])):
        await settled()


async def test_a_child_that_is_still_starting_and_not_listening_is_cancelled_at_once(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a")
    tree = Supervisor([Puppet("first").spec(), puppet.plan(inf).spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settled()
        assert await _stop_takes(tree) == 0


async def test_a_child_that_shields_itself_past_its_grace_is_reported_once_and_waited_for(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", stop_takes=SLOW, shielded=60.0)
    tree = Supervisor([puppet.spec(shutdown=2)])
    events = Recording(tree)
    async with running(tree):
        assert await _stop_takes(tree) == 62
    straggling = [event for event in events.events if event.kind is Happening.STRAGGLING]
    assert [event.at for event in straggling] == [3]


async def test_a_straggler_is_reported_once_whoever_asks_for_what_meanwhile(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", shielded=60.0).plan(inf)
    tree = Supervisor([puppet.spec(start_timeout=5)])
    events = Recording(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(10)
        nursery.start_soon(tree.stop_child, "a")
        await trio.sleep(10)
        nursery.start_soon(tree.stop, 5)
        await trio.sleep(10)
        nursery.start_soon(tree.stop, 1)
    assert events.kinds("a").count(Happening.STRAGGLING) == 1
    assert trio.current_time() == 65


async def test_a_dynamic_straggler_is_reported_once_though_the_deadline_moved(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", stop_takes=SLOW, shielded=60.0)
    tree = DynamicSupervisor()
    events = Recording(tree)
    async with running(tree):
        await tree.start_child(puppet.spec(shutdown=5))
        tree.request_stop()
        await trio.sleep(0.5)
        tree.request_stop(1)
        await trio.sleep(0.5)
        assert puppet.context is not None
        assert puppet.context.deadline == 1.5
        await tree.stop()
    straggling = [event.at for event in events.events if event.kind is Happening.STRAGGLING]
    assert straggling == [2.5]


async def test_a_straggler_does_not_hold_up_a_one_for_one_sibling(autojump_clock: MockClock) -> None:
    a, b = Puppet("a", listens=False, shielded=60.0), Puppet("b")
    async with running(tree := Supervisor([a.spec(), b.spec()])):
        with trio.move_on_after(1):
            await tree.stop_child("a")
        b.fail()
        await settled()
        expect_tree(tree, {"a": ChildState.STOPPING, "b": ChildState.RUNNING})


async def test_stop_sets_one_deadline_and_every_grace_is_the_smaller_of_its_own_and_what_is_left(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    a, b, c = (Puppet(name, stop_takes=SLOW, diary=diary) for name in "abc")
    tree = Supervisor([a.spec(shutdown=5), b.spec(shutdown=5), c.spec(shutdown=2)])
    async with running(tree):
        diary.clear()
        assert await _stop_takes(tree, 6.0) == 6
    assert diary == [
        *("asked c", "cancelled c", "end c", "asked b", "cancelled b", "end b"),
        *("cancelled a", "end a"),
    ]


async def test_a_stop_without_any_time_cancels_everybody_in_reverse(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    puppets = [Puppet(name, stop_takes=SLOW, diary=diary) for name in "abc"]
    async with running(tree := Supervisor(p.spec(shutdown=inf) for p in puppets)):
        diary.clear()
        assert await _stop_takes(tree, 0) == 0
    assert diary == [f"{what} {name}" for name in "cba" for what in ("cancelled", "end")]


async def test_a_deadline_reaches_through_nested_supervisors_and_the_order_is_kept(
    autojump_clock: MockClock,
) -> None:
    diary: list[str] = []
    leaves = {name: Puppet(name, stop_takes=SLOW, diary=diary) for name in ("1a", "1b", "2a", "2b", "3")}
    inner = [
        Supervisor([leaves[f"{number}a"].spec(shutdown=2), leaves[f"{number}b"].spec(shutdown=inf)])
        for number in (1, 2)
    ]
    tree = Supervisor(
        [ChildSpec("one", inner[0].run), ChildSpec("two", inner[1].run), leaves["3"].spec(shutdown=1)]
    )
    async with running(tree):
        diary.clear()
        assert await _stop_takes(tree, 10) == 10
    assert [line for line in diary if line.startswith(("asked", "end"))] == [
        *("asked 3", "end 3"),
        *("asked 2b", "end 2b", "end 2a"),
        *("end 1b", "end 1a"),
    ]


async def test_a_supervisor_has_all_the_time_its_children_need(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf", stop_takes=500.0)
    inner = Supervisor([leaf.spec(shutdown=600)])
    async with running(tree := Supervisor([ChildSpec("inner", inner.run)])):
        assert await _stop_takes(tree) == 500
    assert "cancelled leaf" not in leaf.diary


async def test_a_supervisor_given_a_grace_of_its_own_is_cancelled_after_it(autojump_clock: MockClock) -> None:
    leaf = Puppet("leaf", stop_takes=500.0)
    inner = Supervisor([leaf.spec(shutdown=600)])
    async with running(tree := Supervisor([ChildSpec("inner", inner.run, shutdown=7)])):
        assert await _stop_takes(tree) == 7
    assert leaf.diary[-3:] == ["asked leaf", "cancelled leaf", "end leaf"]


async def test_an_earlier_deadline_shortens_the_graces_that_were_granted_already(
    autojump_clock: MockClock,
) -> None:
    leaf = Puppet("leaf", stop_takes=SLOW)
    inner = Supervisor([leaf.spec(shutdown=600)])
    tree = Supervisor([ChildSpec("inner", inner.run)])
    async with running(tree):
        tree.request_stop()
        await trio.sleep(1)
        assert await _stop_takes(tree, 3) == 3


async def test_a_later_deadline_lengthens_nothing(autojump_clock: MockClock) -> None:
    puppet = Puppet("a", stop_takes=SLOW)
    async with running(tree := Supervisor([puppet.spec(shutdown=5)])):
        tree.request_stop()
        await trio.sleep(4)
        tree.request_stop(10)
        assert await _stop_takes(tree, 100) == 1


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_deadline_also_bounds_a_child_that_was_being_stopped_before(
    kind: type[Supervisor | DynamicSupervisor], autojump_clock: MockClock
) -> None:
    puppet = Puppet("a", stop_takes=SLOW)
    async with running(tree := kind()):
        await tree.start_child(puppet.spec(shutdown=100))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.stop_child, "a")
            await trio.sleep(1)
            assert await _stop_takes(tree, 2) == 2


async def test_a_listener_that_raises_is_cancelled_at_once_because_it_cannot_hear(
    autojump_clock: MockClock,
) -> None:
    async def deaf(child: ChildContext) -> None:
        child.on_stopping(lambda: 1 / 0)
        await trio.sleep_forever()

    other = Puppet("other")
    async with running(tree := Supervisor([other.spec(), ChildSpec("deaf", deaf, shutdown=50)])):
        await settled()
        assert await _stop_takes(tree) == 0
    assert other.diary[-2:] == ["asked other", "end other"]


async def test_the_start_timeout_is_not_a_grace_but_bounds_a_start(autojump_clock: MockClock) -> None:
    assert ChildSpec("a", Puppet()._start()).patience == 30
    assert ChildSpec("a", Supervisor().run).patience == inf
    assert ChildSpec("a", Supervisor().run, start_timeout=3).patience == 3


@pytest.mark.parametrize("value", [-1, float("nan"), "5", True])
def test_a_grace_that_makes_no_sense_is_refused_by_name_and_value(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="shutdown of child 'a'"):
        ChildSpec("a", trio.sleep_forever, shutdown=value)  # type: ignore[arg-type]
