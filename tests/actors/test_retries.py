"""Retries leave the head of the queue, take a worker's turn, and hold up only what they must."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_actors import ActorRef, DeadLetter
from pywats_actors.partition import KeyOrder
from pywats_actors.testing import RecordingActor, drain
from pywats_actors.workers import MAX_RETRYING
from pywats_supervision import ONE_FOR_ALL, ChildSpec, Supervisor
from pywats_supervision.policies import CircuitBreaker, RetryPolicy, compose
from pywats_supervision.testing import Puppet, running, settled


def retrying(times: int = 3, delay: float = 1.0) -> RetryPolicy:
    return RetryPolicy(max_retries=times, initial_delay=delay, max_delay=1000.0, jitter=False)


class Bench:
    """An actor in a tree of its own, and when which message was done."""

    def __init__(self, actor: RecordingActor[int], **options: Any) -> None:
        self.actor = actor
        self.done_at: dict[int, float] = {}
        self.letters: list[DeadLetter[int]] = []
        actor._reply = self.note
        self.ref = ActorRef("bench", actor, dead_letters=self.letters.append, **options)
        self.tree = Supervisor([self.ref.spec()])

    def note(self, message: int) -> None:
        self.done_at[message] = trio.current_time()

    async def do(self, *messages: int) -> None:
        async with running(self.tree):
            for message in messages:
                await self.ref.tell(message)
            await drain(self.ref)


async def test_what_is_behind_a_failing_message_is_not_late(autojump_clock: MockClock) -> None:
    bench = Bench(RecordingActor[int]().fail_on(lambda message: message == 1, times=2), policy=retrying())
    await bench.do(1, 2, 3, 4)
    assert bench.done_at == {2: 0.0, 3: 0.0, 4: 0.0, 1: 3.0}  # after one second, and two more


async def test_a_message_has_as_many_attempts_as_the_policy_says_with_growing_delays(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("never")
    bench = Bench(RecordingActor[int]().fail_on(lambda message: True, error), policy=retrying(3))
    await bench.do(1)
    assert len(bench.actor.received) == 4
    assert bench.letters == [DeadLetter("bench", 1, "failed", error, 4)]
    assert trio.current_time() == 7.0
    statistics = bench.ref.statistics()
    assert (statistics.done, statistics.retried, statistics.given_up, statistics.retrying) == (0, 3, 1, 0)


async def test_without_retries_a_failed_message_is_a_dead_letter_at_once(autojump_clock: MockClock) -> None:
    bench = Bench(RecordingActor[int]().fail_on(lambda message: message == 1), policy=retrying(0))
    await bench.do(1, 2)
    assert (bench.actor.done, [letter.message for letter in bench.letters]) == ([2], [1])
    assert trio.current_time() == 0.0


async def test_ordered_tries_in_place_and_holds_up_all_behind(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: message == 1, times=2)
    bench = Bench(actor, policy=retrying(), ordered=True)
    await bench.do(1, 2, 3)
    assert bench.done_at == {1: 3.0, 2: 3.0, 3: 3.0}


async def test_ordered_goes_on_after_a_dead_letter(autojump_clock: MockClock) -> None:
    bench = Bench(
        RecordingActor[int]().fail_on(lambda message: message == 1), policy=retrying(1), ordered=True
    )
    await bench.do(1, 2, 3)
    assert (bench.actor.done, [letter.message for letter in bench.letters]) == ([2, 3], [1])


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_there_are_never_more_calls_at_once_than_workers_retries_included(
    concurrency: int, autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(0.7).fail_on(lambda message: message % 3 == 0, times=30)
    bench = Bench(actor, policy=retrying(50, delay=0.5), concurrency=concurrency)
    await bench.do(*range(60))
    assert actor.most_active == concurrency
    assert sorted(actor.done) == list(range(60))


async def test_a_retry_that_is_due_takes_its_turn_though_messages_keep_coming(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(RecordingActor[int]().wait(0.1).fail_on(1), policy=retrying())

    async def keep_telling() -> None:
        number = 1
        while 0 not in bench.done_at:
            await bench.ref.tell(number)
            number += 1

    async with running(bench.tree):
        await bench.ref.tell(0)
        await keep_telling()
        assert bench.done_at[0] == pytest.approx(1.3, abs=0.2)
        await drain(bench.ref)


async def test_with_max_retrying_messages_waiting_no_fresh_one_is_taken(autojump_clock: MockClock) -> None:
    many = MAX_RETRYING + 10
    bench = Bench(
        RecordingActor[int]().fail_on(lambda message: True, times=MAX_RETRYING), policy=retrying(delay=60.0)
    )
    async with running(bench.tree):
        for number in range(many):
            await bench.ref.tell(number)
        await trio.sleep(59)
        statistics = bench.ref.statistics()
        assert (statistics.retrying, statistics.queued, statistics.done) == (MAX_RETRYING, 10, 0)
        await drain(bench.ref)
        assert trio.current_time() == 60.0
    assert sorted(bench.actor.done) == list(range(many))


async def test_with_order_by_only_the_key_of_a_retry_waits(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: message == 10, times=1)
    bench = Bench(actor, policy=retrying(), order_by=lambda message: message // 10)
    async with running(bench.tree):
        for message in (10, 11, 20, 12, 21):
            await bench.ref.tell(message)
        await settled()
        statistics = bench.ref.statistics()
        assert (statistics.keys_held, statistics.retrying, statistics.queued) == (1, 1, 2)
        await drain(bench.ref)
    assert bench.done_at == {20: 0.0, 21: 0.0, 10: 1.0, 11: 1.0, 12: 1.0}
    assert [message for message in bench.actor.done if message < 20] == [10, 11, 12]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_after_a_dead_letter_its_key_goes_on(concurrency: int, autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: message % 10 == 1)
    bench = Bench(actor, policy=retrying(1), order_by=lambda message: message // 10, concurrency=concurrency)
    await bench.do(11, 12, 21, 22, 13)
    assert sorted(letter.message for letter in bench.letters) == [11, 21]
    assert sorted(bench.actor.done) == [12, 13, 22]
    assert bench.done_at == {12: 1.0, 22: 1.0, 13: 1.0}
    assert bench.ref.statistics().keys_held == 0


async def test_keys_go_side_by_side_each_in_its_order(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0)
    bench = Bench(actor, concurrency=3, order_by=lambda message: message // 10)
    await bench.do(10, 11, 20, 30, 31, 21)
    assert bench.done_at == {10: 1.0, 20: 1.0, 30: 1.0, 11: 2.0, 31: 2.0, 21: 2.0}
    assert actor.most_active == 3


async def test_a_key_function_that_raises_fails_that_message_alone(autojump_clock: MockClock) -> None:
    bench = Bench(RecordingActor[int](), policy=retrying(1), order_by=lambda message: 1 // message)
    await bench.do(1, 0, 2)
    assert sorted(bench.actor.done) == [1, 2]
    assert [(letter.message, type(letter.error)) for letter in bench.letters] == [(0, ZeroDivisionError)]


async def test_a_key_without_a_hash_fails_that_message_alone(autojump_clock: MockClock) -> None:
    bench = Bench(
        RecordingActor[int](), policy=retrying(0), order_by=lambda message: [] if message == 0 else message
    )
    await bench.do(1, 0, 2)
    assert sorted(bench.actor.done) == [1, 2]
    assert [(letter.message, type(letter.error)) for letter in bench.letters] == [(0, TypeError)]


async def test_retries_that_wait_survive_the_restart_of_their_group_and_keep_their_time(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().fail_on(1)
    sibling = Puppet("sibling")
    ref = ActorRef("bench", actor, policy=retrying(delay=30.0))
    inner = Supervisor([ref.spec()])
    tree = Supervisor([sibling.spec(), ChildSpec("inner", inner.run)], strategy=ONE_FOR_ALL)
    async with running(tree):
        await ref.tell(1)
        for _ in range(3):
            await trio.sleep(5)
            sibling.fail()
        await trio.sleep(14)
        assert (actor.received, ref.statistics().retrying) == ([1], 1)
        await drain(ref)
        assert (actor.received, actor.done, trio.current_time()) == ([1, 1], [1], 30.0)


async def test_the_retry_of_a_shared_actor_neither_starts_nor_stops_it(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(lambda message: message == 1, times=3)
    bench = Bench(actor, policy=retrying())
    async with running(bench.tree):
        await bench.ref.tell(1)
        await drain(bench.ref)
        assert (actor.starts, actor.stops) == (2, 1)  # the worker's first failure is all that ended a life


async def test_the_retry_of_an_actor_from_a_factory_gets_a_fresh_one_and_starts_and_stops_it(
    autojump_clock: MockClock,
) -> None:
    made: list[RecordingActor[int]] = []

    def make() -> RecordingActor[int]:
        made.append(RecordingActor[int]())
        if len(made) == 1:
            made[0].fail_on(1)
        return made[-1]

    ref = ActorRef("bench", make, policy=retrying())
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await drain(ref)
        (retry,) = [actor for actor in made[1:] if actor.received]
        assert (retry.starts, retry.done, retry.stops) == (1, [1], 1)
        assert len(made) == 3


async def test_while_a_breaker_is_open_nothing_is_tried_and_no_attempt_is_used_up(
    autojump_clock: MockClock,
) -> None:
    away = [True]

    class Away(Exception):
        outage = True

    actor = RecordingActor[int]().fail_on(lambda message: away[0], Away("server"))
    bench = Bench(
        actor,
        policy=compose(
            retrying(1), CircuitBreaker(failure_threshold=3, reset_timeout=60.0, success_threshold=1)
        ),
    )
    async with running(bench.tree):
        for number in range(10):
            await bench.ref.tell(number)
        await trio.sleep(3600)
        assert len(actor.received) <= 3 + 3600 / 60
        away[0] = False
        await drain(bench.ref)
    assert (sorted(actor.done), bench.letters) == (list(range(10)), [])


class Step:
    """One thing that happens to an order of keys."""

    keys = st.integers(0, 3)


@given(st.lists(st.one_of(st.tuples(st.just("take"), Step.keys), st.tuples(st.just("release"), Step.keys))))
def test_a_key_is_held_by_one_message_and_handed_on_in_order(steps: list[tuple[str, int]]) -> None:
    order: KeyOrder[int] = KeyOrder()
    model: dict[int, list[int]] = {}
    for number, (what, key) in enumerate(steps):
        if what == "take":
            line = model.setdefault(key, [])
            line.append(number)
            assert order.take(key, number) is (len(line) == 1)
        elif key in model:
            line = model[key]
            line.pop(0)
            assert order.release(key) == (line[0] if line else None)
            if not line:
                del model[key]
    assert order.held == len(model)
    waiting = [number for line in model.values() for number in line[1:]]
    assert all(order.waits(number) for number in waiting)
    assert sorted(order.take_waiting()) == sorted(waiting)
    assert order.held == 0


@pytest.mark.parametrize("concurrency", [2, 3])
async def test_a_message_whose_key_comes_late_waits_until_that_is_free(
    concurrency: int, autojump_clock: MockClock
) -> None:
    asked: list[int] = []

    def key(message: int) -> str:
        asked.append(message)
        if message == 1 and asked.count(1) == 1:
            raise ConnectionError("the table of keys is away")
        return "k"

    busy: list[int] = []

    class OneAtATime(RecordingActor[int]):
        async def receive(self, message: int) -> Any:
            busy.append(message)
            assert busy == [message]
            try:
                return await super().receive(message)
            finally:
                busy.remove(message)

    actor = OneAtATime().wait(5.0)
    bench = Bench(actor, policy=retrying(3, delay=1.0), concurrency=concurrency, order_by=key)
    await bench.do(1, 2, 3)
    assert bench.done_at == {2: 5.0, 3: 10.0, 1: 15.0}
    assert asked.count(1) >= 2
    assert bench.letters == []
    assert bench.ref.statistics().keys_held == 0


async def test_a_message_in_its_place_whose_key_comes_late_holds_it_too(autojump_clock: MockClock) -> None:
    asked: list[int] = []

    def key(message: int) -> int:
        asked.append(message)
        if asked == [1]:
            raise ConnectionError("the table of keys is away")
        return 0

    actor = RecordingActor[int]()
    ref = ActorRef("bench", actor, order_by=key)  # without a policy, delivered again by the same worker
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await ref.tell(2)
        await drain(ref)
    assert (actor.done, asked) == ([1, 2], [1, 1, 2])
    assert ref.statistics().keys_held == 0
