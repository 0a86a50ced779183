"""Sentences of the specification that do not hold yet; each moves to its promise's file when it does."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pywats_actors import DEAD_LETTER, ActorRef
from pywats_actors.testing import RecordingActor, hold
from pywats_supervision import Supervisor
from pywats_supervision.testing import running, settled

# Belongs to test_overflow


async def test_dead_letters_of_a_full_mailbox_are_in_the_snapshot_of_the_tree(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef(
        "full", RecordingActor[int](), capacity=1, overflow=DEAD_LETTER, dead_letters=lambda letter: None
    )
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        hold(ref)
        for number in range(4):
            ref.tell_nowait(number)
        assert tree.snapshot().child("full").detail == ref.statistics()
        assert tree.snapshot().child("full").detail.dead_lettered == 3


# Belongs to test_workers


async def test_the_workers_of_one_actor_have_their_grace_side_by_side(autojump_clock: MockClock) -> None:
    actor = RecordingActor[int]().wait()
    ref = ActorRef("crew", actor, concurrency=8)
    async with running(tree := Supervisor([ref.spec()])):
        for number in range(8):
            await ref.tell(number)
        await settled()
        await tree.restart_child("crew")
        actor.go_on()
        assert trio.current_time() == 5.0  # and not eight times five seconds
