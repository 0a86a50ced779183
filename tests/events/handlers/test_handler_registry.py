"""HandlerRegistry: handlers by type, in order, as in pywats-api 0.6."""

from __future__ import annotations

from typing import Any

import pytest

from pywats_events.handlers import BaseHandler, HandlerRegistry
from pywats_events.models import Event, EventType


class Handler(BaseHandler):
    def __init__(self, name: str, *types: EventType, priority: int = 100) -> None:
        super().__init__(name, priority)
        self.types = list(types)

    @property
    def event_types(self) -> list[EventType]:
        return self.types

    def handle(self, event: Event) -> Any:
        return None


def names(handlers: list[BaseHandler]) -> list[str]:
    return [handler.name for handler in handlers]


def test_handlers_come_by_type_then_priority_then_age() -> None:
    registry = HandlerRegistry()
    late = Handler("late", EventType.TEST_RESULT, priority=200)
    first = Handler("first", EventType.TEST_RESULT)
    second = Handler("second", EventType.TEST_RESULT, EventType.CUSTOM)
    everything = Handler("everything", priority=1)
    for handler in (late, first, second, everything):
        registry.register(handler)
    assert names(registry.get_handlers(EventType.TEST_RESULT)) == ["everything", "first", "second", "late"]
    assert names(registry.get_handlers(EventType.ASSET_FAULT)) == ["everything"]
    assert names(registry.get_all_handlers()) == ["everything", "first", "second", "late"]
    assert registry.get_event_types() == {EventType.TEST_RESULT, EventType.CUSTOM}
    assert (len(registry), registry.handler_count) == (4, 4)


def test_an_event_goes_to_those_that_can_handle_it() -> None:
    registry = HandlerRegistry()
    on, off = Handler("on", EventType.CUSTOM), Handler("off", EventType.CUSTOM)
    off.enabled = False
    registry.register(on)
    registry.register(off)
    assert registry.get_handlers_for_event(Event(EventType.CUSTOM, {})) == [on]


def test_one_that_is_there_already_stays_where_it_is() -> None:
    registry = HandlerRegistry()
    handler = Handler("a", EventType.CUSTOM)
    registry.register(handler)
    registry.register(handler)
    assert registry.get_handlers(EventType.CUSTOM) == [handler]


def test_removing_says_whether_it_was_there() -> None:
    registry = HandlerRegistry()
    handler = Handler("a", EventType.CUSTOM)
    registry.register(handler)
    assert handler in registry
    assert registry.unregister(handler)
    assert not registry.unregister(handler)
    assert handler not in registry
    assert registry.get_handlers(EventType.CUSTOM) == []
    registry.register(handler)
    registry.clear()
    assert list(registry) == []


def test_what_cannot_be_called_is_refused() -> None:
    registry = HandlerRegistry()
    with pytest.raises(TypeError, match="handle"):
        registry.register(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="instance, not the class Handler"):
        registry.register(Handler)  # type: ignore[arg-type]
    assert len(registry) == 0
