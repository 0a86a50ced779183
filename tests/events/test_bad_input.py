"""What cannot work is refused where it is given: the error names it, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from pywats_events import BaseHandler, Event, EventType
from pywats_events.errors import EventValidationError
from pywats_events.handlers import HandlerChain, LoggingMiddleware
from pywats_events.policies import DeadLetterQueue
from pywats_events.routing import EventFilter, RoutingRule
from pywats_events.transports import MockTransport


class Handler(BaseHandler):
    event_types = [EventType.TEST_RESULT]  # type: ignore[assignment] # noqa: RUF012 - as a user writes it

    async def handle(self, event: Event) -> None:
        """Nothing."""


def event(**fields: Any) -> Callable[[], object]:
    return lambda: Event(EventType.TEST_RESULT, **fields)


def anything(event: Event) -> bool:
    return True


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (event(source=None), EventValidationError, "`source` of an event must be text, not None"),
    (event(source=3), EventValidationError, "`source` of an event must be text, not 3"),
    (event(id=""), EventValidationError, "`id` of an event must not be empty"),
    (event(correlation_id=3), EventValidationError, "`correlation_id` of an event must be text, not 3"),
    (event(causation_id=3), EventValidationError, "`causation_id` of an event must be text, not 3"),
    (event(source_topic=3), EventValidationError, "`source_topic` of an event must be text, not 3"),
    (event(trace=3), EventValidationError, "`trace` of an event must be text, not 3"),
    (event(custom=3), EventValidationError, "`custom` of an event must be an object with named fields"),
    (event(attempt=0), EventValidationError, "`attempt` of an event must be a whole number of at least 1"),
    (event(attempt="x"), EventValidationError, "`attempt` of an event must be a whole number"),
    (lambda: Handler(name=3), ValueError, "name must be a non-empty str, or None for that of the"),  # type: ignore[arg-type]
    (lambda: Handler(name=""), ValueError, "name must be a non-empty str"),
    (lambda: Handler(enabled="x"), TypeError, "enabled must be True or False, not 'x'"),  # type: ignore[arg-type]
    (lambda: setattr(Handler(), "enabled", None), TypeError, "enabled must be True or False, not None"),
    (lambda: HandlerChain().add(LoggingMiddleware), TypeError, "not the class LoggingMiddleware"),  # type: ignore[arg-type]
    (lambda: LoggingMiddleware("x"), TypeError, "log_level must be a number such as logging.INFO, not 'x'"),  # type: ignore[arg-type]
    (lambda: RoutingRule(3, anything), TypeError, "name of a rule must be a str, not 3"),  # type: ignore[arg-type]
    (lambda: RoutingRule("a", anything, "x"), TypeError, "priority of rule 'a' must be a whole number"),  # type: ignore[arg-type]
    (lambda: EventFilter().by_type(), ValueError, "event_types must name at least one type"),
    (lambda: EventFilter().by_source(), ValueError, "sources must name at least one source"),
    (lambda: EventFilter().by_source(3), TypeError, "a source must be a str, not 3"),  # type: ignore[arg-type]
    (lambda: EventFilter().has_payload_key(3), TypeError, "key must be a str, as those of payloads are"),  # type: ignore[arg-type]
    (lambda: EventFilter().payload_equals(3, 1), TypeError, "key must be a str"),  # type: ignore[arg-type]
    (lambda: DeadLetterQueue().add("x", ValueError()), TypeError, "event must be an Event, or None"),  # type: ignore[arg-type]
    (lambda: DeadLetterQueue().add(None, "x"), TypeError, "error must be an Exception, not 'x'"),  # type: ignore[arg-type]
    (lambda: DeadLetterQueue().get_entries("x"), TypeError, "limit must be a whole number of dead letters"),  # type: ignore[arg-type]
    (lambda: MockTransport(auto_connect="x"), TypeError, "auto_connect must be True or False, not 'x'"),  # type: ignore[arg-type]
    (lambda: MockTransport().set_inject_delay("x"), TypeError, "delay must be a number of seconds, not 'x'"),  # type: ignore[arg-type]
    (lambda: MockTransport().set_inject_delay(nan), ValueError, "and finite, not nan"),
    (lambda: MockTransport().set_inject_delay(inf), ValueError, "and finite, not inf"),
    (lambda: MockTransport().on_connect(3), TypeError, "callback must be callable, not 3"),  # type: ignore[arg-type]
    (lambda: MockTransport().on_disconnect(3), TypeError, "callback must be callable, not 3"),  # type: ignore[arg-type]
    (lambda: MockTransport().on_error(3), TypeError, "callback must be callable, not 3"),  # type: ignore[arg-type]
    (lambda: MockTransport().set_event_bus(3), TypeError, "event_bus must be an EventBus or AsyncEventBus"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_what_cannot_work_is_refused_by_name(
    make: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as refused:
        make()
    assert text in str(refused.value)


def test_an_id_may_be_whatever_has_a_text_and_nothing_means_a_new_one() -> None:
    assert Event(EventType.TEST_RESULT, id=3).id == "3"  # type: ignore[arg-type]
    assert Event(EventType.TEST_RESULT, id=None).id  # type: ignore[arg-type]
