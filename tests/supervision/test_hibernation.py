"""A child that says so lives without a task until it is woken; otherwise it is a child like any other."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_supervision import (
    ONE_FOR_ALL,
    TRANSIENT,
    ChildContext,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    RestartIntensityExceeded,
    StartTimeout,
    Supervisor,
)
from pywats_supervision.system import current_runtime
from pywats_supervision.testing import Puppet, crash_child, expect_tree, running, seeded_runtime, settled

RUNNING = ChildState.RUNNING
SPOKEN: ContextVar[str] = ContextVar("spoken", default="")


class Dormouse:
    """A child that hibernates; woken it does what `then` says, which is to wait for its stop.

    Attributes:
        asked: the life of each time it was asked whether it hibernates.
        tasks: the lives that were given a task.
    """

    def __init__(self, answer: Callable[[ChildContext], bool] = lambda _: True) -> None:
        self.answer = answer
        self.asked: list[ChildContext] = []
        self.tasks: list[ChildContext] = []
        self.error: Exception | None = None

    def hibernate(self, child: ChildContext) -> bool:
        self.asked.append(child)
        return self.answer(child)

    async def start(self, *, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        self.tasks.append(child)
        if not child.up:
            task_status.started()
        if self.error is not None:
            raise self.error
        await child.wait_stopping()

    def spec(self, name: str = "a", **options: Any) -> ChildSpec:
        return ChildSpec(name, self.start, hibernate=self.hibernate, **options)


def tasks_of(tree: Supervisor | DynamicSupervisor) -> int:
    return len(tree._nursery.child_tasks)


async def test_it_is_up_without_a_task(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    async with running(tree := Supervisor([mouse.spec()])):
        expect_tree(tree, {"a": RUNNING})
        assert mouse.asked[0].up
        assert mouse.asked[0].hibernating
        assert (tasks_of(tree), mouse.tasks) == (0, [])
        assert tree.count().active == 1


async def test_waking_it_gives_the_same_life_its_task(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    async with running(tree := Supervisor([mouse.spec()])):
        mouse.asked[0].wake()
        mouse.asked[0].wake()
        await settled()
        assert mouse.tasks == mouse.asked
        assert not mouse.asked[0].hibernating
        assert (tasks_of(tree), tree.snapshot().child("a").life) == (1, 1)


async def test_one_that_does_not_hibernate_has_its_task_and_its_time_to_start(
    autojump_clock: MockClock,
) -> None:
    mouse = Dormouse(lambda _: False)

    async def never_up(*, task_status: trio.TaskStatus[None], child: ChildContext) -> None:
        await trio.sleep_forever()

    async with running(tree := Supervisor([mouse.spec()])):
        assert mouse.tasks == mouse.asked
        with pytest.raises(StartTimeout):
            await tree.start_child(ChildSpec("b", never_up, hibernate=lambda _: False, start_timeout=3))
        assert trio.current_time() == 3


@pytest.mark.parametrize("shutdown", [0.0, 5.0])
async def test_it_stops_at_once_and_is_gone(shutdown: float, autojump_clock: MockClock) -> None:
    mouse, gone = Dormouse(), list[str]()
    async with running(tree := DynamicSupervisor()):
        await tree.start_child(mouse.spec(shutdown=shutdown))
        mouse.asked[0].on_gone(lambda: gone.append("a"))
        await tree.stop_child("a")
        assert (trio.current_time(), gone, tree.children()) == (0, ["a"], ())
        mouse.asked[0].wake()
        await settled()
        assert mouse.tasks == []


async def test_a_tree_of_them_stops_in_order_in_one_step(autojump_clock: MockClock) -> None:
    diary: list[str] = []
    mice = {name: Dormouse() for name in "abc"}
    async with running(tree := Supervisor([mouse.spec(name) for name, mouse in mice.items()])):
        for name, mouse in mice.items():
            mouse.asked[0].on_stopping(lambda name=name: diary.append(name))
        tree.request_stop()
        assert diary == ["c", "b", "a"]


async def test_one_that_is_woken_as_it_is_asked_to_stop_ends_by_itself(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    async with running(tree := Supervisor([mouse.spec()])):
        mouse.asked[0].on_stopping(mouse.asked[0].wake)
        await tree.stop_child("a")
        assert mouse.tasks == mouse.asked
        assert mouse.tasks[0].stopping


async def test_a_cancelled_tree_leaves_none_that_could_be_woken(autojump_clock: MockClock) -> None:
    mouse, gone = Dormouse(), list[str]()
    with trio.CancelScope() as scope:
        async with running(Supervisor([mouse.spec(), ChildSpec("b", trio.sleep_forever)])):
            mouse.asked[0].on_gone(lambda: gone.append("a"))
            scope.cancel()
    assert scope.cancelled_caught
    assert gone == ["a"]
    assert mouse.asked[0].over
    mouse.asked[0].wake()
    await settled()
    assert mouse.tasks == []


async def test_woken_between_the_cancellation_and_the_end_it_does_nothing(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    slow = Puppet("slow", shielded=3.0)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            tree = Supervisor([mouse.spec(), slow.spec()])
            await nursery.start(tree.run)
            nursery.cancel_scope.cancel()
            mouse.asked[0].wake()
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                mouse.asked[0].wake()
    assert not scope.cancelled_caught
    assert (trio.current_time(), mouse.tasks) == (3, [])


async def test_each_life_is_asked_anew(autojump_clock: MockClock) -> None:
    mouse, culprit = Dormouse(), Puppet("b")
    async with running(tree := Supervisor([mouse.spec(), culprit.spec()], strategy=ONE_FOR_ALL)):
        culprit.fail()
        await settled()
        assert [life.number for life in mouse.asked] == [1, 2]
        assert [life.over for life in mouse.asked] == [True, False]
        mouse.asked[1].wake()
        await settled()
        assert [life.number for life in mouse.tasks] == [2]
        mouse.error = OSError("woken, and fails")
        await tree.restart_child("a")
        mouse.asked[2].wake()
        await settled()
        assert [life.number for life in mouse.asked] == [1, 2, 3, 4]
        expect_tree(tree, {"a": RUNNING, "b": RUNNING})


async def test_what_the_question_raises_is_a_failed_start(autojump_clock: MockClock) -> None:
    def broken(_: ChildContext) -> bool:
        raise OSError("no port")

    earlier = Puppet("earlier")
    with pytest.raises(OSError, match="no port"):
        await Supervisor([earlier.spec(), Dormouse(broken).spec()]).run()
    assert earlier.diary[-1] == "end earlier"
    async with running(tree := Supervisor()):
        with pytest.raises(OSError, match="no port"):
            await tree.start_child(Dormouse(broken).spec())
        assert tree.children() == ()


async def test_a_question_that_fails_in_a_restart_counts_and_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    def second_fails(child: ChildContext) -> bool:
        if child.number > 1:
            raise OSError("port taken")
        return True

    mouse = Dormouse(second_fails)
    with pytest.raises(RestartIntensityExceeded) as caught:
        async with running(tree := Supervisor([mouse.spec()], max_restarts=2)):
            crash_child(tree, "a")
            await settled()
    assert len(mouse.asked) == 3
    assert [str(error) for error in caught.value.exceptions][1:] == ["port taken"] * 2


async def test_a_keyboard_interrupt_in_the_question_comes_out_bare(autojump_clock: MockClock) -> None:
    def interrupted(_: ChildContext) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Supervisor([Puppet("b").spec(), Dormouse(interrupted).spec()]).run()


async def test_the_question_is_asked_in_the_context_of_the_life(autojump_clock: MockClock) -> None:
    heard: list[str] = []
    runtime = seeded_runtime()

    def speaking(_: ChildContext) -> bool:
        assert current_runtime() is runtime
        SPOKEN.set(SPOKEN.get() + "asked ")
        return True

    async def start(*, child: ChildContext) -> None:
        heard.append(SPOKEN.get())
        await child.wait_stopping()

    SPOKEN.set("run ")
    async with running(tree := Supervisor([ChildSpec("a", start, hibernate=speaking)], runtime=runtime)):
        SPOKEN.set("waker ")
        await tree.restart_child("a")
        tree._running().children.named("a").shell.wake()
        await settled()
        assert (heard, SPOKEN.get()) == (["run asked "], "waker ")


async def test_it_can_be_crashed_and_lives_again(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    async with running(tree := Supervisor([mouse.spec()])):
        crash_child(tree, "a", OSError("crash"))
        assert tree.snapshot().child("a").last_error == "OSError: crash"
        assert (len(mouse.asked), mouse.tasks) == (2, [])


async def test_one_that_asks_for_the_stop_of_its_tree_as_it_is_asked_stops(autojump_clock: MockClock) -> None:
    def stopping(_: ChildContext) -> bool:
        tree.request_stop()
        return True

    tree = Supervisor([Puppet("b").spec(), Dormouse(stopping).spec(restart=TRANSIENT)])
    await tree.run()


async def test_one_whose_tree_is_stopped_and_run_again_hibernates_again(autojump_clock: MockClock) -> None:
    mouse = Dormouse()
    tree = Supervisor([mouse.spec()])
    for _ in range(2):
        async with running(tree):
            expect_tree(tree, {"a": RUNNING})
    assert (len(mouse.asked), mouse.tasks) == (2, [])


async def wants_child(child: ChildContext) -> None:
    await child.wait_stopping()


def test_what_cannot_hibernate_is_refused() -> None:
    with pytest.raises(TypeError, match="hibernate of child 'a' must be callable or None, not 3"):
        ChildSpec("a", wants_child, hibernate=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="child 'a' may hibernate, but its start does not take `child`"):
        ChildSpec("a", trio.sleep_forever, hibernate=lambda _: True)
