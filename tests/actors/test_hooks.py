"""`on_start` opens a life, `on_stop` closes each life whose `on_start` ended, and both may fail."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef
from pywats_actors.performer import Performer
from pywats_actors.testing import crash_now, drain
from pywats_actors.workers import Workers
from pywats_supervision import ONE_FOR_ALL, ChildContext, ChildState, Supervisor
from pywats_supervision.policies import Backoff, RetryPolicy
from pywats_supervision.policies.decision import Failure, Phase
from pywats_supervision.testing import Puppet, expect_tree, running, settled
from support.policies import Answers

Hook = Callable[[], Awaitable[None]]

SHAPES: dict[str, dict[str, Any]] = {
    "alone": {},
    "group": {"policy": RetryPolicy(max_retries=1, initial_delay=0.0)},
}
each_shape = pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)


class Diarist(Actor[str]):
    """Writes down what is called; a test puts code into the hooks."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.starting: Hook = trio.lowlevel.checkpoint
        self.stopping: Hook = trio.lowlevel.checkpoint

    async def on_start(self) -> None:
        self.diary.append("start")
        await self.starting()
        self.diary.append("started")

    async def receive(self, message: str) -> Any:
        self.diary.append(message)
        if message == "fail":
            raise ValueError(message)
        if message == "wait":
            await trio.sleep_forever()

    async def on_stop(self) -> None:
        self.diary.append("stop")
        await self.stopping()
        self.diary.append("stopped")


LIFE = ["start", "started"]
END = ["stop", "stopped"]


def failing(error: Exception, times: int = 1_000_000) -> Hook:
    left = [times]

    async def hook() -> None:
        await trio.lowlevel.checkpoint()
        if left[0]:
            left[0] -= 1
            raise error

    return hook


async def test_a_life_that_ends_in_order_has_both_hooks_once(autojump_clock: MockClock) -> None:
    actor = Diarist()
    ref = ActorRef("diarist", actor)
    async with running(tree := Supervisor([ref.spec()])):
        await ref.tell("a")
        await drain(ref)
        assert actor.diary == [*LIFE, "a"]
        await tree.restart_child("diarist")
        await ref.tell("b")
        await drain(ref)
    assert actor.diary == [*LIFE, "a", *END, *LIFE, "b", *END]


async def test_a_life_that_failed_has_its_on_stop_too(autojump_clock: MockClock) -> None:
    actor = Diarist()
    ref = ActorRef("diarist", actor, policy=RetryPolicy(max_retries=0), dead_letters=lambda letter: None)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("fail")
        await settled()
        assert actor.diary == [*LIFE, "fail", *END, *LIFE]


async def test_the_actor_is_up_when_on_start_has_ended_and_takes_nothing_before(
    autojump_clock: MockClock,
) -> None:
    actor = Diarist()

    async def slow() -> None:
        await trio.sleep(3)

    actor.starting = slow
    ref, later = ActorRef("diarist", actor), Puppet("later")
    await ref.tell("a")
    tree = Supervisor([ref.spec(), later.spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(2)
        expect_tree(tree, {"diarist": ChildState.STARTING, "later": ChildState.PENDING})
        assert actor.diary == ["start"]
        await trio.sleep(2)
        assert (actor.diary, later.lives) == ([*LIFE, "a"], 1)
        await tree.stop()


async def test_an_on_start_that_raises_is_not_followed_by_on_stop(autojump_clock: MockClock) -> None:
    actor = Diarist()
    actor.starting = failing(OSError("port in use"), times=2)
    ref = ActorRef("diarist", actor)
    await ref.tell("a")
    async with running(Supervisor([ref.spec(policy=Backoff(initial=1, jitter=0))])):
        await drain(ref)
    assert actor.diary == ["start", "start", *LIFE, "a", *END]


async def test_an_on_start_that_is_cancelled_is_not_followed_by_on_stop(autojump_clock: MockClock) -> None:
    actor = Diarist()
    actor.starting = trio.sleep_forever
    ref = ActorRef("diarist", actor)
    with trio.move_on_after(1):
        await Supervisor([ref.spec()]).run()
    assert actor.diary == ["start"]


async def test_a_first_start_that_fails_without_a_policy_fails_the_tree_with_its_error(
    autojump_clock: MockClock,
) -> None:
    actor = Diarist()
    actor.starting = failing(OSError("port in use"))
    with pytest.raises(OSError, match="port in use"):
        await Supervisor([ActorRef("diarist", actor).spec()]).run()
    assert actor.diary == ["start"]


async def test_an_on_stop_that_raises_after_an_error_leaves_that_error_first(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    letters: list[Any] = []
    actor = Diarist()
    actor.stopping = failing(OSError("cannot close"), times=1)
    ref = ActorRef("diarist", actor, policy=RetryPolicy(max_retries=0), dead_letters=letters.append)
    with caplog.at_level(logging.ERROR, "pywats_actors"):
        async with running(Supervisor([ref.spec()])):
            await ref.tell("fail")
            await ref.tell("a")
            await drain(ref)
            assert actor.diary == [*LIFE, "fail", "stop", *LIFE, "a"]
    assert [(letter.message, type(letter.error)) for letter in letters] == [("fail", ValueError)]
    assert letters[0].error.__notes__ == ["then on_stop raised OSError: cannot close"]
    assert "on_stop of 'diarist' raised after a failure" in caplog.text


@each_shape
async def test_an_on_stop_that_raises_does_not_keep_the_tree_from_stopping(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = Diarist()
    actor.stopping = failing(OSError("cannot close"))
    ref = ActorRef("diarist", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("a")
        await drain(ref)
    assert (actor.diary, ref.terminated) == ([*LIFE, "a", "stop"], True)


@each_shape
async def test_an_on_stop_that_raises_in_a_restart_does_not_keep_the_actor_from_coming_back(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor, sibling = Diarist(), Puppet("sibling")
    actor.stopping = failing(OSError("cannot close"), times=1)
    ref = ActorRef("diarist", actor, **options)
    async with running(Supervisor([ref.spec(), sibling.spec()], strategy=ONE_FOR_ALL)):
        await settled()
        sibling.fail()
        await settled()
        await ref.tell("a")
        await drain(ref)
        assert actor.diary == [*LIFE, "stop", *LIFE, "a"]


async def test_a_policy_hears_that_a_start_failed_and_with_what_in_hand_it_is_not(
    autojump_clock: MockClock,
) -> None:
    heard: list[tuple[Phase, object]] = []

    def answer(failure: Failure) -> None:
        heard.append((failure.phase, failure.item))

    actor = Diarist()
    ref = ActorRef("diarist", actor, policy=Answers(answer), ordered=True)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("wait")
        await settled()
        actor.starting = failing(OSError(), times=2)
        crash_now(ref)
        await settled()
        assert heard == [(Phase.RUN, "wait"), (Phase.START, None), (Phase.START, None)]


async def test_an_on_stop_that_waits_is_cancelled_when_the_grace_is_over(autojump_clock: MockClock) -> None:
    actor = Diarist()
    actor.stopping = trio.sleep_forever
    ref = ActorRef("diarist", actor)
    async with running(Supervisor([ref.spec()])):
        await settled()
    assert (actor.diary, trio.current_time()) == ([*LIFE, "stop"], 5.0)


async def test_in_a_life_that_was_cancelled_on_stop_runs_and_what_it_waits_for_is_cancelled_too(
    autojump_clock: MockClock,
) -> None:
    actor = Diarist()
    ref = ActorRef("diarist", actor, dead_letters=lambda letter: None)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("wait")
        await settled()
    assert actor.diary == [*LIFE, "wait", "stop"]


async def test_a_cancelled_life_whose_on_stop_raises_has_failed_and_hands_its_message_to_the_next(
    autojump_clock: MockClock,
) -> None:
    actor, sibling = Diarist(), Puppet("sibling")
    ref = ActorRef("diarist", actor)

    async def broken() -> None:
        actor.stopping = trio.lowlevel.checkpoint
        raise OSError("cannot close")

    actor.stopping = broken
    async with running(tree := Supervisor([sibling.spec(), ref.spec()], strategy=ONE_FOR_ALL)):
        await ref.tell("wait")
        await settled()
        sibling.fail()
        await trio.sleep(6)
        assert actor.diary.count("wait") == 2
        assert tree.snapshot().child("diarist").last_error == "OSError: cannot close"


async def test_without_hooks_an_actor_just_works(autojump_clock: MockClock) -> None:
    class Plain(Actor[int]):
        async def receive(self, message: int) -> int:
            return message

    ref = ActorRef("plain", Plain())
    async with running(Supervisor([ref.spec()])):
        assert await ref.ask(1) == 1


class Noting(Performer[str]):
    """Writes down what a cell asks of who does the work."""

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary

    async def start(self, context: ChildContext) -> None:
        self.diary.append("start")

    async def stop(self) -> None:
        self.diary.append("stop")

    async def handle(self, message: str) -> str:
        self.diary.append(message)
        if message == "fail" and self.diary.count("fail") == 1:
            raise ValueError(message)
        return message.upper()

    def done(self, message: str, result: str) -> None:
        self.diary.append(result)

    async def interrupted(self, message: str, error: BaseException) -> None:
        self.diary.append(f"{message}: {error!r}")


class House:
    """Owns a mailbox whose messages `Noting` does, and gets none of them back."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.back: list[str] = []

    def perform(self) -> Noting:
        return Noting(self.diary)

    def given_up(self, message: str, failure: Failure) -> None:
        self.back.append(message)

    def left_over(self, message: str) -> None:
        self.back.append(message)

    def closed(self) -> None:
        self.back.append("closed")


@pytest.mark.parametrize("before", [[], ["a", "b"]], ids=["alone", "in a batch"])
async def test_who_does_the_work_hears_of_an_attempt_that_failed_before_its_life_is_stopped(
    before: list[str], autojump_clock: MockClock
) -> None:
    house = House()
    workers: Workers[str] = Workers("house", house, ordered=True)
    async with running(Supervisor([workers.spec()])):
        await settled()
        for message in [*before, "fail"]:
            workers.mailbox.put(message)
        await settled()
        done = [word for message in before for word in (message, message.upper())]
        failed = ["fail", "fail: ValueError('fail')", "stop"]
        assert house.diary == ["start", *done, *failed, "start", "fail", "FAIL"]
        statistics = workers.mailbox.statistics()
        assert (statistics.done, statistics.queued, statistics.in_hand) == (len(before) + 1, 0, 0)
    assert house.back == ["closed"]
