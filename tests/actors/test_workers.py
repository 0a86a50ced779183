"""concurrency=n: n workers on one mailbox, one shared instance or n of a factory."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef
from pywats_actors.testing import RecordingActor, crash_now, drain
from pywats_supervision import ChildState, Supervisor
from pywats_supervision.policies import CircuitBreaker, RetryPolicy
from pywats_supervision.testing import expect_tree, running, settled


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_as_many_messages_are_in_hand_at_once_as_there_are_workers(
    concurrency: int, autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("crew", actor, concurrency=concurrency)
    async with running(Supervisor([ref.spec()])):
        for number in range(3 * concurrency):
            await ref.tell(number)
        await settled()
        assert ref.statistics().in_hand == concurrency
        await drain(ref)
    assert (actor.most_active, trio.current_time()) == (concurrency, 3.0)
    assert sorted(actor.done) == list(range(3 * concurrency))


async def test_one_instance_is_shared_by_all_workers_and_kept_across_restarts(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("crew", actor, concurrency=3)
    async with running(Supervisor([ref.spec()])):
        await settled()
        assert actor.starts == 3
        crash_now(ref)
        await settled()
        for number in range(6):
            await ref.tell(number)
        await drain(ref)
        assert (actor.starts, sorted(actor.done)) == (6, list(range(6)))


async def test_a_factory_gives_a_fresh_instance_to_each_life_of_each_worker(
    autojump_clock: MockClock,
) -> None:
    made: list[RecordingActor[int]] = []

    def make() -> RecordingActor[int]:
        made.append(RecordingActor[int]().wait())
        return made[-1]

    ref = ActorRef("crew", make, concurrency=3)
    async with running(Supervisor([ref.spec()])):
        for number in range(3):
            await ref.tell(number)
        await settled()
        assert sorted(actor.received for actor in made) == [[0], [1], [2]]
        crash_now(ref)
        await settled()
        assert [actor.starts for actor in made] == [1] * 6
        assert sorted(actor.received for actor in made[3:]) == [[0], [1], [2]]
        for actor in made:
            actor.go_on()
        await drain(ref)


async def test_a_class_stands_for_a_factory(autojump_clock: MockClock) -> None:
    class Counting(Actor[int]):
        async def on_start(self) -> None:
            self.total = 0

        async def receive(self, message: int) -> int:
            if message < 0:
                raise ValueError(message)
            self.total += message
            return self.total

    ref = ActorRef("counting", Counting, policy=RetryPolicy(max_retries=0))
    async with running(Supervisor([ref.spec()])):
        assert [await ref.ask(2), await ref.ask(3)] == [2, 5]
        with pytest.raises(ValueError, match="-1"):
            await ref.ask(-1)
        assert await ref.ask(1) == 1


async def test_only_the_worker_that_failed_restarts(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0, on=lambda message: message != 0).fail_on(lambda m: m == 0)
    ref = ActorRef("crew", actor, concurrency=3, policy=RetryPolicy(max_retries=0))
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await ref.tell(2)
        await settled()
        await ref.tell(0)
        await drain(ref)
        assert (actor.starts, actor.stops) == (4, 1)
        assert (sorted(actor.received), sorted(actor.done)) == ([0, 1, 2], [1, 2])
        assert trio.current_time() == 1.0


async def test_a_breaker_counts_over_all_workers_together(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: True, times=4)
    breaker = CircuitBreaker(
        failure_threshold=4, reset_timeout=60.0, success_threshold=1, half_open_max_calls=1
    )
    ref = ActorRef("crew", actor, concurrency=2, policy=breaker)
    async with running(Supervisor([ref.spec()])):
        for number in range(20):
            await ref.tell(number)
        await trio.sleep(59)
        assert len(actor.received) == 4
        await drain(ref)
        assert trio.current_time() == 60.0


async def test_the_group_is_one_child_with_its_workers_below(autojump_clock: MockClock) -> None:
    ref = ActorRef("crew", RecordingActor[int](), concurrency=2)
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        expect_tree(tree, {"crew": {"worker-1": ChildState.RUNNING, "worker-2": ChildState.RUNNING}})


async def test_the_group_tells_what_its_workers_share_also_while_the_circuit_is_open(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: True)
    breaker = CircuitBreaker(failure_threshold=2, reset_timeout=60)
    ref = ActorRef("crew", actor, concurrency=2, policy=breaker)
    async with running(tree := Supervisor([ref.spec()])):
        for number in range(5):
            await ref.tell(number)
        await settled()
        group = tree.snapshot().child("crew").detail
        assert {worker.policy["circuit"] for worker in group.children} == {"open"}
        assert group.detail == ref.statistics()
        assert (group.detail.queued, group.detail.retrying) == (3, 2)


async def test_a_worker_alone_is_its_actor_s_child_itself(autojump_clock: MockClock) -> None:
    ref = ActorRef("loner", RecordingActor[int]())
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        expect_tree(tree, {"loner": ChildState.RUNNING})


async def test_the_group_is_up_when_every_worker_is(autojump_clock: MockClock) -> None:
    class Slow(RecordingActor[int]):
        async def on_start(self) -> None:
            await super().on_start()
            await trio.sleep(self.starts)

    ref = ActorRef("crew", actor := Slow(), concurrency=3)
    async with running(Supervisor([ref.spec()])):
        assert (actor.starts, trio.current_time()) == (3, 6.0)


async def test_workers_that_fail_too_often_without_a_policy_take_their_group_down(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("crew", RecordingActor[int]().fail_on(lambda message: True), concurrency=2)
    await ref.tell(1)
    with pytest.raises(ExceptionGroup, match="restarts within"):
        await Supervisor([ref.spec()], max_restarts=0).run()


@pytest.mark.parametrize("busy", [0, 1, 3])
async def test_stopping_lets_what_is_in_hand_end_and_takes_nothing_more(
    busy: int, autojump_clock: MockClock
) -> None:
    letters: list[Any] = []
    actor = RecordingActor[int]().wait(2.0)
    ref = ActorRef("crew", actor, concurrency=3, dead_letters=letters.append)
    async with running(Supervisor([ref.spec()])):
        for number in range(busy):
            await ref.tell(number)
        await settled()
    assert sorted(actor.done) == list(range(busy))
    assert (actor.stops, letters) == (3, [])


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_busy_workers_share_one_grace_and_their_messages_are_kept_for_the_next_life(
    concurrency: int, autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(60.0)
    ref = ActorRef("crew", actor, concurrency=concurrency, shutdown=3.0)
    async with running(tree := Supervisor([ref.spec()])):
        for number in range(concurrency):
            await ref.tell(number)
        await settled()
        await tree.restart_child("crew")
        assert trio.current_time() == 3.0
        await drain(ref)
    assert sorted(actor.done) == list(range(concurrency))
    assert trio.current_time() == 63.0
