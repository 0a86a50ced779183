"""What a stopped actor held is free, although its ref lives on."""

from __future__ import annotations

import gc
import weakref
from contextvars import ContextVar

import trio
import trio.testing

from pywats_actors import Actor, ActorRef
from pywats_supervision import Supervisor


class Instrument:
    """Something that is expensive to hold."""


IN_USE: ContextVar[Instrument] = ContextVar("instrument in use")


async def test_the_ref_of_a_stopped_actor_does_not_hold_the_context_of_its_task() -> None:
    held: list[weakref.ref[Instrument]] = []

    class User(Actor[str]):
        async def on_start(self) -> None:
            instrument = Instrument()
            IN_USE.set(instrument)
            held.append(weakref.ref(instrument))

        async def receive(self, message: str) -> str:
            return message

    ref = ActorRef("user", User)
    supervisor = Supervisor([ref.spec()])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        assert await ref.ask("hello") == "hello"
        await trio.testing.wait_all_tasks_blocked()
        assert held[0]() is not None
        await supervisor.stop()
    del supervisor
    gc.collect()
    assert ref.terminated
    assert held[0]() is None
