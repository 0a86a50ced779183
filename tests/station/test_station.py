"""A station: what comes in by its transports is handled by its handlers, under one tree."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_cfx import CFXConfig, CFXTransport, EndpointConfig
from pywats_events import BaseHandler, Event, EventType
from pywats_events.checks import Finding
from pywats_events.durability import SQLiteDeadLetterQueue, StoreInUse
from pywats_events.errors import BusNotRunning
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.transports import MockTransport
from pywats_files import FileWatcher, FolderConfig
from pywats_station import HandlerSpec, SourceProfile, Station, TransportSpec
from pywats_station.plan import outline
from pywats_supervision import ChildSpec, Supervisor
from pywats_supervision.policies import Backoff
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS
from support.handlers import Recording, event_of

DEADLINE = 20
"""Seconds that a test on the real clock waits at most."""


class Reports:
    """A report service that keeps what it gets."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []

    async def submit(self, report: dict[str, Any]) -> str:
        await trio.lowlevel.checkpoint()
        self.taken.append(report)
        return str(report["id"])


def result(unit: str = "SN-1", source: str = "cfx:SMTPlus.AOI.1") -> Event:
    payload = TestResultEvent(unit_id=unit, part_number="PCBA", revision="A", process="AOI")
    return Event(EventType.TEST_RESULT, payload, source=source)


PROFILE = SourceProfile(
    match="SMTPlus.*",
    machine="AOI-3",
    location="Line 1",
    purpose="Production",
    process_codes={"AOI": 110},
    tz="Europe/Oslo",
)


async def test_what_a_transport_brings_is_a_report_of_its_sender_s_profile(autojump_clock: MockClock) -> None:
    reports = Reports()
    station = Station("ICT-01", handlers=[ReportHandler(reports)], sources=[PROFILE])
    async with station.testing() as test:
        receipt = await test.inject(result())
        assert receipt.outcomes == {"ReportHandler": Outcome.HANDLED}
    (report,) = reports.taken
    assert (report["machineName"], report["location"], report["processCode"]) == ("AOI-3", "Line 1", 110)


async def test_a_handler_s_own_profiles_win_over_the_station_s(autojump_clock: MockClock) -> None:
    reports = Reports()
    own = SourceProfile(machine="OWN", process_codes={"*": 7})
    station = Station("ICT-01", handlers=[ReportHandler(reports, profiles=[own])], sources=[PROFILE])
    async with station.testing() as test:
        await test.inject(result())
    assert reports.taken[0]["machineName"] == "OWN"


async def test_a_sender_that_no_profile_matches_is_told_of_once(autojump_clock: MockClock) -> None:
    heard = Recording(event_type=EventType("system.sender_unmapped"))
    station = Station("ICT-01", handlers=[heard, Recording()], sources=[PROFILE])
    async with station.testing() as test:
        for source in ("cfx:Other.X.1", "cfx:Other.X.1", "cfx:SMTPlus.AOI.1", "cfx:Other.Y.1"):
            await test.inject(result(source=source))
    assert [event.payload["sender"] for event in heard.handled] == ["Other.X.1", "Other.Y.1"]
    assert "no SourceProfile matches the sender 'Other.X.1'" in heard.handled[0].payload["message"]


async def test_a_sender_that_no_profile_matches_is_told_of_and_logged_once_without_a_handler_for_it(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []
    station = Station("ICT-01", handlers=[Recording()], sources=[PROFILE])
    async with station.testing() as test:
        test.bus.on_event(heard.append, system=True)
        for _ in range(3):
            await test.inject(result(source="cfx:Other.X.1"))
        await trio.testing.wait_all_tasks_blocked()
    told = [event.payload["sender"] for event in heard if event.event_type == "system.sender_unmapped"]
    assert told == ["Other.X.1"]
    (record,) = [record for record in caplog.records if "no SourceProfile matches" in record.message]
    assert record.__dict__["sender"] == "Other.X.1"


async def test_policies_are_the_station_s_unless_a_handler_has_its_own(autojump_clock: MockClock) -> None:
    attempts: dict[str, int] = {"patient": 0, "hasty": 0}

    def failing(name: str) -> Recording:
        async def fail(event: Event) -> None:
            attempts[name] += 1
            raise ConnectionError("away")

        return Recording(fail, name=name)

    station = Station(
        "ICT-01",
        handlers=[
            failing("patient"),
            HandlerSpec(handler=failing("hasty"), retry_policy=RetryPolicy(max_retries=1)),
        ],
        retry_policy=RetryPolicy(max_retries=4, initial_delay=1),
    )
    async with station.testing() as test:
        await test.inject(event_of())
        assert {letter.handler_name for letter in test.dead_letters} == {"patient", "hasty"}
    assert attempts == {"patient": 5, "hasty": 2}


async def test_a_class_gives_a_fresh_handler_for_each_life(autojump_clock: MockClock) -> None:
    made: list[object] = []

    class Fragile(BaseHandler):
        def __init__(self) -> None:
            made.append(self)

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        async def handle(self, event: Event) -> None:
            if event.attempt == 1:
                raise ConnectionError("lost")

    station = Station("ICT-01", handlers=[Fragile], retry_policy=RetryPolicy(max_retries=1))
    async with station.testing() as test:
        await test.inject(event_of())
        assert test.dead_letters.is_empty
    assert len(made) > 1


async def test_each_life_of_what_a_factory_makes_is_told_who_senders_are(autojump_clock: MockClock) -> None:
    told = list[object]()

    class Knowing(BaseHandler):
        profiles: Sequence[SourceProfile] = ()

        @property
        def event_types(self) -> list[EventType]:
            return [EventType.TEST_RESULT]

        def use_profiles(self, profiles: Sequence[SourceProfile]) -> None:
            self.profiles = profiles

        async def handle(self, event: Event) -> None:
            told.append((self, *self.profiles))
            if event.attempt == 1:
                raise ConnectionError("lost")

    profile = SourceProfile(machine="AOI-3")
    station = Station(
        "ICT-01", handlers=[Knowing], sources=[profile], retry_policy=RetryPolicy(max_retries=1)
    )
    async with station.testing() as test:
        await test.inject(event_of())
    (first, *_), (second, *_) = told
    assert first is not second
    assert [profiles for _, *profiles in told] == [[profile], [profile]]


async def test_in_a_test_it_has_the_parts_of_its_plan(autojump_clock: MockClock) -> None:
    looked = trio.Event()

    class Checked(Recording):
        async def check(self) -> list[Finding]:
            looked.set()
            return []

    station = Station(
        "ICT-01",
        transports=[MockTransport("line")],
        handlers=[Checked()],
        services=[ChildSpec("driver", trio.sleep_forever)],
        observers=[ChildSpec("lamp", trio.sleep_forever)],
    )
    async with station.testing() as test:
        await looked.wait()
        tree = test.snapshot()
    for branch in ("services", "handlers", "transports", "observers"):
        (planned,) = [node for node in station.plan().children if node.name == branch]
        names = [one.name for one in tree.child(branch).detail.children]
        assert names == [node.name for node in planned.children if node.name in names]
        assert {node.name for node in planned.children} - set(names) <= {"first look"}  # which is over


async def test_own_actors_and_subtrees_live_where_they_are_put(autojump_clock: MockClock) -> None:
    cell = Supervisor([ChildSpec("axis", trio.sleep_forever)], name="cell")
    station = Station(
        "ICT-01",
        services=[ChildSpec("cell", cell.run)],
        observers=[ChildSpec("lamp", trio.sleep_forever)],
    )
    async with station.testing() as test:
        tree = test.snapshot()
        (child,) = tree.child("services").detail.children
        assert [axis.name for axis in child.detail.children] == ["axis"]
        assert [lamp.name for lamp in tree.child("observers").detail.children] == ["lamp"]


async def test_several_stations_live_in_one_process(autojump_clock: MockClock) -> None:
    handlers = [Recording(), Recording()]
    stations = [Station(f"ICT-{number}", handlers=[one]) for number, one in enumerate(handlers)]
    async with stations[0].testing() as first, stations[1].testing() as second:
        await first.inject(event_of(1))
        await second.inject(event_of(2))
    assert [handler.numbers for handler in handlers] == [[1], [2]]


def test_stations_in_threads_of_one_process_share_a_client_each_with_connections_of_its_own() -> None:
    done = threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with StandInWATS.serving() as server:
            urls.extend((server.url, server.token))
            reported.append(server.records.reports)
            ready.set()
            while not done.is_set():
                await trio.sleep(0.01)

    ready, reported = threading.Event(), list[dict[str, Any]]()
    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    try:
        assert ready.wait(DEADLINE)
        wats = WATSClient(*urls)
        stations = [Station(f"AOI-{n}", handlers=[ReportHandler(wats)], sources=[PROFILE]) for n in range(2)]
        for life in range(2):
            with stations[0], stations[1]:
                receipts = [
                    station.publish(result(f"SN-{life}-{station.name}-{number}"))
                    for number in range(20)
                    for station in stations
                ]
                for receipt in receipts:
                    receipt.wait(DEADLINE)
                    assert receipt.outcomes == {"ReportHandler": Outcome.HANDLED}
    finally:
        done.set()
        thread.join(DEADLINE)
    assert len(reported[0]) == 2 * 2 * 20


async def test_a_folder_is_a_sender_with_a_profile_as_a_machine_is(tmp_path: Path) -> None:
    (tmp_path / "FCT-7").mkdir()
    event = Event(EventType.TEST_RESULT, TestResultEvent(unit_id="SN-1", part_number="P", revision="A"))
    (tmp_path / "FCT-7" / "one.json").write_bytes(Event.to_json(event))
    reports = Reports()
    profile = SourceProfile(match="FCT-*", machine="Functional 7", process_codes={"*": 50})
    station = Station(
        "ICT-01",
        transports=[FileWatcher(FolderConfig(folder=tmp_path / "FCT-7", finished="renamed"))],
        handlers=[ReportHandler(reports)],
        sources=[profile],
    )
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            while not reports.taken:
                await trio.sleep(0.01)
            station.request_stop()
    assert (reports.taken[0]["machineName"], reports.taken[0]["processCode"]) == ("Functional 7", 50)


async def test_the_mocks_of_a_test_have_the_names_of_the_transports(autojump_clock: MockClock) -> None:
    station = Station("ICT-01", transports=[MockTransport("cfx"), lambda: MockTransport("files")])
    async with station.testing() as test:
        assert list(test.transports) == ["cfx", "files"]
        with pytest.raises(LookupError, match="has no transport 'mqtt'"):
            await test.inject(event_of(), "mqtt")


# On trio, and in plain code


async def test_it_runs_on_trio_until_it_is_asked_to_stop() -> None:
    transport, handler = MockTransport(), Recording()
    station = Station("ICT-01", transports=[transport], handlers=[handler])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            assert station.is_running
            receipt = await station.publish(event_of(1))
            await receipt.wait_settled()
            station.request_stop()
    assert not station.is_running
    assert handler.numbers == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_has_it_drain_and_return(number: signal.Signals) -> None:
    async def slow(_: Event) -> None:
        await trio.sleep(0.2)

    handler = Recording(slow)
    station = Station("ICT-01", handlers=[handler])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            for count in range(3):
                await station.publish(event_of(count))
            os.kill(os.getpid(), number)
    assert handler.numbers == [0, 1, 2]


async def test_a_second_signal_ends_it_at_once() -> None:
    started = trio.Event()

    async def hang(_: Event) -> None:
        started.set()
        await trio.sleep_forever()

    station = Station("ICT-01", handlers=[Recording(hang)])
    with trio.fail_after(DEADLINE), pytest.RaisesGroup(pytest.RaisesExc(SystemExit, match="143")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_second_signal, started)
            await nursery.start(station.run)
            await station.publish(event_of())


async def _second_signal(started: trio.Event) -> None:
    await started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await trio.testing.wait_all_tasks_blocked(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def test_plain_code_starts_and_stops_it(tmp_path: Path) -> None:
    handler = Recording()
    station = Station("ICT-01", handlers=[handler], data=tmp_path)
    with station:
        station.start()
        station.publish(event_of(1)).wait(DEADLINE)
        assert station.snapshot().state == "running"
    assert not station.is_running
    with station:
        station.publish(event_of(2)).wait(DEADLINE)
    assert handler.numbers == [1, 2]


async def test_it_is_a_child_of_another_tree() -> None:
    handler = Recording()
    station = Station("ICT-01", handlers=[handler])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            line = Supervisor([station.spec()], name="line")
            await nursery.start(line.run)
            await station.publish(event_of(1))
            await line.stop()
    assert handler.numbers == [1]


def test_before_its_start_it_has_no_bus() -> None:
    with pytest.raises(BusNotRunning, match="has not been started"):
        Station("ICT-01").publish_nowait(event_of())


async def test_with_data_it_starts_where_the_life_before_ended(tmp_path: Path) -> None:
    refused = True

    async def handle(event: Event) -> None:
        if refused:
            raise ValueError("no such process code")

    handler = Recording(handle, name="reports")
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(Station("ICT-01", handlers=[handler], data=tmp_path).run)
            station = Station("ICT-01", handlers=[handler], data=tmp_path)
            with pytest.raises(StoreInUse):
                await station.run(signals=False)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            await (await station.publish(event_of(1))).wait_settled()
            station.request_stop()
    with closing(SQLiteDeadLetterQueue.open(tmp_path)) as letters:
        assert [letter.event_id is not None for letter in letters] == [True]


# What cannot work


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"name": ""}, ValueError, "name must be a printable text"),
        ({"transports": [5]}, TypeError, "transport must be a BaseTransport"),
        ({"transports": MockTransport()}, TypeError, "transports must be a list"),
        (
            {"transports": [MockTransport("a"), MockTransport("a")]},
            ValueError,
            "two transports are called 'a'",
        ),
        ({"handlers": [5]}, TypeError, "has no `handle` method"),
        ({"sources": [{"match": "*"}]}, TypeError, "sources must be of SourceProfile"),
        ({"services": [trio.sleep_forever]}, TypeError, "services must be of ChildSpec"),
        ({"retry_policy": 5}, TypeError, "retry_policy must be of RetryPolicy"),
        ({"breaker": 5}, TypeError, "breaker must be of CircuitBreaker"),
        ({"data": 5}, TypeError, "data must be a folder"),
        ({"data": "x", "dead_letters": DeadLetterQueue()}, ValueError, "not both"),
        ({"grace": -1}, ValueError, "grace must be"),
        ({"transport": []}, TypeError, "a station takes no 'transport'; it takes transports, "),
    ],
)
def test_what_cannot_work_is_said_when_it_is_built(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Station(**{"name": "ICT-01", **options})


def test_a_time_zone_that_does_not_exist_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="tz must be a time zone"):
        SourceProfile(tz="Europe/Atlantis")


# What it will run


def test_its_plan_is_the_tree_that_it_runs(tmp_path: Path) -> None:
    config = CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/1", listen="amqp://127.0.0.1:0"))
    station = Station(
        "ICT-01",
        transports=[TransportSpec(transport=CFXTransport(config), reconnect=Backoff(1, 30))],
        handlers=[ReportHandler(Reports()), Recording],
        retry_policy=RetryPolicy(max_retries=5),
        breaker=CircuitBreaker(failure_threshold=5, reset_timeout=30),
        services=[ChildSpec("driver", trio.sleep_forever)],
        data=tmp_path,
    )
    drawing = "\n".join(outline(station.plan()))
    assert drawing.splitlines()[0] == "ICT-01  rest_for_one"
    assert "ReportHandler  4 at once; in order by key; 5 retries after 1 to 60 s; breaker: 5 f" in drawing
    assert "cfx  CFXTransport; again after 1 to 30 s" in drawing
    assert "Recording  5 retries" in drawing
    with station:
        tree = station.snapshot()
    assert [node.name for node in station.plan().children] == [child.name for child in tree.children]
    for branch in ("services", "handlers", "transports"):
        (planned,) = [node for node in station.plan().children if node.name == branch]
        assert [node.name for node in planned.children] == [
            one.name for one in tree.child(branch).detail.children
        ]
