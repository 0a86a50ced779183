"""A full mailbox does what its rule says, with a visible count, and loses nothing silently."""

from __future__ import annotations

import logging

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_actors import (
    BLOCK,
    DEAD_LETTER,
    DROP_NEWEST,
    DROP_OLDEST,
    ActorRef,
    DeadLetter,
    MailboxFull,
    MailboxStatistics,
    Overflow,
)
from pywats_actors.overflow import Verdict, verdict
from pywats_actors.testing import RecordingActor, drain, hold, release
from pywats_supervision import Supervisor
from pywats_supervision.testing import running, settled

FULL = {
    BLOCK: Verdict.WAIT,
    DEAD_LETTER: Verdict.DEAD_LETTER,
    DROP_OLDEST: Verdict.REPLACE,
    DROP_NEWEST: Verdict.DROP,
}


@given(rule=st.sampled_from(Overflow), size=st.integers(0, 10), capacity=st.integers(1, 10))
def test_a_rule_holds_only_when_the_mailbox_is_full(rule: Overflow, size: int, capacity: int) -> None:
    assert verdict(rule, size, capacity) is (Verdict.PUT if size < capacity else FULL[rule])


class Full:
    """An actor with one message in hand and two queued, at a capacity of two."""

    def __init__(self, overflow: Overflow) -> None:
        self.letters: list[DeadLetter[int]] = []
        self.actor = RecordingActor[int]().wait(1.0)
        self.ref = ActorRef(
            "full", self.actor, capacity=2, overflow=overflow, dead_letters=self.letters.append
        )
        self.tree = Supervisor([self.ref.spec()])

    async def fill(self) -> None:
        await self.ref.tell(1)
        await settled()
        await self.ref.tell(2)
        await self.ref.tell(3)

    @property
    def statistics(self) -> MailboxStatistics:
        return self.ref.statistics()


async def test_block_lets_tell_wait_and_tell_nowait_raise(autojump_clock: MockClock) -> None:
    full = Full(BLOCK)
    async with running(full.tree):
        await full.fill()
        with pytest.raises(MailboxFull):
            full.ref.tell_nowait(4)
        await full.ref.tell(5)
        assert trio.current_time() == 1.0
        await drain(full.ref)
    assert (full.actor.done, full.statistics.dropped, full.letters) == ([1, 2, 3, 5], 0, [])


@pytest.mark.parametrize("nowait", [False, True])
async def test_dead_letter_makes_one_of_the_new_message(nowait: bool, autojump_clock: MockClock) -> None:
    full = Full(DEAD_LETTER)
    async with running(full.tree):
        await full.fill()
        for number in (4, 5):
            full.ref.tell_nowait(number) if nowait else await full.ref.tell(number)
        assert full.letters == [DeadLetter("full", 4, "overflow"), DeadLetter("full", 5, "overflow")]
        assert full.ref.dead_lettered == 2
        await drain(full.ref)
    assert (full.actor.done, trio.current_time()) == ([1, 2, 3], 3.0)


@pytest.mark.parametrize("nowait", [False, True])
async def test_drop_oldest_makes_room_by_the_oldest_queued_message(
    nowait: bool, autojump_clock: MockClock
) -> None:
    full = Full(DROP_OLDEST)
    async with running(full.tree):
        await full.fill()
        for number in (4, 5, 6):
            full.ref.tell_nowait(number) if nowait else await full.ref.tell(number)
        assert (full.statistics.dropped, full.statistics.queued) == (3, 2)
        await drain(full.ref)
    assert (full.actor.done, full.letters) == ([1, 5, 6], [])


@pytest.mark.parametrize("nowait", [False, True])
async def test_drop_newest_drops_the_new_message(nowait: bool, autojump_clock: MockClock) -> None:
    full = Full(DROP_NEWEST)
    async with running(full.tree):
        await full.fill()
        for number in (4, 5):
            full.ref.tell_nowait(number) if nowait else await full.ref.tell(number)
        assert (full.statistics.dropped, full.statistics.queued) == (2, 2)
        await drain(full.ref)
    assert (full.actor.done, full.letters) == ([1, 2, 3], [])


async def test_the_message_in_hand_is_never_dropped(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef("full", actor, capacity=1, overflow=DROP_OLDEST)
    async with running(Supervisor([ref.spec()])):
        await ref.tell(1)
        await settled()
        for number in range(2, 20):
            await ref.tell(number)
        await drain(ref)
    assert (actor.done, ref.statistics().dropped) == ([1, 19], 17)


async def test_drop_oldest_with_keys_drops_the_oldest_that_waits_for_no_key(
    autojump_clock: MockClock,
) -> None:
    actor = RecordingActor[int]().wait(1.0)
    ref = ActorRef(
        "full", actor, capacity=3, overflow=DROP_OLDEST, concurrency=2, order_by=lambda message: message % 2
    )
    async with running(Supervisor([ref.spec()])):
        for number in range(12):
            await ref.tell(number)
            await settled()
        await drain(ref)
    dropped = 12 - len(actor.done)
    assert (ref.statistics().dropped, dropped > 0) == (dropped, True)
    for key in (0, 1):
        done = [number for number in actor.done if number % 2 == key]
        assert done == sorted(done)


@pytest.mark.parametrize("rule", [DEAD_LETTER, DROP_OLDEST, DROP_NEWEST])
@pytest.mark.parametrize("capacity", [1, 5])
async def test_what_was_told_is_done_dropped_or_a_dead_letter_and_the_counts_say_so(
    rule: Overflow, capacity: int, autojump_clock: MockClock
) -> None:
    letters: list[DeadLetter[int]] = []
    actor = RecordingActor[int]().wait(0.3)
    ref = ActorRef("full", actor, capacity=capacity, overflow=rule, dead_letters=letters.append)
    async with running(Supervisor([ref.spec()])):
        for number in range(100):
            await ref.tell(number)
            await trio.sleep(0.1)
        await drain(ref)
    statistics = ref.statistics()
    assert statistics.done + statistics.dropped + len(letters) == 100
    assert statistics.done == len(actor.done) > 0
    assert ref.dead_lettered == len(letters)
    assert statistics.queued == 0


async def test_the_counts_are_in_the_snapshot_of_the_tree(autojump_clock: MockClock) -> None:
    full = Full(DROP_NEWEST)
    async with running(full.tree):
        await full.fill()
        await full.ref.tell(4)
        detail = full.tree.snapshot().child("full").detail
        assert detail == full.statistics
        assert (detail.capacity, detail.queued, detail.in_hand, detail.dropped) == (2, 2, 1, 1)


async def test_without_a_callback_a_dead_letter_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ref = ActorRef("full", RecordingActor[int](), capacity=1, overflow=DEAD_LETTER)
    with caplog.at_level(logging.WARNING, "pywats_actors"):
        ref.tell_nowait(1)
        ref.tell_nowait(2)
    assert "dead letter of 'full' (overflow)" in caplog.text


async def test_a_callback_that_raises_does_not_hurt_who_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(letter: DeadLetter[int]) -> None:
        raise ValueError("no disk")

    actor = RecordingActor[int]()
    ref = ActorRef("full", actor, capacity=1, overflow=DEAD_LETTER, dead_letters=broken)
    with caplog.at_level(logging.ERROR, "pywats_actors"):
        ref.tell_nowait(1)
        ref.tell_nowait(2)
    assert "dead_letters of 'full' raised" in caplog.text
    async with running(Supervisor([ref.spec()])):
        await drain(ref)
    assert actor.done == [1]


async def test_a_mailbox_without_a_bound_is_never_full(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]()
    ref = ActorRef("full", actor, capacity=float("inf"), overflow=DROP_NEWEST)
    async with running(Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        for number in range(5000):
            ref.tell_nowait(number)
        release(ref)
        await drain(ref)
    assert (len(actor.done), ref.statistics().dropped) == (5000, 0)
