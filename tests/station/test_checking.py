"""What `check` finds out of a station that does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from pywats_cfx import AMQPConfig, CFXConfig, CFXTransport, EndpointConfig
from pywats_events import EventType
from pywats_events.checks import Finding
from pywats_events.policies import CircuitBreaker, RetryPolicy
from pywats_station import SourceProfile, Station
from pywats_station.checking import advice, check
from pywats_wats import ReportHandler, WATSClient
from pywats_wats.testing import StandInWATS
from support.handlers import Recording

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
