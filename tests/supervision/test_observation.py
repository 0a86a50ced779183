"""snapshot() and the stream of events tell the truth at every step (promise 29)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    ChildState,
    Counts,
    DynamicSupervisor,
    Happening,
    Strategy,
    Supervisor,
    TreeEvent,
)
from pywats_supervision.core.life import TRANSITIONS
from pywats_supervision.observation import Audience
from pywats_supervision.policies.decision import Suspend
from pywats_supervision.testing import Puppet, Recording, expect_tree, running, settled
from support.policies import answering, restarting

STATE_AFTER = {
    Happening.PENDING: ChildState.PENDING,
    Happening.STARTING: ChildState.STARTING,
    Happening.UP: ChildState.RUNNING,
    Happening.STOPPING: ChildState.STOPPING,
    Happening.BACKING_OFF: ChildState.BACKING_OFF,
    Happening.SUSPENDED: ChildState.SUSPENDED,
    Happening.STOPPED: ChildState.STOPPED,
}


class Lookout(Audience):
    """Looks at the tree at the very moment of each event, and notes where the two differ."""

    def __init__(self, tree: Supervisor | DynamicSupervisor) -> None:
        super().__init__()
        self.tree = tree
        self.lies: list[str] = []
        self.told: dict[str, ChildState] = {}
        self.seen = 0
        tree.audience = self

    def listens(self) -> bool:
        return True

    def tell(self, event: TreeEvent) -> None:
        self.seen += 1
        children = {child.name: child for child in self.tree.children()}
        name = event.path[-1]
        if event.kind is Happening.REMOVED:
            del self.told[name]
            assert name not in children
        elif event.kind in STATE_AFTER and len(event.path) == 2:
            self.told[name] = STATE_AFTER[event.kind]
            if children[name].life != event.life:
                self.lies.append(f"{event}: it is in life {children[name].life}")
        for name, told in self.told.items():
            # Who has ended is down; what becomes of it is said later in the same step.
            if children[name].state not in {told, ChildState.STOPPED}:
                self.lies.append(f"{event}: {name} was said to be {told} and is {children[name].state}")


@pytest.mark.parametrize("strategy", Strategy)
async def test_at_each_event_the_snapshot_says_the_same(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    a, b, c = (Puppet(name, stop_takes=1.0).plan(1.0) for name in "abc")
    tree = Supervisor([a.spec(), b.spec(policy=restarting(2.0)), c.spec()], strategy=strategy)
    lookout = Lookout(tree)
    async with running(tree):
        for act in (a.fail, b.fail, c.finish):
            act()
            await trio.sleep(20)
        await tree.suspend_child("b")
        tree.start_child_nowait(Puppet("late").spec(restart=TEMPORARY), delay=3.0)
        await tree.restart_child("c")
        await tree.resume_child("b")
        await trio.sleep(5)
        a.fail()
        await trio.sleep(0.5)
        c.fail()
        await trio.sleep(20)
        await tree.remove_child("c")
        b.fail()
        await trio.sleep(0.5)
    assert lookout.lies == []
    assert lookout.seen > 40
    assert set(lookout.told.values()) == {ChildState.STOPPED}


async def test_the_states_that_events_tell_follow_each_other_as_the_table_says(
    autojump_clock: MockClock,
) -> None:
    legal = {(before, after) for (before, _), after in TRANSITIONS.items()}
    puppets = [Puppet(name, stop_takes=1.0) for name in "abc"]
    tree = Supervisor((p.spec(policy=restarting(1.0)) for p in puppets), strategy=ONE_FOR_ALL)
    events = Recording(tree)
    async with running(tree):
        for puppet in puppets:
            puppet.fail()
            await trio.sleep(0.5)
        await trio.sleep(20)
    for name in "abc":
        states = [STATE_AFTER[kind] for kind in events.kinds(name) if kind in STATE_AFTER]
        down = {ChildState.PENDING, ChildState.BACKING_OFF, ChildState.SUSPENDED, ChildState.STOPPED}
        for before, after in pairwise(states):
            ended = before not in down and after in down
            assert ended or (before, after) in legal, f"{before} then {after}"


@pytest.mark.parametrize("strategy", Strategy)
async def test_in_a_cancelled_tree_nothing_is_due_any_more(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    a, b = Puppet("a"), Puppet("b")
    slow = Puppet("slow", shielded=1.0, stop_takes=9.0)
    specs = [slow.spec(), a.spec(policy=restarting(50.0)), b.spec(policy=answering(Suspend(60.0)))]
    tree = Supervisor(specs, strategy=strategy)
    scope = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - run() calls it
        with scope:
            await tree.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        b.fail()
        await settled()
        a.fail()
        await settled()
        assert any(child.due is not None for child in tree.children())
        scope.cancel()
        await trio.sleep(0.5)  # the slow one is still in its cleanup
        assert tree.snapshot().state == "stopping"
        assert [child.due for child in tree.children()] == [None] * 3


async def test_the_life_of_a_tree_as_its_events_tell_it(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec(policy=restarting(2.0))], name="root")
    events = Recording(tree)
    async with running(tree):
        puppet.fail(ValueError("why"))
        await trio.sleep(3)
    assert events.lines() == [
        *("pending a", "starting a", "up a", "ready", "failed a", "backing_off a", "starting a", "up a"),
        *("stopping", "stopping a", "stopped a", "finished"),
    ]
    failed = events.events[4]
    assert failed == TreeEvent(Happening.FAILED, ("root", "a"), 0.0, 1, "ValueError: why")
    assert events.events[5].until == 2
    assert [event.life for event in events.events][6:8] == [2, 2]


async def test_in_each_life_of_a_supervisor_its_children_are_told_from_the_beginning(
    autojump_clock: MockClock,
) -> None:
    puppets = Puppet("a"), Puppet("b")
    inner = Supervisor([puppet.spec() for puppet in puppets], name="inner", max_restarts=0)
    tree = Supervisor([ChildSpec("inner", inner.run)], name="root")
    told: dict[str, ChildState] = {}
    async with running(tree):
        with tree.events() as stream:
            puppets[0].plan(8.0).fail()
            await trio.sleep(1)
            for event in stream.drain():
                if event.kind in STATE_AFTER and len(event.path) == 3:
                    told[event.path[-1]] = STATE_AFTER[event.kind]
        assert told == {child.name: child.state for child in inner.children()}
        assert told == {"a": ChildState.STARTING, "b": ChildState.PENDING}


async def test_a_supervisor_that_gives_up_says_why(autojump_clock: MockClock) -> None:
    puppet = Puppet("a").plan(OSError("no disk"))
    events = Recording(tree := Supervisor([puppet.spec()]))
    with pytest.raises(OSError, match="no disk"):
        await tree.run()
    gave_up = next(event for event in events.events if event.kind is Happening.GAVE_UP)
    assert gave_up.error == "OSError: no disk"


async def test_a_snapshot_shows_each_child_as_it_is(autojump_clock: MockClock) -> None:
    running_, waiting, suspended = Puppet("running"), Puppet("waiting"), Puppet("suspended")
    policy = restarting(60.0)
    tree = Supervisor(
        [running_.spec(), waiting.spec(policy=policy), suspended.spec(policy=answering(Suspend(500.0)))],
        name="root",
    )
    async with running(tree):
        await trio.sleep(2)
        waiting.fail(ValueError("x"))
        suspended.fail()
        await trio.sleep(1)
        snapshot = tree.snapshot()
        assert (snapshot.name, snapshot.state, snapshot.at) == ("root", "running", 3)
        one, two, three = snapshot.children
        assert (one.state, one.life, one.restarts, one.since, one.due) == (ChildState.RUNNING, 1, 0, 0, None)
        assert (two.state, two.since, two.due, two.last_error) == (
            *(ChildState.BACKING_OFF, None, 62, "ValueError: x"),
        )
        assert two.policy == {"failures": 1}
        assert (three.state, three.due) == (ChildState.SUSPENDED, 500)
        assert tree.count() == Counts(specs=3, active=1, supervisors=0, workers=3, waiting=2)
        with pytest.raises(LookupError, match="'nobody'"):
            snapshot.child("nobody")


async def test_a_snapshot_shows_when_a_grace_or_a_start_timeout_ends(autojump_clock: MockClock) -> None:
    a, b = Puppet("a", stop_takes=99.0), Puppet("b").plan(99.0)
    async with running(tree := Supervisor([a.spec(shutdown=7)])):
        tree.start_child_nowait(b.spec(start_timeout=50))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.stop_child, "a")
            await trio.sleep(1)
            assert [child.due for child in tree.children()] == [7, 50]


async def test_a_child_may_add_plain_values_of_its_own_and_a_supervisor_adds_its_snapshot(
    autojump_clock: MockClock,
) -> None:
    async def child(child: ChildContext) -> None:
        child.describe = lambda: {"queue": 3}
        await child.wait_stopping()

    inner = Supervisor([ChildSpec("leaf", child)], name="inner")
    async with running(tree := Supervisor([ChildSpec("inner", inner.run)])):
        await settled()
        detail = tree.snapshot().child("inner").detail
        assert detail.child("leaf").detail == {"queue": 3}
        assert tree.count().supervisors == 1


async def test_looking_changes_nothing_and_works_before_during_and_after(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec()])
    assert tree.snapshot().state == "not running"
    async with running(tree):
        assert tree.snapshot() == tree.snapshot()
        expect_tree(tree, {"a": ChildState.RUNNING})
    assert (tree.snapshot().state, tree.count().specs) == ("not running", 0)


async def test_a_slow_reader_loses_the_oldest_events_and_they_are_counted(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    tree = Supervisor([puppet.spec()], max_restarts=99)
    with tree.events(size=4) as stream:
        async with running(tree):
            for _ in range(10):
                puppet.fail()
                await settled()
        assert [event.kind for event in stream.drain()][-1] is Happening.FINISHED
        assert stream.dropped > 20


async def test_a_stream_can_be_waited_for_by_several_and_ends_with_its_block(
    autojump_clock: MockClock,
) -> None:
    tree = Supervisor([Puppet("a").spec()])
    heard: list[TreeEvent] = []
    note = heard.append

    async def listen() -> None:
        async for event in stream:
            note(event)

    async with trio.open_nursery() as nursery:
        with tree.events() as stream:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
            await settled()
            async with running(tree):
                await settled()
            await settled()
    assert [event.kind for event in heard] == [
        *(Happening.PENDING, Happening.STARTING, Happening.UP, Happening.READY),
        *(Happening.STOPPING, Happening.STOPPING, Happening.STOPPED, Happening.FINISHED),
    ]
    before = len(heard)
    async with running(tree):
        pass
    assert len(heard) == before


async def test_a_reader_that_is_cancelled_loses_no_event(autojump_clock: MockClock) -> None:
    tree = Supervisor([Puppet("a").spec()])
    with tree.events() as stream:
        with trio.move_on_after(1):
            await anext(stream)
        async with running(tree):
            pass
        assert len(stream.drain()) == 8


@pytest.mark.parametrize("size", [0, -1])
def test_a_stream_holds_at_least_one_event(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        Supervisor().events(size)


async def test_events_carry_texts_and_no_errors(autojump_clock: MockClock) -> None:
    puppet = Puppet("a")
    events = Recording(tree := Supervisor([puppet.spec()]))
    async with running(tree):
        puppet.fail(ValueError("x" * 2000))
        await settled()
    (failed,) = [event for event in events.events if event.kind is Happening.FAILED]
    assert len(failed.error) == 500


@pytest.mark.parametrize(
    ("size", "error"), [("x", TypeError), (1.5, TypeError), (True, TypeError), (0, ValueError)]
)
def test_a_stream_refuses_a_size_that_is_no_number_of_events(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^size must be .* events?, not "):
        Supervisor().events(size)
