"""What did not hold once, found by writing down what should; kept together as one look back."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import (
    DEAD_LETTER,
    DROP_NEWEST,
    DROP_OLDEST,
    Actor,
    ActorRef,
    DeadLetter,
    MailboxFull,
    Overflow,
    Terminated,
)
from pywats_actors.testing import RecordingActor, drain, hold
from pywats_actors.workers import Workers
from pywats_supervision import Supervisor
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.policies.decision import Restart, Skip
from pywats_supervision.testing import running, settled
from support.policies import answering

# ask


@pytest.mark.parametrize("overflow", [DEAD_LETTER, DROP_NEWEST])
@pytest.mark.parametrize("within", [inf, 50.0])
async def test_a_question_that_a_full_mailbox_refuses_fails_at_once(
    within: float, overflow: Overflow, autojump_clock: MockClock
) -> None:
    ref = ActorRef(
        "full", RecordingActor[int](), capacity=1, overflow=overflow, dead_letters=lambda letter: None
    )
    ref.tell_nowait(1)
    with trio.fail_after(100), pytest.raises(MailboxFull) as refused:
        await ref.ask(2, within)
    assert (refused.value.message, trio.current_time()) == (2, 0.0)


@pytest.mark.parametrize(
    ("seconds", "kind"), [(-1, ValueError), (nan, ValueError), ("5", TypeError), (None, TypeError)]
)
async def test_a_timeout_that_makes_no_sense_is_named_in_the_error(
    seconds: Any, kind: type[Exception], autojump_clock: MockClock
) -> None:
    ref = ActorRef("actor", RecordingActor[int]())
    with pytest.raises(kind) as refused:
        await ref.ask(1, seconds)
    assert "timeout" in str(refused.value)
    assert repr(seconds) in str(refused.value)
    assert ref.statistics().queued == 0


# watch


async def test_a_watching_actor_is_told_though_its_mailbox_is_full(autojump_clock: MockClock) -> None:
    watcher = RecordingActor[Any]()
    watching, ref = ActorRef("watcher", watcher, capacity=1), ActorRef("watched", RecordingActor[int]())
    ref.watch(watching)
    await watching.tell("something else")
    async with running(Supervisor([ref.spec()])):
        await settled()
    async with running(Supervisor([watching.spec()])):
        await drain(watching)
    assert watcher.done == ["something else", Terminated(ref)]


async def test_a_wait_for_the_end_that_is_cancelled_leaves_no_watcher(autojump_clock: MockClock) -> None:
    ref = ActorRef("watched", RecordingActor[int]())
    for _ in range(3):
        with trio.move_on_after(1):
            await ref.wait_terminated()
    assert len(ref._watchers) == 0


# overflow


async def test_drop_oldest_keeps_the_bound_when_all_that_is_queued_waits_for_a_key(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().wait()
    ref = ActorRef("full", actor, capacity=3, overflow=DROP_OLDEST, concurrency=2, order_by=lambda message: 0)
    async with running(Supervisor([ref.spec()])):
        for number in range(20):
            await ref.tell(number)
            await settled()
        statistics = ref.statistics()
        actor.go_on()
        await drain(ref)
    assert (statistics.queued, statistics.dropped) == (3, 16)
    assert actor.done == [0, 17, 18, 19]


async def test_dead_letters_of_a_full_mailbox_are_in_its_statistics(autojump_clock: MockClock) -> None:
    ref = ActorRef(
        "full", RecordingActor[int](), capacity=1, overflow=DEAD_LETTER, dead_letters=lambda letter: None
    )
    for number in range(4):
        ref.tell_nowait(number)
    assert ref.dead_lettered == 3
    assert getattr(ref.statistics(), "dead_lettered", 0) == 3


async def test_dead_letters_of_a_full_mailbox_are_in_the_snapshot_of_the_tree(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef(
        "full", RecordingActor[int](), capacity=1, overflow=DEAD_LETTER, dead_letters=lambda letter: None
    )
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        for number in range(4):
            ref.tell_nowait(number)
        assert tree.snapshot().child("full").detail == ref.statistics()
        assert tree.snapshot().child("full").detail.dead_lettered == 3


# retries


async def test_a_retry_whose_fresh_actor_cannot_start_is_not_charged_for_that(
    autojump_clock: MockClock,
) -> None:
    letters: list[DeadLetter[int]] = []
    made: list[RecordingActor[int]] = []

    class Connecting(RecordingActor[int]):
        async def on_start(self) -> None:
            made.append(self)
            if len(made) == 1:
                self.fail_on(1)
            elif 3 <= len(made) < 10:  # the second is the worker's next life, the third the retry
                raise OSError("no connection")

    policy = RetryPolicy(max_retries=2, initial_delay=1.0)
    ref = ActorRef("connecting", Connecting, policy=policy, dead_letters=letters.append)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await drain(ref)
    assert letters == []


# testing_kit


async def test_drain_ends_as_soon_as_the_last_message_is_given_up(autojump_clock: MockClock) -> None:
    ref = ActorRef(
        "slow",
        RecordingActor[int]().wait(1.0).fail_on(1),
        policy=answering(Restart(3600.0), Skip()),
        ordered=True,
        dead_letters=lambda letter: None,
    )
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await drain(ref)
        assert trio.current_time() == 1.0


# bad_arguments

OF_A_REF: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"capacity": nan}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not nan"),
    ({"order_by": "key"}, TypeError, "order_by"),
    ({"order_by": 3}, TypeError, "order_by"),
    ({"policy": 3}, TypeError, "policy"),
    ({"policy": RetryPolicy}, TypeError, "policy"),
    ({"ordered": "yes"}, TypeError, "ordered"),
    ({"dead_letters": 3}, TypeError, "dead_letters"),
]


@pytest.mark.parametrize(("options", "kind", "text"), OF_A_REF, ids=str)
def test_a_ref_with_bad_options_cannot_be_made(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        ActorRef("actor", RecordingActor[int](), **options)
    assert text in str(refused.value)
    (value,) = options.values()
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("name", ["", 7, None])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="name must be") as refused:
        ActorRef(name, RecordingActor[int]())
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("actor", [int, dict], ids=str)
def test_a_class_that_is_no_actor_is_refused(actor: Any) -> None:
    with pytest.raises(TypeError, match="actor 'actor' must be an Actor"):
        ActorRef("actor", actor)


async def test_a_factory_that_makes_no_actor_is_told_so(autojump_clock: MockClock) -> None:
    ref: ActorRef[int] = ActorRef("actor", lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="factory of actor 'actor' must make an Actor, not 3"):
        await Supervisor([ref.spec()]).run()


@pytest.mark.parametrize("watcher", [3, None, "watcher"])
def test_a_watcher_that_can_be_told_nothing_is_refused(watcher: Any) -> None:
    ref = ActorRef("actor", RecordingActor[int]())
    with pytest.raises(TypeError, match="watcher") as refused:
        ref.watch(watcher)
    assert repr(watcher) in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_retrying": 0},
        {"max_retrying": -1},
        {"max_retrying": "many"},
        {"max_restarts": -1},
        {"within": -1.0},
        {"shutdown": -1.0},
        {"shutdown": "soon"},
        {"policy": 3},
    ],
    ids=str,
)
def test_workers_with_bad_options_cannot_be_made(options: dict[str, Any]) -> None:
    ref = ActorRef("owner", RecordingActor[int]())
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=name):
        Workers("crew", ref, **options)


# actor


def test_a_receive_that_is_a_plain_function_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(TypeError, match=r"async def receive.*Blocking"):

        class Plain(Actor[int]):
            def receive(self, message: int) -> Any:  # type: ignore[override]
                return message

        ActorRef("plain", Plain)


# ref


async def test_one_actor_in_two_trees_at_once_is_refused(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("shared", actor)
    async with running(Supervisor([ref.spec()])):
        with pytest.raises(
            RuntimeError, match="actor 'shared' runs already; its spec has one place in one tree"
        ):
            await Supervisor([ref.spec()]).run()
        await ref.tell(1)
        await drain(ref)
    assert actor.done == [1]
