"""What is replayed to whom, and how long a store will last: decided without a disk or a clock."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.durability._capacity import (
    ALARMS,
    Sample,
    alarm_between,
    bound_of,
    fullness,
    hours_left,
)
from pywats_events.durability._recovery import (
    CAREFUL_FROM,
    UNCLEAN_ENDS,
    Counts,
    Replay,
    ends_of,
    pending_of,
    verdict,
)

NAMES = st.lists(st.sampled_from("ABCDE"), unique=True)
GIB = 1 << 30


def row(seq: int, handlers: list[str], ends: int = 0) -> tuple[int, Replay]:
    return seq, Replay(f"e{seq}", "cfx", None, b"", tuple(handlers), ends)


@given(NAMES, NAMES)
def test_those_who_have_not_finished_stay_in_their_order(handlers: list[str], settled: list[str]) -> None:
    assert list(pending_of(handlers, settled)) == [name for name in handlers if name not in settled]


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 8)), max_size=20))
def test_each_row_is_replayed_to_the_rest_or_done_and_marked_unless_it_needs_care(
    rows: list[tuple[list[str], list[str], int]],
) -> None:
    given_rows = [row(seq, handlers, ends) for seq, (handlers, _, ends) in enumerate(rows)]
    found = verdict(given_rows, {seq: settled for seq, (_, settled, _) in enumerate(rows)})
    marked = dict(found.mark)
    replays = dict(found.replays)
    assert sorted([*replays, *found.done]) == list(range(len(rows)))
    assert list(replays) == sorted(replays)
    for seq, (handlers, settled, ends) in enumerate(rows):
        if not set(handlers) - set(settled):
            assert seq in found.done
            continue
        one = replays[seq]
        assert set(one.handlers) == set(handlers) - set(settled)
        assert one.exhausted == (ends >= UNCLEAN_ENDS)
        assert one.careful == (CAREFUL_FROM <= ends < UNCLEAN_ENDS)
        assert (seq in marked) == (not one.exhausted and not one.careful)


@pytest.mark.parametrize(
    ("seq", "mark", "ends"),
    [(9, None, 0), (10, None, 1), (19, None, 1), (20, None, 0), (12, 3, 3), (3, 0, 0)],
)
def test_fresh_events_count_as_in_hand_at_an_unclean_end_and_older_ones_by_their_mark(
    seq: int, mark: int | None, ends: int
) -> None:
    assert ends_of(seq, mark, Counts(fresh_from=10, fresh_until=20)) == ends


def test_the_bound_is_the_stores_own_or_what_the_disk_leaves() -> None:
    assert bound_of(Sample(0, GIB, 500 * GIB, 1000 * GIB), 10 * GIB, 0.1) == 10 * GIB
    assert bound_of(Sample(0, GIB, 104 * GIB, 1000 * GIB), 10 * GIB, 0.1) == 5 * GIB
    assert bound_of(Sample(0, GIB, 10 * GIB, 1000 * GIB), 10 * GIB, 0.1) == 0
    assert fullness(Sample(0, 5 * GIB, 500 * GIB, 1000 * GIB), 10 * GIB, 0.1) == 0.5
    assert fullness(Sample(0, GIB, 10 * GIB, 1000 * GIB), 10 * GIB, 0.1) == inf


def test_the_hours_left_follow_from_the_rate() -> None:
    def look(hours: float, gib: float, free: float = 500) -> Sample:
        return Sample(hours * 3600, int(gib * GIB), int(free * GIB), 1000 * GIB)

    assert hours_left([], 10 * GIB, 0.1) == inf
    assert hours_left([look(0, 1)], 10 * GIB, 0.1) == inf
    assert hours_left([look(0, 2), look(1, 2)], 10 * GIB, 0.1) == inf
    assert hours_left([look(0, 2), look(1, 1)], 10 * GIB, 0.1) == inf
    assert hours_left([look(0, 1), look(1, 2)], 10 * GIB, 0.1) == pytest.approx(8)
    assert hours_left([look(0, 1), look(1, 10)], 10 * GIB, 0.1) == 0
    # Others fill the disk: 4 GiB in an hour, and 4 more are free above the part that stays free.
    assert hours_left([look(0, 1, 108), look(1, 1, 104)], 10 * GIB, 0.1) == pytest.approx(1)


@given(st.lists(st.floats(0, 1.2), min_size=1))
def test_an_alarm_rises_at_once_and_falls_only_when_it_is_well_below(parts: list[float]) -> None:
    level = 0.0
    for part in parts:
        before, level = level, alarm_between(level, part)
        reached = max((one for one in ALARMS if part >= one), default=0.0)
        assert level >= reached
        if level < before:
            assert part < before - 0.05
