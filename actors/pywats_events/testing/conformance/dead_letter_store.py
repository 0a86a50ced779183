"""What must every queue of dead letters do?"""

from __future__ import annotations

import abc
from functools import partial

import trio

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.models._clock import now
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.policies.dead_letter_queue import DeadLetterEntry, DeadLetterQueue
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.settlement import Outcome
from pywats_supervision.system import current_runtime

__all__ = ["DeadLetterStoreConformance"]


def _event(number: int, event_type: EventType = EventType.TEST_RESULT) -> Event:
    return Event(event_type=event_type, payload={"number": number}, source="conformance")


def _failed(text: str = "no such unit") -> ValueError:
    """An error with a traceback, as a handler raises it."""
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


class DeadLetterStoreConformance(abc.ABC):
    """Tests of a dead letter queue; derive from it and make yours."""

    @abc.abstractmethod
    def make_queue(self, max_size: int = 1000) -> DeadLetterQueue:
        """Make an empty queue.

        Args:
            max_size: how many it keeps.
        """

    def test_a_dead_letter_keeps_event_error_traceback_handler_attempts_and_time(self) -> None:
        """All that a person needs who asks why."""
        queue, event, before = self.make_queue(), _event(1), now()
        entry = queue.add(event, _failed(), "Reporter", 4)
        (kept,) = queue.get_entries()
        for one in (entry, kept):
            assert one.event == event
            assert one.event_id == event.id
            assert isinstance(one.error, Exception)
            assert str(one.error) == "no such unit"
            assert "ValueError: no such unit" in one.traceback_text
            assert "_failed" in one.traceback_text
            assert (one.handler, one.attempts, one.retry_count) == ("Reporter", 4, 3)
            assert before <= one.timestamp <= now()

    def test_input_that_was_no_event_is_kept_as_it_came(self) -> None:
        """Raw bytes, what is wrong with them, and where they came from."""
        queue = self.make_queue()
        queue.add(None, _failed("not JSON"), raw=b'{"Message', source="inbox/17.json")
        entry = _first(queue)
        assert (entry.event, entry.raw, entry.source) == (None, b'{"Message', "inbox/17.json")
        assert entry.to_dict()["error_message"] == "not JSON"

    def test_entries_come_newest_first_and_can_be_limited_to_some_or_a_type(self) -> None:
        """`get_entries` shows the newest first."""
        queue = self.make_queue()
        for number in range(4):
            queue.add(
                _event(number, EventType.ASSET_FAULT if number == 2 else EventType.TEST_RESULT), _failed()
            )
        assert _numbers(queue.get_entries()) == [3, 2, 1, 0]
        assert _numbers(queue.get_entries(limit=2)) == [3, 2]
        assert _numbers(queue.get_entries(limit=0)) == []
        assert _numbers(queue.get_entries(event_type="test.result")) == [3, 1, 0]

    def test_pop_takes_the_oldest_out_and_peek_leaves_it(self) -> None:
        """The oldest is first in line."""
        queue = self.make_queue()
        assert queue.pop() is None
        assert queue.peek() is None
        queue.add(_event(1), _failed())
        queue.add(_event(2), _failed())
        peeked, popped = queue.peek(), queue.pop()
        assert peeked is not None
        assert popped is not None
        assert peeked.id == popped.id
        assert _numbers([popped]) == [1]
        assert (queue.size, len(queue), queue.is_empty) == (1, 1, False)

    def test_clear_says_how_many_it_forgot(self) -> None:
        """Then it is empty."""
        queue = self.make_queue()
        queue.add(_event(1), _failed())
        queue.add(_event(2), _failed())
        assert queue.clear() == 2
        assert (queue.clear(), queue.size, queue.is_empty) == (0, 0, True)

    def test_the_bound_pushes_the_oldest_out_and_counts_it(self) -> None:
        """What is gone is visible."""
        queue = self.make_queue(max_size=3)
        for number in range(5):
            queue.add(_event(number), _failed())
        assert _numbers(queue.get_entries()) == [4, 3, 2]
        assert (queue.size, queue.pushed_out) == (3, 2)

    def test_threads_that_add_at_once_lose_nothing(self) -> None:
        """A bus adds on its own thread, and users on any."""
        queue = self.make_queue()

        def add(first: int) -> None:
            for number in range(first, first + 50):
                queue.add(_event(number), _failed())

        async def at_once() -> None:
            async with trio.open_nursery() as nursery:
                for first in (0, 50, 100, 150):
                    nursery.start_soon(partial(current_runtime().run_blocking, add, first))

        trio.run(at_once)
        assert sorted(_numbers(queue.get_entries())) == list(range(200))

    def test_an_event_that_a_bus_gives_up_settles_when_it_is_kept(self) -> None:
        """Dead-lettered and settled are one."""
        queue = self.make_queue()

        async def give_up() -> None:
            with trio.fail_after(10):
                async with AsyncEventBus(error_policy=ErrorPolicy(queue)) as bus:
                    bus.subscribe(_refuse, event_types=[EventType.TEST_RESULT], name="Refusing")
                    receipt = await bus.publish(_event(7))
                    await receipt.wait_settled()
                    assert receipt.outcomes == {"Refusing": Outcome.DEAD_LETTERED}
                    assert _numbers(queue.get_entries()) == [7]

        trio.run(give_up)


async def _refuse(event: Event) -> None:  # noqa: ASYNC124 - stands for a handler
    raise ValueError(f"refused {event.id}")


def _first(queue: DeadLetterQueue) -> DeadLetterEntry:
    entry = queue.peek()
    assert entry is not None
    return entry


def _numbers(entries: list[DeadLetterEntry]) -> list[int]:
    return [entry.event.payload["number"] for entry in entries if entry.event is not None]
