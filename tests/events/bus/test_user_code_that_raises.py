"""Filters, middleware, hooks and callbacks are user code: what they raise is one subscription's failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, BaseHandler, Event, EventType
from pywats_events.durability import Store
from pywats_events.handlers import (
    ChainMiddleware,
    EnrichmentMiddleware,
    HandlerChain,
    SyncHandler,
    ValidationMiddleware,
)
from pywats_events.handlers.handler_chain import Next
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome, Receipt
from pywats_events.testing import running_async_bus
from support.handlers import Recording, event_of

RETRIES = RetryPolicy(max_retries=2, initial_delay=1, jitter=False)


async def publish_some(bus: AsyncEventBus, count: int = 3) -> list[Receipt]:
    receipts = [await bus.publish(event_of(number)) for number in range(count)]
    await bus.wait_idle()
    return receipts


def raises_for_one(event: Event) -> bool:
    if event.payload["number"] == 1:
        raise LookupError("no such unit")
    return event.payload["number"] != 2


async def test_a_filter_that_raises_fails_its_own_subscription_by_its_own_policy(
    autojump_clock: MockClock,
) -> None:
    picky, other = Recording(name="picky"), Recording(name="other")
    async with running_async_bus(grace=60) as bus:
        bus.subscribe(picky, filter=raises_for_one, retry_policy=RETRIES)
        bus.subscribe(other)
        receipts = await publish_some(bus)
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert (letter.handler_name, letter.attempts, letter.error_type) == ("picky", 3, "LookupError")
    assert [receipt.outcomes for receipt in receipts] == [
        {"picky": Outcome.HANDLED, "other": Outcome.HANDLED},
        {"picky": Outcome.DEAD_LETTERED, "other": Outcome.HANDLED},
        {"other": Outcome.HANDLED},
    ]
    assert (picky.numbers, other.numbers) == ([0], [0, 1, 2])


async def test_a_filter_that_raises_once_is_asked_again_and_its_answer_counts(
    autojump_clock: MockClock,
) -> None:
    asked: list[int] = []

    def twice(event: Event) -> bool:
        asked.append(event.payload["number"])
        if asked.count(event.payload["number"]) == 1:
            raise LookupError
        return event.payload["number"] != 1

    handler = Recording(name="handler")
    async with running_async_bus(retry_policy=RETRIES, grace=60) as bus:
        bus.subscribe(handler, filter=twice)
        receipts = await publish_some(bus)
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert sorted(handler.numbers) == [0, 2]
    assert all(receipt.outcomes == {"handler": Outcome.HANDLED} for receipt in receipts)


class FailsFor(ChainMiddleware):
    """Raises for one handler's event with the number 1, before or after the handler."""

    def __init__(self, *, before: bool) -> None:
        self._before = before

    async def process(self, event: Event, next_handler: Next) -> Any:
        if self._before and event.payload["number"] == 1:
            raise RuntimeError("before")
        result = await next_handler(event)
        if event.payload["number"] == 1:
            raise RuntimeError("after")
        return result


@pytest.mark.parametrize("before", [True, False])
async def test_middleware_that_raises_is_the_failure_of_the_handler_it_wraps(
    before: bool, autojump_clock: MockClock
) -> None:
    handlers = [Recording(name="one"), Recording(name="two")]
    chain = HandlerChain().add(FailsFor(before=before))
    async with running_async_bus(middleware=chain, retry_policy=RETRIES, grace=60) as bus:
        for handler in handlers:
            bus.subscribe(handler)
        receipts = await publish_some(bus)
        assert len(bus.error_policy.dead_letter_queue) == 2
    both = {"one": Outcome.DEAD_LETTERED, "two": Outcome.DEAD_LETTERED}
    assert receipts[1].outcomes == both
    for handler in handlers:
        assert handler.numbers.count(1) == (0 if before else 3)
        assert [number for number in handler.numbers if number != 1] == [0, 2]


async def test_a_chain_on_the_bus_validates_and_enriches_every_handler_s_events(
    autojump_clock: MockClock,
) -> None:
    chain = (
        HandlerChain()
        .add(ValidationMiddleware(lambda event: event.payload["number"] != 1))
        .add(
            EnrichmentMiddleware(lambda event: event.derive(payload={"number": event.payload["number"] + 10}))
        )
    )
    handler = Recording(name="handler")
    async with running_async_bus(middleware=chain, retry_policy=RETRIES, grace=60) as bus:
        bus.subscribe(handler)
        receipts = await publish_some(bus)
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert handler.numbers == [10, 12]
    assert receipts[1].outcomes == {"handler": Outcome.DEAD_LETTERED}
    assert letter.attempts == 1  # the event is to blame: no retry can mend that


class Hooked(Recording):
    """Its hooks do what the test says."""

    def __init__(self, *, on_start: list[bool] | None = None, on_stop: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self._starts = on_start or []
        self._stops = on_stop

    async def on_start(self) -> None:
        if self._starts and not self._starts.pop(0):
            raise ConnectionError("cannot start")

    async def on_stop(self) -> None:
        if not self._stops:
            raise OSError("cannot stop")

    async def on_error(self, event: Event, error: Exception) -> None:
        raise LookupError("on_error")


async def test_a_handler_that_cannot_start_is_started_again_later_and_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    late, other = Hooked(on_start=[False] * 12, name="late"), Recording(name="other")
    async with running_async_bus(grace=9999) as bus:
        bus.subscribe(late)
        bus.subscribe(other)
        receipts = [await bus.publish(event_of(number)) for number in range(3)]
        await bus.wait_idle()
        assert 1 < trio.current_time() < 600
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert (late.numbers, other.numbers) == ([0, 1, 2], [0, 1, 2])
    assert all(set(receipt.outcomes.values()) == {Outcome.HANDLED} for receipt in receipts)


@pytest.mark.parametrize(("error", "attempts"), [(ValueError, 3), (KeyError, 1)])
async def test_an_on_error_that_raises_fails_the_attempt_as_it_would_have_failed(
    error: type[Exception], attempts: int, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Event) -> None:
        raise error("the handler's own")

    policy = RetryPolicy(max_retries=2, initial_delay=1).no_retry_on(KeyError)
    async with running_async_bus(retry_policy=policy, grace=60) as bus:
        bus.subscribe(Hooked(what=fail, name="hooked"))
        (receipt,) = await publish_some(bus, 1)
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert receipt.outcomes == {"hooked": Outcome.DEAD_LETTERED}
    assert (type(letter.error), letter.attempts) == (error, attempts)
    assert "then on_error raised LookupError: on_error" in letter.traceback_text
    assert caplog.text.count("on_error of 'hooked' raised") == attempts


async def test_an_on_stop_that_raises_spoils_nothing_that_was_handled(autojump_clock: MockClock) -> None:
    handler = Hooked(on_stop=False, name="handler")
    async with running_async_bus(grace=60) as bus:
        bus.subscribe(handler)
        (receipt,) = await publish_some(bus, 1)
    assert receipt.outcomes == {"handler": Outcome.HANDLED}


async def test_callbacks_that_raise_disturb_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Event) -> None:
        raise ValueError

    def refuse(*args: Any) -> None:
        raise RuntimeError("a callback")

    told: list[str] = []
    policy = ErrorPolicy(DeadLetterQueue(on_add=refuse)).on_failure(refuse)
    async with running_async_bus(error_policy=policy, grace=60) as bus:
        for listen in (bus.on_event, bus.on_error):
            listen(refuse)
            listen(lambda *args: told.append("next"))
        handler = Recording(name="handler")
        bus.subscribe(handler)
        bus.subscribe(Recording(fail, name="fails"))
        receipt = await bus.publish(event_of())
        receipt.add_done_callback(refuse)
        receipt.add_done_callback(lambda receipt: told.append("done"))
        await receipt.wait_settled()
        assert receipt.outcomes == {"handler": Outcome.HANDLED, "fails": Outcome.DEAD_LETTERED}
        receipt.add_done_callback(refuse)
    assert sorted(told) == ["done", "next", "next"]
    assert caplog.text.count("RuntimeError: a callback") == 6


class Fresh(BaseHandler):
    """Made anew for each life; the second cannot be made."""

    made = 0
    handled: list[int]

    def __init__(self) -> None:
        super().__init__("fresh")
        Fresh.made += 1
        if Fresh.made == 2:
            raise OSError("cannot be made")

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        if event.payload["number"] == 0 and event.attempt == 1:
            raise ConnectionError
        Fresh.handled.append(event.payload["number"])


@pytest.mark.parametrize("give", [lambda: Fresh, lambda: lambda: Fresh()], ids=["class", "factory"])
async def test_a_class_or_factory_gives_a_fresh_handler_per_life_and_may_fail(
    give: Callable[[], Any], autojump_clock: MockClock
) -> None:
    Fresh.made, Fresh.handled = 0, []
    async with running_async_bus(retry_policy=RETRIES, grace=600) as bus:
        bus.subscribe(give(), name="fresh")
        receipts = await publish_some(bus)
        assert len(bus.error_policy.dead_letter_queue) == 0
    assert sorted(Fresh.handled) == [0, 1, 2]
    assert all(receipt.outcomes == {"fresh": Outcome.HANDLED} for receipt in receipts)
    assert Fresh.made > 2


class Unspeakable(Exception):
    """An error whose own text raises."""

    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize("with_store", [False, True])
async def test_an_error_whose_text_raises_is_the_one_that_is_judged_and_kept(
    with_store: bool, tmp_path: Path
) -> None:
    async def fail(event: Event) -> None:
        raise Unspeakable

    heard: list[Event] = []
    policy = RetryPolicy(max_retries=2, initial_delay=0).no_retry_on(Unspeakable)
    store = Store(tmp_path) if with_store else None
    with trio.fail_after(30):
        async with AsyncEventBus(retry_policy=policy, store=store) as bus:
            bus.on_event(heard.append, system=True)
            bus.subscribe(Recording(fail, name="handler"))
            receipt = await bus.publish(event_of())
            await receipt.wait_settled()
            (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert receipt.outcomes == {"handler": Outcome.DEAD_LETTERED}
    assert (letter.error_type, letter.attempts) == ("Unspeakable", 1)
    text = "(its text cannot be had: __str__ raised LookupError)"
    assert letter.to_dict()["error_message"] == text
    (failed,) = [event for event in heard if event.event_type is EventType.HANDLER_ERROR]
    assert (failed.payload["error_type"], failed.payload["error_message"]) == ("Unspeakable", text)


@pytest.fixture
def broken_log() -> Iterator[None]:
    """A handler of the log that raises for every record, as one of a window that is gone does."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("the window is gone")

    handler, root = Broken(), logging.getLogger("pywats_events")
    root.addHandler(handler)
    yield
    root.removeHandler(handler)


async def test_a_handler_of_the_log_that_raises_keeps_no_dead_letter_from_being_kept(
    broken_log: None, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(event: Event) -> None:
        raise ValueError("mine")

    async with AsyncEventBus() as bus:
        bus.subscribe(Recording(fail, name="handler"))
        with trio.fail_after(60):
            (receipt,) = await publish_some(bus, 1)
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
        assert all(child.restarts == 0 for child in bus.snapshot().children)
        assert trio.current_time() == 0
    assert receipt.outcomes == {"handler": Outcome.DEAD_LETTERED}
    assert str(letter.error) == "mine"
    assert "ZeroDivisionError: the window is gone" in capsys.readouterr().err


async def test_a_handler_of_the_log_that_raises_does_not_undo_what_a_circuit_decides(
    broken_log: None, autojump_clock: MockClock
) -> None:
    calls: list[float] = []

    async def fail_at_first(event: Event) -> None:
        calls.append(trio.current_time())
        if len(calls) == 1:
            raise ConnectionError("away")

    breaker = CircuitBreaker(failure_threshold=1, reset_timeout=30, success_threshold=1)
    async with AsyncEventBus() as bus:
        bus.subscribe(Recording(fail_at_first, name="handler"), retry_policy=RetryPolicy(), breaker=breaker)
        receipt = await bus.publish(event_of(1))
        await receipt.wait_settled()
    assert calls == [0.0, 30.0]
    assert receipt.outcomes == {"handler": Outcome.HANDLED}


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_handler_that_returns_a_generator_has_handled_nothing(blocking: bool) -> None:
    class Yields(SyncHandler):
        event_types = (EventType.TEST_RESULT,)

        def handle_sync(self, event: Event) -> Any:
            yield event

    Yields.blocking = blocking  # type: ignore[attr-defined]
    async with AsyncEventBus() as bus:
        bus.subscribe(Yields("yields"))
        receipt = await bus.publish(event_of())
        await receipt.wait_settled()
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert receipt.outcomes == {"yields": Outcome.DEAD_LETTERED}
    assert "its function has `yield` in it, so the call ran nothing of it" in str(letter.error)
