"""A bus whose tree has failed, or which runs in another process, says so to every call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.errors import BusFailed, WouldDeadlock
from pywats_events.settlement import Receipt
from pywats_events.transports import MockTransport
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""


class Fatal(BaseException):
    """What no supervisor deals with, as KeyboardInterrupt or SystemExit."""


def failed_bus() -> tuple[EventBus, Fatal, list[Receipt]]:
    """A bus that a handler has ended, with what it ended with and the receipts of its events."""
    fatal = Fatal("the end")

    async def end(event: Event) -> None:
        if event.payload["number"] == 2:
            while len(receipts) < 5:  # those behind it are published by the test's thread
                await trio.lowlevel.checkpoint()
            raise fatal
        await trio.sleep_forever()

    receipts: list[Receipt] = []
    bus = EventBus("doomed")
    bus.subscribe(Recording(end, name="ends"), concurrency=2)
    bus.start()
    for number in range(1, 6):
        receipts.append(bus.publish(event_of(number)))  # noqa: PERF401 - the handler looks at it meanwhile
    return bus, fatal, receipts


def test_an_error_that_leaves_the_tree_ends_all_receipts_and_is_raised_by_every_later_call() -> None:
    bus, fatal, receipts = failed_bus()
    for receipt in receipts:
        receipt.wait(timeout=DEADLINE)
    assert all(receipt.handed_back for receipt in receipts)
    calls: list[Callable[[], Any]] = [
        lambda: bus.publish(event_of()),
        lambda: bus.publish_nowait(event_of()),
        lambda: bus.wait_idle(timeout=DEADLINE),
    ]
    for call in calls:  # also while the thread still has to end
        with pytest.raises(BusFailed, match="'doomed' failed: Fatal: the end") as failed:
            call()
        assert failed.value.__cause__ is fatal
    calls = [
        *calls,
        bus.stop,
        bus.start,
        bus.snapshot,
        lambda: bus.subscribe(Recording()),
        lambda: bus.unsubscribe("ends"),
        lambda: bus.register_transport(MockTransport()),
        lambda: bus.unregister_transport("mock"),
        lambda: bus.on_event(print),
        lambda: bus.on_error(print),
    ]
    for call in calls:
        with pytest.raises(BusFailed) as failed:
            call()
        assert failed.value.__cause__ is fatal
    assert not bus.is_running
    assert bus.queue_size == 0
    bus.request_stop()  # what it asks for has come already


def test_who_waits_while_the_bus_fails_is_told() -> None:
    release = threading.Event()

    def end(event: Event) -> None:
        release.wait(DEADLINE)
        raise Fatal

    told: list[type[BaseException]] = []

    def wait_idle() -> None:
        try:
            bus.wait_idle(timeout=DEADLINE)
        except Exception as error:
            told.append(type(error))

    bus = EventBus()
    bus.subscribe(end, event_types=[EventType.TEST_RESULT])
    bus.start()
    bus.publish(event_of())
    waiting = threading.Thread(target=wait_idle)
    waiting.start()
    release.set()
    waiting.join(DEADLINE)
    # Whether its event was handed back first, or the wait was cut short: it has an answer.
    assert not waiting.is_alive()
    assert told in ([], [BusFailed])
    with pytest.raises(BusFailed):
        bus.stop()


def test_a_block_around_a_bus_that_failed_ends_with_its_failure() -> None:
    async def end(event: Event) -> None:
        raise Fatal("the end")

    with pytest.raises(BusFailed, match="the end"), EventBus() as bus:
        bus.subscribe(Recording(end))
        bus.publish(event_of()).wait(timeout=DEADLINE)


async def test_on_trio_it_comes_out_of_run_bare_and_receipts_are_handed_back() -> None:
    async def end(event: Event) -> None:
        raise Fatal("the end")

    bus = AsyncEventBus()
    bus.subscribe(Recording(end))
    with pytest.raises(Fatal, match="the end"):
        async with bus:
            receipt = await bus.publish(event_of())
            await trio.sleep_forever()
    assert receipt.handed_back


@pytest.mark.parametrize("blocking", [False, True])
def test_every_call_that_would_wait_for_the_handler_it_is_made_in_says_so(blocking: bool) -> None:
    refused: list[str] = []
    failures: list[Exception] = []

    def calls(event: Event) -> None:
        waits: list[Callable[[], Any]] = [
            open_receipt.wait,
            bus.wait_idle,
            lambda: transport.inject_event(event_of()),
            lambda: bus.unregister_transport(transport),
        ]
        for wait in waits:
            try:
                wait()
            except WouldDeadlock as error:
                refused.append(str(error))
        bus.publish(event_of(1, EventType.WORK_STARTED))  # never waits, though that handler is full
        bus.publish(event_of(2, EventType.WORK_STARTED), now=True)
        bus.stop()  # only asks

    async def on_trio(event: Event) -> None:
        calls(event)

    full = Recording(lambda event: trio.sleep_forever(), EventType.WORK_STARTED, name="full")
    bus, transport = EventBus(capacity=1), MockTransport()
    bus.on_error(lambda event, error: failures.append(error))
    bus.register_transport(transport)
    bus.subscribe(full, shutdown=0)
    bus.subscribe(calls if blocking else on_trio, event_types=[EventType.TEST_RESULT])
    bus.start()
    open_receipt = bus.publish(event_of(0, EventType.WORK_STARTED))
    bus.publish(event_of())
    bus.request_stop(0.5)
    bus.stop(timeout=0.5)
    assert failures == []
    assert len(refused) == 4
    assert refused[0].startswith("receipt.wait() would wait for bus 'default' on its own thread, or inside")
    assert refused[2].startswith("inject_event would wait")
    assert open_receipt.handed_back


SCRIPT = """
import os
from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.transports import MockTransport
import threading

class Handler(BaseHandler):
    event_types = [EventType.TEST_RESULT]
    def handle(self, event):
        release.wait(20)

def event():
    return Event(event_type=EventType.TEST_RESULT)

release = threading.Event()
bus = EventBus()
handler = Handler()
bus.subscribe(handler)
bus.start()
receipt = bus.publish(event())
calls = {
    "publish": lambda: bus.publish(event()),
    "publish_nowait": lambda: bus.publish_nowait(event()),
    "subscribe": lambda: bus.subscribe(handler),
    "unsubscribe": lambda: bus.unsubscribe(handler),
    "register_transport": lambda: bus.register_transport(MockTransport()),
    "unregister_transport": lambda: bus.unregister_transport("mock"),
    "wait_idle": lambda: bus.wait_idle(timeout=20),
    "snapshot": bus.snapshot,
    "start": bus.start,
    "stop": bus.stop,
    "request_stop": bus.request_stop,
    "on_event": lambda: bus.on_event(print),
    "on_error": lambda: bus.on_error(print),
    "receipt.wait": lambda: receipt.wait(timeout=20),
    "receipt.add_done_callback": lambda: receipt.add_done_callback(print),
    "receipt.future": lambda: receipt.future,
}
child = os.fork()
if child == 0:
    for name, call in calls.items():
        try:
            print(name, call(), flush=True)
        except Exception as error:
            print(name, type(error).__name__, "build a bus after the fork" in str(error), flush=True)
    print("is_running", bus.is_running, flush=True)
    again = EventBus()
    again.start()
    again.publish(event()).wait(20)
    again.stop()
    os._exit(0)
_, status = os.waitpid(child, 0)
release.set()
receipt.wait(20)
bus.stop()
print("parent", receipt.settled, os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_after_a_fork_every_call_raises_and_the_parent_s_bus_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "fork.py"
    script.write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *calls, is_running, parent = run.stdout.splitlines()
    assert len(calls) == 16
    assert [call.split(" ", 1)[1] for call in calls] == ["BusNotRunning True"] * 16, run.stdout
    assert is_running == "is_running False"
    assert parent == "parent True 0"


FORK_IN_A_HANDLER = """
import os
from pywats_events import Event, EventBus, EventType

def fork(event):
    child = os.fork()
    if child == 0:
        try:
            bus.publish(Event(event_type=EventType.TEST_RESULT))
        except Exception as error:
            print(type(error).__name__, "build a bus after the fork" in str(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)

bus = EventBus()
bus.subscribe(fork, event_types=[EventType.WORK_STARTED])
with bus:
    bus.publish(Event(event_type=EventType.WORK_STARTED)).wait(20)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_what_a_handler_has_forked_cannot_publish_with_the_event_in_hand(tmp_path: Path) -> None:
    script = tmp_path / "fork.py"
    script.write_text(FORK_IN_A_HANDLER, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (run.stdout, run.returncode) == ("BusNotRunning True\n", 0), run.stderr
