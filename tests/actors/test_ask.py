"""Whoever asks gets the reply, or the reason why there is none: promptly, and once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import (
    BLOCK,
    DROP_OLDEST,
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    DeadLetter,
    MailboxFull,
    WouldDeadlock,
)
from pywats_actors.testing import RecordingActor, crash_now, drain, hold, release
from pywats_supervision import ONE_FOR_ALL, Supervisor
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.testing import Puppet, running, settled

RETRIES = RetryPolicy(max_retries=2, initial_delay=1.0, jitter=False)
WAYS: dict[str, dict[str, Any]] = {
    "alone": {},
    "ordered": {"policy": RETRIES, "ordered": True},
    "retries": {"policy": RETRIES},
    "workers": {"concurrency": 2},
    "keyed": {"concurrency": 2, "order_by": lambda message: message % 2, "policy": RETRIES},
}
SKIPPING = [way for way in WAYS if "policy" in WAYS[way]]

each_way = pytest.mark.parametrize("way", WAYS)


class Asked:
    """A question on its way: what its asker got, and when."""

    def __init__(self, nursery: trio.Nursery, ref: ActorRef[Any], message: Any, timeout: float = inf) -> None:
        self.reply: Any = None
        self.error: Exception | None = None
        self.at: float | None = None
        self.scope = trio.CancelScope()
        nursery.start_soon(self._ask, ref, message, timeout)

    async def _ask(self, ref: ActorRef[Any], message: Any, timeout: float) -> None:  # noqa: ASYNC109
        with self.scope:
            try:
                self.reply = await ref.ask(message, timeout)
            except Exception as error:
                self.error = error
            self.at = trio.current_time()


def doubling() -> RecordingActor[int]:
    return RecordingActor[int](lambda message: message * 2)


@each_way
@pytest.mark.parametrize("within", [inf, 5.0])
async def test_the_reply_is_what_receive_returned(within: float, way: str, autojump_clock: MockClock) -> None:
    ref = ActorRef("doubling", doubling(), **WAYS[way])
    async with running(Supervisor([ref.spec()])):
        assert await ref.ask(21, within) == 42
        assert await ref.ask(4, within) == 8


@each_way
async def test_each_of_many_askers_gets_its_own_reply(way: str, autojump_clock: MockClock) -> None:
    actor = doubling().wait(0.5)
    ref = ActorRef("doubling", actor, capacity=3, **WAYS[way])
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        asked = [Asked(nursery, ref, number) for number in range(20)]
    assert [question.reply for question in asked] == [number * 2 for number in range(20)]


@each_way
async def test_without_a_reply_in_time_the_asker_is_told_and_the_actor_may_still_do_it(
    way: str, autojump_clock: MockClock
) -> None:
    actor = doubling().wait(3.0)
    ref = ActorRef("doubling", actor, **WAYS[way])
    async with running(Supervisor([ref.spec()])):
        with pytest.raises(AskTimeout, match="actor 'doubling' did not reply within 2 s"):
            await ref.ask(1, timeout=2)
        assert trio.current_time() == 2.0
        await drain(ref)
        assert (actor.done, trio.current_time()) == ([1], 3.0)


async def test_the_time_in_the_mailbox_counts(autojump_clock: MockClock) -> None:
    actor = doubling().wait(3.0)
    ref = ActorRef("doubling", actor)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        with pytest.raises(AskTimeout):
            await ref.ask(2, timeout=4)
        assert trio.current_time() == 4.0
        await drain(ref)
        assert actor.done == [1, 2]


async def test_the_time_before_the_mailbox_counts_and_the_question_was_not_given_then(
    autojump_clock: MockClock,
) -> None:
    actor = doubling()
    ref = ActorRef("doubling", actor, capacity=1)
    await ref.tell(1)
    with pytest.raises(AskTimeout):
        await ref.ask(2, timeout=4)
    async with running(Supervisor([ref.spec()])):
        await drain(ref)
    assert actor.done == [1]


async def test_an_ask_timeout_is_a_timeout_error(autojump_clock: MockClock) -> None:
    ref = ActorRef("doubling", doubling())
    with pytest.raises(TimeoutError):
        await ref.ask(1, timeout=1)


async def test_a_timeout_of_zero_asks_and_does_not_wait(autojump_clock: MockClock) -> None:
    actor = doubling()
    ref = ActorRef("doubling", actor)
    async with running(Supervisor([ref.spec()])):
        with pytest.raises(AskTimeout):
            await ref.ask(1, timeout=0)
        assert trio.current_time() == 0.0


@each_way
async def test_after_a_crash_the_question_is_asked_again_and_answered(
    way: str, autojump_clock: MockClock
) -> None:
    actor = doubling().wait()
    ref = ActorRef("doubling", actor, **WAYS[way])
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        asked = Asked(nursery, ref, 1)
        await settled()
        crash_now(ref)
        await settled()
        assert asked.at is None
        actor.go_on()
        await drain(ref)
        await settled()
        assert (asked.reply, actor.received) == (2, [1, 1])


@pytest.mark.parametrize("way", SKIPPING)
async def test_who_asked_waits_through_the_retries(way: str, autojump_clock: MockClock) -> None:
    actor = doubling().fail_on(lambda message: message == 1, times=2)
    ref = ActorRef("doubling", actor, **WAYS[way])
    async with running(Supervisor([ref.spec()])):
        assert await ref.ask(1) == 2
        assert (trio.current_time(), actor.received) == (3.0, [1, 1, 1])


@pytest.mark.parametrize("way", SKIPPING)
async def test_when_no_attempt_is_left_the_asker_gets_the_handlers_error_at_once(
    way: str, autojump_clock: MockClock
) -> None:
    letters: list[DeadLetter[int]] = []
    error = LookupError("no such unit")
    actor = doubling().fail_on(lambda message: message == 1, error)
    ref = ActorRef("doubling", actor, dead_letters=letters.append, **WAYS[way])
    async with running(Supervisor([ref.spec()])):
        with pytest.raises(LookupError) as failed:
            await ref.ask(1, timeout=100)
        assert failed.value is error
        assert (trio.current_time(), len(actor.received)) == (3.0, 3)
        assert await ref.ask(3) == 6
    assert letters == []


@pytest.mark.parametrize("where", ["in hand", "queued", "retrying", "waiting for room"])
async def test_when_the_actor_goes_the_asker_is_told_at_once(where: str, autojump_clock: MockClock) -> None:
    actor = doubling().wait(on=lambda message: message == 1)
    if where == "retrying":
        actor.fail_on(1)
        actor.go_on()
    ref = ActorRef("doubling", actor, capacity=1, policy=RetryPolicy(initial_delay=1000, max_delay=1000))
    async with running(tree := Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        if where in {"queued", "waiting for room"}:
            nursery.start_soon(quietly, ref.ask, 1)
            await settled()
        if where == "waiting for room":
            nursery.start_soon(quietly, ref.ask, 2)
            await settled()
        asked = Asked(nursery, ref, 1 if where in {"in hand", "retrying"} else 3)
        await settled()
        assert asked.at is None
        await tree.remove_child("doubling")
        await settled()
        assert isinstance(asked.error, ActorStopped)
        assert asked.error.message == (1 if where in {"in hand", "retrying"} else 3)
        assert asked.at is not None
        assert asked.at <= 5.0  # the grace of what is in hand


async def quietly(call: Callable[..., Awaitable[Any]], *args: Any) -> None:
    with pytest.raises(ActorStopped):
        await call(*args)


async def test_when_the_tree_gives_up_the_asker_is_told(autojump_clock: MockClock) -> None:
    ref = ActorRef("doubling", doubling().fail_on(lambda message: True))
    tree = Supervisor([ref.spec()], max_restarts=2)
    async with trio.open_nursery() as nursery:
        asked = Asked(nursery, ref, 1)
        with pytest.raises(ExceptionGroup, match="restarts within"):
            await tree.run()
    assert isinstance(asked.error, ActorStopped)


async def test_when_the_tree_is_killed_the_asker_is_told(autojump_clock: MockClock) -> None:
    ref = ActorRef("doubling", doubling().wait())
    async with trio.open_nursery() as nursery:
        asked = Asked(nursery, ref, 1)
        with trio.move_on_after(1):
            await Supervisor([ref.spec()]).run()
        await settled()
        assert isinstance(asked.error, ActorStopped)


async def test_asking_one_that_is_gone_fails_at_once(autojump_clock: MockClock) -> None:
    ref = ActorRef("doubling", doubling())
    async with running(Supervisor([ref.spec()])):
        await settled()
    for timeout in (inf, 5.0):
        with pytest.raises(ActorStopped) as stopped:
            await ref.ask(7, timeout)
        assert stopped.value.message == 7
    assert trio.current_time() == 0.0


@each_way
async def test_a_restart_by_a_sibling_does_not_lose_the_question(way: str, autojump_clock: MockClock) -> None:
    actor, sibling = doubling().wait(), Puppet("sibling")
    ref = ActorRef("doubling", actor, **WAYS[way])
    async with (
        running(Supervisor([ref.spec(), sibling.spec()], strategy=ONE_FOR_ALL)),
        trio.open_nursery() as nursery,
    ):
        in_hand, queued = Asked(nursery, ref, 1), Asked(nursery, ref, 3)
        await settled()
        sibling.fail()
        await trio.sleep(11)  # two workers have one grace each
        assert sibling.lives == 2
        actor.go_on()
        await drain(ref)
        await settled()
        assert (in_hand.reply, queued.reply) == (2, 6)


class Introvert(Actor[str]):
    """Asks itself, in the way that the message says."""

    async def receive(self, message: str) -> Any:
        if message == "directly":
            return await self.ref.ask("hello")
        if message == "with a timeout":
            return await self.ref.ask("hello", timeout=5)
        if message == "in a task of its own":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.ref.ask, "hello")
        return "hello"


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("message", ["directly", "with a timeout", "in a task of its own"])
async def test_asking_oneself_is_an_error_whichever_worker_does_it(
    message: str, concurrency: int, autojump_clock: MockClock
) -> None:
    ref = ActorRef("introvert", Introvert, concurrency=concurrency, policy=RetryPolicy(max_retries=0))
    async with running(Supervisor([ref.spec()])):
        with pytest.raises((WouldDeadlock, ExceptionGroup)) as refused:
            await ref.ask(message)
        error = refused.value
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        assert str(error) == "actor 'introvert' asks itself; it would wait for its own end"
        assert await ref.ask("something else") == "hello"
    assert trio.current_time() == 0.0


class Forwarding(Actor[int]):
    """Asks another."""

    def __init__(self, to: ActorRef[int]) -> None:
        self.to = to

    async def receive(self, message: int) -> Any:
        return await self.to.ask(message)


async def test_an_actor_may_ask_another(autojump_clock: MockClock) -> None:
    last = ActorRef("last", doubling().wait(1.0))
    middle = ActorRef("middle", Forwarding(last))
    first = ActorRef("first", Forwarding(middle))
    async with running(Supervisor([last.spec(), middle.spec(), first.spec()])):
        assert await first.ask(4) == 8


@each_way
@pytest.mark.parametrize(
    "moment", ["waiting for room", "queued", "in hand", "retrying", "as the reply comes"]
)
async def test_an_asker_that_is_cancelled_leaves_nothing_behind(
    moment: str, way: str, autojump_clock: MockClock
) -> None:
    if moment == "retrying" and way not in SKIPPING:
        return
    actor = doubling()
    ref = ActorRef("doubling", actor, capacity=1, **WAYS[way])
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        await settled()
        if moment in {"waiting for room", "queued"}:
            hold(ref)
        if moment == "waiting for room":
            await ref.tell(2)
        if moment == "retrying":
            actor.fail_on(1)
        if moment in {"in hand", "as the reply comes"}:
            actor.wait(1.0)
        asked = Asked(nursery, ref, 1)
        if moment == "as the reply comes":
            await trio.sleep(1.0)
        else:
            await settled()
        asked.scope.cancel()
        await settled()
        assert asked.scope.cancelled_caught or moment == "as the reply comes"
        release(ref)
        await drain(ref)
        assert actor.done == ([2] if moment == "waiting for room" else [1])
        assert await ref.ask(5) == 10
        statistics = ref.statistics()
        assert (statistics.queued, statistics.in_hand, statistics.retrying, statistics.keys_held) == (0,) * 4


async def test_a_reply_to_an_asker_cancelled_in_the_same_step_is_dropped(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int](lambda message: asked.scope.cancel())
    ref = ActorRef("doubling", actor)
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        asked = Asked(nursery, ref, 1)
        await drain(ref)
        await settled()
        assert asked.scope.cancelled_caught
        assert (actor.done, actor.starts) == ([1], 1)


async def test_a_question_to_a_full_mailbox_waits_for_room(autojump_clock: MockClock) -> None:
    actor = doubling().wait(1.0)
    ref = ActorRef("doubling", actor, capacity=1, overflow=BLOCK)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        await ref.tell(2)
        assert await ref.ask(3) == 6
        assert trio.current_time() == 3.0


async def test_a_question_that_is_dropped_for_a_newer_message_fails_at_once(
    autojump_clock: MockClock,
) -> None:
    actor = doubling().wait(1.0)
    ref = ActorRef("doubling", actor, capacity=1, overflow=DROP_OLDEST)
    async with running(Supervisor([ref.spec()])), trio.open_nursery() as nursery:
        await ref.tell(1)
        await settled()
        asked = Asked(nursery, ref, 2)
        await settled()
        newer = Asked(nursery, ref, 3)
        await settled()
        assert (type(asked.error), asked.at) == (MailboxFull, 0.0)
        assert isinstance(asked.error, MailboxFull)
        assert asked.error.message == 2
        await drain(ref)
        await settled()
        assert (newer.reply, actor.done, ref.statistics().dropped) == (6, [1, 3], 1)


@pytest.mark.parametrize("way", SKIPPING)
async def test_a_question_that_fails_when_its_asker_has_left_becomes_a_dead_letter(
    way: str, autojump_clock: MockClock
) -> None:
    letters: list[DeadLetter[int]] = []
    error = ValueError("no answer")
    ref = ActorRef(
        "asked",
        RecordingActor[int]().fail_on(lambda message: True, error),
        dead_letters=letters.append,
        **WAYS[way],
    )
    async with running(Supervisor([ref.spec()])):
        with pytest.raises(AskTimeout):
            await ref.ask(1, timeout=0.5)
        assert letters == []
        await drain(ref)
        with pytest.raises(ValueError, match="no answer"):
            await ref.ask(2)
    assert letters == [DeadLetter("asked", 1, "failed", error, 3)]
    assert ref.dead_lettered == 1


async def test_a_question_left_over_when_its_asker_has_left_becomes_a_dead_letter(
    autojump_clock: MockClock,
) -> None:
    letters: list[DeadLetter[int]] = []
    ref = ActorRef("asked", RecordingActor[int]().wait(60.0), dead_letters=letters.append)
    async with running(tree := Supervisor([ref.spec()])):
        for number in (1, 2):
            with pytest.raises(AskTimeout):
                await ref.ask(number, timeout=0.5)
        await tree.remove_child("asked")
    assert letters == [DeadLetter("asked", number, "stopped") for number in (1, 2)]


class Delegating(Actor[str]):
    """Has another task ask it: in its own nursery, in a foreign one, or from a thread."""

    def __init__(self, foreign: trio.Nursery) -> None:
        self.foreign = foreign
        self.replies: list[Any] = []

    async def receive(self, message: str) -> Any:
        match message:
            case "foreign":
                self.foreign.start_soon(self._ask)
            case "own":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ask)
            case "thread" | "abandoned thread":
                abandon = message.startswith("abandoned")
                await trio.to_thread.run_sync(trio.from_thread.run, self._ask, abandon_on_cancel=abandon)
            case _:
                return len(message)
        return None

    async def _ask(self) -> None:
        self.replies.append(await self.ref.ask("nested"))


async def test_a_task_in_a_foreign_nursery_may_ask_the_actor_that_started_it(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as foreign:
        actor = Delegating(foreign)
        ref = ActorRef("delegating", actor)
        async with running(Supervisor([ref.spec()])):
            await ref.ask("foreign")
            await settled()
            assert actor.replies == [6]


@pytest.mark.parametrize("way", ["own", "thread", "abandoned thread"])
async def test_a_task_that_receive_waits_for_must_not_ask_its_actor(way: str) -> None:
    async with trio.open_nursery() as foreign:
        ref = ActorRef("delegating", Delegating(foreign), policy=RetryPolicy(max_retries=0))
        async with running(Supervisor([ref.spec()])):
            with trio.fail_after(10), pytest.raises((WouldDeadlock, ExceptionGroup)) as refused:
                await ref.ask(way)
        error = refused.value
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        assert isinstance(error, WouldDeadlock)
