"""What is told arrives, in the order of each sender, or comes back to whoever told it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, ActorStopped, MailboxFull, WouldDeadlock, WrongThread
from pywats_actors.testing import RecordingActor, crash_now, drain, hold, release
from pywats_supervision import Supervisor
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.testing import running, settled

ALONE: dict[str, Any] = {}
GROUP: dict[str, Any] = {"policy": RetryPolicy(max_retries=2)}
both_shapes = pytest.mark.parametrize("options", [ALONE, GROUP], ids=["alone", "group"])


@both_shapes
@pytest.mark.parametrize("capacity", [1, 3, 1024])
async def test_messages_of_one_sender_arrive_in_the_order_of_their_tell(
    capacity: int, options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[tuple[str, int]]().wait(0.1, on=lambda message: message[1] % 7 == 0)
    ref = ActorRef("recorder", actor, capacity=capacity, **options)

    async def send(sender: str) -> None:
        for number in range(50):
            await ref.tell((sender, number))
            if number % 5 == 0:
                await trio.sleep(0.05)

    async with running(Supervisor([ref.spec()])):
        async with trio.open_nursery() as nursery:
            for sender in "abc":
                nursery.start_soon(send, sender)
        await drain(ref)
    for sender in "abc":
        assert [number for who, number in actor.done if who == sender] == list(range(50))


async def test_tell_and_tell_nowait_of_one_sender_keep_one_order(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor)
    async with running(Supervisor([ref.spec()])):
        for number in range(0, 200, 2):
            await ref.tell(number)
            ref.tell_nowait(number + 1)
            if number % 30 == 0:
                await settled()
        await drain(ref)
    assert actor.done == list(range(200))


async def test_workers_that_wait_begin_messages_in_the_order_of_their_tell(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("recorder", actor, concurrency=3)
    async with running(Supervisor([ref.spec()])):
        for number in range(9):
            await ref.tell(number)
        await drain(ref)
    # Which of three tasks goes first within one pass is chance; no message of a later pass comes earlier.
    assert [sorted(actor.received[at : at + 3]) for at in (0, 3, 6)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


async def test_the_order_is_kept_through_a_crash(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("recorder", actor)
    async with running(Supervisor([ref.spec()])):
        for number in range(5):
            await ref.tell(number)
        await trio.sleep(1.5)
        crash_now(ref)
        await drain(ref)
    assert (actor.received, actor.done) == ([0, 1, 1, 2, 3, 4], [0, 1, 2, 3, 4])


async def test_what_is_told_before_the_actor_starts_waits_for_it(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor)
    ref.tell_nowait(1)
    await ref.tell(2)
    async with running(Supervisor([ref.spec()])):
        await drain(ref)
    assert actor.done == [1, 2]


async def test_a_tell_that_finds_room_lets_nobody_else_run(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[int]())
    ran: list[str] = []

    async def bystander() -> None:
        ran.append("bystander")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bystander)
        await ref.tell(1)
        assert ran == []


async def test_tell_waits_while_the_mailbox_is_full_and_goes_on_when_there_is_room(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("recorder", actor, capacity=2)
    async with running(Supervisor([ref.spec()])):
        given = []
        for number in range(5):
            await ref.tell(number)
            await settled()
            given.append(trio.current_time())
        assert given == [0.0, 0.0, 0.0, 1.0, 2.0]
        await drain(ref)
    assert actor.done == [0, 1, 2, 3, 4]


async def test_several_that_wait_for_room_never_overfill_the_mailbox(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("recorder", actor, capacity=2)
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(ref.tell, number)
        while len(actor.done) < 12:
            assert ref.statistics().queued <= 2
            await trio.sleep(0.5)
    assert sorted(actor.done) == list(range(12))


async def test_a_tell_that_is_cancelled_was_not_given(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor, capacity=1)
    await ref.tell(1)
    with trio.move_on_after(5) as scope:
        await ref.tell(2)
    assert scope.cancelled_caught
    async with running(Supervisor([ref.spec()])):
        await drain(ref)
    assert actor.done == [1]


async def test_a_place_that_a_cancelled_tell_waited_for_goes_to_the_next(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor, capacity=1)
    await ref.tell(1)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as cancelled:
                cancelled.start_soon(ref.tell, 2)
                await settled()
                nursery.start_soon(ref.tell, 3)
                await settled()
                scope.cancel()
        async with running(Supervisor([ref.spec()])):
            await settled()
            await drain(ref)
    assert actor.done == [1, 3]


async def test_tell_nowait_to_a_full_mailbox_gives_the_message_back_in_the_error(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("recorder", RecordingActor[Any](), capacity=2)
    ref.tell_nowait(1)
    ref.tell_nowait(2)
    message = object()
    with pytest.raises(MailboxFull, match="the mailbox of 'recorder' holds 2 messages; use tell") as full:
        ref.tell_nowait(message)
    assert full.value.message is message
    assert ref.statistics().queued == 2


async def test_an_actor_that_is_gone_gives_the_message_back_in_the_error(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[Any]())
    async with running(Supervisor([ref.spec()])):
        await settled()
    message = object()
    for call in (ref.tell_nowait, ref.tell):
        with pytest.raises(ActorStopped, match="actor 'recorder' is gone") as stopped:
            given = call(message)
            if given is not None:
                await given
        assert stopped.value.message is message


async def test_who_waits_for_room_when_the_actor_goes_is_told_so(autojump_clock: MockClock) -> None:
    ref = ActorRef("recorder", RecordingActor[int](), capacity=1, dead_letters=lambda letter: None)
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        await ref.tell(1)
        async with trio.open_nursery() as nursery:

            async def told_so() -> None:
                with pytest.raises(ActorStopped) as stopped:
                    await ref.tell(2)
                assert stopped.value.message == 2

            nursery.start_soon(told_so)
            await settled()
            await tree.remove_child("recorder")


class Talkative(Actor[str]):
    """Tells itself things."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.refused: list[Exception] = []

    async def receive(self, message: str) -> None:
        self.heard.append(message)
        if message == "begin":
            await self.ref.tell("1")
            await self.ref.tell("2")
            try:
                await self.ref.tell("3")
            except WouldDeadlock as error:
                self.refused.append(error)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.tell_beside)

    async def tell_beside(self) -> None:
        try:
            await self.ref.tell("4")
        except WouldDeadlock as error:
            self.refused.append(error)


@both_shapes
async def test_an_actor_may_tell_itself_but_not_wait_for_a_place_in_its_own_mailbox(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = Talkative()
    ref = ActorRef("talkative", actor, capacity=2, **options)
    async with running(Supervisor([ref.spec()])):
        await ref.tell("begin")
        await drain(ref)
    assert actor.heard == ["begin", "1", "2"]
    assert [str(error) for error in actor.refused] == [
        "actor 'talkative' tells itself; it would wait for its own end"
    ] * 2


async def test_a_group_that_was_held_goes_on_in_order(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("recorder", actor, **GROUP)
    async with running(Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        for number in range(100):
            await ref.tell(number)
        release(ref)
        await drain(ref)
    assert actor.done == list(range(100))


def in_a_run_of_its_own(ref: ActorRef[str]) -> None:
    trio.run(ref.tell, "from another run")


@both_shapes
@pytest.mark.parametrize(
    "tell",
    [lambda ref: ref.tell_nowait("from a thread"), in_a_run_of_its_own],
    ids=["thread", "another run"],
)
async def test_a_tell_from_another_thread_is_refused_and_the_actor_goes_on(
    tell: Callable[[ActorRef[str]], object], options: dict[str, Any]
) -> None:
    actor = RecordingActor[str]()
    ref = ActorRef("recorder", actor, **options)
    async with running(Supervisor([ref.spec()])):
        for message in ("before", "after"):
            with trio.fail_after(10):
                await ref.ask(message, timeout=5)
            with pytest.raises(WrongThread, match="'recorder' was told from outside of its trio run"):
                await trio.to_thread.run_sync(tell, ref)
            assert ref.statistics().queued == 0
    assert actor.received == ["before", "after"]
