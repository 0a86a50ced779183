"""Blocking code works in threads of its own limit; a thread is never abandoned for a restart.

Time is virtual and goes on by hand: `autojump` would let every grace expire while a thread works.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, ActorStopped, DeadLetter, MailboxStatistics, WouldDeadlock
from pywats_actors.blocking import Blocking, Stuck
from pywats_actors.testing import crash_now, drain
from pywats_supervision import ONE_FOR_ALL, ChildState, Supervisor
from pywats_supervision.testing import Puppet, Recording, running, seeded_runtime, settled

GIVE_UP = 10.0
"""Seconds after which a thread or a test that waits for the other gives up."""


class Gate:
    """Where threads wait until the test lets them through."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0
        self.most_inside = 0
        self.passed: list[Any] = []

    def work(self, message: Any) -> Any:
        """What the thread does."""
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        assert self._open.wait(GIVE_UP)
        with self._lock:
            self.inside -= 1
            self.passed.append(message)
        if message == "fail":
            raise ValueError(message)
        return message

    def open(self) -> None:
        self._open.set()

    async def reached(self, inside: int) -> None:
        """Wait in real time until so many threads are inside."""
        await trio.to_thread.run_sync(self._wait_for, inside, limiter=trio.CapacityLimiter(1))

    def _wait_for(self, inside: int) -> None:
        pause = threading.Event()
        for _ in range(int(GIVE_UP * 1000)):
            if self.inside >= inside:
                return
            pause.wait(0.001)
        raise AssertionError(f"{self.inside} threads are inside, not {inside}")


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, so that no thread stays behind."""
    gate = Gate()
    yield gate
    gate.open()


class Worker(Actor[Any]):
    """Does each message in a thread."""

    def __init__(self, gate: Gate, concurrency: int = 1) -> None:
        self.gate = gate
        self.threads = Blocking(concurrency)
        self.starts = 0
        self.done: list[Any] = []

    async def on_start(self) -> None:
        self.starts += 1

    async def receive(self, message: Any) -> Any:
        result = await self.threads.run(self.gate.work, message)
        self.done.append(message)
        return result


async def test_a_message_is_done_in_a_thread_and_the_loop_goes_on(gate: Gate, mock_clock: MockClock) -> None:
    worker = Worker(gate)
    ref = ActorRef("worker", worker)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("a")
        await gate.reached(1)
        assert (worker.threads.running, worker.done) == (1, [])
        gate.open()
        await drain(ref)
        assert (worker.threads.running, worker.done) == (0, ["a"])


async def test_what_the_thread_returns_or_raises_is_the_reply(gate: Gate, mock_clock: MockClock) -> None:
    threads = Blocking(1)
    gate.open()
    assert await threads.run(gate.work, "a") == "a"
    with pytest.raises(ValueError, match="fail"):
        await threads.run(gate.work, "fail")
    assert (threads.running, threads.abandoned) == (0, 0)


async def test_its_limiter_is_its_own(gate: Gate, mock_clock: MockClock) -> None:
    before = trio.to_thread.current_default_thread_limiter().borrowed_tokens
    first, second = Blocking(1), Blocking(1)
    async with trio.open_nursery() as nursery:
        for threads in (first, second):
            nursery.start_soon(threads.run, gate.work, "a")
        await gate.reached(2)  # neither waits for the other
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == before
        gate.open()


async def test_no_more_threads_work_at_once_than_it_may(gate: Gate, mock_clock: MockClock) -> None:
    threads = Blocking(2)
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(threads.run, gate.work, number)
        await gate.reached(2)
        await settled()
        assert (gate.inside, threads.running) == (2, 2)
        gate.open()
    assert (gate.most_inside, sorted(gate.passed)) == (2, list(range(6)))


async def test_cancelled_before_a_thread_is_free_it_never_begins(gate: Gate, mock_clock: MockClock) -> None:
    threads = Blocking(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(threads.run, gate.work, "first")
        await gate.reached(1)
        with trio.CancelScope() as scope:
            nursery.start_soon(settled_then, scope.cancel)
            await threads.run(gate.work, "second")
        assert scope.cancelled_caught
        gate.open()
    with trio.CancelScope() as scope:
        scope.cancel()
        await threads.run(gate.work, "third")
    assert scope.cancelled_caught
    assert gate.passed == ["first"]
    assert await threads.run(gate.work, "fourth") == "fourth"


async def settled_then(call: Any) -> None:
    await settled()
    call()


async def test_a_life_that_is_restarted_waits_for_its_thread_and_what_that_did_is_done(
    gate: Gate, mock_clock: MockClock
) -> None:
    worker, sibling, culprit = Worker(gate), Puppet("sibling"), Puppet("culprit")
    ref = ActorRef("worker", worker)
    tree = Supervisor([sibling.spec(), ref.spec(), culprit.spec()], strategy=ONE_FOR_ALL)
    recording = Recording(tree)
    async with running(tree):
        await ref.tell("a")
        await ref.tell("b")
        await gate.reached(1)
        culprit.fail()
        for seconds in (5, 1):  # the grace, and until it is a straggler
            await settled()
            mock_clock.jump(seconds)
        await settled()
        assert "straggling worker" in recording.lines()
        assert (worker.starts, worker.threads.running, worker.threads.abandoned) == (1, 1, 0)
        gate.open()
        await drain(ref)
        await settled()
        assert (worker.done, worker.starts, gate.most_inside) == (["a", "b"], 2, 1)


async def test_siblings_go_on_while_one_is_stuck(gate: Gate, mock_clock: MockClock) -> None:
    worker, other = Worker(gate), Worker(free := Gate())
    free.open()
    stuck, healthy = ActorRef("stuck", worker), ActorRef("healthy", other)
    async with running(tree := Supervisor([stuck.spec(), healthy.spec()])), trio.open_nursery() as nursery:
        await stuck.tell("a")
        await gate.reached(1)
        nursery.start_soon(tree.restart_child, "stuck")
        await settled()
        mock_clock.jump(60)
        await settled()
        assert await healthy.ask("b") == "b"
        assert tree.snapshot().child("stuck").state is ChildState.STOPPING
        gate.open()


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_snapshot_shows_that_an_actor_is_stuck(
    concurrency: int, gate: Gate, mock_clock: MockClock
) -> None:
    worker = Worker(gate, concurrency)
    ref = ActorRef("worker", worker, concurrency=concurrency)
    tree = Supervisor([ref.spec()])

    def details() -> list[Any]:
        child = tree.snapshot().child("worker")
        return [child.detail] if concurrency == 1 else [below.detail for below in child.detail.children]

    async with running(tree), trio.open_nursery() as nursery:
        for number in range(concurrency):
            await ref.tell(number)
        await gate.reached(concurrency)
        assert all(isinstance(detail, MailboxStatistics) for detail in details())
        nursery.start_soon(tree.restart_child, "worker")
        await settled()
        assert not any(isinstance(detail, Stuck) for detail in details())  # its grace is not over
        for _ in range(concurrency):
            mock_clock.jump(5)
            await settled()
        newest = details()[-1]
        assert isinstance(newest, Stuck)
        assert (newest.state, newest.calls) == ("stuck", 1)
        assert newest.detail.in_hand == concurrency
        gate.open()
    assert worker.threads.abandoned == 0


async def test_a_crash_waits_for_the_thread_too(gate: Gate, mock_clock: MockClock) -> None:
    worker = Worker(gate)
    ref = ActorRef("worker", worker)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("a")
        await gate.reached(1)
        crash_now(ref)
        await settled()
        assert worker.starts == 1
        gate.open()
        while worker.starts == 1:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert gate.most_inside == 1


async def test_a_thread_that_ends_within_the_grace_of_the_final_stop_is_done(
    gate: Gate, mock_clock: MockClock
) -> None:
    worker = Worker(gate)
    ref = ActorRef("worker", worker)
    tree = Supervisor([ref.spec()])
    async with running(tree), trio.open_nursery() as nursery:
        asked: list[Any] = []

        async def ask() -> None:
            asked.append(await ref.ask("a"))

        nursery.start_soon(ask)
        await gate.reached(1)
        nursery.start_soon(tree.stop, 3.0)
        await settled()
        mock_clock.jump(2)
        gate.open()
        await ref.wait_terminated()
        await settled()
        assert (asked, worker.done, worker.threads.abandoned) == (["a"], ["a"], 0)


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_abandoned_at_the_final_stop_its_message_is_handed_back_and_its_late_result_dropped(
    concurrency: int, gate: Gate, mock_clock: MockClock
) -> None:
    letters: list[DeadLetter[Any]] = []
    errors: list[Exception] = []
    worker = Worker(gate, concurrency)
    ref = ActorRef("worker", worker, concurrency=concurrency, dead_letters=letters.append)
    tree = Supervisor([ref.spec()])

    async def ask() -> None:
        try:
            await ref.ask("asked")
        except ActorStopped as error:
            errors.append(error)

    async with running(tree), trio.open_nursery() as nursery:
        await ref.tell("told")
        await gate.reached(1)
        nursery.start_soon(ask)
        await settled()
        if concurrency == 2:
            await gate.reached(2)
        nursery.start_soon(tree.stop, 3.0)
        await settled()
        mock_clock.jump(60)
        await settled()
        assert not ref.terminated  # the grace is over, and nobody has given the threads up
        worker.threads.abandon()
        await ref.wait_terminated()
    assert [(letter.message, letter.reason) for letter in letters] == [("told", "stopped")]
    assert len(errors) == 1
    assert worker.threads.abandoned == concurrency
    assert worker.threads.running == 0
    gate.open()
    await trio.to_thread.run_sync(lambda: None)
    await settled()
    assert worker.done == []


async def test_abandon_with_nothing_in_a_thread_does_nothing(mock_clock: MockClock) -> None:
    threads = Blocking(1)
    threads.abandon()
    assert (await threads.run(lambda: 1), threads.abandoned) == (1, 0)


async def test_in_a_simulation_it_runs_inline(autojump_clock: MockClock) -> None:
    here = threading.get_ident()

    class Inline(Actor[int]):
        threads = Blocking(1)

        async def receive(self, message: int) -> int:
            return await self.threads.run(threading.get_ident)

    ref = ActorRef("inline", Inline())
    async with running(Supervisor([ref.spec()], runtime=seeded_runtime())):
        assert await ref.ask(1) == here


async def test_asking_oneself_from_its_thread_is_an_error_too(mock_clock: MockClock) -> None:
    class Introvert(Actor[str]):
        threads = Blocking(1)

        async def receive(self, message: str) -> Any:
            return await self.threads.run(self.in_thread)

        def in_thread(self) -> Any:
            return trio.from_thread.run(self.ref.ask, "hello")

    ref = ActorRef("introvert", Introvert(), dead_letters=lambda letter: None)
    tree = Supervisor([ref.spec()], max_restarts=0)
    with pytest.raises(ExceptionGroup) as gone:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.run)
            await ref.tell("begin")
    assert gone.group_contains(WouldDeadlock)


async def test_outside_of_any_tree_it_runs_as_well(mock_clock: MockClock) -> None:
    assert await Blocking(1).run(max, 1, 2) == 2


async def test_what_ends_something_is_called_although_cancelled_but_not_after_abandon(
    gate: Gate, mock_clock: MockClock
) -> None:
    threads = Blocking(1)
    gate.open()
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await threads.run(gate.work, "last", although_cancelled=True) == "last"
        await threads.run(gate.work, "never")
    threads.abandon()
    with trio.CancelScope() as scope:
        scope.cancel()
        await threads.run(gate.work, "too late", although_cancelled=True)
    assert gate.passed == ["last"]
    assert threads.running == 0


@pytest.mark.parametrize(
    ("concurrency", "kind", "text"),
    [
        (0, ValueError, "concurrency must be at least 1 thread, not 0"),
        (-1, ValueError, "concurrency must be at least 1 thread, not -1"),
        (1.5, TypeError, "concurrency must be a number of threads, an int, not 1.5"),
        (True, TypeError, "concurrency must be a number of threads, an int, not True"),
        ("2", TypeError, "concurrency must be a number of threads, an int, not '2'"),
        (None, TypeError, "concurrency must be a number of threads, an int, not None"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(concurrency: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as refused:
        Blocking(concurrency)
    assert str(refused.value) == text
