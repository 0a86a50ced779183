"""A watcher is told once that an actor is gone for good, whenever it began to watch."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from pywats_actors import ActorRef, ActorStopped, Terminated
from pywats_actors.testing import RecordingActor, crash_now, drain
from pywats_supervision import TEMPORARY, TRANSIENT, ChildSpec, Supervisor
from pywats_supervision.policies import RetryPolicy
from pywats_supervision.policies.decision import Stop
from pywats_supervision.testing import running, settled
from support.policies import answering


def watched(told: list[Terminated], name: str = "watched") -> ActorRef[int]:
    ref = ActorRef(name, RecordingActor[int]())
    ref.watch(told.append)
    return ref


async def test_a_watcher_is_told_once_when_the_actor_is_removed(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    async with running(tree := Supervisor([ref.spec()])):
        await settled()
        assert (told, ref.terminated) == ([], False)
        await tree.remove_child("watched")
        assert (told, ref.terminated) == ([Terminated(ref)], True)
    assert told == [Terminated(ref)]


async def test_a_watcher_is_told_when_the_whole_tree_has_stopped(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    async with running(Supervisor([ref.spec()])):
        await settled()
    assert told == [Terminated(ref)]


async def test_a_watcher_is_told_when_the_tree_is_killed(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    with trio.move_on_after(1):
        await Supervisor([ref.spec()]).run()
    assert told == [Terminated(ref)]


async def test_a_watcher_is_told_when_a_temporary_actor_fails(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    async with running(Supervisor([ref.spec(restart=TEMPORARY)])):
        await settled()
        crash_now(ref)
        await settled()
        assert told == [Terminated(ref)]


async def test_a_watcher_of_one_that_is_gone_is_told_at_once(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = ActorRef("watched", RecordingActor[int]())
    async with running(Supervisor([ref.spec()])):
        await settled()
    ref.watch(told.append)
    assert told == [Terminated(ref)]


@pytest.mark.parametrize("shape", ["alone", "group"])
async def test_a_restart_of_whatever_kind_is_no_end(shape: str, autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    actor = RecordingActor[int]()
    ref = ActorRef("watched", actor, policy=RetryPolicy() if shape == "group" else None)
    ref.watch(told.append)
    inner = Supervisor([ref.spec()], name="inner", max_restarts=0)
    tree = Supervisor([ChildSpec("inner", inner.run)])
    async with running(tree):
        await settled()
        await inner.restart_child("watched")
        await inner.suspend_child("watched")
        await inner.resume_child("watched")
        await tree.restart_child("inner")
        assert actor.starts == 4
        crash_now(ref)  # escalates to the root, which starts the inner supervisor again
        await settled()
        assert (actor.starts, told) == (5, [])
    assert told == [Terminated(ref)]


async def test_one_that_is_stopped_by_hand_may_come_back_and_is_not_gone(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    async with running(tree := Supervisor([ref.spec(restart=TRANSIENT)])):
        await tree.stop_child("watched")
        await ref.tell(1)
        assert (told, ref.terminated) == ([], False)
        await tree.resume_child("watched")
        await drain(ref)
        assert ref.statistics().done == 1


async def test_one_that_its_policy_stopped_is_not_gone_either(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    async with running(tree := Supervisor([ref.spec(policy=answering(Stop()))])):
        await settled()
        crash_now(ref)
        await settled()
        assert told == []
        await tree.remove_child("watched")
        assert told == [Terminated(ref)]


async def test_a_supervisor_that_gives_up_is_told_of_with_its_parent_s_last_word(
    autojump_clock: MockClock,
) -> None:
    told: list[Terminated] = []
    ref = watched(told)
    inner = Supervisor([ref.spec()], max_restarts=0)
    async with running(Supervisor([ChildSpec("inner", inner.run, restart=TEMPORARY)])):
        await settled()
        crash_now(ref)
        await settled()
        assert told == [Terminated(ref)]


async def test_an_actor_may_watch_another(autojump_clock: MockClock) -> None:
    watcher = RecordingActor[Terminated]()
    watching, ref = ActorRef("watcher", watcher), ActorRef("watched", RecordingActor[int]())
    ref.watch(watching)
    async with running(tree := Supervisor([watching.spec(), ref.spec()])):
        await tree.remove_child("watched")
        await drain(watching)
        assert watcher.done == [Terminated(ref)]


async def test_all_watchers_are_told_in_the_order_in_which_they_began(autojump_clock: MockClock) -> None:
    told: list[int] = []
    ref = ActorRef("watched", RecordingActor[int]())
    for number in range(10):
        ref.watch(lambda _, number=number: told.append(number))  # type: ignore[misc]
    async with running(Supervisor([ref.spec()])):
        await settled()
    assert told == list(range(10))


async def test_a_watcher_that_raises_is_logged_and_the_others_are_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Terminated] = []

    def broken(_: Terminated) -> None:
        raise ValueError("broken watcher")

    ref = ActorRef("watched", RecordingActor[int]())
    ref.watch(broken)
    ref.watch(told.append)
    with caplog.at_level(logging.ERROR, "pywats_actors"):
        async with running(Supervisor([ref.spec()])):
            await settled()
    assert told == [Terminated(ref)]
    assert "a watcher of 'watched' could not be told that it is gone" in caplog.text
    assert "broken watcher" in caplog.text


async def test_two_that_watch_each_other_are_no_problem(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = watched([], "first"), watched([], "second")
    first.watch(second)  # type: ignore[arg-type]
    second.watch(first)  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "pywats_actors"):
        async with running(Supervisor([first.spec(), second.spec()])):
            await settled()
    assert first.terminated
    assert second.terminated


async def test_wait_terminated_returns_when_it_is_gone_and_at_once_if_it_is_already(
    autojump_clock: MockClock,
) -> None:
    ref = ActorRef("watched", RecordingActor[int]())
    tree = Supervisor([ref.spec()])
    async with running(tree):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.wait_terminated)
            nursery.start_soon(ref.wait_terminated)
            await trio.sleep(3)
            assert len(nursery.child_tasks) == 2
            await tree.remove_child("watched")
        await ref.wait_terminated()
    assert trio.current_time() == 3.0


async def test_who_is_told_finds_the_mailbox_empty_and_what_it_held_given_back(
    autojump_clock: MockClock,
) -> None:
    seen: list[tuple[int, int]] = []
    letters: list[object] = []
    ref = ActorRef("watched", RecordingActor[int]().wait(), dead_letters=letters.append)
    ref.watch(lambda _: seen.append((len(letters), ref.statistics().queued + ref.statistics().in_hand)))
    async with running(tree := Supervisor([ref.spec()])):
        for number in range(3):
            await ref.tell(number)
        await tree.remove_child("watched")
    assert seen == [(3, 0)]


@pytest.mark.parametrize("times", [2, 3])
async def test_who_watches_several_times_is_told_once(times: int, autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    watcher = ActorRef("watcher", RecordingActor[Terminated]())
    ref = watched(told)
    for _ in range(times):
        ref.watch(told.append)
        ref.watch(watcher)
    async with running(tree := Supervisor([ref.spec()])):
        await tree.remove_child("watched")
    assert told == [Terminated(ref)]
    assert watcher.statistics().queued == 1


async def test_who_does_not_watch_any_more_is_not_told(autojump_clock: MockClock) -> None:
    told: list[Terminated] = []
    watcher = ActorRef("watcher", RecordingActor[Terminated]())
    ref = watched(told)
    ref.watch(watcher)
    ref.unwatch(told.append)
    ref.unwatch(watcher)
    ref.unwatch(watcher)  # who does not watch is no error
    async with running(tree := Supervisor([ref.spec()])):
        await tree.remove_child("watched")
    assert (told, watcher.statistics().queued) == ([], 0)


async def test_the_spec_of_an_actor_that_is_gone_cannot_be_started_again(autojump_clock: MockClock) -> None:
    ref = watched([])
    spec = ref.spec()
    async with running(tree := Supervisor([spec])):
        await tree.remove_child("watched")
        with pytest.raises(ActorStopped, match=r"'watched' is gone for good, .* make another ActorRef"):
            await tree.start_child(spec)
        assert tree.count().specs == 0


async def test_a_tree_run_again_says_that_its_actors_are_gone(autojump_clock: MockClock) -> None:
    tree = Supervisor([watched([]).spec()])
    async with running(tree):
        await tree.stop()
    with pytest.raises(ActorStopped, match="'watched' is gone for good"):
        await tree.run()
