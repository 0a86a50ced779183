"""Dead letters: kept with all that is known of them, bounded, and never lost unseen."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_events.models import Event, EventType
from pywats_events.policies import DeadLetterEntry, DeadLetterQueue

EVENT = Event(EventType.TEST_RESULT, {"unit_id": "a"}, "cfx")


def failed(text: str = "boom") -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_an_entry_tells_event_error_traceback_handler_attempts_and_time() -> None:
    queue = DeadLetterQueue(max_size=1000)
    error = failed()
    queue.add(EVENT, error, "reports", 3)
    (entry,) = queue.get_entries()
    assert (entry.event, entry.error, entry.handler_name, entry.handler) == (
        EVENT,
        error,
        "reports",
        "reports",
    )
    assert (entry.attempts, entry.retry_count) == (3, 2)
    assert (entry.event_id, entry.event_type, entry.error_type) == (EVENT.id, "test.result", "ValueError")
    assert "ValueError: boom" in entry.traceback_text
    assert "in failed" in entry.traceback_text
    assert abs((datetime.now(UTC) - entry.timestamp).total_seconds()) < 10


def test_by_hand_the_events_own_attempts_count() -> None:
    assert DeadLetterQueue().add(EVENT.with_retry(), failed()).attempts == 2


def test_the_frames_of_an_error_are_not_kept_alive() -> None:
    class Held:
        pass

    def fail() -> Exception:
        def inner(held: Held) -> None:
            raise KeyError("inner")

        held = Held()
        references.append(weakref.ref(held))
        try:
            try:
                inner(held)
            except KeyError as cause:
                raise ExceptionGroup("several", [failed()]) from cause
        except ExceptionGroup as error:
            return error

    references: list[weakref.ref[Held]] = []
    entry = DeadLetterQueue().add(EVENT, fail())
    gc.collect()
    assert references[0]() is None
    assert "KeyError" in entry.traceback_text
    assert entry.error.__cause__ is not None


def test_an_error_that_comes_from_itself_ends() -> None:
    error = failed()
    error.__context__ = other = failed("other")
    other.__context__ = error
    assert DeadLetterQueue().add(EVENT, error).error is error


def test_input_that_was_no_event_is_a_dead_letter_as_well() -> None:
    entry = DeadLetterQueue().add(None, failed(), raw=b"\xff{", source="mqtt:testers/1")
    assert (entry.event, entry.raw, entry.source, entry.attempts) == (None, b"\xff{", "mqtt:testers/1", 1)
    written = entry.to_dict()
    assert (written["event"], written["event_id"], written["raw"]) == (None, None, "/3s=")
    json.dumps(written)


def test_an_entry_is_written_in_plain_values() -> None:
    queue = DeadLetterQueue()
    written = queue.add(EVENT, failed(), "reports", 3).to_dict()
    json.dumps(written)
    assert written["event"] == EVENT.to_dict()
    expected = {
        "error_type": "ValueError",
        "error_message": "boom",
        "handler_name": "reports",
        "retry_count": 2,
    }
    assert expected.items() <= written.items()


def test_an_event_that_cannot_be_written_is_described() -> None:
    made = Event(EventType.CUSTOM, {"a": {1, object()}})
    written = DeadLetterQueue().add(made, failed()).to_dict()
    assert made.id in written["event"]
    json.dumps(written)


def test_oldest_out_first_newest_listed_first() -> None:
    queue = DeadLetterQueue()
    assert (queue.pop(), queue.peek(), queue.is_empty, queue.size, len(queue)) == (None, None, True, 0, 0)
    added = [queue.add(EVENT, failed(str(number))) for number in range(3)]
    assert queue.peek() is added[0]
    assert queue.get_entries() == added[::-1]
    assert queue.get_entries(limit=2) == added[:0:-1]
    assert queue.get_entries(limit=0) == []
    assert list(queue) == added
    assert queue.pop() is added[0]
    assert (queue.size, queue.is_empty) == (2, False)
    assert queue.clear() == 2
    assert queue.is_empty


def test_entries_are_found_by_type_known_or_not() -> None:
    queue = DeadLetterQueue()
    known = queue.add(EVENT, failed())
    unknown = queue.add(Event("acme.unheard_of"), failed())
    queue.add(None, failed(), raw=b"")
    assert queue.get_entries(event_type="test.result") == [known]
    assert queue.get_entries(event_type=EventType.TEST_RESULT) == [known]
    assert queue.get_entries(event_type="acme.unheard_of") == [unknown]


@given(st.integers(1, 5), st.lists(st.sampled_from(["add", "pop", "clear"]), max_size=30))
def test_nothing_leaves_unseen(max_size: int, calls: list[str]) -> None:
    queue = DeadLetterQueue(max_size=max_size)
    added: list[DeadLetterEntry] = []
    popped = cleared = 0
    for call in calls:
        if call == "add":
            added.append(queue.add(EVENT, failed()))
        elif call == "pop":
            popped += queue.pop() is not None
        else:
            cleared += queue.clear()
        assert queue.size <= max_size
        assert queue.size + popped + cleared + queue.pushed_out == len(added)
        assert list(queue) == added[len(added) - queue.size :]


def test_several_threads_may_add_and_take_at_once() -> None:
    queue = DeadLetterQueue(max_size=50)
    error = failed()

    def work(number: int) -> int:
        taken = 0
        for _ in range(300):
            queue.add(EVENT, error)
            queue.get_entries(limit=3)
            if number % 2:
                taken += queue.pop() is not None
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(work, range(4)))
    assert queue.size + taken + queue.pushed_out == 1200
    assert queue.size <= 50


def test_on_add_is_told_of_each() -> None:
    told: list[DeadLetterEntry] = []
    queue = DeadLetterQueue(on_add=told.append)
    assert [queue.add(EVENT, failed())] == told


def test_an_on_add_that_raises_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(entry: DeadLetterEntry) -> None:
        raise OSError("no mail")

    queue = DeadLetterQueue(on_add=broken)
    with caplog.at_level(logging.ERROR, "pywats_events"):
        assert queue.add(EVENT, failed()) is queue.peek()
    assert EVENT.id in caplog.text
    assert "no mail" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_size": 0}, ValueError),
        ({"max_size": -1}, ValueError),
        ({"max_size": 1.5}, TypeError),
        ({"max_size": True}, TypeError),
        ({"max_size": None}, TypeError),
        ({"on_add": "mail"}, TypeError),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        DeadLetterQueue(**arguments)


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        DeadLetterQueue().get_entries(limit=-1)


def test_looking_for_dead_letters_by_what_they_do_not_have_is_refused() -> None:
    queue = DeadLetterQueue()
    with pytest.raises(TypeError, match=r"not found by 'colour'; by letter_id, event_id, .*, limit"):
        queue.find(colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not found by 'id'"):
        queue.select(id="1")  # type: ignore[call-arg]
