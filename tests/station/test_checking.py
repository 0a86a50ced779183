"""What `check` finds out of a station that does not run."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig
from pywats_events import EventType
from pywats_events.checks import Finding
from pywats_events.durability import Store
from pywats_events.durability._schema import APPLICATION_ID
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_events.transports import MockTransport
from pywats_files import FileWatcher, FolderConfig
from pywats_station import HandlerSpec, SourceProfile, Station, TransportSpec
from pywats_station.checking import advice, check
from pywats_supervision.policies import Backoff
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS
from support.handlers import Recording
from support.rabbitmq import free_ports

DEADLINE = 30
"""Seconds that a test with sockets waits at most."""
POLICIES = {"retry_policy": RetryPolicy(), "breaker": CircuitBreaker()}


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.level for finding in found}


async def found_of(station: Station) -> list[Finding]:
    with trio.fail_after(DEADLINE):
        return await check(station.config)


def cfx(listen: str | None = None, **options: str) -> CFXTransport:
    return CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle="//A/B/C", listen=listen, **options)))


async def test_a_port_that_is_taken_is_an_error() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        found = await found_of(Station("A", transports=[cfx(f"amqp://127.0.0.1:{port}")]))
    (said,) = [finding for finding in found if finding.level == "error"]
    assert said.what == f"listen amqp://127.0.0.1:{port}"
    assert "is taken" in said.text
    free = await found_of(Station("A", transports=[cfx(f"amqp://127.0.0.1:{port}")]))
    assert levels(free)[f"listen amqp://127.0.0.1:{port}"] == "ok"


def test_the_port_of_a_station_that_runs_is_no_error_of_the_same_station(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    where = f"amqp://127.0.0.1:{port}"
    transport, listens = cfx(where), threading.Event()
    transport.on_connect(listens.set)
    with Station("A", transports=[transport], data=tmp_path):
        assert listens.wait(DEADLINE)
        found = trio.run(check, Station("A", transports=[cfx(where)], data=tmp_path).config)
        others = trio.run(check, Station("B", transports=[cfx(where)], data=tmp_path / "b").config)
    assert levels(found)[f"listen {where}"] == "warning"
    assert levels(others)[f"listen {where}"] == "error"


async def test_certificates_are_read(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    found = await found_of(Station("A", transports=[cfx("amqps://127.0.0.1:0", tls_cert=str(missing))]))
    assert Finding("error", f"certificate {missing}", f"there is no file {missing}") in found
    missing.write_text("nonsense")
    found = await found_of(Station("A", transports=[cfx("amqps://127.0.0.1:0", tls_cert=str(missing))]))
    assert levels(found)[f"certificate {missing}"] == "error"


async def test_a_broker_that_is_away_is_no_error_for_the_station_waits() -> None:
    config = CFXConfig(
        endpoint=EndpointConfig(cfx_handle="//A/B/C"), amqp=AMQPConfig(host="127.0.0.1", port=9)
    )
    found = await found_of(Station("A", transports=[CFXTransport(config)]))
    assert levels(found)["broker 127.0.0.1:9"] == "warning"
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        there = CFXConfig(endpoint=config.endpoint, amqp=AMQPConfig(host="127.0.0.1", port=port))
        found = await found_of(Station("A", transports=[CFXTransport(there)]))
    assert levels(found)[f"broker 127.0.0.1:{port}"] == "ok"


@pytest.mark.parametrize(
    ("code", "token", "away", "level", "text"),
    [
        (10, None, False, "ok", "it answers"),
        (4711, None, False, "error", "4711 of the SourceProfile"),
        (10, "d3Jvbmc=", False, "error", "check the token"),
        (10, None, True, "warning", "the station will wait for it"),
    ],
)
async def test_the_server_is_asked_for_itself_the_token_and_the_process_codes(
    code: int, token: str | None, away: bool, level: str, text: str
) -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server:
            async with WATSClient(server.url, token or server.token) as wats:
                if away:
                    server.fail(503)
                station = Station(
                    "A",
                    handlers=[ReportHandler(wats)],
                    sources=[SourceProfile(process_codes={"*": code})],
                    **POLICIES,
                )
                found = await check(station.config)
    assert [finding for finding in found if finding.level == level and text in finding.text]


async def test_at_the_start_what_the_server_does_not_know_is_told() -> None:
    heard = Recording(event_type=EventType("system.check_failed"))
    told = trio.Event()
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, WATSClient(server.url, server.token) as wats:
            sources = [SourceProfile(process_codes={"*": 4711})]
            station = Station("A", handlers=[ReportHandler(wats), heard], sources=sources, **POLICIES)
            heard._what = lambda event: _tell(told)
            async with trio.open_nursery() as nursery:
                await nursery.start(station.run)
                await told.wait()
                station.request_stop()
    assert "4711 of the SourceProfile" in heard.handled[0].payload["message"]


async def _tell(told: trio.Event) -> None:
    await trio.lowlevel.checkpoint()
    told.set()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = trio.run(check, Station("A", data=tmp_path / "file").config)
    assert levels(found)[f"data {tmp_path / 'file'}"] == "error"
    found = trio.run(check, Station("A", data=tmp_path / "deep" / "er").config)
    assert levels(found)[f"data {tmp_path / 'deep' / 'er'}"] == "ok"
    assert not (tmp_path / "deep").exists()


def test_a_disk_without_the_room_that_a_store_wants_is_an_error(tmp_path: Path) -> None:
    found = trio.run(check, Station("A", data=Store(tmp_path / "data", min_free=1.0)).config)
    (said,) = [finding for finding in found if finding.level == "error"]
    assert said.what == f"data {tmp_path / 'data'}"
    assert "nothing would be accepted" in said.text
    assert "of which 100% have to stay free" in said.text


def test_a_folder_that_another_station_has_is_a_warning_that_names_its_process(tmp_path: Path) -> None:
    with Station("A", data=tmp_path):
        found = trio.run(check, Station("B", data=tmp_path).config)
    text = "it is in use by another store of this process; stop that before this one starts"
    assert Finding("warning", f"data {tmp_path}", text, occupied=True) in found
    found = trio.run(check, Station("B", data=tmp_path).config)
    assert levels(found)[f"data {tmp_path}"] == "ok"
    with Station("B", data=tmp_path) as station:  # looking has left everything as it was
        assert station.is_running


@pytest.mark.parametrize(
    ("made", "level", "text"),
    [
        ("PRAGMA user_version = 1", "error", "is a database of another program"),
        ("PRAGMA application_id = {ours}; PRAGMA user_version = 999", "error", "has written it"),
        (None, "warning", "it is damaged (file is not a database); it is set aside when a station opens it"),
    ],
)
def test_a_database_that_a_station_could_not_go_on_with_is_said(
    tmp_path: Path, made: str | None, level: str, text: str
) -> None:
    if made is None:
        (tmp_path / "store.db").write_bytes(b"no database" * 100)
    else:
        with closing(sqlite3.connect(tmp_path / "store.db")) as database:
            database.executescript(made.format(ours=APPLICATION_ID))
    (said,) = [
        finding
        for finding in trio.run(check, Station("A", data=tmp_path).config)
        if finding.what == f"data {tmp_path}"
    ]
    assert said.level == level
    assert text in said.text


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="there is no folder that not even root may write to"
)
def test_a_folder_that_nobody_can_write_to_is_an_error() -> None:
    found = trio.run(check, Station("A", data="/proc/none").config)
    (said,) = [finding for finding in found if finding.level == "error"]
    assert "nothing can be written to /proc" in said.text


async def test_the_folders_of_file_watchers_are_looked_at_also_those_of_factories(tmp_path: Path) -> None:
    away = tmp_path / "away"

    def made() -> FileWatcher:
        return FileWatcher(FolderConfig(folder=away), "made")

    there = FileWatcher(FolderConfig(folder=tmp_path), "there")
    found = levels(await found_of(Station("A", transports=[there, made])))
    assert found[f"folder {tmp_path}"] == "ok"
    assert found[f"folder {away}"] == "error"


class Reading:
    """A handler that can be made."""

    event_types = ("test.result", "nobody.*")

    async def handle(self, event: object) -> None: ...


class Misspelt(Reading):
    event_types = ("test.reslt",)


class Broken(Reading):
    def __init__(self) -> None:
        raise KeyError("ACME_TOKEN")


async def test_event_types_of_handlers_are_looked_at_also_those_of_classes() -> None:
    found = {one.what: one for one in await found_of(Station("A", handlers=[Recording(), Reading, Misspelt]))}
    assert found["event types of Recording"] == Finding("ok", "event types of Recording", "test.result")
    assert found["event types of Reading"].level == "warning"
    assert "nobody.*" in found["event types of Reading"].text
    assert found["handler Misspelt"].level == "error"
    assert "there is no event type 'test.reslt'" in found["handler Misspelt"].text


async def test_a_part_that_cannot_be_made_is_an_error() -> None:
    def none() -> None: ...

    one, other = (partial(MockTransport, "cfx") for _ in range(2))
    station = Station("A", transports=[none, one, other], handlers=[Broken])
    found = {one.what: one.text for one in await found_of(station) if one.level == "error"}
    assert "must make a BaseTransport, not None" in found["transport none"]
    assert "KeyError: 'ACME_TOKEN'" in found["handler Broken"]
    assert "there are two of that name" in found["transport cfx"]


@pytest.mark.parametrize(
    ("options", "what", "text"),
    [
        ({"retry_policy": RetryPolicy(max_retries=0)}, "retry_policy", "will not be tried again"),
        ({"retry_policy": RetryPolicy(initial_delay=0)}, "retry_policy of Recording", "follow at once"),
        ({"retry_policy": RetryPolicy(max_retries=10**9)}, "retry_policy of Recording", "hours before it is"),
        (
            {"ordered": True, "retry_policy": RetryPolicy(max_retries=10)},
            "retry_policy of Recording",
            "for up to 309 s",
        ),
        ({"breaker": CircuitBreaker(reset_timeout=0.1)}, "breaker of Recording", "every 0.1 s"),
        ({"breaker": CircuitBreaker(reset_timeout=7200)}, "breaker of Recording", "for up to 120 minutes"),
        ({"shutdown": 60.0}, "shutdown of Recording", "more than the station's grace of 30 s"),
    ],
)
def test_policies_that_are_hardly_meant_are_said(options: dict[str, Any], what: str, text: str) -> None:
    handler = HandlerSpec(handler=Recording(), **{**POLICIES, **options})
    station = Station("A", transports=[MockTransport()], handlers=[handler], data="x")
    (said,) = advice(station.config)
    assert (said.level, said.what) == ("warning", what)
    assert text in said.text


@pytest.mark.parametrize(
    ("reconnect", "text"),
    [(Backoff(initial=0.01), "within 0.01 s"), (Backoff(maximum=7200), "for up to 120 minutes")],
)
def test_a_reconnect_that_is_hardly_meant_is_said(reconnect: Backoff, text: str) -> None:
    transport = TransportSpec(transport=MockTransport("cfx"), reconnect=reconnect)
    station = Station("A", transports=[transport], handlers=[Recording()], data="x", **POLICIES)
    (said,) = advice(station.config)
    assert (said.level, said.what) == ("warning", "reconnect of cfx")
    assert text in said.text


def test_what_is_likely_meant_otherwise_is_said() -> None:
    class Service:
        async def submit(self, report: object) -> None: ...

    bare = {finding.what for finding in advice(Station("A").config)}
    assert bare == {"transports", "handlers", "data"}
    careless = Station("A", handlers=[ReportHandler(Service()), Recording()])
    said = {finding.what for finding in advice(careless.config)}
    assert {"retry_policy", "breaker of ReportHandler", "sources"} <= said
    careful = Station(
        "A",
        transports=[cfx("amqp://127.0.0.1:0")],
        handlers=[ReportHandler(Service())],
        sources=[SourceProfile(process_codes={"*": 10})],
        data="x",
        **POLICIES,
    )
    assert list(advice(careful.config)) == []
