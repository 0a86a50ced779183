"""A bus with a store: what it accepted survives the process, and goes only to who had not finished."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.durability import SQLiteDeadLetterQueue, Store, StoreDamaged, StoreInUse, StoreState
from pywats_events.durability._database import Usage
from pywats_events.errors import BusFull, EndedTheProcess, EventValidationError
from pywats_events.policies import DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import ROUTER, crash, running_async_bus
from pywats_events.transports import MockTransport
from support.handlers import Recording, event_of
from support.stores import Disk, image, open_again, sqlite_error

DEADLINE = 20
"""Seconds that a test on the real clock waits at most."""
CAUSED = EventType.TEST_STARTED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Where the image of a killed process's store is put."""
    return tmp_path / "killed"


def quick(folder: Path, **options: Any) -> Store:
    return Store(folder, commit_after=0.0, **options)


async def never(_: Event) -> None:
    await trio.sleep_forever()


def failing(*numbers: int) -> Callable[[Event], Any]:
    async def fail(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        if event.payload["number"] in numbers:
            raise ValueError(f"number {event.payload['number']}")

    return fail


async def resumed(killed: Path, *handlers: Recording, **options: Any) -> AsyncEventBus:
    """Run a bus on what a killed process left until all is handled; the bus, ended."""
    bus = AsyncEventBus(store=quick(killed), **options)
    for handler in handlers:
        bus.subscribe(handler)
    with trio.fail_after(DEADLINE):
        async with bus:
            await bus.wait_replayed()
            await bus.wait_idle()
    return bus


async def test_what_publish_returned_for_survives_a_kill_and_is_handled_in_order(
    folder: Path, killed: Path
) -> None:
    store = quick(folder)
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(never), name="Recording")
        await nursery.start(bus.run)
        events = [event_of(number) for number in range(20)]
        for event in events:
            receipt = await bus.publish(event)
            assert receipt.secured
            assert not receipt.settled
        image(store, killed)
        nursery.cancel_scope.cancel()
    handler = Recording()
    await resumed(killed, handler)
    assert handler.handled == events
    assert [event.id for event in handler.handled] == [event.id for event in events]


async def test_after_a_kill_only_who_had_not_finished_sees_an_event_again(folder: Path, killed: Path) -> None:
    store = quick(folder)
    first, second = Recording(name="first"), Recording(never, name="second")
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(first)
        bus.subscribe(second)
        await nursery.start(bus.run)
        for number in range(3):
            await bus.publish(event_of(number))
        with trio.fail_after(DEADLINE):
            while len(first.handled) < 3:
                await trio.lowlevel.checkpoint()
            await store.commit().wait()
        image(store, killed)
        nursery.cancel_scope.cancel()
    first_again, second_again = Recording(name="first"), Recording(name="second")
    await resumed(killed, first_again, second_again)
    assert (first_again.numbers, second_again.numbers) == ([], [0, 1, 2])


async def test_a_receipt_is_settled_when_the_outcomes_are_on_the_disk(folder: Path) -> None:
    store = quick(folder)
    disk, handler = Disk(store), Recording()
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(handler)
        blocked = trio.Event()

        async def wait(_: Event) -> None:
            await blocked.wait()

        handler._what = wait
        receipt = await bus.publish(event_of(1))
        disk.fail(sqlite_error(sqlite3.SQLITE_IOERR), times=3)
        blocked.set()
        with trio.fail_after(DEADLINE):
            while not handler.handled:
                await trio.lowlevel.checkpoint()
            assert not receipt.settled
            await receipt.wait_settled()
    assert disk.tried > 3
    assert receipt.outcomes == {"Recording": Outcome.HANDLED}


async def test_while_the_disk_fails_nobody_is_told_and_new_work_waits(folder: Path) -> None:
    store = quick(folder)
    disk = Disk(store)
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(Recording())
        disk.fail(sqlite_error(sqlite3.SQLITE_FULL), times=2)
        told: list[bool] = []
        first = bus.publish_nowait(event_of(1))
        first.add_secured_callback(lambda receipt: told.append(receipt.secured))
        with trio.fail_after(DEADLINE):
            while store.state is StoreState.HEALTHY:
                await trio.lowlevel.checkpoint()
            with pytest.raises(BusFull, match="the store of bus 'default' takes nothing now"):
                bus.publish_nowait(event_of(2))
            assert told == []
            second = await bus.publish(event_of(3))
        assert told == [True]
        assert first.secured
        await second.wait_settled()


async def test_what_is_given_up_is_a_dead_letter_in_the_same_transaction(folder: Path, killed: Path) -> None:
    store = quick(folder)
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(Recording(failing(1)))
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        for receipt in receipts:
            await receipt.wait_settled()
        assert receipts[1].outcomes == {"Recording": Outcome.DEAD_LETTERED}
        image(store, killed)
    handler = Recording()
    bus = await resumed(killed, handler)
    assert handler.handled == []
    letters = SQLiteDeadLetterQueue.open(killed, read_only=True)
    (letter,) = letters.get_entries()
    letters.close()
    assert letter.event is not None
    assert (letter.event.id, letter.handler_name) == (receipts[1].event.id, "Recording")


async def test_a_queue_that_was_given_is_used_and_not_the_store_s(folder: Path) -> None:
    mine = DeadLetterQueue()
    store = quick(folder)
    async with AsyncEventBus(store=store, error_policy=ErrorPolicy(dead_letter_queue=mine)) as bus:
        bus.subscribe(Recording(failing(0)))
        await (await bus.publish(event_of(0))).wait_settled()
        assert (mine.size, store.dead_letters.size) == (1, 0)


async def test_a_repeat_of_an_event_in_flight_joins_its_receipt_and_a_later_one_is_known(
    folder: Path,
) -> None:
    handler, let_go = Recording(), trio.Event()

    async def wait(_: Event) -> None:
        await let_go.wait()

    handler._what = wait
    event = event_of(1)
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(handler)
        first = await bus.publish(event)
        assert await bus.publish(event) is first
        let_go.set()
        await first.wait_settled()
        del first
        again = await bus.publish(event)
        assert again.secured
        assert again.outcomes == {"": Outcome.KNOWN}
    handler = Recording()
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(handler)
        assert (await bus.publish(event)).outcomes == {"": Outcome.KNOWN}
    assert handler.handled == []


async def test_what_a_handler_published_is_written_with_its_own_outcome(folder: Path, killed: Path) -> None:
    store = quick(folder)

    async def cause(event: Event) -> None:
        await bus.publish(event_of(10 + event.payload["number"], CAUSED))
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(cause, name="causing"))
        bus.subscribe(Recording(never, CAUSED, name="caused"))
        await nursery.start(bus.run)
        receipt = await bus.publish(event_of(1))
        with trio.fail_after(DEADLINE):
            await receipt.wait_settled()  # though what it caused is not: that is in the journal
        image(store, killed)
        nursery.cancel_scope.cancel()
    causing, caused = Recording(name="causing"), Recording(None, CAUSED, name="caused")
    await resumed(killed, causing, caused)
    assert (causing.handled, caused.numbers) == ([], [11])


async def test_an_event_that_ended_the_process_five_times_becomes_a_dead_letter_and_no_other_does(
    tmp_path: Path,
) -> None:
    store = quick(tmp_path / "0")
    poison, healthy = event_of(1), event_of(2)
    attempts: list[int] = []

    async def end_the_process(event: Event) -> None:
        attempts.append(event.payload["number"])
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(end_the_process, name="Recording"))
        await nursery.start(bus.run)
        await bus.publish(poison)
        await bus.publish(healthy)
        image(store, tmp_path / "1")
        nursery.cancel_scope.cancel()
    for life in range(1, 10):
        attempts.clear()
        store = quick(tmp_path / f"{life}")
        done: list[int] = []

        async def handle(event: Event, done: list[int] = done) -> None:
            if event.id == poison.id:
                await end_the_process(event)
            await trio.lowlevel.checkpoint()
            done.append(event.payload["number"])

        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(handle, name="Recording"))
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            with trio.fail_after(DEADLINE):
                await bus.wait_replayed()
                while not (attempts or done):
                    await trio.lowlevel.checkpoint()
                await store.commit().wait()
            image(store, tmp_path / f"{life + 1}")
            nursery.cancel_scope.cancel()
        if done:
            break
    assert life == 5
    assert done == [2]
    (letter,) = store.dead_letters.get_entries()
    assert letter.event is not None
    assert letter.event.id == poison.id
    assert type(letter.error).__name__ == EndedTheProcess.__name__


async def test_an_event_whose_attempts_come_back_is_not_blamed_for_the_ends_of_the_process(
    tmp_path: Path,
) -> None:
    class Away(Exception):
        outage = True

    tried = trio.Event()

    async def fail(_: Event) -> None:
        await trio.lowlevel.checkpoint()
        tried.set()
        raise Away

    store, event = quick(tmp_path / "0"), event_of(1)
    for life in range(1, 10):
        tried = trio.Event()
        handler = Recording(fail, name="Recording")
        bus = AsyncEventBus(store=store)
        bus.subscribe(handler, retry_policy=RetryPolicy(initial_delay=60))
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            if life == 1:
                await bus.publish(event)
            with trio.fail_after(DEADLINE):
                await tried.wait()
                await trio.testing.wait_all_tasks_blocked()
                await store.commit().wait()
            image(store, tmp_path / f"{life}")
            nursery.cancel_scope.cancel()
        store = quick(tmp_path / f"{life}")
    handler = Recording(name="Recording")
    bus = AsyncEventBus(store=store)
    bus.subscribe(handler)
    with trio.fail_after(DEADLINE):
        async with bus:
            await bus.wait_replayed()
            await bus.wait_idle()
    assert handler.handled == [event]
    assert not store.dead_letters.get_entries()


async def test_events_of_a_handler_that_is_not_there_stay_until_it_is(
    folder: Path, killed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = quick(folder)
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(never, name="missing"))
        await nursery.start(bus.run)
        await bus.publish(event_of(7))
        image(store, killed)
        nursery.cancel_scope.cancel()
    other = Recording(name="other")
    await resumed(killed, other)
    assert other.handled == []
    assert "holds events for 'missing', and there is no such subscription" in caplog.text
    there = Recording(name="missing")
    await resumed(killed, there)
    assert there.numbers == [7]


async def test_new_events_are_handled_after_what_came_before_them(folder: Path, killed: Path) -> None:
    store = quick(folder)
    count = 600
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(never, name="Recording"))
        await nursery.start(bus.run)
        for number in range(count):
            receipt = bus.publish_nowait(event_of(number))
        await receipt.wait_secured()
        image(store, killed)
        nursery.cancel_scope.cancel()
    handler = Recording()
    bus = AsyncEventBus(store=quick(killed), capacity=10)
    bus.subscribe(handler)
    with trio.fail_after(DEADLINE):
        async with bus:
            await bus.publish(event_of(count))
            await bus.wait_idle()
    assert handler.numbers == list(range(count + 1))


async def test_a_crash_of_the_router_or_the_journal_loses_nothing_that_comes_back(
    folder: Path, killed: Path
) -> None:
    store = quick(folder)
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        bus.subscribe(Recording(never, name="Recording"))
        await nursery.start(bus.run)
        for number in range(300):
            receipt = bus.publish_nowait(event_of(number))
        await receipt.wait_secured()
        image(store, killed)
        nursery.cancel_scope.cancel()

    async def slowly(_: Event) -> None:
        await trio.lowlevel.checkpoint()

    handler = Recording(slowly)
    bus = AsyncEventBus(store=quick(killed), capacity=4)
    bus.subscribe(handler)
    with trio.fail_after(DEADLINE):
        async with bus:
            for at in (20, 80, 150):
                while len(handler.handled) < at:
                    await trio.lowlevel.checkpoint()
                crash(bus, ROUTER)
            await bus.wait_replayed()
            await bus.wait_idle()
    assert handler.numbers == list(range(300))


async def test_a_transport_tells_its_source_when_it_is_written_and_not_when_it_is_handled(
    folder: Path,
) -> None:
    transport, told = MockTransport(), trio.Event()
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=quick(folder))
        bus.subscribe(Recording(never))
        bus.register_transport(transport)
        await nursery.start(bus.run)
        receipt = await transport.publish_event_async(event_of(1))
        receipt.add_secured_callback(lambda _: told.set())
        rejected = transport.reject(b"?", ValueError("what?"))
        with trio.fail_after(DEADLINE):
            await told.wait()
            await rejected.wait_settled()
        assert not receipt.settled
        assert bus.error_policy.dead_letter_queue.size == 1
        nursery.cancel_scope.cancel()
    assert receipt.handed_back


async def test_two_buses_on_one_store_are_told_so_at_the_start(folder: Path) -> None:
    async with AsyncEventBus(store=quick(folder)):
        with pytest.raises(StoreInUse, match="another store of this process"):
            async with AsyncEventBus("other", store=quick(folder)):
                pass


def test_a_bus_in_plain_code_writes_down_before_publish_returns(folder: Path) -> None:
    release, store = threading.Event(), quick(folder)

    class Blocking(Recording):
        def handle(self, event: Event) -> None:  # type: ignore[override]
            assert release.wait(DEADLINE)
            self.handled.append(event)

    handler = Blocking(name="blocking")
    with EventBus(store=store) as bus:
        bus.subscribe(handler)
        receipts = [bus.publish(event_of(number), timeout=DEADLINE) for number in range(3)]
        assert all(receipt.secured for receipt in receipts)
        assert not receipts[0].settled
        release.set()
        for receipt in receipts:
            receipt.wait(DEADLINE)
    assert handler.numbers == [0, 1, 2]


def unwritable(number: int = 0) -> Event:
    """An event with a payload that no store can take."""
    return Event(event_type=EventType.TEST_RESULT, payload={"number": number, "instrument": object()})


CANNOT = "cannot be written: a value of object cannot be written"


def test_what_cannot_be_written_is_refused_to_the_thread_that_publishes_it_and_to_nobody_else(
    folder: Path,
) -> None:
    handler = Recording()
    with EventBus(store=quick(folder)) as bus:
        bus.subscribe(handler)
        for publish in (bus.publish, bus.publish_nowait):
            with pytest.raises(EventValidationError, match=CANNOT):
                publish(unwritable())
        receipt = bus.publish(event_of(1)).wait(timeout=DEADLINE)
        assert (bus.queue_size, receipt.outcomes) == (0, {"Recording": Outcome.HANDLED})
    assert handler.numbers == [1]


async def test_what_another_thread_gives_to_a_bus_on_trio_and_cannot_be_written_is_refused_there(
    folder: Path,
) -> None:
    handler = Recording()
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(handler)
        with pytest.raises(EventValidationError, match=CANNOT):
            await trio.to_thread.run_sync(bus.publish_nowait, unwritable())
        with pytest.raises(EventValidationError, match=CANNOT):
            await bus.publish(unwritable())
        receipt = await trio.to_thread.run_sync(bus.publish_nowait, event_of(1))
        await receipt.wait_settled()
    assert handler.numbers == [1]


async def test_a_handler_that_publishes_what_cannot_be_written_fails_and_the_rest_of_it_is_dropped(
    folder: Path,
) -> None:
    receipts: list[Receipt] = []
    after = Recording(event_type=CAUSED)

    async def cause(event: Event) -> None:
        receipts.append(await bus.publish(event_of(1, CAUSED)))
        await bus.publish(unwritable())

    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(Recording(cause, EventType.WORK_STARTED, "cause"))
        bus.subscribe(after)
        receipt = await bus.publish(event_of(0, EventType.WORK_STARTED))
        with trio.fail_after(DEADLINE):
            await receipt.wait_settled()
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert receipt.outcomes == {"cause": Outcome.DEAD_LETTERED}
    assert (letter.error_type, letter.attempts) == ("EventValidationError", 1)
    assert receipts[0].outcomes == {"": Outcome.DROPPED}
    assert after.handled == []


async def test_retries_and_their_count_go_on_beside_a_store(folder: Path) -> None:
    attempts: list[int] = []

    async def twice(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        attempts.append(event.attempt)
        if len(attempts) < 3:
            raise ConnectionError("away")

    async with running_async_bus(
        store=quick(folder), retry_policy=RetryPolicy(max_retries=3, initial_delay=0.01, jitter=False)
    ) as bus:
        bus.subscribe(Recording(twice))
        receipt = await bus.publish(event_of(1))
        with trio.fail_after(DEADLINE):
            await receipt.wait_settled()
    assert attempts == [1, 2, 3]
    assert receipt.outcomes == {"Recording": Outcome.HANDLED}


def test_a_store_is_a_store() -> None:
    with pytest.raises(TypeError, match=r"store must be a Store or None, not 'here'; write Store\(folder\)"):
        AsyncEventBus(store="here")  # type: ignore[arg-type]


async def test_a_store_that_fills_is_a_system_event_which_is_in_no_journal(folder: Path) -> None:
    store = quick(folder, max_size=1 << 30, min_free=0.1)
    size = [0]
    store._database.usage = lambda: Usage(size[0], 900 << 30, 1000 << 30)  # type: ignore[method-assign]
    listener = Recording(event_type=EventType.STORE_ALARM)
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(listener)
        for part in (0.55, 0.85, 0.96, 0.1):
            size[0] = int((1 << 30) * part)
            await store._look()
        with trio.fail_after(DEADLINE):
            while len(listener.handled) < 4:
                await trio.lowlevel.checkpoint()
        assert len(store.journal) == 0
    assert [event.payload["level"] for event in listener.handled] == [0.5, 0.8, 0.95, 0.0]
    assert listener.handled[0].payload["size"] == int((1 << 30) * 0.55)
    assert listener.handled[0].source == "default"


def malformed() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def set_aside(folder: Path) -> list[Path]:
    return list(folder.glob("store-corrupt-*.db"))


def write_garbage(folder: Path) -> None:
    folder.mkdir()
    (folder / "store.db").write_bytes(b"no database at all" * 1000)


async def test_damage_that_is_found_while_a_bus_runs_is_told_and_a_new_store_begun(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = quick(folder)
    listener = Recording(event_type=EventType.STORE_DAMAGED)

    def damaged(*_: object) -> None:
        raise malformed()

    handler = Recording()
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(listener)
        bus.subscribe(handler)
        await (await store.shelf("machine")).put("state", b"idle").wait()
        first = event_of(1)
        await (await bus.publish(first)).wait_settled()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "_shelf_rows", damaged)
            with pytest.raises(StoreDamaged, match="malformed"):
                await store.shelf("other")
        with trio.fail_after(DEADLINE):
            while not listener.handled:
                await trio.sleep(0.01)
            await (await bus.publish(event_of(2))).wait_settled()
        await (await bus.publish(first)).wait_settled()  # a repeat, which is still known
        assert store.state is StoreState.HEALTHY
    assert handler.numbers == [1, 2]
    (told,) = listener.handled
    assert told.payload["damage"] == "database disk image is malformed"
    assert Path(told.payload["set_aside"]) in set_aside(folder)
    assert "'journal', which works on the store" in caplog.text
    async with open_again(folder) as store:  # what memory knew is in the new one
        assert (await store.shelf("machine")).get("state") == b"idle"
        assert first.id in store.seen


async def test_what_waited_on_the_disk_of_a_damaged_store_is_told_and_holds_up_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = quick(folder)
    listener = Recording(event_type=EventType.STORE_DAMAGED)
    go = trio.Event()

    async def wait(_: Event) -> None:
        await go.wait()

    slow, fast = Recording(wait, name="slow"), Recording(name="fast")
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(listener)
        bus.subscribe(slow, capacity=5)
        bus.subscribe(fast)
        receipts = [await bus.publish(event_of(number)) for number in range(30)]
        held = receipts[20:25]
        del receipts
        with trio.fail_after(DEADLINE):
            while len(fast.handled) < 30 or store._commits.pending:
                await trio.sleep(0.01)
            store._commits.cannot_read(malformed())
            while not listener.handled:
                await trio.sleep(0.01)
            last = await bus.publish(event_of(99))
            go.set()
            await last.wait_settled()
            await bus.wait_idle()
            for receipt in held:
                await receipt.wait_settled()
                assert receipt.outcomes["slow"] is Outcome.DROPPED
    assert slow.numbers[-1] == 99
    assert fast.numbers == [*range(30), 99]
    lost = 31 - len(slow.handled)
    assert lost > 20
    assert f"{lost} events waited for their handlers on the disk only" in caplog.text


async def test_damage_that_is_found_at_the_start_is_told_to_whoever_listens(folder: Path) -> None:
    write_garbage(folder)
    listener = Recording(event_type=EventType.STORE_DAMAGED)
    bus = AsyncEventBus(store=quick(folder))
    bus.subscribe(listener)
    async with bus:
        with trio.fail_after(DEADLINE):
            while not listener.handled:
                await trio.sleep(0.01)
    (told,) = listener.handled
    assert "not a database" in told.payload["damage"]


async def test_a_payload_that_is_out_of_reach_is_told_and_replayed_when_it_is_back(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = quick(folder, large=10)
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(Recording(never, name="Blocking"))
        await (await bus.publish(event_of(1))).wait_secured()
        await bus.stop(timeout=0)
    read = Path.read_bytes
    refused = [True]

    def read_bytes(path: Path) -> bytes:
        if path.parent.name == "large" and refused[0]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    handler = Recording(name="Blocking")
    bus = AsyncEventBus(store=quick(folder, large=10))
    bus.subscribe(handler)
    async with bus:
        with trio.fail_after(DEADLINE):
            while "'pager', which works on the store" not in caplog.text:
                await trio.sleep(0.01)
            assert "Permission denied" in caplog.text
            refused[0] = False
            await bus.wait_replayed()
            await bus.wait_idle()
    assert handler.numbers == [1]
