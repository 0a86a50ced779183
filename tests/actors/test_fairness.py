"""Between two checkpoints a worker does at most 64 messages, and stops after a millisecond."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef
from pywats_actors._cell import BATCH, HOLD
from pywats_actors.testing import drain, hold, release
from pywats_supervision import Supervisor
from pywats_supervision.testing import running, seeded_runtime, settled

MESSAGES = 1000


class Ticks:
    """The fast clock, which goes on only when a message is done."""

    def __init__(self, per_message: float) -> None:
        self.per_message = per_message
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Quick(Actor[int]):
    """Awaits nothing; each message holds the thread for a while."""

    def __init__(self, ticks: Ticks) -> None:
        self.ticks = ticks
        self.done = 0

    async def receive(self, message: int) -> int:
        self.ticks.now += self.ticks.per_message
        self.done += 1
        return message


async def runs(per_message: float, messages: int = MESSAGES, **options: Any) -> list[int]:
    """How many messages were done in each run between two turns of a task beside the actor."""
    ticks = Ticks(per_message)
    actor = Quick(ticks)
    ref = ActorRef("quick", actor, **options)
    seen = [0]

    async def bystander() -> None:
        while actor.done < messages:
            await trio.lowlevel.checkpoint()
            seen.append(actor.done)

    runtime = dataclasses.replace(seeded_runtime(), ticks=ticks)
    async with running(Supervisor([ref.spec()], runtime=runtime)), trio.open_nursery() as nursery:
        await settled()
        hold(ref)
        for number in range(messages):
            await ref.tell(number)
        release(ref)
        nursery.start_soon(bystander)
        await drain(ref)
    return [after - before for before, after in itertools.pairwise(seen) if after > before]


async def test_at_most_64_messages_are_done_between_two_checkpoints(autojump_clock: MockClock) -> None:
    lengths = await runs(0.0)
    assert max(lengths) <= 2 * BATCH  # the bystander may come last in one pass and first in the next
    assert sum(lengths) == MESSAGES
    assert len(lengths) >= MESSAGES / BATCH / 2


@pytest.mark.parametrize("messages_in_a_millisecond", [2, 4, 10])
async def test_a_millisecond_ends_the_run_earlier(
    messages_in_a_millisecond: int, autojump_clock: MockClock
) -> None:
    lengths = await runs(HOLD / messages_in_a_millisecond)
    assert max(lengths) <= 2 * (messages_in_a_millisecond + 1)
    assert sum(lengths) == MESSAGES


async def test_messages_longer_than_a_millisecond_are_done_one_by_one(autojump_clock: MockClock) -> None:
    lengths = await runs(0.050, messages=100)
    assert max(lengths) <= 2
    assert sum(lengths) == 100


@pytest.mark.parametrize(
    "options", [{"concurrency": 2}, {"order_by": lambda message: message % 5}], ids=["workers", "keyed"]
)
async def test_so_it_is_with_several_workers_and_with_keys(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    lengths = await runs(HOLD / 4, **options)
    assert max(lengths) <= 2 * 5 * options.get("concurrency", 1)
    assert sum(lengths) == MESSAGES


async def test_two_actors_that_tell_each_other_for_ever_let_others_run(autojump_clock: MockClock) -> None:
    turns = 0

    class Echo(Actor[int]):
        other: ActorRef[int]

        async def receive(self, message: int) -> None:
            if turns < 100:
                await self.other.tell(message + 1)

    first, second = Echo(), Echo()
    refs = [ActorRef("first", first), ActorRef("second", second)]
    second.other, first.other = refs
    async with running(Supervisor([ref.spec() for ref in refs])):
        await refs[0].tell(0)
        while turns < 100:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert refs[0].statistics().done + refs[1].statistics().done > 10


class Endless(Actor[int]):
    """Tells itself the next message, without an end."""

    async def receive(self, message: int) -> None:
        self.ref.tell_nowait(message + 1)


async def test_one_that_never_runs_out_of_messages_can_be_stopped_and_does_not_hold_up_timers(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("endless", Endless(), dead_letters=lambda letter: None)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(0)
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(0) as scope:
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
    assert ref.terminated
