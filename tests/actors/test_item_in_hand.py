"""Whatever ends the life that has a message in hand, the next life has it first, with the right attempt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import ActorRef, DeadLetter
from pywats_actors.testing import RecordingActor, crash_now, drain
from pywats_supervision import (
    ONE_FOR_ALL,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    ChildSpec,
    RestartType,
    Supervisor,
)
from pywats_supervision.policies import Backoff
from pywats_supervision.policies.decision import (
    Decision,
    Escalate,
    Failure,
    Restart,
    Retry,
    Skip,
    Verdict,
)
from pywats_supervision.testing import Puppet, running, settled
from support.policies import Answers

PLACES: dict[str, dict[str, Any]] = {
    "alone": {"ordered": True},
    "group": {},
    "keyed": {"order_by": lambda message: 0},
}
each_place = pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)


@dataclass
class Busy:
    """An actor with message 1 in hand and 2 and 3 queued, next to a sibling, below a grandparent.

    Its policy tries again at once, unless the test gives another answer, and keeps what it heard.
    """

    options: dict[str, Any]
    answer: Decision = field(default_factory=Decision)
    strategy: Any = ONE_FOR_ALL
    restart: RestartType = PERMANENT
    letters: list[DeadLetter[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.actor = RecordingActor[int]().wait()
        self.policy = Answers(lambda failure: self.answer, skips=True)
        self.ref = ActorRef(
            "busy", self.actor, policy=self.policy, dead_letters=self.letters.append, **self.options
        )
        self.sibling, self.uncle = Puppet("sibling"), Puppet("uncle")
        self.parent = Supervisor(
            [self.sibling.spec(), self.ref.spec(restart=self.restart)], strategy=self.strategy
        )
        self.grandparent = Supervisor(
            [self.uncle.spec(), ChildSpec("parent", self.parent.run)], strategy=ONE_FOR_ALL
        )

    async def begin(self) -> None:
        for number in (1, 2, 3):
            await self.ref.tell(number)
        await settled()
        assert self.actor.received == [1]

    @property
    def attempts(self) -> list[tuple[object, int]]:
        """Which message had failed in which attempt, as the policy heard it."""
        return [(failure.item, failure.attempt) for failure in self.policy.heard if failure.item is not None]

    async def finish(self) -> None:
        """Let all be done."""
        self.actor.go_on()
        await drain(self.ref)
        assert sorted(self.actor.done) == [1, 2, 3]
        assert self.letters == []


async def test_after_a_crash_it_comes_first_with_one_attempt_more(autojump_clock: MockClock) -> None:
    busy = Busy({"ordered": True})
    async with running(busy.grandparent):
        await busy.begin()
        for _ in range(3):
            crash_now(busy.ref)
            await settled()
        assert busy.attempts == [(1, 1), (1, 2), (1, 3)]
        assert busy.actor.received == [1, 1, 1, 1]
        await busy.finish()
        assert busy.actor.done == [1, 2, 3]


async def test_without_a_policy_it_is_delivered_again_and_the_intensity_bounds_that(
    autojump_clock: MockClock,
) -> None:
    letters: list[DeadLetter[int]] = []
    actor = RecordingActor[int]().fail_on(lambda message: message == 1)
    ref = ActorRef("poisoned", actor, dead_letters=letters.append)
    await ref.tell(1)
    await ref.tell(2)
    with pytest.raises(ExceptionGroup, match="restarts within"):
        await Supervisor([ref.spec()], max_restarts=4).run()
    assert actor.received == [1] * 5
    assert [(letter.message, letter.reason) for letter in letters] == [(1, "stopped"), (2, "stopped")]


async def test_where_its_policy_leaves_it_to_the_supervisor_it_has_one_attempt_more_too(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: True, times=3)
    policy = Answers(lambda failure: None)
    ref = ActorRef("undecided", actor, policy=policy, ordered=True)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await ref.tell(2)
        await drain(ref)
    assert [(failure.item, failure.attempt) for failure in policy.heard] == [(1, 1), (1, 2), (1, 3)]
    assert actor.done == [1, 2]


class Excusing(Answers):
    """Excuses outages."""

    def judge(self, state: list[Failure], failure: Failure, now: float) -> Verdict:
        return Verdict.EXCUSED if isinstance(failure.error, OSError) else Verdict.CHARGED


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_attempt_that_is_excused_is_not_counted(ordered: bool, autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    for number, error in enumerate([OSError(), OSError(), ValueError(), OSError(), ValueError()], 1):
        actor.fail_on(number, error)
    policy = Excusing(lambda failure: Decision(Retry(1.0), Restart()))
    ref = ActorRef("excused", actor, policy=policy, ordered=ordered)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await drain(ref)
    assert [failure.attempt for failure in policy.heard if failure.item is not None] == [1, 1, 1, 2, 2]
    assert actor.done == [1]


@each_place
async def test_cancelled_by_a_sibling_s_restart_it_keeps_its_attempt(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options)
    async with running(busy.grandparent):
        await busy.begin()
        busy.sibling.fail()
        await trio.sleep(6)  # its grace of five seconds ended
        assert (busy.actor.received, busy.attempts) == ([1, 1], [])
        crash_now(busy.ref)
        await settled()
        assert busy.attempts == [(1, 1)]
        await busy.finish()


@each_place
async def test_cancelled_by_rest_for_one_it_keeps_its_attempt(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options, strategy=REST_FOR_ONE)
    async with running(busy.grandparent):
        await busy.begin()
        busy.sibling.fail()
        await trio.sleep(6)
        crash_now(busy.ref)
        await settled()
        assert busy.attempts == [(1, 1)]
        await busy.finish()


@each_place
async def test_cancelled_by_the_grandparent_s_restart_it_keeps_its_attempt(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options)
    async with running(busy.grandparent):
        await busy.begin()
        busy.uncle.fail()
        await trio.sleep(6)
        assert (busy.uncle.lives, busy.actor.received) == (2, [1, 1])
        crash_now(busy.ref)
        await settled()
        assert busy.attempts == [(1, 1)]
        await busy.finish()


@each_place
async def test_what_ends_within_the_grace_of_a_restart_is_done_and_does_not_come_again(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options)
    async with running(busy.grandparent):
        await busy.begin()
        busy.uncle.fail()
        await trio.sleep(3)
        busy.actor.go_on()
        await trio.sleep(3)
        await drain(busy.ref)
        assert (busy.actor.received, busy.actor.done) == ([1, 2, 3], [1, 2, 3])


@each_place
@pytest.mark.parametrize("how", ["restart_child", "stop_child", "suspend_child"])
async def test_a_call_that_takes_the_actor_down_leaves_it_as_it_was(
    how: str, options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options)
    async with running(busy.grandparent):
        await busy.begin()
        await getattr(busy.parent, how)("busy")
        assert busy.ref.statistics().in_hand + busy.ref.statistics().retrying == 1
        await busy.parent.resume_child("busy")
        await settled()
        assert busy.actor.received == [1, 1]
        crash_now(busy.ref)
        await settled()
        assert busy.attempts == [(1, 1)]
        await busy.finish()


@pytest.mark.parametrize("place", ["alone", "keyed"])
async def test_after_escalate_it_comes_first_under_the_next_supervisor_with_one_attempt_more(
    place: str, autojump_clock: MockClock
) -> None:
    busy = Busy(PLACES[place], answer=Decision(Retry(), Escalate()))
    async with running(busy.grandparent):
        await busy.begin()
        crash_now(busy.ref)
        await settled()
        assert busy.actor.received == [1, 1]
        busy.answer = Decision(Retry(), Restart())
        crash_now(busy.ref)
        await settled()
        assert busy.attempts == [(1, 1), (1, 2)]
        await busy.finish()


async def test_after_escalate_one_whose_retries_leave_the_head_is_a_retry_under_the_next_supervisor(
    autojump_clock: MockClock,
) -> None:
    busy = Busy({}, answer=Decision(Retry(10.0), Escalate()))
    async with running(busy.grandparent):
        await busy.begin()
        crash_now(busy.ref)
        await settled()
        assert (busy.actor.received, busy.ref.statistics().retrying) == ([1, 2], 1)
        busy.actor.go_on()
        await trio.sleep(9)
        assert busy.actor.done == [2, 3]
        await busy.finish()
        assert trio.current_time() == 10.0


@each_place
async def test_escalate_with_skip_gives_it_up_and_the_rest_goes_on(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options, answer=Decision(Skip(), Escalate()))
    async with running(busy.grandparent):
        await busy.begin()
        crash_now(busy.ref, error := ValueError("x"))
        busy.actor.go_on()
        await drain(busy.ref)
        assert busy.actor.done == [2, 3]
        assert busy.letters == [DeadLetter("busy", 1, "failed", error, 1)]


async def test_the_attempt_is_right_after_any_mix_of_crashes_and_restarts(autojump_clock: MockClock) -> None:
    busy = Busy({"ordered": True})
    async with running(busy.grandparent):
        await busy.begin()
        for blow in ("crash", "sibling", "crash", "uncle", "parent", "crash", "busy", "crash"):
            if blow == "crash":
                crash_now(busy.ref)
            elif blow == "parent":
                await busy.grandparent.restart_child("parent")
            elif blow == "busy":
                await busy.parent.restart_child("busy")
            else:
                getattr(busy, blow).fail()
            await trio.sleep(20)
        assert busy.attempts == [(1, 1), (1, 2), (1, 3), (1, 4)]
        assert busy.actor.received == [1] * 9
        await busy.finish()


async def test_a_failed_start_is_no_attempt_at_what_an_earlier_life_left_in_hand(
    autojump_clock: MockClock,
) -> None:
    heard: list[Failure] = []

    class Fragile(RecordingActor[int]):
        async def on_start(self) -> None:
            await super().on_start()
            if 1 < self.starts < 5:
                raise OSError("cannot start")

    actor = Fragile().fail_on(1)

    def answer(failure: Failure) -> Decision:
        heard.append(failure)
        return Decision()

    ref = ActorRef("fragile", actor, policy=Answers(answer), ordered=True)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await drain(ref)
    assert [(failure.item, failure.attempt) for failure in heard] == [(1, 1), (None, 1), (None, 1), (None, 1)]
    assert actor.done == [1]


async def test_each_worker_takes_up_what_it_had_itself(autojump_clock: MockClock) -> None:
    actor, sibling = RecordingActor[int]().wait(), Puppet("sibling")
    ref = ActorRef("busy", actor, concurrency=3)
    async with running(Supervisor([sibling.spec(), ref.spec()], strategy=ONE_FOR_ALL)):
        for number in range(6):
            await ref.tell(number)
        await settled()
        assert sorted(actor.received) == [0, 1, 2]
        sibling.fail()
        await trio.sleep(60)
        assert sorted(actor.received[3:]) == [0, 1, 2]
        actor.go_on()
        await drain(ref)
    assert sorted(actor.done) == list(range(6))


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_restart_that_cancels_at_once_loses_nothing_whenever_it_comes(
    steps: int, autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(0.1, on=lambda message: message % 3 == 0)
    ref = ActorRef("hurried", actor, capacity=2)
    tree = Supervisor([dataclasses.replace(ref.spec(), shutdown=0)])

    async def tell() -> None:
        for number in range(10):
            await ref.tell(number)

    async with running(tree), trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        for step in range(steps):
            if step % 7 == 0:
                await tree.restart_child("hurried")
            await trio.lowlevel.checkpoint()
        await tree.restart_child("hurried")
        await trio.sleep(10)
        await drain(ref)
    assert actor.done == list(range(10))


@each_place
async def test_when_the_actor_goes_for_good_it_is_given_back(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    busy = Busy(options)
    async with running(busy.grandparent):
        await busy.begin()
        await busy.parent.remove_child("busy")
        assert [(letter.message, letter.reason) for letter in busy.letters] == [
            (number, "stopped") for number in (1, 2, 3)
        ]
        assert busy.ref.statistics().queued == busy.ref.statistics().in_hand == 0


async def test_a_temporary_actor_that_fails_gives_back_what_it_held(autojump_clock: MockClock) -> None:
    letters: list[DeadLetter[int]] = []
    ref = ActorRef("short-lived", RecordingActor[int]().wait(), dead_letters=letters.append)
    async with running(Supervisor([ref.spec(restart=TEMPORARY)])):
        await ref.tell(1)
        await ref.tell(2)
        await settled()
        crash_now(ref)
        await settled()
        assert [letter.message for letter in letters] == [1, 2]


async def test_through_a_backoff_it_waits_with_its_actor(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(1)
    ref = ActorRef("slow", actor)
    async with running(Supervisor([ref.spec(policy=Backoff(initial=10, jitter=0))])):
        await ref.tell(1)
        await ref.tell(2)
        await drain(ref)
        assert (actor.received, trio.current_time()) == ([1, 1, 2], 10.0)
