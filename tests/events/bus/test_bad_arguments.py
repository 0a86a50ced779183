"""Bad arguments of a bus and of subscriptions are refused at once: which, what it was, what is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pywats_events import AsyncEventBus, EventBus, EventType
from pywats_events.errors import NotAnEvent
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.settlement import Receipt
from pywats_events.transports import MockTransport
from support.handlers import Recording, event_of

OF_A_BUS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": ""}, ValueError, "name must be a non-empty str, not ''"),
    ({"name": 7}, ValueError, "name must be a non-empty str, not 7"),
    ({"retry_policy": 3}, TypeError, "retry_policy must be a RetryPolicy or None, not 3"),
    ({"retry_policy": RetryPolicy}, TypeError, "retry_policy must be a RetryPolicy or None, not <class"),
    ({"error_policy": CircuitBreaker()}, TypeError, "error_policy must be an ErrorPolicy or None, not Circ"),
    ({"capacity": 0}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not 0"),
    ({"capacity": 2.5}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not 2.5"),
    ({"capacity": "10"}, TypeError, "capacity must be a number of messages, not '10'"),
    ({"middleware": [1]}, TypeError, "middleware must be a HandlerChain or None, not [1]"),
    ({"runtime": "now"}, TypeError, "runtime must be a Runtime or None, not 'now'"),
]

OF_A_SUBSCRIPTION: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"event_types": [5]}, TypeError, "5 is not an EventType"),
    ({"event_types": 5}, TypeError, "event_types of handler"),
    ({"event_types": ["no such type"]}, TypeError, "'no such type'"),
    ({"name": ""}, ValueError, "name must be a non-empty str, not ''"),
    ({"name": 7}, ValueError, "name must be a non-empty str, not 7"),
    ({"retry_policy": 3}, TypeError, "retry_policy must be a RetryPolicy or None, not 3"),
    ({"breaker": RetryPolicy()}, TypeError, "breaker must be a CircuitBreaker or None, not RetryPolicy("),
    ({"concurrency": 0}, ValueError, "concurrency of 'handler' must be at least 1, not 0"),
    ({"concurrency": 1.5}, TypeError, "concurrency of 'handler' must be an int, not 1.5"),
    ({"concurrency": True}, TypeError, "concurrency of 'handler' must be an int, not True"),
    ({"order_by": "unit_id"}, TypeError, "order_by must be a callable that takes an event, or None, not 'un"),
    ({"ordered": "yes"}, TypeError, "ordered must be a bool"),
    ({"ordered": True, "concurrency": 2}, ValueError, "ordered, which takes concurrency=1 and no order_by"),
    ({"ordered": True, "order_by": hash}, ValueError, "ordered, which takes concurrency=1 and no order_by"),
    ({"filter": "test"}, TypeError, "filter must be a callable that takes an event, or None, not 'test'"),
    ({"priority": "high"}, TypeError, "priority must be a whole number, not 'high'"),
    ({"priority": 1.5}, TypeError, "priority must be a whole number, not 1.5"),
    ({"capacity": 0}, ValueError, "capacity must be a whole number of at least 1 message, or inf, not 0"),
    ({"shutdown": -1}, ValueError, "shutdown must be 0 or more seconds (inf is allowed), not -1"),
    ({"shutdown": "soon"}, TypeError, "shutdown"),
]


@pytest.mark.parametrize("make", [EventBus, AsyncEventBus])
@pytest.mark.parametrize(("options", "kind", "text"), OF_A_BUS, ids=str)
def test_a_bus_with_bad_options_cannot_be_made(
    make: Callable[..., Any], options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        make(**options)
    assert text in str(refused.value)


@pytest.mark.parametrize("make", [EventBus, AsyncEventBus])
@pytest.mark.parametrize(("options", "kind", "text"), OF_A_SUBSCRIPTION, ids=str)
def test_a_subscription_with_bad_options_is_refused_and_leaves_nothing_behind(
    make: Callable[..., Any], options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    bus = make()
    good = Recording(name="good")
    bus.subscribe(good)
    with pytest.raises(kind) as refused:
        bus.subscribe(Recording(name="handler"), **options)
    assert text in str(refused.value)
    assert bus.handler_count == 1
    assert bus.get_handlers(EventType.TEST_RESULT) == [good]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("order_by", "unit_id", "order_by must be a callable that takes an event, or None, not 'unit_id'"),
        ("priority", "high", "priority must be a whole number, not 'high'"),
        ("concurrency", 1.5, "concurrency of 'handler' must be an int, not 1.5"),
        ("drain_rate", "slow", "drain_rate must be a number of events per second, not 'slow'"),
    ],
)
def test_what_a_handler_says_of_itself_is_checked_as_an_option_is(
    name: str, value: object, text: str
) -> None:
    kind = type("Told", (Recording,), {name: value})
    bus = AsyncEventBus()
    with pytest.raises(TypeError) as refused:
        bus.subscribe(kind(name="handler"))
    assert text in str(refused.value)
    assert bus.handler_count == 0


class Yields:
    event_types = (EventType.TEST_RESULT,)

    def handle(self, event: object) -> Iterator[object]:
        yield event


class YieldsOnTrio:
    event_types = (EventType.TEST_RESULT,)

    async def handle(self, event: object) -> AsyncIterator[object]:
        yield event


class NoHandle:
    event_types = (EventType.TEST_RESULT,)


class NoTypes:
    def handle(self, event: object) -> None:
        """Handle."""


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (NoHandle(), "has no `handle` method"),
        (NoHandle, "has no `handle` method"),
        (NoTypes(), "names no `event_types`"),
        (NoTypes, "names no `event_types`"),
        (5, "has no `handle` method"),
        (None, "has no `handle` method"),
        (Yields(), "with `yield` in it, of which a call runs nothing"),
        (YieldsOnTrio, "with `yield` in it, of which a call runs nothing"),
    ],
)
def test_what_is_no_handler_is_refused(handler: object, text: str) -> None:
    bus = AsyncEventBus()
    with pytest.raises(TypeError) as refused:
        bus.subscribe(handler)
    assert text in str(refused.value)
    assert bus.handler_count == 0


def test_other_things_that_are_handed_to_a_bus_are_checked_at_once() -> None:
    bus = AsyncEventBus()
    with pytest.raises(TypeError, match="callback must be callable, not 3"):
        bus.on_event(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback must be callable, not None"):
        bus.on_error(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="transport must be a BaseTransport, or make one, not 'mqtt'"):
        bus.register_transport("mqtt")  # type: ignore[arg-type]


WAITS: dict[str, Callable[[EventBus, Receipt, Any], object]] = {
    "publish": lambda bus, receipt, timeout: bus.publish(receipt.event, timeout=timeout),
    "subscribe": lambda bus, _, timeout: bus.subscribe(Recording(name="late"), timeout=timeout),
    "unsubscribe": lambda bus, _, timeout: bus.unsubscribe("good", timeout=timeout),
    "register_transport": lambda bus, _, timeout: bus.register_transport(MockTransport(), timeout=timeout),
    "unregister_transport": lambda bus, _, timeout: bus.unregister_transport("mock", timeout=timeout),
    "snapshot": lambda bus, _, timeout: bus.snapshot(timeout=timeout),
    "wait_idle": lambda bus, _, timeout: bus.wait_idle(timeout=timeout),
    "receipt.wait": lambda _, receipt, timeout: receipt.wait(timeout=timeout),
    "start": lambda bus, _, timeout: bus.start(timeout=timeout),
}


@pytest.mark.parametrize("timeout", ["5", -1, float("nan"), True], ids=repr)
@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_a_timeout_that_makes_no_sense_is_refused_before_anything_is_done(
    call: Callable[[EventBus, Receipt, Any], object], timeout: object
) -> None:
    with EventBus() as bus:
        bus.subscribe(Recording(name="good"))
        receipt = bus.publish(event_of()).wait(timeout=5)
        with pytest.raises((TypeError, ValueError), match=r"timeout must be .* seconds.*, not ") as refused:
            call(bus, receipt, timeout)
        assert repr(timeout) in str(refused.value)
        assert (bus.handler_count, bus.transport_count, bus.queue_size) == (1, 0, 0)


async def test_a_callback_of_a_receipt_must_be_callable() -> None:
    async with AsyncEventBus() as bus:
        receipt = await bus.publish(event_of())
        for add in (receipt.add_done_callback, receipt.add_secured_callback):
            with pytest.raises(TypeError, match="callback must be callable with a receipt, not 'settled'"):
                add("settled")  # type: ignore[arg-type]


async def test_only_a_dead_letter_can_be_replayed() -> None:
    async with AsyncEventBus() as bus:
        with pytest.raises(TypeError, match="letter must be a DeadLetterEntry, not 'the id of one'"):
            await bus.replay_dead_letter("the id of one")  # type: ignore[arg-type]


@pytest.mark.parametrize("event", [None, {"event_type": "test.result"}, EventType.TEST_RESULT, 5])
async def test_publishing_what_is_no_event_accepts_nothing(event: Any) -> None:
    async with AsyncEventBus() as bus:
        for publish in (bus.publish, bus.publish_nowait):
            with pytest.raises(NotAnEvent, match="publish takes an Event, not") as refused:
                result = publish(event)
                await result
            assert repr(event) in str(refused.value)
        assert bus.queue_size == 0
        await (await bus.publish(event_of())).wait_settled()


async def test_a_stop_has_a_grace_that_makes_sense() -> None:
    async with AsyncEventBus() as bus:
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            await bus.stop(timeout=-1)
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            bus.request_stop(-1)
        assert bus.is_running
