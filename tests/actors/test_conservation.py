"""Whatever fails, every message is done or a dead letter, once, and keys keep their order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import Actor, ActorRef, DeadLetter
from pywats_supervision import ChildStopped, NotRunning, Supervisor
from pywats_supervision.policies import Backoff, CircuitBreaker, RestartPolicy, RetryPolicy, compose

MESSAGES = 60
KEYS = 4


class Outage(Exception):
    outage = True


class World:
    """One random world: its shape is drawn from the seed, and everything in it fails now and then."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.hibernates = seed % 4 == 0
        self.concurrency = 1 if self.hibernates else self.chance.choice([1, 1, 2, 4])
        self.keyed = not self.hibernates and self.chance.random() < 0.5
        alone = self.concurrency == 1 and not self.keyed
        self.ordered = self.hibernates or (alone and self.chance.random() < 0.3)
        self.breaker = self.chance.random() < 0.5
        self.done: Counter[tuple[int, int]] = Counter()
        self.in_order: dict[int, list[int]] = defaultdict(list)
        self.dead: list[DeadLetter[tuple[int, int]]] = []
        self.active = 0
        self.most_active = 0
        self.ref: ActorRef[tuple[int, int]] = ActorRef(
            "unreliable",
            Unreliable(self) if self.hibernates else lambda: Starting(self),
            concurrency=self.concurrency,
            order_by=(lambda message: message[0]) if self.keyed else None,
            ordered=self.ordered,
            policy=self.policy(),
            capacity=self.chance.choice([1, 3, 16, 1024]),
            dead_letters=self.dead.append,
        )
        self.supervisor = Supervisor([self.ref.spec(policy=None if self.hibernates else Backoff())])

    def policy(self) -> RestartPolicy[Any]:
        choose = self.chance.choice
        retry = RetryPolicy(max_retries=choose([0, 2, 50]), initial_delay=choose([0, 0.1, 5]))
        if not self.breaker:
            return retry
        return compose(
            retry,
            CircuitBreaker(
                failure_threshold=choose([1, 3]),
                reset_timeout=choose([1, 30]),
                success_threshold=choose([1, 2]),
                half_open_max_calls=choose([1, 2]),
            ),
        )

    async def tell_all(self) -> None:
        for number in range(MESSAGES):
            await self.ref.tell((number % KEYS, number))
            if self.chance.random() < 0.3:
                await trio.sleep(self.chance.random())

    async def upset(self) -> None:
        for _ in range(6):
            await trio.sleep(self.chance.random() * 5)
            try:
                if self.hibernates and self.chance.random() < 0.5:
                    await self.supervisor.stop_child("unreliable")
                    await trio.sleep(self.chance.random())
                await self.supervisor.restart_child("unreliable")
            except (NotRunning, ChildStopped):
                return

    async def run(self) -> None:
        with trio.fail_after(1_000_000):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.supervisor.run)
                nursery.start_soon(self.tell_all)
                if self.chance.random() < 0.5:
                    nursery.start_soon(self.upset)
                while self.done.total() + len(self.dead) < MESSAGES:
                    await trio.sleep(50)
                await self.supervisor.stop()


class Unreliable(Actor[tuple[int, int]]):
    def __init__(self, world: World) -> None:
        self.world = world

    async def receive(self, message: tuple[int, int]) -> None:
        world, chance = self.world, self.world.chance
        world.active += 1
        world.most_active = max(world.most_active, world.active)
        try:
            if chance.random() < 0.5:
                await trio.sleep(chance.choice([0, 0.01, 1]))
            draw = chance.random()
            if draw < 0.15:
                raise ValueError(message)
            if draw < 0.25:
                raise Outage(message)
            if message[1] % 17 == 0:
                raise KeyError("poison")
            world.done[message] += 1
            world.in_order[message[0]].append(message[1])
        finally:
            world.active -= 1


class Starting(Unreliable):
    async def on_start(self) -> None:
        if self.world.chance.random() < 0.05:
            raise RuntimeError("on_start")


@pytest.mark.parametrize("seed", range(80))
def test_every_message_is_done_or_given_up_exactly_once_and_in_order(seed: int) -> None:
    world = World(seed)
    trio.run(world.run, clock=MockClock(autojump_threshold=0))

    ended = world.done + Counter(letter.message for letter in world.dead)
    assert ended == Counter((number % KEYS, number) for number in range(MESSAGES))
    assert world.most_active <= world.concurrency
    if world.keyed or world.ordered:
        assert all(numbers == sorted(numbers) for numbers in world.in_order.values())
    statistics = world.ref.statistics()
    assert (statistics.queued, statistics.in_hand, statistics.retrying) == (0, 0, 0)
