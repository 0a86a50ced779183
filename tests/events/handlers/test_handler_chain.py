"""HandlerChain: middleware around a handler, on trio or without any loop."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from pywats_events.errors import EventValidationError, NotAnEvent
from pywats_events.handlers import (
    ChainMiddleware,
    EnrichmentMiddleware,
    HandlerChain,
    LoggingMiddleware,
    ValidationMiddleware,
)
from pywats_events.handlers.handler_chain import Next
from pywats_events.models import Event, EventType

EVENT = Event(EventType.TEST_RESULT, {"unit_id": "a"})


class Around(ChainMiddleware):
    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    async def process(self, event: Event, next_handler: Next) -> Any:
        self.seen.append(f"{self.name} before")
        result = await next_handler(event)
        self.seen.append(f"{self.name} after")
        return result


async def handle(event: Event) -> Any:
    return event.payload["unit_id"]


def without_a_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what waits for nothing."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


async def test_the_first_is_outermost() -> None:
    seen: list[str] = []
    chain = HandlerChain().add(Around("one", seen)).add(Around("two", seen))
    assert await chain.wrap(handle)(EVENT) == "a"
    assert seen == ["one before", "two before", "two after", "one after"]
    assert len(chain) == 2


async def test_it_runs_alone_with_nothing_behind_it() -> None:
    seen: list[str] = []
    assert await HandlerChain().execute(EVENT) is None
    assert await HandlerChain().add(Around("one", seen)).execute(EVENT) is None
    assert seen == ["one before", "one after"]


def test_it_needs_no_loop() -> None:
    chain = HandlerChain().add(ChainMiddleware()).add(ValidationMiddleware(lambda e: True))
    assert without_a_loop(chain.execute(EVENT)) is None

    async def run() -> Any:
        return await chain.wrap(handle)(EVENT)

    assert without_a_loop(run()) == "a"


async def test_it_is_put_together_when_it_changes() -> None:
    seen: list[str] = []
    chain = HandlerChain().add(Around("one", seen))
    wrapped = chain.wrap(handle)
    chain.add(Around("two", seen))
    await wrapped(EVENT)
    assert seen == ["one before", "one after"]
    chain.clear()
    assert len(chain) == 0
    assert await chain.execute(EVENT) is None
    assert await chain.wrap(handle)(EVENT) == "a"
    assert seen == ["one before", "one after"]


async def test_middleware_may_end_the_chain() -> None:
    class Stop(ChainMiddleware):
        async def process(self, event: Event, next_handler: Next) -> Any:
            return "stopped"

    seen: list[str] = []
    chain = HandlerChain().add(Stop()).add(Around("never", seen))
    assert await chain.wrap(handle)(EVENT) == "stopped"
    assert seen == []


async def test_what_is_not_valid_is_the_events_fault() -> None:
    wrapped = HandlerChain().add(ValidationMiddleware(lambda e: "lane" in e.payload)).wrap(handle)
    with pytest.raises(EventValidationError, match=EVENT.id) as caught:
        await wrapped(EVENT)
    assert caught.value.blames_item
    assert await wrapped(EVENT.derive(payload={"unit_id": "b", "lane": 1})) == "b"


async def test_an_enriched_event_goes_on() -> None:
    enrich = EnrichmentMiddleware(lambda e: e.derive(payload={**e.payload, "unit_id": "b"}))
    assert await HandlerChain().add(enrich).wrap(handle)(EVENT) == "b"


async def test_an_enricher_that_returns_no_event_is_told() -> None:
    forgetful = EnrichmentMiddleware(lambda e: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(NotAnEvent, match="must return an Event, not None"):
        await HandlerChain().add(forgetful).wrap(handle)(EVENT)


async def test_logging_tells_before_after_and_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(event: Event) -> Any:
        raise KeyError("broken")

    chain = HandlerChain().add(LoggingMiddleware(logging.INFO))
    with caplog.at_level(logging.INFO, "pywats_events"):
        await chain.wrap(handle)(EVENT)
        with pytest.raises(KeyError):
            await chain.wrap(fail)(EVENT)
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [
        f"event {EVENT.id} (test.result) is being handled",
        f"event {EVENT.id} (test.result) was handled",
        f"event {EVENT.id} (test.result) is being handled",
        f"event {EVENT.id} (test.result) failed",
    ]
    assert caplog.records[-1].exc_info


async def test_logging_that_is_off_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pywats_events"):
        await HandlerChain().add(LoggingMiddleware()).wrap(handle)(EVENT)
    assert caplog.records == []


def test_what_is_no_middleware_is_refused() -> None:
    with pytest.raises(TypeError, match="process"):
        HandlerChain().add(lambda e: e)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="validator"):
        ValidationMiddleware(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="enricher"):
        EnrichmentMiddleware(None)  # type: ignore[arg-type]
