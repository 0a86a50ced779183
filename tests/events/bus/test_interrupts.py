"""Ctrl-C may come at any moment of a plain script's life: it is heard, and the process comes to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pywats_events import EventBus
from pywats_events.bus import _lane, _plain_run, _thread, event_bus
from pywats_events.errors import BusStopped
from pywats_events.settlement import Receipt
from support.handlers import Recording, event_of

DEADLINE = 30
"""Seconds after which a test that uses real threads gives up."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to a whole console there")

SCRIPT = """
import os, threading, trio
from pywats_events import BaseHandler, Event, EventBus, EventType
from pywats_events.transports import MockTransport

def say(what):
    os.write(1, f"{{what}}\\n".encode())  # a line in one piece, whichever thread says it

class Handler(BaseHandler):
    event_types = [EventType.TEST_RESULT]
    async def on_start(self):
        say("on_start")
        if {stuck_start}:
            await trio.sleep_forever()
    async def handle(self, event):
        say("in hand")
        try:
            await trio.sleep_forever()
        finally:
            say("cancelled")

class Transport(MockTransport):
    async def stop_async(self):
        say("stopping")
        await super().stop_async()

def event():
    return Event(event_type=EventType.TEST_RESULT)

bus = EventBus(capacity=1)
bus.subscribe(Handler(), shutdown=0)
bus.register_transport(Transport())
{then}
"""


class Script:
    """A script that runs in a process of its own, and hears Ctrl-C."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[str] = []

    def says(self, line: str) -> None:
        """Wait until it says that."""
        assert self._process.stdout is not None
        while not self.said or self.said[-1] != line:
            said = self._process.stdout.readline()
            assert said, f"it ended without {line!r}, but said {self.said}"
            self.said.append(said.rstrip("\n"))

    def interrupt(self) -> None:
        """Send it Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def interrupt_until_it_ends(self) -> None:
        """Send it Ctrl-C again and again, as an impatient person does."""
        with pytest.raises(ProcessLookupError):
            for _ in range(10 * DEADLINE):
                self._process.send_signal(signal.SIGINT)
                try:
                    self._process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                raise ProcessLookupError

    def ends(self) -> tuple[int, str]:
        """Wait until it ends: exit status, and what it wrote to its standard error."""
        rest, errors = self._process.communicate(timeout=DEADLINE)
        self.said += rest.splitlines()
        return self._process.returncode, errors


@contextmanager
def running(folder: Path, then: str, *, stuck_start: bool = False) -> Iterator[Script]:
    """Run a script; whatever becomes of the test, no process stays."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(then=then, stuck_start=stuck_start), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Script(process)
        finally:
            if process.poll() is None:
                process.kill()


@posix
@pytest.mark.parametrize("then", ["pass", "bus.stop(timeout=0)"])
def test_during_start_it_is_raised_and_the_bus_does_not_outlive_the_script(tmp_path: Path, then: str) -> None:
    then = f"try:\n    bus.start()\nexcept KeyboardInterrupt:\n    say('heard')\n    {then}\n    raise"
    with running(tmp_path, then, stuck_start=True) as script:
        script.says("on_start")
        script.interrupt()
        script.says("heard")
        status, errors = script.ends()
    assert status == -signal.SIGINT
    assert "KeyboardInterrupt" in errors


@posix
def test_while_publish_waits_at_the_door_it_is_raised_and_the_event_is_not_accepted(tmp_path: Path) -> None:
    then = """
bus.start()
bus.publish(event())
bus.publish(event())
refused = event()
seen = []
bus.on_event(lambda event: seen.append(event.id))
try:
    say("full")
    bus.publish(refused)
except KeyboardInterrupt:
    say("heard")
bus.stop(timeout=0)
say("accepted " + str(refused.id in seen))
"""
    with running(tmp_path, then) as script:
        script.says("full")
        script.interrupt()
        script.says("heard")
        assert script.ends()[0] == 0
    assert script.said[-1] == "accepted False"


@posix
@pytest.mark.parametrize(
    "then",
    [
        "bus.start()\nbus.publish(event())\nbus.stop(timeout=3600)",
        "with bus:\n    bus.publish(event()).wait()",
    ],
)
def test_again_and_again_it_ends_the_process_at_once(tmp_path: Path, then: str) -> None:
    """In `stop`, at the end of a block, and while the interpreter waits for the bus."""
    with running(tmp_path, then) as script:
        script.says("in hand" if "with" in then else "stopping")
        script.interrupt_until_it_ends()
        status, errors = script.ends()
    assert status == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert "cancelled" not in script.said  # the grace was not waited for


@posix
def test_during_stop_it_is_raised_and_the_bus_ends_within_its_usual_grace(tmp_path: Path) -> None:
    with running(tmp_path, "bus.start()\nbus.publish(event())\nbus.stop(timeout=3600)") as script:
        script.says("stopping")
        script.interrupt()
        status, errors = script.ends()
    assert status == -signal.SIGINT
    assert script.said[-1] == "cancelled"
    assert "ended before 1 of the events that it had accepted" in errors


class Interrupting:
    """Raises KeyboardInterrupt at the nth line of the bus's face that this thread comes to.

    What a real one does between any two steps of the main thread.
    """

    FILES = tuple(module.__file__ for module in (event_bus, _plain_run, _lane, _thread))

    def __init__(self, line: int) -> None:
        self._left = line

    def __call__(self, frame: FrameType, what: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self.FILES:
            return None
        if what == "line":
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

    @property
    def came(self) -> bool:
        """Whether it was raised."""
        return self._left <= 0


def life(bus: EventBus, receipts: list[Receipt]) -> None:
    """All that a plain script does with a bus."""
    bus.subscribe(Recording(name="before"))
    bus.start()
    receipts.append(bus.publish(event_of(1)))
    bus.subscribe(Recording(name="later"))
    receipts.append(bus.publish(event_of(2)).wait(timeout=DEADLINE))
    bus.wait_idle(timeout=DEADLINE)
    bus.unsubscribe("later")
    bus.stop()


def in_time(call: Callable[[], Any]) -> Any:
    """Make a call in a thread, which has to come to its end."""
    ends: list[Any] = []

    def end() -> None:
        try:
            ends.append(call())
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive(), "a call waits for ever"
    return ends[0]


def test_wherever_it_comes_the_bus_can_be_used_or_stopped_afterwards_and_no_receipt_stays_open() -> None:
    line = 0
    while True:
        line += 1
        bus, receipts, interrupting = EventBus(f"line {line}"), list[Receipt](), Interrupting(line)
        before = sys.gettrace()
        sys.settrace(interrupting)
        try:
            life(bus, receipts)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if not interrupting.came:
            break
        if bus.is_running:
            answer = in_time(lambda: bus.publish(event_of(3)).wait(timeout=DEADLINE))  # noqa: B023
            assert isinstance(answer, BusStopped) or answer.settled, f"line {line}: {answer!r}"
        assert in_time(bus.stop) is None
        assert not bus.is_running
        assert all(receipt.settled for receipt in receipts)
        assert not [one for one in threading.enumerate() if one.name == f"EventBus line {line}"]
    assert line > 100
