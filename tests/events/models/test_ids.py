"""Ids: unique, and sorted by time as far as the clock goes forward."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from pywats_events.models import _clock
from pywats_events.models._clock import id_of, new_id, next_sequence, time_of

readings = st.tuples(st.integers(0, 2**47 * 1_000_000), st.integers(0, 2**32 - 1))


@given(readings)
def test_each_is_a_uuid_of_version_7_with_its_millisecond(reading: tuple[int, int]) -> None:
    at, sequence = reading
    made = uuid.UUID(id_of(at, sequence))
    assert str(made) == id_of(at, sequence)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1_000_000


@given(readings, readings)
def test_they_sort_by_time_then_by_number(one: tuple[int, int], two: tuple[int, int]) -> None:
    earlier, later = sorted((one, two))
    same_moment = (earlier[0] * 4096) // 1_000_000 == (later[0] * 4096) // 1_000_000
    if not same_moment or earlier[1] <= later[1]:
        assert id_of(*earlier) <= id_of(*later)


@given(st.integers(0, 10**18), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_events_of_one_moment_differ_by_their_number(at: int, one: int, two: int) -> None:
    assert (id_of(at, one) == id_of(at, two)) is (one == two)


def test_a_forked_process_draws_bits_of_its_own() -> None:
    process = _clock._Process()
    before = process.bits
    drawn = set()
    for _ in range(5):
        process.draw()
        drawn.add(process.bits)
    assert drawn != {before}
    assert all(0 <= bits < 2**30 for bits in drawn)


def test_new_ids_sort_with_those_of_events() -> None:
    made = [new_id() for _ in range(100)]
    assert made == sorted(set(made))
    assert next_sequence() < next_sequence()


@given(st.integers(0, 10**18))
def test_a_reading_becomes_the_time_to_the_microsecond(at: int) -> None:
    moment = time_of(at)
    assert moment.tzinfo is not None
    assert int(moment.timestamp()) == at // 10**9
    assert moment.microsecond == at % 10**9 // 1000
