"""The testing kit keeps its promises: actors crash, are held, drained, and recorded."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import ActorRef, DeadLetter, Terminated
from pywats_actors.testing import Crashed, RecordingActor, crash_now, drain, hold, release
from pywats_supervision import ChildSpec, ChildState, Supervisor
from pywats_supervision.policies import Backoff, CircuitBreaker, RetryPolicy, compose
from pywats_supervision.testing import Puppet, expect_tree, running, settled

RETRIES = RetryPolicy(max_retries=2, initial_delay=1.0, jitter=False)
WAYS: dict[str, dict[str, Any]] = {
    "alone": {},
    "ordered": {"policy": RETRIES, "ordered": True},
    "retries": {"policy": RETRIES},
    "breaker": {"policy": compose(RETRIES, CircuitBreaker())},
    "workers": {"concurrency": 3},
    "keyed": {"concurrency": 2, "order_by": lambda message: message % 2, "policy": RETRIES},
}

each_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)


@each_way
async def test_a_crashed_actor_fails_where_it_waits_and_lives_again(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait()
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        starts = actor.starts
        crash_now(ref)
        await settled()
        assert actor.starts == starts + 1
        actor.go_on()
        await drain(ref)
        assert (actor.received, actor.done) == ([1, 1], [1])


async def test_what_a_crashed_actor_fails_with_goes_to_its_policy_retries_included(
    autojump_clock: MockClock,
) -> None:
    letters: list[DeadLetter[int]] = []
    actor = RecordingActor[int]().wait()
    ref = ActorRef("recorder", actor, policy=RETRIES, dead_letters=letters.append)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        for number in range(2):
            await trio.sleep(10)
            crash_now(ref, ValueError(number))
        await trio.sleep(10)
        crash_now(ref)
        await drain(ref)
    assert actor.received == [1, 1, 1]
    assert [(str(letter.error), letter.attempts) for letter in letters] == [
        ("actor 'recorder' was crashed by the test", 3)
    ]
    assert isinstance(letters[0].error, Crashed)


async def test_an_idle_actor_fails_with_all_its_workers(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor, concurrency=3)
    async with running(Supervisor([ref.spec()])):
        await settled()
        crash_now(ref)
        await settled()
        assert actor.starts == 6


async def test_a_message_that_waits_for_its_retry_is_left_alone_by_a_crash(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().fail_on(1)
    ref = ActorRef("recorder", actor, policy=RETRIES)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        crash_now(ref)
        await settled()
        assert ref.statistics().retrying == 1
        await drain(ref)
        assert (actor.received, actor.done, trio.current_time()) == ([1, 1], [1], 1.0)


async def test_an_actor_that_fails_by_itself_first_fails_with_its_own_error(
    autojump_clock: MockClock,
) -> None:
    letters: list[DeadLetter[int]] = []
    actor = RecordingActor[int]().wait(1).fail_on(1, KeyError("its own"))
    ref = ActorRef("recorder", actor, policy=RetryPolicy(max_retries=0), dead_letters=letters.append)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        actor.go_on()
        crash_now(ref)
        await drain(ref)
        assert [type(letter.error) for letter in letters] == [KeyError]


async def test_crashes_of_two_actors_under_one_supervisor_do_not_mix(autojump_clock: MockClock) -> None:
    puppet = Puppet("bystander")
    refs = [ActorRef(name, RecordingActor[int]().wait()) for name in "ab"]
    tree = Supervisor([*(ref.spec() for ref in refs), puppet.spec()])
    async with running(tree):
        await settled()
        crash_now(refs[0], KeyError("of a"))
        crash_now(refs[1], KeyError("of b"))
        puppet.fail(KeyError("of puppet"))
        await settled()
        snapshot = tree.snapshot()
        assert [child.last_error for child in snapshot.children] == [
            "KeyError: 'of a'",
            "KeyError: 'of b'",
            "KeyError: 'of puppet'",
        ]


async def test_a_supervisor_is_as_it_was_when_the_crash_is_over(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[int]())
    tree = Supervisor([ref.spec()])
    async with running(tree):
        await settled()
        before = tree.report_end
        crash_now(ref)
        await settled()
        assert tree.report_end == before


@pytest.mark.parametrize("call", [crash_now, hold, release])
async def test_what_is_not_up_cannot_be_crashed_held_or_released(
    call: Any, autojump_clock: MockClock
) -> None:
    ref = ActorRef("recorder", RecordingActor[int]().fail_on(1))
    with pytest.raises(LookupError, match="actor 'recorder' is not up"):
        call(ref)
    tree = Supervisor([ref.spec(policy=Backoff(initial=60, jitter=0))])
    async with running(tree):
        await ref.tell(1)
        await trio.sleep(1)
        expect_tree(tree, {"recorder": ChildState.BACKING_OFF})
        with pytest.raises(LookupError, match="actor 'recorder' is not up"):
            call(ref)


@each_way
async def test_an_actor_that_is_held_ends_what_it_has_in_hand_and_takes_nothing_more(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        hold(ref)
        for number in (2, 3, 4):
            await ref.tell(number)
        await trio.sleep(100)
        assert (actor.done, ref.statistics().queued, ref.statistics().in_hand) == ([1], 3, 0)
        hold(ref)
        release(ref)
        await drain(ref)
        assert sorted(actor.done) == [1, 2, 3, 4]
        release(ref)


@each_way
async def test_an_idle_actor_that_is_held_takes_nothing(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        await ref.tell(1)
        await trio.sleep(100)
        assert (actor.received, ref.statistics().queued) == ([], 1)
        release(ref)
        await drain(ref)
        assert actor.done == [1]


@each_way
async def test_it_is_held_through_a_crash_with_the_message_that_was_in_hand(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait()
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        hold(ref)
        crash_now(ref)
        actor.go_on()
        await trio.sleep(100)
        assert actor.received == [1]
        release(ref)
        await drain(ref)
        assert (actor.received, actor.done) == ([1, 1], [1])


@each_way
async def test_an_actor_that_is_held_can_be_stopped(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    letters: list[DeadLetter[int]] = []
    ref = ActorRef("recorder", RecordingActor[int](), dead_letters=letters.append, **options)
    async with running(Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        await ref.tell(1)
    assert [letter.reason for letter in letters] == ["stopped"]
    assert trio.current_time() == 0.0


async def test_a_snapshot_shows_that_an_actor_is_held(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[int](), policy=RETRIES, ordered=True)
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        assert tree.snapshot().child("recorder").policy == {"max_retries": 2, "held": True}
        release(ref)
        assert tree.snapshot().child("recorder").policy == {"max_retries": 2}


async def test_a_held_actor_without_a_policy_still_falls_under_the_restart_intensity(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor)
    with pytest.raises(ExceptionGroup, match="restarts within"):
        async with running(Supervisor([ref.spec()], max_restarts=1)):
            await settled()
            hold(ref)
            for _ in range(2):
                crash_now(ref)
                await settled()
            await trio.sleep_forever()


@each_way
async def test_drain_waits_for_what_is_queued_in_hand_and_retrying(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int]().wait(1.0).fail_on(2)
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        await drain(ref)
        assert trio.current_time() == 0.0
        for number in range(6):
            await ref.tell(number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, ref)
            nursery.start_soon(drain, ref)
        assert sorted(actor.done) == list(range(6))
        statistics = ref.statistics()
        assert (statistics.queued, statistics.in_hand, statistics.retrying) == (0, 0, 0)


async def test_drain_ends_when_the_actor_is_gone_for_good(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[int]().wait(), dead_letters=lambda letter: None)
    tree = Supervisor([ref.spec()])
    async with running(tree):
        await ref.tell(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, ref)
            await settled()
            await tree.remove_child("recorder")
    await drain(ref)


async def test_a_drain_that_is_over_or_cancelled_leaves_no_watcher(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = ActorRef("recorder", RecordingActor[int]().wait(2.0))
    ref.watch(told.append)
    before = ref._watchers
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        with trio.move_on_after(1):
            await drain(ref)
        await drain(ref)
        assert (trio.current_time(), ref._watchers) == (2.0, before)


async def test_a_recording_actor_keeps_what_it_received_and_replies_as_told(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int](lambda message: message * 2)
    ref = ActorRef("recorder", actor)
    async with running(Supervisor([ref.spec()])):
        assert [await ref.ask(number) for number in (1, 2)] == [2, 4]
        assert (actor.received, actor.done) == ([1, 2], [1, 2])
        assert (actor.starts, actor.stops) == (1, 0)
    assert (actor.starts, actor.stops) == (1, 1)


async def test_a_recording_actor_fails_on_the_nth_attempt_and_on_what_a_predicate_picks(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[str]().fail_on(2).fail_on(lambda message: message == "c", ValueError("c"), times=2)
    ref = ActorRef("recorder", actor)
    async with running(Supervisor([ref.spec()])):
        for letter in "abc":
            await ref.tell(letter)
        await drain(ref)
    assert (actor.received, actor.done) == (["a", "b", "b", "c", "c", "c"], ["a", "b", "c"])


async def test_a_recording_actor_waits_for_a_time_or_until_it_may_go_on(autojump_clock: MockClock) -> None:
    actor = RecordingActor[str]().wait(1.0).wait(on=lambda message: message == "b")
    ref = ActorRef("recorder", actor, concurrency=3)
    async with running(Supervisor([ref.spec()])):
        for letter in "abc":
            await ref.tell(letter)
        await trio.sleep(10)
        assert (sorted(actor.done), actor.active, actor.most_active) == (["a", "c"], 1, 3)
        actor.go_on()
        await ref.tell("d")
        await drain(ref)
        assert (sorted(actor.done), trio.current_time()) == (["a", "b", "c", "d"], 10.0)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: RecordingActor(reply=3),
            TypeError,
            "reply must be a callable that takes a message, or None",
        ),  # type: ignore[arg-type]
        (lambda: RecordingActor().fail_on("b"), TypeError, "number of an attempt or a predicate, not 'b'"),  # type: ignore[arg-type]
        (lambda: RecordingActor().fail_on(True), TypeError, "number of an attempt or a predicate, not True"),
        (lambda: RecordingActor().fail_on(0), ValueError, "number of an attempt, at least 1, not 0"),
        (lambda: RecordingActor().fail_on(1, "x"), TypeError, "error must be an Exception or None, not 'x'"),  # type: ignore[arg-type]
        (lambda: RecordingActor().fail_on(1, times=0), ValueError, "times must be at least 1, not 0"),
        (lambda: RecordingActor().wait(-1), ValueError, "seconds must be 0 or more seconds"),
        (lambda: RecordingActor().wait("1"), TypeError, "seconds must be a number of seconds, not '1'"),  # type: ignore[arg-type]
    ],
    ids=lambda value: "call" if inspect.isfunction(value) else str(value),  # the same in every process
)
def test_a_recording_actor_refuses_what_makes_no_sense(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert text in str(refused.value)


async def test_an_actor_below_a_supervisor_below_is_found_too(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor)
    inner = Supervisor([ref.spec()])
    async with running(Supervisor([ChildSpec("inner", inner.run)])):
        await settled()
        crash_now(ref)
        await settled()
        assert actor.starts == 2
