"""Crash loops and long lives hold no memory (promise 28)."""

from __future__ import annotations

import gc
import logging
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from math import inf

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    TEMPORARY,
    ChildContext,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
)
from pywats_supervision.core.agenda import Agenda
from pywats_supervision.policies.decision import Decision, Failure
from pywats_supervision.testing import Puppet, running, settled
from support.policies import Answers

FIRST, THEN = 6_000, 2_000
"""Of the 10,000 restarts: to what the first 8,000 leave behind, the last 2,000 must not add."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log: pytest would keep every record."""
    logger = logging.getLogger("pywats_supervision")
    logger.disabled = True
    yield
    logger.disabled = False


async def _grown_by(work: Callable[[], Awaitable[None]]) -> int:
    """Bytes that a second go of the same work adds to what the first left."""
    await work()
    gc.collect()
    tracemalloc.start()
    try:
        await work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


class Crashing:
    """A child that crashes a number of times, with a big frame each, and then stays."""

    def __init__(self) -> None:
        self.left = 0
        self.done = trio.Event()
        self.again = trio.Event()

    async def plain(self) -> None:
        ballast = bytes(1000)
        if self.left == 0:
            self.done.set()
            await self.again.wait()
        self.left -= 1
        raise ValueError(len(ballast))

    async def says_up(self, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        task_status.started()
        child.on_stopping(lambda: None)
        await self.plain()

    async def crash(self, number: int) -> None:
        self.left, self.done, again, self.again = number, trio.Event(), self.again, trio.Event()
        again.set()
        await self.done.wait()


@pytest.mark.parametrize("shape", ["plain", "says_up"])
@pytest.mark.parametrize("decided", ["by intensity", "by a policy", "for the group"])
def test_ten_thousand_restarts_leave_the_memory_flat(shape: str, decided: str) -> None:
    """On the real clock: a window in which no time goes by would hold them all."""
    child = Crashing()
    policy = Forgetful() if decided == "by a policy" else None
    sibling = Puppet("sibling", diary=Nothing())
    tree = Supervisor(
        [ChildSpec("crashing", getattr(child, shape), policy=policy, shutdown=0), sibling.spec()],
        max_restarts=1_000_000_000,
        within=1e-9,
        strategy=ONE_FOR_ALL if decided == "for the group" else ONE_FOR_ONE,
    )

    async def crash() -> None:
        async with running(tree):
            await settled()
            await child.crash(FIRST)
            # Less for each than any object takes; what Python itself keeps once is some 20 kB.
            assert await _grown_by(lambda: child.crash(THEN)) < 30 * THEN

    trio.run(crash)


class Forgetful(Answers):
    """Restarts at once, and keeps nothing of what it heard."""

    def __init__(self) -> None:
        super().__init__(lambda failure: Decision())

    def failed(self, state: list[Failure], failure: Failure, now: float) -> Decision:
        return Decision()


class Nothing(list[str]):
    """A diary that keeps nothing."""

    def append(self, item: str) -> None:
        del item


async def test_what_a_failed_life_held_is_freed_without_the_collector(autojump_clock: MockClock) -> None:
    class Payload:
        pass

    alive: list[weakref.ref[Payload]] = []

    async def child() -> None:
        payload = Payload()
        alive.append(weakref.ref(payload))
        await trio.sleep(1)
        raise ValueError(payload)

    gc.collect()
    gc.disable()
    try:
        async with running(Supervisor([ChildSpec("a", child, policy=Forgetful())])):
            await trio.sleep(100.5)
            held = sum(payload() is not None for payload in alive)
    finally:
        gc.enable()
    assert len(alive) == 101
    assert held <= 2


async def test_children_that_have_gone_leave_nothing_behind(autojump_clock: MockClock) -> None:
    async def child() -> None:
        await trio.lowlevel.checkpoint()

    async def generations() -> None:
        for number in range(5_000):
            tree.start_child_nowait(ChildSpec(f"n{number}", child, TEMPORARY))
            if number % 100 == 0:
                await settled()
        await settled()

    async with running(tree := DynamicSupervisor()):
        assert await _grown_by(generations) < 100_000
        assert tree.count().specs == 0


async def test_start_timeouts_that_never_come_due_hold_no_memory(autojump_clock: MockClock) -> None:
    agenda: Agenda[object] = Agenda()
    for number in range(100_000):
        agenda.cancel(agenda.enter(float(number), object()))
    assert len(agenda) == 0
    assert len(agenda._heap) < 1000


def test_an_agenda_gives_what_is_due_in_order_and_ties_in_the_order_of_entry() -> None:
    agenda: Agenda[str] = Agenda()
    entries = {
        text: agenda.enter(due, text) for due, text in [(2, "c"), (1, "a"), (1, "b"), (3, "d"), (2, "x")]
    }
    agenda.cancel(entries["x"])
    agenda.cancel(entries["x"])
    assert (len(agenda), agenda.next_due) == (4, 1)
    assert [agenda.take_due(2) for _ in range(4)] == ["a", "b", "c", None]
    agenda.cancel(entries["a"])
    assert (len(agenda), agenda.next_due) == (1, 3)


async def test_a_supervisor_that_ended_keeps_no_error_and_no_child_alive(autojump_clock: MockClock) -> None:
    error = OSError()
    ref: list[weakref.ref[Puppet]] = []

    async def run() -> Supervisor:
        puppet = Puppet("guest")
        ref.append(weakref.ref(puppet))
        tree = Supervisor([Puppet("a").plan(0.0, error).spec()], max_restarts=0)
        async with running(tree):
            await tree.start_child(puppet.spec())
        return tree

    tree = await run()
    gc.collect()
    assert ref[0]() is None
    assert tree.snapshot().state == "not running"


async def test_ten_thousand_failures_that_a_policy_hears_of_keep_only_the_newest_text(
    autojump_clock: MockClock,
) -> None:
    puppet = Puppet("a", says_up=False, diary=Nothing())
    policy = Forgetful()
    async with running(tree := Supervisor([puppet.spec(policy=policy)])):
        await settled()
        for number in range(10_000):
            puppet.fail(ValueError("x" * 1_000 + str(number)))
            await settled()
        assert puppet.lives == 10_001
        assert len(tree.snapshot().child("a").last_error) == 500


@pytest.mark.parametrize(("within", "held_later"), [(5.0, [3, 2, 0]), (inf, [3, 3, 3]), (5e-324, [1, 0, 0])])
async def test_what_a_failed_life_held_is_freed_when_its_restart_has_left_the_window(
    within: float, held_later: list[int], autojump_clock: MockClock
) -> None:
    """Until then the intensity keeps the error with its traceback, to raise it should it give up."""

    class Payload:
        pass

    alive: list[weakref.ref[Payload]] = []

    async def child(child: ChildContext) -> None:
        if child.number == 4:
            await trio.sleep_forever()
        payload = Payload()
        alive.append(weakref.ref(payload))
        await trio.sleep(2)
        raise ValueError(payload)

    async with running(Supervisor([ChildSpec("a", child, shutdown=0)], within=within)):
        held = []
        for seconds in (6.5, 3.0, 5.0):  # at 9.5 the first failure, of 2.0, has left a window of 5
            await trio.sleep(seconds)
            gc.collect()
            held.append(sum(payload() is not None for payload in alive))
    assert held == held_later


async def test_waiting_for_the_stop_again_and_again_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    turns = 0

    async def polls(child: ChildContext) -> None:
        nonlocal turns
        while not child.stopping:
            with trio.move_on_after(1):
                await child.wait_stopping()
            turns += 1

    async def a_thousand_turns() -> None:
        await trio.sleep(1000)

    async with running(Supervisor([ChildSpec("a", polls)])):
        assert await _grown_by(a_thousand_turns) < 10_000
        assert turns > 1900
