"""With a store, a subscription that is behind has its events on the disk, and nobody waits for it."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.durability import Store, StoreState
from pywats_events.errors import BusFull
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import ROUTER, assert_nothing_lost, crash, virtual_runtime
from pywats_supervision.testing import crash_child
from support.handlers import Recording, event_of
from support.stores import Disk, image, sqlite_error

DEADLINE = 30
PAGER = "pager"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Where the image of a killed process's store is put."""
    return tmp_path / "killed"


def quick(folder: Path, **options: Any) -> Store:
    return Store(folder, commit_after=0.0, min_free=0, **options)


def keyed(number: int, keys: int = 3) -> Event:
    return Event(EventType.TEST_RESULT, {"number": number, "key": number % keys})


class Gate:
    """A handler's work that waits until it is opened."""

    def __init__(self) -> None:
        self.opened = trio.Event()

    async def __call__(self, _: Event) -> None:
        await self.opened.wait()


async def publish_all(bus: AsyncEventBus, events: list[Event]) -> None:
    """Publish, and wait only where the store itself has no room."""
    for event in events:
        try:
            bus.publish_nowait(event)
        except BusFull:
            await bus.publish(event)


def live_receipts() -> int:
    gc.collect()
    return sum(isinstance(one, Receipt) for one in gc.get_objects())


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while not true():
            await trio.sleep(0.001)


async def filled(folder: Path, killed: Path, events: list[Event], *names: str) -> None:
    """Leave the image of a process that was killed when it had accepted events and finished none."""
    store = quick(folder)
    async with trio.open_nursery() as nursery:
        bus = AsyncEventBus(store=store)
        for name in names:
            bus.subscribe(Recording(Gate(), name=name))
        await nursery.start(bus.run)
        await publish_all(bus, events)
        await store.commit().wait()
        image(store, killed)
        nursery.cancel_scope.cancel()


async def test_a_handler_behind_by_20_000_events_holds_up_nobody_and_takes_no_memory(folder: Path) -> None:
    count, capacity = 20_000, 100
    gate, fast = Gate(), Recording(name="fast")
    slow = Recording(gate, name="slow")
    most, before = 0, live_receipts()
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(slow, capacity=capacity)
        bus.subscribe(fast)
        with trio.fail_after(DEADLINE):
            for first in range(0, count, 1000):
                await publish_all(bus, [event_of(number) for number in range(first, first + 1000)])
                await until(lambda first=first: len(fast.handled) >= first)
                fast.handled[:-1] = fast.handled[:-1]
            await until(lambda: len(fast.handled) == count)
            assert fast.numbers == list(range(count))
            await bus._core.journaling.store.commit().wait()
            assert live_receipts() <= before + capacity + 10
            assert bus.queue_size == count
            slow._what = None
            gate.opened.set()
            while bus.queue_size:
                await trio.sleep(0.05)
                most = max(most, len(bus._core.journaling._open))
        assert most <= 4 * capacity + 1000
        assert_nothing_lost(bus)
    assert slow.numbers == list(range(count))


async def test_each_of_two_that_are_behind_goes_on_where_it_was(folder: Path) -> None:
    gates = [Gate(), Gate()]
    handlers = [Recording(gate, name=f"slow-{number}") for number, gate in enumerate(gates)]
    async with AsyncEventBus(store=quick(folder)) as bus:
        for handler, capacity in zip(handlers, (1, 7), strict=True):
            bus.subscribe(handler, capacity=capacity)
        await publish_all(bus, [event_of(number) for number in range(100)])
        receipt = await bus.publish(event_of(100))
        gates[0].opened.set()
        await until(lambda: len(handlers[0].handled) == 101)
        assert not receipt.settled
        assert receipt.outcomes == {"slow-0": Outcome.HANDLED}
        await publish_all(bus, [event_of(number) for number in range(101, 200)])
        gates[1].opened.set()
        with trio.fail_after(DEADLINE):
            await receipt.wait_settled()
            await bus.wait_idle()
        assert_nothing_lost(bus)
    assert [handler.numbers for handler in handlers] == [list(range(200))] * 2


async def test_whoever_asked_to_be_told_of_an_event_on_the_disk_is_told_and_need_not_keep_its_receipt(
    folder: Path,
) -> None:
    gate, before = Gate(), live_receipts()
    told: list[int] = []
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(Recording(gate), capacity=1)
        futures = []
        for number in range(20):
            receipt = await bus.publish(event_of(number))
            receipt.add_done_callback(lambda receipt: told.append(receipt.event.payload["number"]))
            futures.append(receipt.future)
        del receipt
        gate.opened.set()
        with trio.fail_after(DEADLINE):
            await bus.wait_idle()
        assert told == list(range(20))
        assert all(future.result().outcomes == {"Recording": Outcome.HANDLED} for future in futures)
        del futures
        assert live_receipts() <= before


async def test_a_repeat_of_an_event_on_the_disk_gets_a_receipt_that_settles_with_it(folder: Path) -> None:
    gate = Gate()
    events = [event_of(number) for number in range(10)]
    handler = Recording(gate)
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(handler, capacity=1)
        await publish_all(bus, events)
        await bus._core.journaling.store.commit().wait()
        again = await bus.publish(events[7])
        assert not again.settled
        assert await bus.publish(events[7]) is again
        gate.opened.set()
        with trio.fail_after(DEADLINE):
            await again.wait_settled()
            await bus.wait_idle()
        assert again.outcomes == {"Recording": Outcome.HANDLED}
        assert_nothing_lost(bus)
    assert handler.numbers == list(range(10))


async def test_a_start_with_a_long_backlog_accepts_new_events_at_once_and_keeps_the_order(
    folder: Path, killed: Path
) -> None:
    count = 3000
    await filled(folder, killed, [event_of(number) for number in range(count)], "slow", "fast")
    gate, fast = Gate(), Recording(name="fast")
    slow = Recording(gate, name="slow")
    bus = AsyncEventBus(store=quick(killed), capacity=50)
    bus.subscribe(slow)
    bus.subscribe(fast)
    with trio.fail_after(DEADLINE):
        async with bus:
            await publish_all(bus, [event_of(number) for number in range(count, count + 200)])
            await until(lambda: len(fast.handled) == count + 200)
            assert slow.handled == []
            assert len(bus._core.journaling._open) < 2 * 50 + 512
            gate.opened.set()
            await bus.wait_replayed()
            await bus.wait_idle()
            assert_nothing_lost(bus)
    assert slow.numbers == fast.numbers == list(range(count + 200))


async def test_a_process_killed_while_a_backlog_is_read_loses_nothing_and_goes_on_in_order(
    folder: Path, killed: Path, tmp_path: Path
) -> None:
    count = 500
    await filled(folder, killed, [keyed(number) for number in range(count)], "Recording")
    seen: list[int] = []
    for life in range(4):
        store = quick(killed)
        handler = Recording()
        bus = AsyncEventBus(store=store, capacity=10)
        bus.subscribe(handler)
        killed = tmp_path / f"killed-{life}"
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            await publish_all(bus, [keyed(count), keyed(count + 1)])
            count += 2
            await until(lambda handler=handler: len(handler.handled) > 60)
            done = list(handler.numbers)
            image(store, killed)
            nursery.cancel_scope.cancel()
        assert done == list(range(done[0], done[0] + len(done)))
        seen += done
    handler = Recording()
    bus = AsyncEventBus(store=quick(killed), capacity=10)
    bus.subscribe(handler)
    async with bus:
        with trio.fail_after(DEADLINE):
            await bus.wait_replayed()
            await bus.wait_idle()
    assert handler.numbers == list(range(handler.numbers[0], count))
    assert set(seen + handler.numbers) == set(range(count))


async def test_while_the_store_is_full_publishers_wait_and_the_backlog_is_still_worked_off(
    folder: Path,
) -> None:
    store = quick(folder)
    disk, gate = Disk(store), Gate()
    handler = Recording(gate)
    async with AsyncEventBus(store=store) as bus:
        bus.subscribe(handler, capacity=5)
        await publish_all(bus, [event_of(number) for number in range(50)])
        await store.commit().wait()
        disk.fail(sqlite_error(sqlite3.SQLITE_FULL))
        bus.publish_nowait(event_of(50))
        await until(lambda: store.state is StoreState.FULL)
        with pytest.raises(BusFull):
            bus.publish_nowait(event_of(51))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.publish, event_of(51))
            gate.opened.set()
            await until(lambda: len(handler.handled) == 50)
            disk.times = 0
        with trio.fail_after(DEADLINE):
            await bus.wait_idle()
        assert_nothing_lost(bus)
    assert handler.numbers == list(range(52))


async def test_who_unsubscribes_while_behind_gets_first_what_was_left_for_it(folder: Path) -> None:
    gate = Gate()
    handler, other = Recording(gate), Recording(name="other")
    async with AsyncEventBus(store=quick(folder)) as bus:
        bus.subscribe(handler, capacity=2)
        bus.subscribe(other, capacity=2)
        await publish_all(bus, [event_of(number) for number in range(40)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.unsubscribe, handler)
            await until(lambda: len(bus._core.subscriptions) == 1)
            await publish_all(bus, [event_of(number) for number in range(40, 50)])
            gate.opened.set()
        with trio.fail_after(DEADLINE):
            await bus.wait_idle()
        assert_nothing_lost(bus)
    assert handler.numbers == list(range(40))
    assert other.numbers == list(range(50))


async def test_who_subscribes_later_gets_what_an_earlier_life_left_for_its_name(
    folder: Path, killed: Path
) -> None:
    await filled(folder, killed, [event_of(number) for number in range(30)], "there", "late")
    there, late = Recording(name="there"), Recording(name="late")
    bus = AsyncEventBus(store=quick(killed), capacity=3)
    bus.subscribe(there)
    async with bus:
        with trio.fail_after(DEADLINE):
            await bus.wait_replayed()
            await bus.wait_idle()
            bus.subscribe(late)
            await bus.publish(event_of(30))
            await until(lambda: len(late.handled) == 31)
            await bus.wait_idle()
            assert_nothing_lost(bus)
    assert there.numbers == late.numbers == list(range(31))


class Saboteur:
    """Fails the reading of the n-th page, before it is read or after."""

    def __init__(self, bus: AsyncEventBus, at: int, *, after: bool) -> None:
        self.raised = False
        journaling = bus._core.journaling
        assert journaling is not None
        page, reached = journaling.page, 0

        async def failing(*args: Any) -> Any:
            nonlocal reached
            reached += 1
            if reached == at and not after:
                self.raised = True
                raise ValueError("before the page is read")
            found = await page(*args)
            if reached == at:
                self.raised = True
                raise ValueError("after the page was read")
            return found

        journaling.page = failing  # type: ignore[method-assign]


@pytest.mark.parametrize("after", [False, True])
async def test_a_pager_that_fails_at_any_page_loses_nothing_and_repeats_nothing(
    tmp_path: Path, after: bool, autojump_clock: MockClock
) -> None:
    at, raised = 0, True
    while raised:
        at += 1
        gate, handler = Gate(), Recording()
        bus = AsyncEventBus(store=quick(tmp_path / f"{at}"), runtime=virtual_runtime())
        handler._what = gate
        bus.subscribe(handler, capacity=8)
        saboteur = Saboteur(bus, at, after=after)
        async with bus:
            receipts = [await bus.publish(event_of(number)) for number in range(40)]
            gate.opened.set()
            for receipt in receipts:
                await receipt.wait_settled()
            assert_nothing_lost(bus)
        assert handler.numbers == list(range(40))
        raised = saboteur.raised
    assert at > 5


@pytest.mark.parametrize("who", ["Recording", "other", PAGER, ROUTER])
@pytest.mark.parametrize("ordered_by", [None, "key"])
async def test_a_crash_of_anybody_at_any_time_loses_nothing_of_a_backlog_and_keeps_the_order(
    tmp_path: Path, who: str, ordered_by: str | None, autojump_clock: MockClock
) -> None:
    count, keys = 60, 3
    options: dict[str, Any] = {"ordered": True} if ordered_by is None else {"concurrency": 2}
    if ordered_by is not None:
        options["order_by"] = lambda event: event.payload["key"]
    retries = RetryPolicy(max_retries=100, initial_delay=0.01, max_delay=0.01)
    for pause in range(1, 26, 3):
        gate = Gate()

        async def work(event: Event, gate: Gate = gate) -> None:
            await gate(event)
            await trio.sleep(0.001)

        handlers = Recording(work), Recording(work, name="other")
        bus = AsyncEventBus(
            store=quick(tmp_path / f"{pause}"), runtime=virtual_runtime(), retry_policy=retries
        )
        for handler, capacity in zip(handlers, (4, 9), strict=True):
            bus.subscribe(handler, capacity=capacity, **options)
        async with bus:
            await publish_all(bus, [keyed(number) for number in range(count // 2)])
            gate.opened.set()
            for number in range(count // 2, count):
                for _ in range(pause):
                    await trio.lowlevel.checkpoint()
                await trio.sleep(pause * 0.0003)
                await bus.publish(keyed(number))
                if number % 10 == 0:
                    crash_one(bus, who)
            await bus.wait_idle()
            assert_nothing_lost(bus)
        for handler in handlers:
            for key in range(keys):
                of_key = [number for number in handler.numbers if number % keys == key]
                assert of_key == list(range(key, count, keys))


def crash_one(bus: AsyncEventBus, who: str) -> None:
    """Crash an actor, or the pager, which is none; it may be down already."""
    try:
        if who == PAGER:
            assert bus._core.tree is not None
            crash_child(bus._core.tree.root, who, ValueError("crashed by the test"))
        else:
            crash(bus, who)
    except LookupError:
        return


async def test_an_outage_of_three_days_stays_on_the_disk_and_is_worked_off_in_order(
    folder: Path, autojump_clock: MockClock
) -> None:
    back_after = 3 * 24 * 3600.0

    class ServerAway(ConnectionError):
        outage = True

    async def report(_: Event) -> None:
        await trio.sleep(0.01)
        if trio.current_time() < back_after:
            raise ServerAway("no route to the server")

    reporter, local = Recording(report, name="reporter"), Recording(name="local")
    bus = AsyncEventBus(store=quick(folder), runtime=virtual_runtime())
    bus.subscribe(
        reporter,
        capacity=20,
        order_by=lambda event: event.payload["key"],
        retry_policy=RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=5.0),
        breaker=CircuitBreaker(failure_threshold=5, reset_timeout=3600.0),
    )
    bus.subscribe(local)
    count = 600
    async with bus:
        for number in range(count):
            with trio.fail_after(5):  # nobody waits for the server
                await bus.publish(keyed(number))
            await trio.sleep(432.0)
        assert len(local.handled) == count
        assert len(reporter.handled) < 5
        assert len(bus._core.journaling._open) <= 20 + 2 * 256
        await bus.wait_idle()
        assert_nothing_lost(bus)
        assert bus.error_policy.dead_letter_queue.size == 0
    for key in range(3):
        assert [number for number in reporter.numbers if number % 3 == key] == list(range(key, count, 3))


async def test_a_backlog_comes_from_the_disk_at_the_drain_rate_and_what_is_new_then_at_once(
    folder: Path, autojump_clock: MockClock
) -> None:
    gate, times = Gate(), []

    async def work(event: Event) -> None:
        await gate(event)
        times.append(trio.current_time())

    bus = AsyncEventBus(store=quick(folder), runtime=virtual_runtime())
    bus.subscribe(Recording(work), capacity=10, drain_rate=20)
    async with bus:
        await publish_all(bus, [event_of(number) for number in range(110)])
        begun = trio.current_time()
        gate.opened.set()
        await bus.wait_idle()
        seconds = [at - begun for at in times]
        # One is in hand and ten are in memory; of the others there are at most twenty in each second.
        for number, at in enumerate(seconds[12:]):
            assert at >= number / 20 - 1
        assert 4 <= seconds[-1] <= 6
        new = trio.current_time()
        await bus.publish(event_of(110))
        await bus.wait_idle()
        assert times[-1] - new < 0.05


async def test_a_drain_rate_below_that_of_new_events_catches_up_all_the_same(
    folder: Path, autojump_clock: MockClock
) -> None:
    gate = Gate()
    bus = AsyncEventBus(store=quick(folder), runtime=virtual_runtime())
    reporter = Recording(gate)
    bus.subscribe(reporter, capacity=10, drain_rate=15)
    async with bus:
        for number in range(2000):
            if number == 200:
                gate.opened.set()
            await bus.publish(event_of(number))
            await trio.sleep(0.05)  # twenty a second
        assert not bus._core.subscriptions[0].cursor.behind
        assert len(reporter.handled) > 1950
        await bus.wait_idle()
    assert reporter.numbers == list(range(2000))


class Gentle(Recording):
    """A handler whose server is not to be flooded."""

    drain_rate = 20.0


@pytest.mark.parametrize(("options", "seconds"), [({}, 5.0), ({"drain_rate": 50}, 2.0)])
async def test_a_handler_says_its_drain_rate_unless_subscribe_does(
    folder: Path, options: dict[str, Any], seconds: float, autojump_clock: MockClock
) -> None:
    gate = Gate()
    bus = AsyncEventBus(store=quick(folder), runtime=virtual_runtime())
    bus.subscribe(Gentle(gate), capacity=10, **options)
    async with bus:
        await publish_all(bus, [event_of(number) for number in range(111)])
        begun = trio.current_time()
        gate.opened.set()
        await bus.wait_idle()
        assert seconds - 1.1 <= trio.current_time() - begun <= seconds + 0.1


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
async def test_a_drain_rate_is_more_than_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="drain_rate must be more than 0"):
        AsyncEventBus().subscribe(Recording(), drain_rate=rate)
    with pytest.raises(TypeError, match="drain_rate must be a number"):
        AsyncEventBus().subscribe(Recording(), drain_rate="fast")  # type: ignore[arg-type]
    gentle = Gentle()
    gentle.drain_rate = rate
    with pytest.raises(ValueError, match="drain_rate must be more than 0"):
        AsyncEventBus().subscribe(gentle)
