"""The bridge: calls cross, cancellation crosses, and whoever dies first leaves nobody waiting."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from pywats_asyncio import AsyncioBridge, BridgeClosed, BridgeFailed, CallCancelled, Inbox
from pywats_supervision import ChildSpec, Supervisor


@asynccontextmanager
async def running() -> AsyncIterator[AsyncioBridge]:
    bridge = AsyncioBridge("bridge under test")
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        with trio.fail_after(20):
            yield bridge
        nursery.cancel_scope.cancel()
    assert threads() == []


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "bridge under test"]


async def test_a_call_returns_what_the_function_returns_and_raises_what_it_raises() -> None:
    async def divide(a: int, b: int) -> float:
        await asyncio.sleep(0)
        return a / b

    async with running() as bridge:
        assert await bridge.call(divide, 6, 3) == 2
        with pytest.raises(ZeroDivisionError):
            await bridge.call(divide, 1, 0)


async def test_many_calls_at_once_share_wakes() -> None:
    async def echo(number: int) -> int:
        return number

    async with running() as bridge:
        answers: list[int] = []

        async def ask(number: int) -> None:
            answers.append(await bridge.call(echo, number))

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ask, number)
        assert sorted(answers) == list(range(1000))
        assert max(bridge.wakes) < 200


async def test_cancelling_a_call_cancels_the_task_and_waits_for_its_end() -> None:
    seen: list[str] = []

    async def forever() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    async with running() as bridge:
        with trio.move_on_after(0.05) as scope:
            await bridge.call(forever)
        assert scope.cancelled_caught
        assert seen == ["begun", "cleaned up"]


async def test_a_call_that_ends_in_spite_of_its_cancellation_gives_its_value() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "published after all"
        return "never"

    async with running() as bridge:
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + 0.05
            assert await bridge.call(stubborn) == "published after all"


async def test_a_cancellation_from_the_asyncio_side_is_an_error_of_its_own() -> None:
    async def dies() -> None:
        raise asyncio.CancelledError

    async with running() as bridge:
        with pytest.raises(CallCancelled, match="dies"):
            await bridge.call(dies)


async def test_no_call_hangs_when_the_loop_dies() -> None:
    async def forever() -> None:
        await asyncio.sleep(3600)

    async def kill() -> None:
        raise SystemExit(3)

    outcomes: list[str] = []
    bridge = AsyncioBridge("bridge under test")

    async def call() -> None:
        try:
            await bridge.call(forever)
        except (BridgeClosed, CallCancelled) as error:
            outcomes.append(type(error).__name__)

    with trio.fail_after(20), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            async with trio.open_nursery() as callers:
                for _ in range(50):
                    callers.start_soon(call)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises((BridgeClosed, CallCancelled)):
                    await bridge.call(kill)
    assert caught.group_contains(BridgeFailed)
    assert len(outcomes) == 50
    assert threads() == []
    with pytest.raises(BridgeClosed):
        await bridge.call(forever)


async def test_cancelling_the_tree_ends_calls_and_bridge_together() -> None:
    begun, ended = 0, 0

    async def forever() -> None:
        nonlocal begun, ended
        begun += 1
        try:
            await asyncio.sleep(3600)
        finally:
            ended += 1

    bridge = AsyncioBridge("bridge under test")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            for _ in range(50):
                nursery.start_soon(bridge.call, forever)
            while begun < 50:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert ended == 50
    assert threads() == []


async def test_a_bridge_that_does_not_run_refuses_calls() -> None:
    bridge = AsyncioBridge("bridge under test")
    with pytest.raises(BridgeClosed, match="does not run"):
        await bridge.call(asyncio.sleep, 0)
    bridge.post(print)


async def test_what_is_posted_and_raises_fails_the_bridge() -> None:
    def broken() -> None:
        raise LookupError("posted")

    bridge = AsyncioBridge("bridge under test")
    with trio.fail_after(20), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            bridge.post(broken)
            await trio.sleep_forever()
    assert caught.group_contains(BridgeFailed, match="posted")


async def test_a_supervisor_restarts_a_bridge_whose_loop_died() -> None:
    async def kill() -> None:
        raise SystemExit(3)

    async def echo(number: int) -> int:
        return number

    bridge = AsyncioBridge("bridge under test")
    supervisor = Supervisor([ChildSpec("bridge", bridge.run)])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            for number in range(3):
                while True:
                    try:
                        assert await bridge.call(echo, number) == number
                        break
                    except (BridgeClosed, CallCancelled):
                        await trio.sleep(0.01)
                if number < 2:
                    with pytest.raises((BridgeClosed, CallCancelled)):
                        await bridge.call(kill)
            await supervisor.stop()
    assert threads() == []


async def test_a_call_that_comes_when_its_loop_is_dying_is_refused_and_leaves_no_task() -> None:
    begun, posted, ran = threading.Event(), threading.Event(), list[str]()

    async def kill() -> None:
        begun.set()
        assert posted.wait(20)
        raise SystemExit(3)

    async def late() -> None:
        ran.append("late")
        await asyncio.sleep(3600)

    bridge = AsyncioBridge("bridge under test")
    with trio.fail_after(20), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(bridge.run)
            nursery.start_soon(bridge.call, kill)
            await trio.to_thread.run_sync(begun.wait)
            nursery.start_soon(bridge.call, late)
            await trio.testing.wait_all_tasks_blocked()
            posted.set()
    assert caught.group_contains(BridgeClosed)
    assert ran == []
    gc.collect()  # which tells of a task that was never ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_after_a_fork_the_child_process_is_refused() -> None:
    async with running() as bridge:
        child = os.fork()
        if child == 0:
            os._exit(0 if not bridge.running else 1)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
        assert os.waitstatus_to_exitcode(status) == 0


async def test_an_inbox_delivers_all_in_order_and_in_batches() -> None:
    async with running() as bridge:
        inbox: Inbox[int] = Inbox(
            bridge, max_items=100_000, max_bytes=1 << 30, on_full=lambda: None, on_room=lambda: None
        )

        async def produce() -> None:
            for number in range(20_000):
                inbox.put(number, 1)
                if number % 100 == 0:
                    await asyncio.sleep(0)

        received: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.call, produce)
            while len(received) < 20_000:
                received += await inbox.receive()
        assert received == list(range(20_000))
        assert bridge.wakes[1] <= 300


async def test_an_inbox_tells_its_source_when_bytes_or_items_are_too_many_and_when_half_is_free() -> None:
    told: list[str] = []
    async with running() as bridge:
        inbox: Inbox[int] = Inbox(
            bridge,
            max_items=10,
            max_bytes=1000,
            on_full=lambda: told.append("full"),
            on_room=lambda: told.append("room"),
        )

        async def source() -> None:
            inbox.put(1, 600)
            inbox.put(2, 600)
            inbox.put(3, 1)
            assert told == ["full"]
            inbox.release(600)
            assert told == ["full"]
            inbox.release(600)
            assert told == ["full", "room"]
            for number in range(9):
                inbox.put(number, 0)
            assert told == ["full", "room", "full"]

        await bridge.call(source)
        assert len(await inbox.receive()) == 12


async def test_a_closed_inbox_raises_and_what_it_holds_is_gone() -> None:
    async with running() as bridge:
        inbox: Inbox[int] = Inbox(
            bridge, max_items=1, max_bytes=1, on_full=lambda: None, on_room=lambda: None
        )

        async def source() -> None:
            inbox.put(1, 1)
            bridge.post_to_trio(inbox.close, ConnectionError("lost"))
            inbox.put(2, 1)

        await bridge.call(source)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="lost"):
                await inbox.receive()
