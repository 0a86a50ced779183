"""Start and stop 10,000 supervised actors, against as many plain tasks on memory channels.

Two yardsticks, each with the promise of 1.0: tasks that nobody waits for or can stop alone
(`start_soon`), which is the one that the promise was made against, and tasks that are waited for
until they are up (`nursery.start`), as our children are. Ours sleep without a task until their
first message; those that begin with an `on_start` of their own have one, and are shown beside.
"""

from __future__ import annotations

import time
import tracemalloc
from functools import partial

import trio
import trio.testing

from benchmarks.yardstick import interleaved, timed
from pywats_actors import Actor, ActorRef
from pywats_supervision import DynamicSupervisor

PROMISES = {"actors, start and stop / start_soon": 1.0, "actors, start and stop / nursery.start": 1.0}
MOST = {"kB an actor": 8.0, "kB an actor with on_start": 8.0}

ACTORS = 10_000


class Idle(Actor[int]):
    """Is there."""

    async def receive(self, message: int) -> None:
        """Nothing."""


class Starting(Idle):
    """Does something at its start, so it has a task from then on."""

    async def on_start(self) -> None:
        """Nothing more."""


async def actors(kind: type[Idle] = Idle, *, measure_memory: bool = False) -> float:
    """Actors per second, or kB each."""
    supervisor = DynamicSupervisor()
    if measure_memory:
        tracemalloc.start()
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for number in range(ACTORS):
            supervisor.start_child_nowait(ActorRef(f"idle-{number}", kind).spec())
        await trio.testing.wait_all_tasks_blocked()
        memory = tracemalloc.get_traced_memory()[0] if measure_memory else 0
        await supervisor.stop()
    elapsed = time.perf_counter() - started
    tracemalloc.stop()
    return memory / ACTORS / 1000 if measure_memory else ACTORS / elapsed


async def tasks(waited_for: bool) -> float:
    """Plain tasks per second."""

    async def idle(
        receive: trio.MemoryReceiveChannel[int],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        async for _ in receive:
            pass

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        sends = []
        for _ in range(ACTORS):
            send, receive = trio.open_memory_channel[int](16)
            sends.append(send)
            if waited_for:
                await nursery.start(idle, receive)
            else:
                nursery.start_soon(idle, receive)
        await trio.testing.wait_all_tasks_blocked()
        for send in sends:
            send.close()
    return ACTORS / (time.perf_counter() - started)


def measure(rounds: int) -> dict[str, float]:
    """Ratios to plain tasks, and memory."""
    speeds = interleaved(
        rounds,
        actors=actors,
        starting=partial(actors, Starting),
        waited=partial(tasks, waited_for=True),
        soon=partial(tasks, waited_for=False),
    )
    return {
        "actors, start and stop / start_soon": speeds["actors"] / speeds["soon"],
        "actors, start and stop / nursery.start": speeds["actors"] / speeds["waited"],
        "with on_start, start and stop / start_soon": speeds["starting"] / speeds["soon"],
        "with on_start, start and stop / nursery.start": speeds["starting"] / speeds["waited"],
        "kB an actor": timed(partial(actors, measure_memory=True)),
        "kB an actor with on_start": timed(partial(actors, Starting, measure_memory=True)),
    }
