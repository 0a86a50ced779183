"""Which files are taken, in which order, under which names."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pywats_files import FolderConfig
from pywats_files._decisions import Patterns, Seen, Stability, batches, free_name, is_marked, oldest
from pywats_files._ids import event_id

names = st.text("ab.-2", min_size=1, max_size=4)
files = st.lists(
    st.builds(Seen, st.integers(0, 5), names, st.integers(0, 50), st.integers(1, 3)),
    unique_by=lambda f: f.name,
)
SEEN = Seen(0, "2", 0, 1)


@given(files, st.integers(1, 10))
def test_the_oldest_come_first_and_equally_old_ones_by_name(seen: list[Seen], count: int) -> None:
    found = oldest(iter(seen), count)
    assert found == sorted(seen, key=lambda file: (file.mtime_ns, file.name))[:count]


@given(files, st.integers(1, 5), st.integers(1, 60))
def test_batches_keep_the_order_and_the_limits(seen: list[Seen], most: int, most_bytes: int) -> None:
    found = list(batches(seen, lambda file: file.size, most=most, most_bytes=most_bytes))
    assert [file for batch in found for file in batch] == seen
    for batch in found:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(file.size for file in batch) <= most_bytes
    for batch, following in pairwise(found):
        assert len(batch) == most or sum(file.size for file in (*batch, following[0])) > most_bytes


@given(names, st.sets(names))
def test_a_free_name_is_free_and_keeps_its_ending(name: str, taken: set[str]) -> None:
    found = free_name(name, taken.__contains__)
    assert found not in taken
    assert (found == name) == (name not in taken)
    if not name.startswith("."):
        assert found.partition(".")[2] == name.partition(".")[2]


@given(
    st.text("ab.\u00fc", min_size=1, max_size=40), st.integers(12, 40), st.sets(st.text("ab.", max_size=12))
)
def test_a_free_name_has_room_and_keeps_a_short_ending(name: str, room: int, taken: set[str]) -> None:
    def length(text: str) -> int:
        return len(text.encode())

    found = free_name(name, taken.__contains__, room=room, length=length)
    assert found not in taken
    assert length(found) <= room
    stem, dot, ending = name.rpartition(".")
    if stem and not name.startswith(".") and length(dot + ending) <= room // 2:
        assert found.endswith(dot + ending)


@given(st.lists(st.tuples(st.floats(0.05, 3), files), min_size=1, max_size=8))
@example([(1.0, []), (1.824108127592631, []), (1.0, [SEEN]), (1.0, [SEEN])])  # a difference is rounded
def test_a_file_is_stable_if_each_look_for_long_enough_found_it_the_same(
    looks: list[tuple[float, list[Seen]]],
) -> None:
    stability, now, history = Stability(1.0), 0.0, list[tuple[float, list[Seen]]]()
    for pause, seen in looks:
        now += pause
        history.append((now, seen))
        ready, due = stability.stable(seen, now)
        expected = []
        for file in seen:
            since = now
            for at, before in reversed(history):
                if file not in before:
                    break
                since = at
            if since + 1.0 <= now:
                expected.append(file)
        assert ready == expected
        assert (due == float("inf")) == (len(ready) == len(seen))
        assert due > now


def test_a_marker_counts_unless_it_is_older_than_its_file() -> None:
    assert is_marked(5, 5)
    assert is_marked(5, 6)
    assert not is_marked(5, 4)
    assert not is_marked(5, None)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_id_tells_content_and_place(digest: bytes, one: int, other: int) -> None:
    assert (event_id(digest, one) == event_id(digest, other)) == (one == other)
    assert event_id(digest, one)[14] == "5"
    assert len(event_id(digest, one)) == 36


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a.json", "*.json"),
        ("A.JSON", "*.json"),
        (".a.json", None),
        ("a.json.tmp", None),
        ("a.txt", None),
        ("a.json.ready", None),
        ("~a.json", None),
    ],
)
def test_a_name_says_which_converter_it_is_for(name: str, pattern: str | None) -> None:
    patterns = Patterns(FolderConfig(folder="x", finished="marker"))
    assert patterns.kind(name) == (pattern, None)


@pytest.mark.parametrize(
    "character",
    ["\n", "\x1b", "\x7f", "\x85", "\u2028", "\udce4", "\u200f", "\u202e", "\u2066", "\u2069", "\u061c"],
)
def test_a_name_with_control_characters_is_refused(character: str) -> None:
    kind = Patterns(FolderConfig(folder="x")).kind(f"a{character}b.json")
    assert kind.pattern is None
    assert kind.refused is not None
