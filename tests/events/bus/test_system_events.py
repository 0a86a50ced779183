"""What happens in the bus becomes events, on a bounded lane of their own, and cannot loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.bus._system_events import LANE
from pywats_events.policies import RetryPolicy
from pywats_events.testing import running_async_bus
from pywats_events.transports import MockTransport
from support.handlers import Recording, event_of

OF_TRANSPORTS = [EventType.TRANSPORT_CONNECTED, EventType.TRANSPORT_DISCONNECTED, EventType.TRANSPORT_ERROR]
OF_HANDLERS = [EventType.HANDLER_ERROR, EventType.EVENT_DEAD_LETTER]


class Listener:
    """Remembers system events; may do something with each."""

    name = "listener"

    def __init__(
        self, event_types: list[EventType], what: Callable[[Event], Awaitable[Any]] | None = None
    ) -> None:
        self.event_types = event_types
        self.heard: list[Event] = []
        self._what = what

    async def handle(self, event: Event) -> None:
        self.heard.append(event)
        if self._what is not None:
            await self._what(event)

    @property
    def types(self) -> list[EventType]:
        return [event.event_type for event in self.heard]


async def fail(event: Event) -> None:
    raise ConnectionError("no answer")


async def test_input_that_is_no_event_is_told_when_it_is_a_dead_letter(autojump_clock: MockClock) -> None:
    listener, transport = Listener(OF_HANDLERS), MockTransport()
    async with running_async_bus() as bus:
        bus.subscribe(listener)
        bus.register_transport(transport)
        await transport.reject(b"\xff", ValueError("no JSON"), "folder").wait_settled()
        await wait_all_tasks_blocked()
        await bus.wait_idle()
    (told,) = listener.heard
    assert told.event_type is EventType.EVENT_DEAD_LETTER
    assert told.payload == {
        "handler": None,
        "event_id": None,
        "event_type": None,
        "attempts": 1,
        "source": "folder",
        "error_type": "ValueError",
        "error_message": "no JSON",
    }


async def test_a_failed_attempt_and_a_dead_letter_are_told_with_all_there_is_to_say(
    autojump_clock: MockClock,
) -> None:
    listener = Listener(OF_HANDLERS)
    policy = RetryPolicy(max_retries=1, initial_delay=1, jitter=False)
    async with running_async_bus(name="station", retry_policy=policy) as bus:
        bus.subscribe(listener)
        bus.subscribe(Recording(fail, name="reporter"))
        receipt = await bus.publish(event_of(1))
        await receipt.wait_settled()
        await bus.wait_idle()
    assert listener.types == [EventType.HANDLER_ERROR, EventType.HANDLER_ERROR, EventType.EVENT_DEAD_LETTER]
    common = {
        "handler": "reporter",
        "event_id": receipt.event.id,
        "event_type": "test.result",
        "error_type": "ConnectionError",
        "error_message": "no answer",
    }
    assert [event.payload for event in listener.heard] == [
        {**common, "attempt": 1},
        {**common, "attempt": 2},
        {**common, "attempts": 2, "source": receipt.event.source},
    ]
    assert {event.source for event in listener.heard} == {"station"}


async def test_a_transport_tells_when_it_connects_disconnects_and_fails(autojump_clock: MockClock) -> None:
    listener, transport = Listener(OF_TRANSPORTS), MockTransport("line 1")
    async with running_async_bus() as bus:
        bus.subscribe(listener)
        bus.register_transport(transport)
        await wait_all_tasks_blocked()
        transport.simulate_disconnect()
        transport.simulate_disconnect()
        transport.simulate_reconnect()
        transport.simulate_error(ConnectionResetError("gone"))
        await trio.sleep(1)  # it has come back by then
        await bus.unregister_transport(transport)
        await wait_all_tasks_blocked()
    connected, disconnected, failed = OF_TRANSPORTS
    assert listener.types == [connected, disconnected, connected, failed, connected, disconnected]
    assert all(event.payload["transport"] == "line 1" for event in listener.heard)
    assert listener.heard[3].payload == {
        "transport": "line 1",
        "error_type": "ConnectionResetError",
        "error_message": "gone",
    }


async def test_who_takes_all_events_is_spared_and_system_events_nobody_takes_are_not_made(
    autojump_clock: MockClock,
) -> None:
    seen: list[EventType] = []

    async def see(event: Event) -> None:
        seen.append(event.event_type)

    async with running_async_bus() as bus:
        bus.subscribe(see, event_types=[], name="all")
        bus.subscribe(Recording(fail))
        bus.register_transport(MockTransport())
        await (await bus.publish(event_of())).wait_settled()
        await wait_all_tasks_blocked()
        assert bus._core.system.made == 0
    assert seen == [EventType.TEST_RESULT]


async def test_a_callback_hears_those_that_no_handler_takes(autojump_clock: MockClock) -> None:
    heard: list[EventType] = []
    async with running_async_bus() as bus:
        bus.on_event(lambda event: 1 / 0, system=True)  # logged, and keeps nobody from hearing
        bus.on_event(lambda event: heard.append(event.event_type), system=True)
        bus.subscribe(Recording(fail))
        bus.register_transport(MockTransport())
        await (await bus.publish(event_of())).wait_settled()
        await wait_all_tasks_blocked()
        assert bus._core.system.dropped == 0
        assert bus.queue_size == 0
    assert sorted(heard[:4]) == sorted([EventType.TEST_RESULT, EventType.TRANSPORT_CONNECTED, *OF_HANDLERS])
    assert heard[4:] == [EventType.TRANSPORT_DISCONNECTED]


def test_a_callback_of_a_bus_in_plain_code_hears_them_too() -> None:
    heard: SimpleQueue[EventType] = SimpleQueue()
    with EventBus() as bus:
        bus.on_event(lambda event: heard.put(event.event_type), system=True)
        bus.subscribe(Recording(fail))
        bus.publish(event_of())
        assert [heard.get(timeout=20) for _ in range(3)] == [EventType.TEST_RESULT, *OF_HANDLERS]


@pytest.mark.parametrize("retries", [0, 2])
async def test_failing_while_handling_one_is_counted_and_makes_none(
    retries: int, autojump_clock: MockClock
) -> None:
    listener = Listener([*OF_HANDLERS, *OF_TRANSPORTS], fail)
    policy = RetryPolicy(max_retries=retries, initial_delay=1, jitter=False)
    async with running_async_bus(retry_policy=policy, grace=600) as bus:
        bus.subscribe(listener)
        bus.subscribe(Recording(fail), retry_policy=RetryPolicy(max_retries=0))
        await bus.publish(event_of())
        await bus.wait_idle()
        await trio.sleep(60)
        assert bus._core.system.made == 2  # the failure and the dead letter of the one event
        assert bus._core.system.failed == 2 * (retries + 1)
        letters = bus.error_policy.dead_letter_queue.get_entries()
        assert sorted(str(letter.event_type) for letter in letters) == [
            "system.dead_letter",
            "system.handler_error",
            "test.result",
        ]
    assert len(listener.heard) == 2 * (retries + 1)


async def test_more_than_the_lane_holds_drop_the_oldest_and_are_counted(autojump_clock: MockClock) -> None:
    listener = Listener([EventType.CUSTOM, *OF_TRANSPORTS])
    async with running_async_bus(capacity=10 * LANE) as bus:
        bus.subscribe(listener)
        await wait_all_tasks_blocked()
        for number in range(LANE + 100):  # in one step: nothing is routed meanwhile
            bus.port.announce(EventType.TRANSPORT_ERROR, {"number": number})
        await wait_all_tasks_blocked()
        await bus.wait_idle()
        assert bus._core.system.dropped == 100
    assert [event.payload["number"] for event in listener.heard] == list(range(100, LANE + 100))


async def test_a_listener_that_is_full_holds_nobody_up_and_misses_what_is_too_much(
    autojump_clock: MockClock,
) -> None:
    slow = Listener(OF_HANDLERS, lambda event: trio.sleep(1000))
    quick = Recording(event_type=EventType.WORK_STARTED)
    async with running_async_bus(grace=9999) as bus:
        bus.subscribe(slow, capacity=2)
        bus.subscribe(quick)
        bus.subscribe(Recording(fail, name="fails"))
        for number in range(20):
            await (await bus.publish(event_of(number))).wait_settled()
            await (await bus.publish(event_of(number, EventType.WORK_STARTED))).wait_settled()
        assert trio.current_time() == 0
        await wait_all_tasks_blocked()
        assert bus._core.system.dropped == 40 - 3
    assert quick.numbers == list(range(20))
    assert len(slow.heard) == 3


async def test_at_the_end_of_the_bus_none_is_left_and_no_more_are_made(autojump_clock: MockClock) -> None:
    listener = Listener(OF_TRANSPORTS)
    transport = MockTransport()
    bus = AsyncEventBus()
    bus.subscribe(listener)
    bus.register_transport(transport)
    async with bus:
        await wait_all_tasks_blocked()
    assert listener.types == [EventType.TRANSPORT_CONNECTED, EventType.TRANSPORT_DISCONNECTED]
    transport.simulate_reconnect()
    assert bus._core.system.made == 2
    assert bus.queue_size == 0
