"""Nothing accepted is lost by a crash: each actor of a bus fails in place of each thing that it awaits.

One scenario is run again and again, each time with one error more to the right, until it runs through.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import POLICY_ACTOR, ROUTER, assert_nothing_lost, virtual_runtime
from support.faults import Faults
from support.handlers import Recording, event_of

EVENTS = 4
POISON = 2
"""The number of the event that `first` never handles."""

Options = dict[str, Any]

ONE: Options = {}
MANY: Options = {"concurrency": 2}
KEYED: Options = {"concurrency": 2, "order_by": lambda event: event.payload["number"] % 2}
ORDERED: Options = {"ordered": True}
RETRIES = RetryPolicy(max_retries=2, initial_delay=0.5, jitter=False)
WAYS = {"one": ONE, "many": MANY, "keyed": KEYED, "ordered": ORDERED}


@dataclass
class Run:
    """One run of the scenario: two handlers of the same events, one of which publishes others."""

    bus: AsyncEventBus
    user_code: Faults
    receipts: list[Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = Recording(self.work_hard, name="first")
        self.second = Recording(self.publish_twice, name="second")
        self.caused = Recording(self.work, EventType.WORK_STARTED, name="caused")
        self.listener = Recording(self.work, EventType.EVENT_DEAD_LETTER, name="listener")

    async def work_hard(self, event: Event) -> None:
        await trio.sleep(0.5)
        self.user_code.point()
        if event.payload["number"] == POISON:
            raise ValueError("it is poison")
        await trio.lowlevel.checkpoint()
        self.user_code.point()

    async def publish_twice(self, event: Event) -> None:
        for number in (1, 2):
            await self.bus.publish(event.derive(EventType.WORK_STARTED, {"number": number}))
            self.user_code.point()
        await trio.sleep(0.25)
        self.user_code.point()

    async def work(self, event: Event) -> None:
        await trio.lowlevel.checkpoint()
        self.user_code.point()

    async def go(self, options: Options, *faults: Faults) -> None:
        for handler in (self.first, self.second, self.caused):
            self.bus.subscribe(handler, **options)
        self.bus.subscribe(self.listener, capacity=100)
        async with self.bus:
            for fault in faults:
                fault.armed = True
            for number in range(EVENTS):
                self.receipts.append(await self.bus.publish(event_of(number)))
            await self.bus.wait_idle()
            await wait_all_tasks_blocked()  # the system events have a lane of their own
            await self.bus.wait_idle()

    def check(self) -> None:
        """Every event has exactly one end at each handler, and causes what it caused exactly once."""
        assert_nothing_lost(self.bus)
        letters = Counter(
            (letter.handler_name, letter.event_id)
            for letter in self.bus.error_policy.dead_letter_queue.get_entries()
        )
        assert len(self.listener.handled) == letters.total()
        for number, receipt in enumerate(self.receipts):
            for handler in (self.first, self.second):
                assert receipt.settled
                handled = handler.numbers.count(number)
                given_up = letters.pop((handler.name, receipt.event.id), 0)
                assert handled + given_up == 1, (handler.name, receipt)
                assert receipt.outcomes[handler.name] is (
                    Outcome.HANDLED if handled else Outcome.DEAD_LETTERED
                )
        assert self.first.numbers.count(POISON) == 0
        assert len(self.caused.handled) + sum(letters.values()) == 2 * len(self.second.handled)
        assert len({event.id for event in self.caused.handled}) == len(self.caused.handled)


async def at_every_point(options: Options, of: str, *, in_user_code: bool = False) -> int:
    """Run the scenario with an error at each point in turn; returns how many points it has."""
    at = 0
    while True:
        at += 1
        faults, bus = (
            Faults(of, at),
            AsyncEventBus(retry_policy=RETRIES, capacity=2, runtime=virtual_runtime()),
        )
        with pytest.MonkeyPatch.context() as patch:
            if not in_user_code:
                faults.install(patch)
            run = Run(bus, faults if in_user_code else Faults("nobody", 0))
            with trio.fail_after(600):
                await run.go(options, faults)
        run.check()
        if not faults.raised:
            return faults.reached


# What each has to do in the scenario, each of which is a point: an event of mine is handed to two, and causes
# two; the poison is tried three times before it is a dead letter.
LEAST = {
    ROUTER: 3 * EVENTS,
    POLICY_ACTOR: 1,
    "first": EVENTS + 2,
    "second": EVENTS,
    "caused": 2 * EVENTS,
    "system events": 1,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", LEAST)
async def test_a_crash_in_place_of_anything_an_actor_awaits_loses_nothing(
    of: str, way: str, autojump_clock: MockClock
) -> None:
    assert await at_every_point(WAYS[way], of) >= LEAST[of]


@pytest.mark.parametrize("way", WAYS)
async def test_a_crash_after_any_await_of_the_user_s_code_loses_nothing(
    way: str, autojump_clock: MockClock
) -> None:
    assert await at_every_point(WAYS[way], "user code", in_user_code=True) >= 7 * EVENTS
