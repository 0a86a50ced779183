"""Whatever comes, goes, crashes and is killed while events are on the disk: the order, and nothing lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeAlias

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event
from pywats_events.durability import Store
from pywats_events.policies import RetryPolicy
from pywats_events.testing import ROUTER, assert_nothing_lost, crash, virtual_runtime
from pywats_supervision.testing import crash_child
from support.handlers import Recording, event_of
from support.stores import image

Step: TypeAlias = tuple[str, int]

NAMES = ("first", "second")
CAPACITIES = (2, 5)
RETRIES = RetryPolicy(max_retries=1000, initial_delay=0.01, max_delay=0.01)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 12)),
        st.tuples(st.just("burst"), st.integers(1, 12)),
        st.tuples(st.sampled_from(NAMES), st.integers(1, 15)),
        st.tuples(st.just("crash"), st.sampled_from(range(4))),
        st.tuples(st.just("pass"), st.integers(1, 30)),
        st.tuples(st.just("wait"), st.just(1)),
        st.tuples(st.just("kill"), st.integers(0, 10)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=25,
)


class Counted:
    """Lets a handler do as many events as it is told."""

    def __init__(self) -> None:
        self._left = 0.0
        self._more = trio.Event()

    def let(self, count: float) -> None:
        self._left += count
        self._more.set()
        self._more = trio.Event()

    async def __call__(self, _: Event) -> None:
        await trio.lowlevel.checkpoint()
        while self._left < 1:
            await self._more.wait()
        self._left -= 1


class Lives:
    """One bus after the other on one journal; what each handler did in which life."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.number = 0
        self.accepted = 0
        self.done: dict[str, list[list[int]]] = {name: [] for name in NAMES}

    def begin(self) -> None:
        self.number += 1
        self.gates = {name: Counted() for name in NAMES}
        self.handlers = {name: Recording(self.gates[name], name=name) for name in NAMES}
        self.store = Store(self._folder / f"{self.number}", commit_after=0.0, min_free=0)
        self.bus = AsyncEventBus(store=self.store, runtime=virtual_runtime(), retry_policy=RETRIES)
        for name, capacity in zip(NAMES, CAPACITIES, strict=True):
            self.bus.subscribe(self.handlers[name], capacity=capacity, ordered=True)

    def end(self) -> None:
        for name in NAMES:
            self.done[name].append(self.handlers[name].numbers)

    async def live(self, steps: list[Step]) -> None:
        """One life: until a kill, a stop, or the steps are done; then everything is let through."""
        self.begin()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.bus.run)
            while steps:
                what, number = steps.pop(0)
                if what == "kill":
                    for _ in range(number):
                        await trio.lowlevel.checkpoint()
                    await self.store.commit().wait()
                    image(self.store, self._folder / f"{self.number + 1}")
                    nursery.cancel_scope.cancel()
                    break
                if what == "stop":
                    await self.bus.stop(0.5)
                    image(self.store, self._folder / f"{self.number + 1}")
                    break
                await self.step(what, number)
            else:
                for gate in self.gates.values():
                    gate.let(1_000_000)
                with trio.fail_after(10_000):
                    await self.bus.wait_replayed()
                    await self.bus.wait_idle()
                assert_nothing_lost(self.bus)
                assert len(self.store.journal) == 0
                nursery.cancel_scope.cancel()
                steps.append(("end", 0))
        self.end()

    async def step(self, what: str, number: int) -> None:
        if what in ("publish", "burst"):
            for _ in range(number):
                receipt = self.bus.publish_nowait(event_of(self.accepted))
                self.accepted += 1
                if what == "publish":
                    await receipt.wait_secured()
        elif what in NAMES:
            self.gates[what].let(number)
        elif what == "crash":
            self.crash((*NAMES, ROUTER, "pager")[number])
        else:
            for _ in range(number):
                await (trio.sleep(0.7) if what == "wait" else trio.lowlevel.checkpoint())

    def crash(self, who: str) -> None:
        try:
            if who == "pager":
                assert self.bus._core.tree is not None
                crash_child(self.bus._core.tree.root, who, ValueError("crashed by the test"))
            else:
                crash(self.bus, who)
        except LookupError:
            return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_each_handler_does_each_event_in_order_and_only_a_kill_repeats_any(steps: list[Step]) -> None:
    killed = any(what == "kill" for what, _ in steps)

    async def main() -> Lives:
        with tempfile.TemporaryDirectory() as folder:
            lives, left = Lives(Path(folder)), list(steps)
            while ("end", 0) not in left:
                await lives.live(left)
            return lives

    lives = trio.run(main, clock=MockClock(autojump_threshold=0))
    for name in NAMES:
        of_all = [number for life in lives.done[name] for number in life]
        assert set(of_all) == set(range(lives.accepted))
        for life in lives.done[name]:
            assert life == sorted(set(life))
        if not killed:
            assert of_all == list(range(lives.accepted))
