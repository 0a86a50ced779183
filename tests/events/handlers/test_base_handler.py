"""Handlers: little to write, and nothing to remember."""

from __future__ import annotations

from typing import Any

import pytest

from pywats_events.handlers import BaseHandler, FilteringHandler, SyncHandler
from pywats_events.models import Event, EventType

RESULT = Event(EventType.TEST_RESULT, {"unit_id": "a"})
OTHER = Event(EventType.CUSTOM, {})


class Plain(BaseHandler):
    """Overrides __init__ without calling the inherited one, and names its types by a method."""

    def __init__(self, service: object) -> None:
        self.service = service

    def event_types(self) -> list[EventType]:  # type: ignore[override]
        return [EventType.TEST_RESULT]

    def handle(self, event: Event) -> Any:
        return event.id


class Asynchronous(BaseHandler):
    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> Any:
        return event.id


class Everything(FilteringHandler):
    @property
    def event_types(self) -> list[EventType]:
        return []

    def handle(self, event: Event) -> Any:
        return event.id


def test_a_subclass_need_not_call_the_inherited_init() -> None:
    handler = Plain(object())
    assert (handler.name, handler.priority, handler.enabled) == ("Plain", 100, True)
    assert handler.can_handle(RESULT)
    assert not handler.can_handle(OTHER)
    handler.enabled = False
    assert not handler.can_handle(RESULT)
    assert Plain(object()).enabled


def test_name_priority_and_enabled_are_given_as_in_0_6() -> None:
    handler = Asynchronous(name="reports", priority=10, enabled=False)
    assert (handler.name, handler.priority, handler.enabled) == ("reports", 10, False)
    assert repr(handler) == "Asynchronous(name='reports', enabled=False)"


@pytest.mark.parametrize("priority", ["high", 1.5, True, None])
def test_a_priority_that_is_no_number_is_refused(priority: Any) -> None:
    with pytest.raises(TypeError, match="priority"):
        Asynchronous(priority=priority)


def test_a_handler_without_handle_or_event_types_cannot_be_made() -> None:
    class NoHandle(BaseHandler):
        event_types = []  # noqa: RUF012 - as a user may write it

    class NoTypes(BaseHandler):
        def handle(self, event: Event) -> Any:
            return None

    for incomplete in (NoHandle, NoTypes, SyncHandler):
        with pytest.raises(TypeError, match="abstract"):
            incomplete()


async def test_the_hooks_do_nothing_by_default() -> None:
    handler = Asynchronous()
    await handler.on_start()
    await handler.on_error(RESULT, ValueError())
    await handler.on_stop()


def test_a_sync_handler_does_its_work_in_handle_sync() -> None:
    class Sync(SyncHandler):
        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def handle_sync(self, event: Event) -> Any:
            return event.id

    assert Sync().handle(RESULT) == RESULT.id


def test_one_that_names_no_types_takes_all() -> None:
    assert Everything().can_handle(RESULT)
    assert Everything().can_handle(OTHER)


def test_patterns_are_types_for_can_handle_too() -> None:
    class Tests(Everything):
        event_types = ["test.*", EventType.CUSTOM]  # type: ignore[assignment] # noqa: RUF012 - as a user may

    class OnePattern(Everything):
        event_types = "test.*"  # type: ignore[assignment]

    for handler in (Tests(), OnePattern()):
        handler.add_filter(lambda e: e.attempt == 1)
        assert handler.can_handle(RESULT)
        assert not handler.can_handle(RESULT.with_retry())
        assert not handler.can_handle(Event(EventType.WORK_STARTED))
    assert Tests().can_handle(OTHER)


def test_one_that_names_no_types_does_not_take_those_of_the_bus_itself() -> None:
    assert not Everything().can_handle(Event(EventType.HANDLER_ERROR))


def test_filters_must_all_agree() -> None:
    handler = Everything()
    assert handler.add_filter(lambda e: "unit_id" in e.payload) is handler
    handler.add_filter(lambda e: e.attempt == 1)
    assert handler.can_handle(RESULT)
    assert not handler.can_handle(OTHER)
    assert not handler.can_handle(RESULT.with_retry())
    assert Everything().can_handle(OTHER)


def test_a_filter_that_raises_is_not_hidden() -> None:
    handler = Everything().add_filter(lambda e: e.payload["missing"])
    with pytest.raises(KeyError):
        handler.can_handle(RESULT)


def test_a_filter_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="filter_func"):
        Everything().add_filter("unit_id")  # type: ignore[arg-type]


def test_a_bus_is_told_what_to_ask_per_event_and_when_that_changes() -> None:
    handler = Everything()
    answers: list[tuple[bool, bool] | None] = []

    def changed() -> None:
        asked = handler.filter_of_events()
        answers.append(None if asked is None else (asked(RESULT), asked(OTHER)))

    changed()
    handler.watch(changed)
    handler.enabled = False
    handler.enabled = True
    handler.add_filter(lambda e: e is RESULT)
    assert answers == [None, (False, False), None, (True, False)]
    handler.unwatch(changed)
    handler.enabled = False
    assert len(answers) == 4


def test_who_overrides_can_handle_is_always_asked() -> None:
    class Choosy(Asynchronous):
        def can_handle(self, event: Event) -> bool:
            return super().can_handle(event) and event.attempt == 1

    class ChoosyFiltering(Everything):
        def can_handle(self, event: Event) -> bool:
            return event.attempt == 1

    for handler in (Choosy(), ChoosyFiltering()):
        asked = handler.filter_of_events()
        assert asked is not None
        assert asked(RESULT)
        assert not asked(RESULT.with_retry())
    assert Asynchronous().filter_of_events() is None
    assert Plain(object()).filter_of_events() is None
