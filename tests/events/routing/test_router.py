"""EventRouter: the first rule that holds."""

from __future__ import annotations

import pytest

from pywats_events.models import Event, EventType
from pywats_events.routing import EventRouter, RoutingRule
from pywats_events.routing.router import by_payload, by_payload_exists, by_source, by_type


def event(source: str = "cfx", **payload: object) -> Event:
    return Event(EventType.TEST_RESULT, payload, source)


def test_the_first_rule_that_holds_decides() -> None:
    router: EventRouter[str] = EventRouter()
    router.add_rule(RoutingRule("any", lambda e: True), "any")
    router.add_rule(RoutingRule("urgent", by_payload("priority", "high"), priority=10), "urgent")
    router.add_rule(RoutingRule("later", lambda e: True), "later")
    assert router.route(event(priority="high")) == "urgent"
    assert router.route(event()) == "any"
    assert router.get_all_handlers(event(priority="high")) == ["urgent", "any", "later"]
    assert router.rule_count == 3


def test_without_a_rule_the_default_decides() -> None:
    router: EventRouter[str] = EventRouter()
    assert router.route(event()) is None
    assert router.set_default_handler("default").route(event()) == "default"
    assert router.get_all_handlers(event()) == []
    router.add_rule(RoutingRule("web", by_source("web")), "web")
    assert router.route(event()) == "default"
    router.clear()
    assert router.route(event()) is None
    assert router.rule_count == 0


def test_a_rule_that_raises_is_not_hidden() -> None:
    router: EventRouter[str] = EventRouter()
    router.add_rule(RoutingRule("fails", lambda e: e.payload["missing"]), "x")
    with pytest.raises(KeyError):
        router.route(event())
    with pytest.raises(KeyError):
        router.get_all_handlers(event())


def test_the_predicates_of_0_6() -> None:
    assert by_type(EventType.TEST_RESULT, "custom")(event())
    assert not by_type("custom")(event())
    assert by_source("cfx")(event())
    assert by_payload_exists("lane")(event(lane=None))
    assert not by_payload_exists("lane")(event())
    assert by_payload("lane", 1)(event(lane=1))


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="predicate"):
        RoutingRule("x", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="RoutingRule"):
        EventRouter[str]().add_rule(lambda e: True, "x")  # type: ignore[arg-type]


def test_rules_can_be_read() -> None:
    router = EventRouter[str]().add_rule(RoutingRule("web", by_source("web"), 5), "x")
    assert repr(router) == "EventRouter([RoutingRule('web', priority=5)])"
