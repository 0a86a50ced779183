"""A dead letter goes once more to the handler that gave it up, and is lost at no moment."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, BaseHandler, Event, EventBus, EventType
from pywats_events.durability import SQLiteDeadLetterQueue, Store
from pywats_events.errors import BusStopped
from pywats_events.policies import DeadLetterEntry
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus, running_bus
from pywats_events.transports import MockTransport
from support.handlers import Recording, event_of


class Server(BaseHandler):
    """Refuses what it is told to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = True
        self.took: list[int] = []

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        await trio.sleep(1)
        if self.refuses:
            raise ValueError("no such process code")
        self.took.append(event.payload["number"])


async def the_letter(bus: AsyncEventBus) -> DeadLetterEntry:
    receipt = await bus.publish(event_of(1))
    await receipt.wait_settled()
    (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    return letter


async def test_it_goes_to_the_handler_that_failed_only_and_is_gone_when_that_is_done(
    autojump_clock: MockClock,
) -> None:
    server, other = Server(), Recording()
    async with running_async_bus() as bus:
        bus.subscribe(server)
        bus.subscribe(other)
        letter = await the_letter(bus)
        server.refuses = False
        receipt = await bus.replay_dead_letter(letter)
        assert bus.error_policy.dead_letter_queue.size == 1
        await receipt.wait_settled()
        assert receipt.outcomes == {"Server": Outcome.HANDLED}
        assert (server.took, other.numbers) == ([1], [1])
        assert bus.error_policy.dead_letter_queue.is_empty


async def test_one_that_fails_again_is_a_dead_letter_anew(autojump_clock: MockClock) -> None:
    async with running_async_bus() as bus:
        bus.subscribe(Server())
        letter = await the_letter(bus)
        await (await bus.replay_dead_letter(letter)).wait_settled()
        (anew,) = bus.error_policy.dead_letter_queue.get_entries()
        assert anew.id != letter.id
        assert anew.event_id == letter.event_id


async def test_asked_twice_it_goes_once(autojump_clock: MockClock) -> None:
    server = Server()
    async with running_async_bus() as bus:
        bus.subscribe(server)
        letter = await the_letter(bus)
        server.refuses = False
        first = await bus.replay_dead_letter(letter)
        assert await bus.replay_dead_letter(letter) is first
        await first.wait_settled()
    assert server.took == [1]


async def test_a_bus_that_ends_meanwhile_keeps_it(autojump_clock: MockClock) -> None:
    async with AsyncEventBus() as bus:
        bus.subscribe(Server())
        letter = await the_letter(bus)
        await bus.replay_dead_letter(letter)
        await bus.stop(timeout=0)
        kept = bus.error_policy.dead_letter_queue.get(letter.id)
        assert kept is not None
        assert kept.event is letter.event
        assert kept.replayed_at is not None
    with pytest.raises(BusStopped):
        await bus.replay_dead_letter(letter)


async def test_it_waits_for_room_at_its_handler_and_stays_a_dead_letter_if_it_is_cancelled_there(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with running_async_bus(grace=60) as bus:
        bus.subscribe(server, capacity=1)
        letter = await the_letter(bus)
        server.refuses = False
        for number in (2, 3):  # one in hand, and one in the only place
            await bus.publish(event_of(number))
            await wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            await bus.replay_dead_letter(letter)
        (kept,) = bus.error_policy.dead_letter_queue
        assert (kept.id, kept.replayed_at) == (letter.id, None)
        begun = trio.current_time()
        await bus.replay_dead_letter(letter)
        assert trio.current_time() - begun == pytest.approx(0.9)
    assert server.took == [2, 3, 1]


async def test_one_whose_handler_is_taken_away_meanwhile_is_kept(autojump_clock: MockClock) -> None:
    server = Server()
    async with AsyncEventBus() as bus:
        bus.subscribe(server)
        letter = await the_letter(bus)
        server.refuses = False
        await bus.publish(event_of(2))
        receipt = await bus.replay_dead_letter(letter)  # behind the other one
        with trio.move_on_after(0.1):
            await bus.unsubscribe(server)
        await bus.stop(timeout=0)
    assert receipt.outcomes == {"Server": Outcome.DROPPED}
    assert [entry.id for entry in bus.error_policy.dead_letter_queue] == [letter.id]


async def test_what_cannot_be_replayed_says_why(autojump_clock: MockClock) -> None:
    server, transport = Server(), MockTransport()
    async with running_async_bus() as bus:
        subscription = bus.subscribe(server)
        bus.register_transport(transport)
        letter = await the_letter(bus)
        await bus.unsubscribe(subscription)
        with pytest.raises(LookupError, match="no subscription 'Server'"):
            await bus.replay_dead_letter(letter)
        await transport.reject(b"\xff", ValueError("no JSON"), "folder").wait_settled()
        (garbage,) = bus.error_policy.dead_letter_queue.find(source="folder")
        with pytest.raises(ValueError, match="was no event"):
            await bus.replay_dead_letter(garbage)


def test_one_of_a_process_before_is_replayed_from_its_store(tmp_path: Path) -> None:
    server = Server()
    with running_bus(store=Store(tmp_path, commit_after=0)) as bus:
        bus.subscribe(server)
        bus.publish(event_of(7)).wait(10)
    server.refuses = False
    with running_bus(store=Store(tmp_path, commit_after=0)) as bus:
        bus.subscribe(server)
        (letter,) = bus.error_policy.dead_letter_queue.find(handler="Server")
        assert bus.replay_dead_letter(letter, timeout=10).wait(10).outcomes == {"Server": Outcome.HANDLED}
    assert server.took == [7]
    with closing(SQLiteDeadLetterQueue.open(tmp_path)) as letters:
        assert letters.is_empty


def test_plain_code_is_told_what_it_cannot_replay() -> None:
    with EventBus() as bus:
        letter = DeadLetterEntry(event=event_of(), error=ValueError(), handler_name="gone")
        with pytest.raises(LookupError, match="'gone'"):
            bus.replay_dead_letter(letter, timeout=10)
