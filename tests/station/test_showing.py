"""How a running tree is drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import trio
from rich.console import Console
from trio.testing import MockClock, wait_all_tasks_blocked

from pywats_events import Event, EventType
from pywats_events.checks import Finding
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_station import HandlerSpec, Station
from pywats_station._wire import plain_snapshot, plain_tree, watched
from pywats_station.cli.showing import event_line, findings, tree_of
from support.handlers import Recording, event_of


def drawn(station: Any, width: int = 200) -> list[str]:
    """The lines of a station's tree."""
    console = Console(width=width, file=io.StringIO())
    console.print(tree_of(plain_snapshot(station.snapshot())))
    said: Any = console.file
    return said.getvalue().splitlines()


class Outage(Exception):
    outage = True


async def test_what_the_workers_of_a_handler_share_is_said_once(autojump_clock: MockClock) -> None:
    station = Station("ICT-01", handlers=[HandlerSpec(handler=Recording(), concurrency=4)])
    async with station.testing() as test:
        for number in range(5):
            await test.inject(event_of(number))
        lines = drawn(test)
    (line,) = [line for line in lines if "Recording" in line]
    assert line == "│   └── Recording  running  5 done"
    assert not any("worker" in line for line in lines)
    assert "├── bus  running  5 routed" in lines


async def test_in_an_outage_it_says_what_waits_until_when_and_why(autojump_clock: MockClock) -> None:
    away = True

    async def call(event: Event) -> None:
        if away:
            raise Outage("the server\nis away")

    station = Station(
        "ICT-01",
        handlers=[HandlerSpec(handler=Recording(call), concurrency=4)],
        retry_policy=RetryPolicy(max_retries=5),
        breaker=CircuitBreaker(failure_threshold=5, reset_timeout=30),
    )
    async with station.testing() as test:
        for number in range(9):
            await test.bus.publish(event_of(number))
        await wait_all_tasks_blocked()
        narrow, lines = drawn(test, 80), drawn(test)
        away = False
    position = next(number for number, line in enumerate(lines) if "Recording" in line)
    assert lines[position] == "│   └── Recording  circuit open, again in 30 s  9 waiting"
    assert lines[position + 1] == "│       └── Outage: the server"
    assert max(map(len, narrow)) <= 80


async def test_what_only_a_person_can_mend_says_so(autojump_clock: MockClock) -> None:
    class Refused(Exception):
        suspend = True

    async def call(event: Event) -> None:
        if not mended:
            raise Refused("wrong token")

    mended, breaker = False, CircuitBreaker()
    station = Station("ICT-01", handlers=[Recording(call)], breaker=breaker)
    async with station.testing() as test:
        await test.bus.publish(event_of())
        await wait_all_tasks_blocked()
        lines = drawn(test, 80)
        mended = True
        breaker.reset()
    position = next(number for number, line in enumerate(lines) if "Recording" in line)
    assert lines[position].endswith("Recording  circuit open, until mended and restarted  1 waiting")
    assert lines[position + 1] == "│       └── Refused: wrong token"


def test_the_journal_says_how_many_events_are_unsettled(tmp_path: Path) -> None:
    held, go = trio.Event(), trio.Event()

    async def hold(event: Event) -> None:
        held.set()
        await go.wait()

    async def look() -> list[str]:
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            receipt = await station.publish(event_of())
            await held.wait()
            lines = drawn(station)
            go.set()
            await receipt.wait_settled()
            station.request_stop()
        return lines

    station = Station("ICT-01", handlers=[Recording(hold)], data=tmp_path)
    assert "├── journal  running  1 unsettled" in trio.run(look)


def test_the_store_says_how_many_dead_letters_there_are_also_those_of_earlier_processes(
    tmp_path: Path,
) -> None:
    async def refuse(event: Event) -> None:
        raise ValueError("no")

    async def look(*numbers: int) -> list[str]:
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            for number in numbers:
                await (await station.publish(event_of(number))).wait_settled()
            console = Console(width=200, file=(said := io.StringIO()))
            console.print(tree_of(plain_tree(station.snapshot(), station.dead_letters)))
            station.request_stop()
        return [line for line in said.getvalue().splitlines() if "store" in line]

    station = Station("ICT-01", handlers=[Recording(refuse)], data=tmp_path)
    assert trio.run(look, 1) == ["├── store  running  1 dead letter"]
    station = Station("ICT-01", handlers=[Recording(refuse)], data=tmp_path)
    assert trio.run(look) == ["├── store  running  1 dead letter"]
    assert trio.run(look, 2) == ["├── store  running  2 dead letters"]


def test_of_a_system_event_it_is_shown_what_it_is_about_and_what_it_says() -> None:
    def shown(kind: EventType, **payload: Any) -> str:
        seen = watched(Event(kind, payload, source="ICT-01"))
        return event_line({name: getattr(seen, name) for name in seen.__struct_fields__}).plain[14:]

    assert shown(
        EventType.register("system.file_stuck"), folder="/drop", file="a.csv", reason="no\nroom"
    ) == ("system.file_stuck          a.csv          no room  ICT-01")
    assert shown(EventType.STORE_ALARM, level=0.8, part=0.81, hours_left=None, size=81, bound=100) == (
        "system.store_alarm         0.8            part 0.81, size 81, bound 100  ICT-01"
    )
    assert shown(EventType.CIRCUIT_OPENED, handler="reports").startswith("system.circuit_opened      reports")


def test_what_a_machine_says_is_one_line_and_no_command_to_a_terminal() -> None:
    event = Event(
        EventType.TEST_RESULT,
        {"unit_id": "SN\n1\x1b]0;owned\x07", "result": "fa\x9bil"},
        source="cfx:\x1b[2J\u202e",
    )
    line = event_line(msgspec.to_builtins(watched(event))).plain
    assert line.isprintable()
    assert r"SN\n1\x1b]0;owned\x07" in line
    assert r"cfx:\x1b[2J\u202e" in line


def test_what_an_error_says_is_no_command_to_a_terminal_in_the_tree_and_the_findings() -> None:
    child = {"name": "a\x1bc", "state": "backing_off", "life": 1, "restarts": 0, "last_error": "E: \x1b[2J"}
    child |= {"since": 0.0, "due": None, "policy": {}, "detail": None}
    tree = {"name": "ICT", "state": "running", "at": 0.0, "detail": None, "children": [child]}
    found = [Finding("error", "\x1bwhat", "text\x1b")]
    console = Console(file=io.StringIO(), width=200)
    console.print(tree_of(tree), findings(found))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()
    assert r"E: \x1b[2J" in console.file.getvalue()
