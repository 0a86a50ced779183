"""AsyncEventBus belongs to its trio run; each call from another thread has one answer, and harms nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.errors import BusNotRunning, BusStopped, WrongThread
from pywats_events.settlement import Outcome, Receipt
from pywats_events.transports import MockTransport
from pywats_supervision import ChildSpec
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""

Loop = Callable[[Callable[[], Awaitable[Any]]], Any]


def on_asyncio(call: Callable[[], Awaitable[Any]]) -> Any:
    """Await a call on an asyncio loop of this thread."""

    async def main() -> Any:
        return await call()

    return asyncio.run(main())


def on_trio(call: Callable[[], Awaitable[Any]]) -> Any:
    """Await a call in a trio run of this thread."""

    async def main() -> Any:
        return await call()

    return trio.run(main)


loops = pytest.mark.parametrize("loop", [on_asyncio, on_trio])


@asynccontextmanager
async def that_goes_on(handler: Recording) -> AsyncIterator[AsyncEventBus]:
    """A bus, in real time, that handles events after the block as it did before."""
    async with AsyncEventBus("mine") as bus:
        bus.subscribe(handler)
        await (await bus.publish(event_of(0))).wait_settled()
        yield bus
        with trio.fail_after(DEADLINE):
            await (await bus.publish(event_of(9))).wait_settled()
        assert bus.queue_size == 0


@loops
async def test_what_is_to_be_awaited_there_is_refused_elsewhere_and_the_bus_goes_on(loop: Loop) -> None:
    handler, transport = Recording(), MockTransport()
    async with that_goes_on(handler) as bus:
        bus.register_transport(transport)
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "publish": lambda: bus.publish(event_of(1)),
            "unsubscribe": lambda: bus.unsubscribe(handler),
            "unregister_transport": lambda: bus.unregister_transport(transport),
            "remove_child": lambda: bus.remove_child("none"),
            "stop": bus.stop,
            "wait_idle": bus.wait_idle,
            "wait_stopped": bus.wait_stopped,
            "wait_replayed": bus.wait_replayed,
            "publish_event_async": lambda: transport.publish_event_async(event_of(1)),
        }
        for name, call in calls.items():
            with pytest.raises(
                WrongThread, match=rf"^{name}\(\) was called outside of the thread in which bus"
            ):
                await trio.to_thread.run_sync(loop, call)
    assert handler.numbers == [0, 9]


async def test_what_changes_the_tree_or_looks_at_it_is_refused_in_a_plain_thread() -> None:
    async with that_goes_on(Recording()) as bus:
        calls: list[Callable[[], Any]] = [
            lambda: bus.subscribe(Recording(name="late")),
            lambda: bus.register_transport(MockTransport()),
            lambda: bus.add_child(ChildSpec("late", trio.sleep_forever)),
            bus.snapshot,
        ]
        for call in calls:
            with pytest.raises(WrongThread, match=r"trio\.from_thread\.run"):
                await trio.to_thread.run_sync(call)
        assert (bus.handler_count, bus.transport_count) == (1, 0)


@loops
async def test_before_the_start_and_after_the_end_the_answer_is_that_of_its_own_thread(loop: Loop) -> None:
    bus = AsyncEventBus()
    publish = partial(trio.to_thread.run_sync, loop, lambda: bus.publish(event_of()))
    with pytest.raises(BusNotRunning):
        await publish()
    async with bus:
        pass
    with pytest.raises(BusStopped):
        await publish()
    with pytest.raises(BusStopped):
        await bus.publish(event_of())


@loops
async def test_publish_nowait_and_request_stop_are_welcome(loop: Loop) -> None:
    handler = Recording()
    bus = AsyncEventBus()
    bus.subscribe(handler)

    async def publish() -> Receipt:
        receipt = bus.publish_nowait(event_of(1))
        bus.request_stop()
        return receipt

    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        receipt: Receipt = await trio.to_thread.run_sync(loop, publish)
    assert receipt.outcomes == {"Recording": Outcome.HANDLED}
    assert handler.numbers == [1]


async def test_a_sync_handler_may_ask_for_the_stop() -> None:
    bus = AsyncEventBus()

    def last(event: Event) -> None:
        bus.request_stop()

    bus.subscribe(last, event_types=[EventType.TEST_RESULT])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            receipt = await bus.publish(event_of())
    assert receipt.outcomes == {"last": Outcome.HANDLED}


@pytest.mark.parametrize("now", [False, True])
async def test_a_sync_handler_that_runs_a_loop_of_its_own_keeps_its_events_but_cannot_publish_at_once(
    now: bool,
) -> None:
    after = Recording(event_type=EventType.WORK_STARTED)

    def publish(event: Event) -> None:
        on_trio(lambda: bus.publish(event_of(1, EventType.WORK_STARTED), now=now))

    async with AsyncEventBus() as bus:
        bus.subscribe(publish, event_types=[EventType.TEST_RESULT])
        bus.subscribe(after)
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
    if now:
        assert receipt.outcomes == {"publish": Outcome.DEAD_LETTERED}
        assert isinstance(bus.error_policy.dead_letter_queue.get_entries()[0].error, WrongThread)
    assert after.numbers == ([] if now else [1])


async def test_a_receipt_can_be_awaited_in_any_trio_run_and_on_asyncio_says_what_to_do() -> None:
    release = threading.Event()
    bus = EventBus()
    bus.subscribe(lambda event: release.wait(DEADLINE), event_types=[EventType.TEST_RESULT], name="slow")
    bus.start()
    receipt = bus.publish(event_of())
    with trio.move_on_after(0):
        await receipt.wait_settled()
    bus.snapshot()
    assert not receipt.callbacks
    with pytest.raises(WrongThread, match=r"asyncio\.wrap_future\(receipt\.future\)"):
        await trio.to_thread.run_sync(on_asyncio, receipt.wait_settled)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receipt.wait_settled)
        release.set()
    assert receipt.settled
    bus.stop()


def test_an_event_bus_s_transport_is_not_awaited_in_another_run() -> None:
    transport = MockTransport()
    with EventBus("plain") as bus:
        bus.register_transport(transport)
        with pytest.raises(WrongThread, match="'plain'"):
            on_trio(lambda: transport.publish_event_async(event_of()))
