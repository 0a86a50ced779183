"""Filters: conditions that all hold, an algebra of them, and errors that are not hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.models import Event, EventType, TestResultEvent
from pywats_events.routing import EventFilter


def event(kind: EventType = EventType.TEST_RESULT, source: str = "cfx", **payload: Any) -> Event:
    return Event(kind, payload, source)


def test_an_empty_filter_lets_everything_through() -> None:
    assert EventFilter().matches(event())
    assert EventFilter()(event()) is True


@pytest.mark.parametrize(
    ("build", "through", "held"),
    [
        (lambda f: f.by_type(EventType.TEST_RESULT), event(), event(EventType.CUSTOM)),
        (lambda f: f.by_type("test.result", "custom"), event(EventType.CUSTOM), event(EventType.ASSET_FAULT)),
        (lambda f: f.exclude_type(EventType.CUSTOM), event(), event(EventType.CUSTOM)),
        (lambda f: f.by_source("cfx", "mqtt"), event(source="mqtt"), event(source="web")),
        (lambda f: f.exclude_source("web"), event(), event(source="web")),
        (lambda f: f.has_payload_key("lane"), event(lane=None), event()),
        (lambda f: f.payload_equals("result", "fail"), event(result="fail"), event(result="pass")),
        (lambda f: f.payload_equals("result", None), event(), event(result="pass")),
        (lambda f: f.payload_in("lane", [1, [2]]), event(lane=[2]), event(lane=3)),
        (lambda f: f.where(lambda e: e.payload["n"] > 1), event(n=2), event(n=1)),
    ],
)
def test_each_condition(build: Callable[[EventFilter], EventFilter], through: Event, held: Event) -> None:
    built = EventFilter()
    assert build(built) is built
    assert built.matches(through)
    assert not built.matches(held)


def test_conditions_read_structs_like_dicts() -> None:
    made = Event(EventType.TEST_RESULT, TestResultEvent(unit_id="SN-1"))
    assert EventFilter().payload_equals("unit_id", "SN-1").payload_equals("result", "pass").matches(made)
    assert EventFilter().has_payload_key("unit_id").matches(made)
    assert not EventFilter().has_payload_key("lane").matches(made)


def test_a_condition_that_raises_is_not_hidden() -> None:
    fails = EventFilter().where(lambda e: e.payload["missing"] == 1)
    for asked in (fails, ~fails, fails & EventFilter(), fails | EventFilter()):
        with pytest.raises(KeyError):
            asked(event())


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(TypeError, match="predicate must be a callable"):
        EventFilter().where("lane")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no\.such"):
        EventFilter().by_type("no.such")
    with pytest.raises(TypeError):
        EventFilter() & 5  # type: ignore[operator]


def test_a_combined_filter_is_of_its_parts_as_they_were_then() -> None:
    one, two = EventFilter().by_source("cfx"), EventFilter()
    both, either, neither = one & two, one | two, ~two
    two.by_source("web")
    assert both.matches(event())
    assert either.matches(event(source="mqtt"))
    assert not neither.matches(event(source="mqtt"))


def test_plain_functions_can_be_combined_with() -> None:
    assert not (EventFilter() & (lambda e: False)).matches(event())
    assert (~EventFilter() | (lambda e: True)).matches(event())


def numbered(allowed: frozenset[int]) -> EventFilter:
    return EventFilter().where(lambda e: e.payload["n"] in allowed)


sets = st.frozensets(st.integers(0, 5))


@given(sets, sets, st.integers(0, 5))
def test_the_algebra_is_that_of_sets(one: frozenset[int], two: frozenset[int], n: int) -> None:
    asked = event(n=n)
    a, b = numbered(one), numbered(two)
    assert (a & b)(asked) is (n in one & two)
    assert (a | b)(asked) is (n in one | two)
    assert (~a)(asked) is (n not in one)
    assert (~(a & b))(asked) is (~a | ~b)(asked)
    assert (~~a)(asked) is a(asked)
    assert (a & ~b)(asked) is (n in one - two)
