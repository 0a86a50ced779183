"""A ref is good for as long as its actor can come back, and never for another of its name."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, ActorStopped
from pywats_actors.testing import RecordingActor, crash_now, drain
from pywats_supervision import ONE_FOR_ALL, ChildSpec, DynamicSupervisor, Supervisor
from pywats_supervision.policies import Backoff, RetryPolicy
from pywats_supervision.testing import Puppet, running, settled

SHAPES: dict[str, dict[str, Any]] = {"alone": {}, "group": {"policy": RetryPolicy()}}
each_shape = pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)


@each_shape
async def test_what_is_told_and_asked_during_a_group_restart_arrives(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    actor = RecordingActor[int](lambda message: -message)
    ref = ActorRef("patient", actor, **options)
    slow = Puppet("slow", stop_takes=3.0)
    tree = Supervisor([slow.spec(), ref.spec(), (culprit := Puppet("culprit")).spec()], strategy=ONE_FOR_ALL)
    replies = []

    async def ask() -> None:
        replies.append(await ref.ask(2))

    async with running(tree), trio.open_nursery() as nursery:
        await settled()
        culprit.fail()
        await trio.sleep(1)  # the actor is down, its older sibling takes its time
        assert (actor.stops, actor.starts, slow.lives) == (1, 1, 1)
        await ref.tell(1)
        nursery.start_soon(ask)
        await settled()
        ref.tell_nowait(3)
        assert actor.received == []
        await trio.sleep(3)
        await drain(ref)
        assert (actor.done, replies, actor.starts) == ([1, 2, 3], [-2], 2)


@each_shape
async def test_what_is_told_while_the_actor_backs_off_arrives(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    class Fragile(RecordingActor[int]):
        async def on_start(self) -> None:
            await super().on_start()
            if self.starts <= 20:
                raise OSError("not yet")

    actor = Fragile()
    ref = ActorRef("fragile", actor, **options)
    async with running(Supervisor([ref.spec(policy=Backoff(initial=1, maximum=10))])):
        await ref.tell(1)
        await drain(ref)
        assert actor.done == [1]


@each_shape
async def test_a_ref_never_reaches_a_later_actor_of_its_name(
    options: dict[str, Any], autojump_clock: MockClock
) -> None:
    first, second = RecordingActor[str](), RecordingActor[str]()
    old, new = ActorRef("printer", first, **options), ActorRef("printer", second, **options)
    async with running(tree := Supervisor([old.spec()])):
        await tree.remove_child("printer")
        await tree.start_child(new.spec())
        for call in (old.tell, old.ask):
            with pytest.raises(ActorStopped):
                await call("for the old one")
        with pytest.raises(ActorStopped):
            old.tell_nowait("for the old one")
        await new.tell("for the new one")
        await drain(new)
    assert (first.received, second.received) == ([], ["for the new one"])


async def test_two_actors_of_one_name_under_two_supervisors_do_not_mix(autojump_clock: MockClock) -> None:
    actors = [RecordingActor[int]() for _ in range(2)]
    refs = [ActorRef("twin", actor) for actor in actors]
    sides = [Supervisor([ref.spec()]) for ref in refs]
    async with running(Supervisor([ChildSpec(str(number), side.run) for number, side in enumerate(sides)])):
        for number, ref in enumerate(refs):
            await ref.tell(number)
            crash_now(ref)
            await drain(ref)
    assert [actor.done for actor in actors] == [[0], [1]]


class Homing(Actor[str]):
    """Knows its own address."""

    lives = 0

    async def on_start(self) -> None:
        type(self).lives += 1
        await self.ref.tell(f"from life {self.lives}")

    async def receive(self, message: str) -> Any:
        if message == "crash":
            raise RuntimeError(message)
        HEARD.append((message, self.lives))


HEARD: list[tuple[str, int]] = []


async def test_an_actor_has_its_own_ref_in_every_life_before_on_start(autojump_clock: MockClock) -> None:
    HEARD.clear()
    Homing.lives = 0
    ref = ActorRef("homing", Homing, policy=RetryPolicy(max_retries=0), dead_letters=lambda letter: None)
    async with running(Supervisor([ref.spec()])):
        await settled()
        await ref.tell("crash")
        await settled()
    assert HEARD == [("from life 1", 1), ("from life 2", 2)]


async def test_actors_come_and_go_under_a_dynamic_supervisor(autojump_clock: MockClock) -> None:
    tree = DynamicSupervisor()
    async with running(tree):
        for round_ in range(3):
            actors = [RecordingActor[int](lambda message: message) for _ in range(10)]
            refs = [ActorRef(f"worker {number}", actor) for number, actor in enumerate(actors)]
            for ref in refs:
                await tree.start_child(ref.spec())
            assert [await ref.ask(round_) for ref in refs] == [round_] * 10
            for ref in refs:
                await tree.remove_child(ref.name)
            assert all(ref.terminated for ref in refs)


@each_shape
async def test_statistics_survive_restarts(options: dict[str, Any], autojump_clock: MockClock) -> None:
    ref = ActorRef("counting", RecordingActor[int](), **options)
    async with running(tree := Supervisor([ref.spec()])):
        for number in range(3):
            await ref.tell(number)
            await drain(ref)
            await tree.restart_child("counting")
        assert ref.statistics().done == 3
