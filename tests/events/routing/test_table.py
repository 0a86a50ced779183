"""The routing table agrees with asking each subscription in turn."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pywats_events.models import EventType
from pywats_events.routing._table import RoutingTable, is_pattern

ACME = EventType.register("acme.line_cleared")


class Subscription(NamedTuple):
    name: int
    event_types: tuple[str, ...] = ()
    priority: int = 100


names = st.sampled_from([*EventType, "test.*", "system.*", "acme.*"])
subscriptions = st.lists(
    st.tuples(st.lists(names, max_size=3).map(tuple), st.integers(0, 3)), max_size=8
).map(lambda each: [Subscription(number, *values) for number, values in enumerate(each)])


def takes(subscription: Subscription, kind: EventType) -> bool:
    if not subscription.event_types:
        return not kind.value.startswith("system.")
    for name in subscription.event_types:
        if str(name) == kind.value:
            return True
        if str(name).endswith(".*") and kind.value.split(".")[0] == str(name)[:-2]:
            return True
    return False


@given(subscriptions, st.lists(st.sampled_from(list(EventType))))
def test_it_gives_those_that_take_a_type_by_priority_then_age(
    subscribed: list[Subscription], kinds: list[EventType]
) -> None:
    table = RoutingTable.compile(subscribed)
    for kind in kinds:
        wanted = sorted(
            (each for each in subscribed if takes(each, kind)), key=lambda each: (each.priority, each.name)
        )
        assert table.lookup(kind) == tuple(wanted)
        assert table.lookup(kind) is table.lookup(kind)


def test_one_that_takes_all_is_spared_what_tells_of_the_bus() -> None:
    catch_all, named = Subscription(1), Subscription(2, (EventType.HANDLER_ERROR,))
    table = RoutingTable.compile([catch_all, named])
    assert table.lookup(EventType.HANDLER_ERROR) == (named,)
    assert table.lookup(EventType.CUSTOM) == (catch_all,)


def test_a_type_that_is_registered_later_is_found() -> None:
    table = RoutingTable.compile([Subscription(1), Subscription(2, ("late.*",))])
    kind = EventType.register("late.comer")
    assert [each.name for each in table.lookup(kind)] == [1, 2]


def test_a_type_named_twice_is_taken_once() -> None:
    twice = Subscription(1, (ACME, "acme.*", ACME))
    assert RoutingTable.compile([twice]).lookup(ACME) == (twice,)


def test_a_pattern_ends_in_a_dot_and_a_star() -> None:
    assert is_pattern("test.*")
    assert not is_pattern("test.result")
    assert not is_pattern("*.*")
