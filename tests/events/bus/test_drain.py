"""A backlog on the disk shrinks at a rate, and what comes in meanwhile is read on top of it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.bus._drain import WINDOW, Drain


def test_a_backlog_that_nothing_is_added_to_is_read_at_the_rate() -> None:
    drain = Drain(20.0)
    assert [drain.allowed(at) for at in (0.0, 5.0, 1e6)] == [20.0] * 3


def test_what_comes_in_is_read_on_top_once_it_was_measured() -> None:
    drain = Drain(20.0)
    for number in range(6000):
        drain.came_in(number / 100)
    assert drain.allowed(WINDOW - 0.01) == 20.0
    assert drain.allowed(WINDOW) == pytest.approx(120.0)
    assert drain.allowed(2 * WINDOW) == 20.0


def test_an_outage_s_events_do_not_count_once_it_is_over() -> None:
    drain = Drain(20.0)
    for number in range(1000):
        drain.came_in(number * 259.2)
    assert drain.allowed(259_200.0 + WINDOW) < 20.1


def test_a_burst_counts_as_if_it_came_over_the_whole_window() -> None:
    drain = Drain(20.0)
    for _ in range(600):
        drain.came_in(7.0)
    assert drain.allowed(7.0) == 20.0
    assert drain.allowed(7.0 + WINDOW) == pytest.approx(30.0)


def test_no_rate_is_no_bound() -> None:
    drain = Drain(inf)
    drain.came_in(0.0)
    assert drain.allowed(0.0) == drain.allowed(1e6) == inf


@given(
    st.floats(0.1, 1000.0),
    st.lists(st.tuples(st.floats(0.0, 1000.0), st.booleans()), max_size=200),
)
def test_never_less_than_the_rate_is_allowed_and_never_more_than_came_in_over_it(
    rate: float, steps: list[tuple[float, bool]]
) -> None:
    drain, now, came = Drain(rate), 0.0, 0
    for pause, comes in steps:
        now += pause
        if comes:
            drain.came_in(now)
            came += 1
        assert rate <= drain.allowed(now) <= rate + came / WINDOW
