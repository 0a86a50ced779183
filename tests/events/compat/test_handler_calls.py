"""Handlers, their chain, registry, filter and router, by the calls of pywats-api 0.6."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pywats_events import BaseHandler, Event, EventBus, EventType, HandlerRegistry
from pywats_events.handlers.base_handler import FilteringHandler, SyncHandler
from pywats_events.handlers.handler_chain import (
    ChainMiddleware,
    EnrichmentMiddleware,
    HandlerChain,
    LoggingMiddleware,
    ValidationMiddleware,
)
from pywats_events.routing.filter import EventFilter
from pywats_events.routing.router import (
    EventRouter,
    RoutingRule,
    by_payload,
    by_payload_exists,
    by_source,
    by_type,
)


def result_of(unit: str = "SN-1", source: str = "cfx", **payload: Any) -> Event:
    return Event(EventType.TEST_RESULT, {"unit_id": unit, **payload}, source=source)


class Reporter(BaseHandler):
    """As 0.6's examples write a handler."""

    def __init__(self, name: str | None = None, priority: int = 100, enabled: bool = True) -> None:
        super().__init__(name=name, priority=priority, enabled=enabled)
        self.units: list[str] = []
        self.hooks: list[str] = []

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        if event.payload["unit_id"] == "bad":
            raise ValueError("bad unit")
        self.units.append(event.payload["unit_id"])

    async def on_start(self) -> None:
        self.hooks.append("start")

    async def on_stop(self) -> None:
        self.hooks.append("stop")

    async def on_error(self, event: Event, error: Exception) -> None:
        self.hooks.append(f"{event.payload['unit_id']}: {error}")


def test_a_handler_has_name_priority_and_enabled() -> None:
    plain, named = Reporter(), Reporter("nightly", 10, False)
    assert (plain.name, plain.priority, plain.enabled) == ("Reporter", 100, True)
    assert (named.name, named.priority, named.enabled) == ("nightly", 10, False)


def test_can_handle_asks_type_and_enabled() -> None:
    handler = Reporter()
    assert handler.can_handle(result_of())
    assert not handler.can_handle(Event(EventType.ASSET_FAULT))
    handler.enabled = False
    assert not handler.can_handle(result_of())


def test_on_start_on_error_and_on_stop_are_called_around_the_events() -> None:
    handler = Reporter()
    with EventBus() as bus:
        bus.register_handler(handler)
        bus.publish(result_of("bad")).wait(timeout=10)
        bus.publish(result_of("good")).wait(timeout=10)
        bus.wait_idle(timeout=10)
    assert handler.units == ["good"]
    assert handler.hooks[0] == "start"
    assert "bad: bad unit" in handler.hooks
    assert handler.hooks[-1] == "stop"


def test_a_handler_that_is_disabled_gets_no_events_until_it_is_enabled_again() -> None:
    handler = Reporter()
    with EventBus() as bus:
        bus.register_handler(handler)
        handler.enabled = False
        bus.wait_idle(timeout=10)
        bus.publish(result_of("unseen")).wait(timeout=10)
        handler.enabled = True
        bus.wait_idle(timeout=10)
        bus.publish(result_of("seen")).wait(timeout=10)
    assert handler.units == ["seen"]


def test_handle_sync_is_called_for_each_event() -> None:
    class Printer(SyncHandler):
        def __init__(self) -> None:
            super().__init__(name="printer")
            self.units: list[str] = []

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle_sync(self, event: Event) -> None:
            self.units.append(event.payload["unit_id"])

    printer = Printer()
    with EventBus() as bus:
        bus.register_handler(printer)
        bus.publish(result_of()).wait(timeout=10)
    assert printer.units == ["SN-1"]


def test_the_filters_of_a_filtering_handler_must_all_agree() -> None:
    class Filtering(FilteringHandler):
        units: list[str] = []  # noqa: RUF012 - as a user writes it

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            self.units.append(event.payload["unit_id"])

    handler = Filtering()
    chained = handler.add_filter(lambda event: event.source == "cfx").add_filter(
        lambda event: event.payload["unit_id"].startswith("SN")
    )
    assert chained is handler
    with EventBus() as bus:
        bus.register_handler(handler)
        for event in (result_of("SN-1"), result_of("SN-2", source="mqtt"), result_of("other")):
            bus.publish(event).wait(timeout=10)
    assert handler.units == ["SN-1"]


def test_the_registry_gives_handlers_by_type_in_the_order_of_their_priority() -> None:
    registry = HandlerRegistry()
    late, early, asset = Reporter("late", 200), Reporter("early", 1), Reporter("off", 5, False)
    for handler in (late, early, asset):
        registry.register(handler)
    registry.register(late)
    assert (registry.handler_count, len(registry), late in registry) == (3, 3, True)
    assert registry.get_handlers(EventType.TEST_RESULT) == [early, asset, late]
    assert registry.get_handlers_for_event(result_of()) == [early, late]
    assert registry.get_handlers(EventType.ASSET_FAULT) == []
    assert registry.get_event_types() == {EventType.TEST_RESULT}
    assert set(registry.get_all_handlers()) == set(registry) == {late, early, asset}
    assert registry.unregister(early)
    assert not registry.unregister(early)
    registry.clear()
    assert len(registry) == 0


async def test_a_chain_executes_its_middlewares_from_outside_in() -> None:
    seen: list[str] = []

    class Noting(ChainMiddleware):
        def __init__(self, name: str) -> None:
            self.name = name

        async def process(self, event: Event, next_handler: Any) -> Any:
            seen.append(f"in {self.name} {event.source}")
            result = await next_handler(event)
            seen.append(f"out {self.name}")
            return result

    chain = HandlerChain()
    assert chain.add(Noting("a")).add(EnrichmentMiddleware(lambda event: event.derive(source="b"))) is chain
    chain.add(Noting("c"))
    await chain.execute(result_of())
    assert seen == ["in a cfx", "in c b", "out c", "out a"]
    assert len(chain) == 3
    chain.clear()
    assert len(chain) == 0


async def test_the_middlewares_log_and_validate(caplog: pytest.LogCaptureFixture) -> None:
    chain = HandlerChain().add(LoggingMiddleware(log_level=logging.INFO))
    chain.add(ValidationMiddleware(lambda event: "unit_id" in event.payload))
    with caplog.at_level(logging.INFO):
        await chain.execute(result_of())
        assert len(caplog.records) == 2
        with pytest.raises(ValueError, match="is not valid"):
            await chain.execute(Event(EventType.TEST_RESULT))
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_filter_is_put_together_call_by_call() -> None:
    made = EventFilter().by_type(EventType.TEST_RESULT).by_source("cfx", "mqtt").has_payload_key("unit_id")
    assert made.matches(result_of())
    assert made(result_of(source="mqtt"))
    assert not made.matches(result_of(source="file"))
    assert not made.matches(Event(EventType.TEST_RESULT, source="cfx"))
    assert not EventFilter().exclude_type(EventType.TEST_RESULT).matches(result_of())
    assert not EventFilter().exclude_source("cfx").matches(result_of())
    assert EventFilter().where(lambda event: event.payload["unit_id"] == "SN-1").matches(result_of())
    assert EventFilter().payload_equals("result", "fail").matches(result_of(result="fail"))
    assert EventFilter().payload_in("result", ["fail", "error"]).matches(result_of(result="error"))
    assert EventFilter().matches(result_of())


def test_filters_combine_with_and_or_and_not() -> None:
    cfx, failed = EventFilter().by_source("cfx"), EventFilter().payload_equals("result", "fail")
    events = [
        result_of(source=source, result=result) for source in ("cfx", "mqtt") for result in ("pass", "fail")
    ]
    assert [(cfx & failed).matches(event) for event in events] == [False, True, False, False]
    assert [(cfx | failed).matches(event) for event in events] == [True, True, False, True]
    assert [(~cfx).matches(event) for event in events] == [False, False, True, True]


def test_a_router_gives_the_handler_of_the_first_rule_that_holds() -> None:
    router: EventRouter[str] = EventRouter()
    router.add_rule(RoutingRule("all results", by_type(EventType.TEST_RESULT), priority=200), "results")
    router.add_rule(RoutingRule("from cfx", by_source("cfx"), priority=10), "cfx")
    router.add_rule(RoutingRule("failed", by_payload("result", "fail"), 5), "failed").set_default_handler(
        "rest"
    )
    assert router.rule_count == 3
    assert router.route(result_of(result="fail")) == "failed"
    assert router.route(result_of()) == "cfx"
    assert router.route(result_of(source="file")) == "results"
    assert router.route(Event(EventType.ASSET_FAULT)) == "rest"
    assert router.get_all_handlers(result_of(result="fail")) == ["failed", "cfx", "results"]
    assert by_payload_exists("unit_id")(result_of())
    router.clear()
    assert (router.rule_count, router.route(result_of())) == (0, None)
