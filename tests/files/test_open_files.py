"""A file is put aside once, when all its events are secured, whatever happens in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, TypeVar

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_files._decisions import Seen
from pywats_files._open_files import LATE, OpenFile, OpenFiles

T = TypeVar("T")

CONTENTS = {b"none": 0, b"one": 1, b"some": 3}
"""How many events each has."""
NAMES = ("a", "b", "c", "d")
RETRY_AFTER = 5.0


class Receipt:
    """Of an event that is secured, or handed back, when the test says so."""

    def __init__(self) -> None:
        self.open = True
        self.secured = False
        self.callbacks: list[Callable[[Any], object]] = []

    def add_secured_callback(self, callback: Callable[[Any], object]) -> None:
        if self.open:
            self.callbacks.append(callback)
        else:
            callback(self)

    def end(self, *, secured: bool) -> None:
        self.open, self.secured = False, secured
        for callback in self.callbacks:
            callback(self)


class Course:
    """A content on its way, and the receipts of its events."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.closed = False
        self.done = False

    @property
    def handed_back(self) -> bool:
        return any(not receipt.open and not receipt.secured for receipt in self.receipts)

    @property
    def secured(self) -> bool:
        return self.closed and all(receipt.secured for receipt in self.receipts)


class World:
    """Somebody who takes files, somebody who puts them aside, and what they must hold."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.files = OpenFiles()
        self.courses: dict[bytes, Course] = {}
        self.course_of: dict[str, Course] = {}
        self.begun: tuple[OpenFile, bytes] | None = None
        self.late_at: dict[str, float] = {}

    def chance(self) -> bool:
        return bool(self.draw(st.booleans()))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.put_aside)
            for _ in range(self.draw(st.integers(1, 40))):
                self.take_a_step()
                await trio.sleep(self.one_of((0.0,) * 9 + (LATE / 2, LATE, RETRY_AFTER)))
                await wait_all_tasks_blocked()
                self.check_that_none_is_late()
            self.begun = None
            for content in [content for content, course in self.courses.items() if not course.closed]:
                self.open(content.decode(), content)  # a later life goes on with what was broken off
                self.close()
            for receipt in self.receipts():
                receipt.end(secured=True)
            await trio.sleep(LATE + 2 * RETRY_AFTER)
            assert not self.files.names()
            assert not self.files.under_way()
            assert not self.courses
            assert not self.course_of
            with trio.fail_after(1):
                await self.files.wait_secured()
            nursery.cancel_scope.cancel()

    def take_a_step(self) -> None:
        free = [name for name in NAMES if self.files.is_open(name) is None]
        steps: dict[str, Callable[[], object]] = {"take stock": self.files.take_stock}
        if self.receipts():
            steps["secure"] = lambda: self.one_of(self.receipts()).end(secured=True)
            steps["end the bus"] = self.end_the_bus
        if self.begun is not None:
            steps |= {"publish": self.publish, "close": self.close, "break off": self.break_off}
        elif free:
            steps["open"] = lambda: self.open(self.one_of(free), self.one_of(list(CONTENTS)))
        steps[self.one_of(list(steps))]()

    def one_of(self, those: Sequence[T]) -> T:
        return self.draw(st.sampled_from(those))  # type: ignore[no-any-return]

    def receipts(self) -> list[Receipt]:
        return [each for course in self.courses.values() for each in course.receipts if each.open]

    # Who takes files

    def open(self, name: str, content: bytes) -> None:
        in_hand = self.chance()
        self.late_at[name] = inf if in_hand else trio.current_time() + LATE
        course = self.courses.get(content)
        if course is not None and course.done:
            self.course_of[name] = course
            self.files.open_at_end(Seen(1, name, 1, 1), None, in_hand=in_hand)
            return
        file = self.files.open(Seen(1, name, 1, 1), content, in_hand=in_hand)
        assert (file is None) is (course is not None and course.closed)
        if course is None:
            course = self.courses[content] = Course()
        if file is not None:
            assert file.published == len(course.receipts)
            self.course_of = {other: its for other, its in self.course_of.items() if its is not course}
            self.begun = file, content
        self.course_of[name] = course

    def publish(self) -> None:
        assert self.begun is not None
        file, content = self.begun
        if file.published < CONTENTS[content]:
            receipt: Any = Receipt()
            self.courses[content].receipts.append(receipt)
            file.add(receipt)

    def close(self) -> None:
        assert self.begun is not None
        file, content = self.begun
        while file.published < CONTENTS[content]:
            self.publish()
        self.begun = None
        self.courses[content].closed = True
        self.files.close(file, None)

    def break_off(self) -> None:
        self.begun = None
        self.files.take_stock()

    def end_the_bus(self) -> None:
        """It hands back what is open; those files stay where they are, for a later life."""
        if self.chance():
            self.files.take_stock()
        for receipt in self.receipts():
            receipt.end(secured=False)
        if self.begun is not None and self.begun[0].published == CONTENTS[self.begun[1]] and self.chance():
            self.close()
        self.break_off()
        for content, course in list(self.courses.items()):
            if course.handed_back:
                del self.courses[content]
        self.course_of = {name: course for name, course in self.course_of.items() if not course.handed_back}
        assert self.files.names() <= self.course_of.keys()

    # Who puts them aside

    async def put_aside(self) -> None:
        while True:
            await self.files.wait_due()
            for file in self.files.take_late():
                file.in_hand = self.chance()
                again = inf if file.in_hand else trio.current_time() + RETRY_AFTER
                if self.course_of.get(file.seen.name) is self.courses.get(file.digest):
                    self.late_at[file.seen.name] = again
                if not file.in_hand:
                    self.files.put_late([file], again)
            due = self.files.take_due(self.draw(st.integers(1, 3)))
            if self.chance():
                self.files.put_back(due)
                due = self.files.take_due(len(due))
            for file in due:
                course = self.course_of[file.seen.name]
                assert course.secured
                if not file.stuck and self.chance():
                    self.files.put_off(file, trio.current_time() + RETRY_AFTER)
                    continue
                self.files.forget(file)
                del self.course_of[file.seen.name]
                course.done = True
                if course not in self.course_of.values():
                    self.courses = {key: its for key, its in self.courses.items() if its is not course}

    def check_that_none_is_late(self) -> None:
        for name, course in self.course_of.items():
            assert course.secured or self.late_at[name] >= trio.current_time()


async def test_an_event_is_waited_for_that_was_published_after_the_others_were_looked_at() -> None:
    first: Any = Receipt()
    second: Any = Receipt()
    files = OpenFiles()
    file = files.open(Seen(1, "a", 1, 1), b"some", in_hand=True)
    assert file is not None
    file.add(first)
    files.take_stock()
    file.add(second)
    files.close(file, None)
    first.end(secured=True)
    assert not files.due
    second.end(secured=True)
    files.take_stock()
    assert files.take_due(2) == [file]


async def test_the_twin_of_a_file_that_failed_in_its_middle_fails_with_it() -> None:
    receipt: Any = Receipt()
    files = OpenFiles()
    file = files.open(Seen(1, "a", 1, 1), b"some", in_hand=True)
    assert file is not None
    file.add(receipt)
    receipt.end(secured=True)
    files.close(file, "line 2 is no JSON")
    files.take_stock()
    assert files.open(Seen(1, "b", 1, 1), b"some", in_hand=True) is None
    assert [each.error for each in files.take_due(2)] == ["line 2 is no JSON"] * 2


@given(st.data())
def test_a_file_is_put_aside_once_when_all_its_events_are_secured(data: st.DataObject) -> None:
    trio.run(World(data.draw).run, clock=MockClock(autojump_threshold=0))
