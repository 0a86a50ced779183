"""The stand-in WATS server, and our client and handlers against it over real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus
from pywats_wats import ReportHandler, SourceProfile, WATSClient, WATSRefused, WATSRejected, WATSUnavailable
from pywats_wats.report import report_of
from pywats_wats.testing import StandInWATS, faults_of

DEADLINE = 30
"""Seconds that a test with sockets waits at most."""
PROFILE = SourceProfile(machine="ICT-01", process_codes={"*": 10}, part_number="PCBA", revision="A")


def result(unit: str = "SN-1", verdict: str = "pass") -> Event:
    return Event(EventType.TEST_RESULT, TestResultEvent(unit_id=unit, result=verdict), source="tester")


def report(unit: str = "SN-1", **fields: Any) -> dict[str, Any]:
    return {**report_of(result(unit), PROFILE), **fields}


def client_of(server: StandInWATS, timeout: float = 5.0) -> WATSClient:
    return WATSClient(server.url, server.token, timeout=timeout)


def policies() -> dict[str, Any]:
    breaker = CircuitBreaker(failure_threshold=3, reset_timeout=0.1, success_threshold=1)
    return {
        "retry_policy": RetryPolicy(max_retries=3, initial_delay=0.02, max_delay=0.1),
        "error_policy": ErrorPolicy(circuit_breaker=breaker),
        "grace": DEADLINE,
    }


# What it answers


async def test_it_takes_a_report_and_knows_it_again() -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server) as client:
            one = report()
            assert await client.submit(one) == one["id"] == await client.submit(one)
    records = server.records
    assert (list(records.reports), records.submissions, records.repeats) == ([one["id"]], 2, 1)
    assert records.reports_of("SN-1") == [one]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rev": ""}, "rev must have 1 to 100 characters"),
        ({"processCode": 77}, "processCode 77 is not known"),
        ({"result": "X"}, "result must be one of"),
        ({"id": "one"}, "id must be a UUID"),
        (
            {"root": {"stepType": "Nonsense", "name": "x", "group": "M", "status": "P"}},
            "'Nonsense' is not known",
        ),
    ],
)
async def test_a_report_that_wats_would_not_take_is_refused_with_the_reason(
    change: dict[str, Any], words: str
) -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server) as client:
            with pytest.raises(WATSRejected, match=words):
                await client.submit(report(**change))
    assert server.records.reports == {}


def test_what_our_handler_makes_has_no_faults() -> None:
    assert faults_of(report()) == []
    assert faults_of([1]) == ["the body must be one report, an object"]


STEP = {"name": "x", "group": "M", "status": "P"}
TEXT = {"status": "P", "value": "a"}
NUMBER = {"status": "P", "value": 1.0, "compOp": "GE", "lowLimit": 1.0}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"stepType": "ET_MNLT", "numericMeas": []}, "root.numericMeas must be a list of at least one"),
        ({"stepType": "ET_NLT", "numericMeas": [NUMBER, NUMBER]}, "root.numericMeas must be a list of one"),
        ({"stepType": "ET_NLT", "numericMeas": [5]}, "root.numericMeas[0] must be an object, not 5"),
        ({"stepType": "ET_NLT", "numericMeas": [NUMBER | {"lowLimit": "1"}]}, "lowLimit must be a number"),
        ({"stepType": "ET_SVT", "stringMeas": [TEXT | {"compOp": "GELE"}]}, "is not known for a text"),
        ({"stepType": "ET_SVT", "stringMeas": [TEXT | {"compOp": "EQ"}]}, "must have a limit for EQ"),
        (
            {"stepType": "ET_SVT", "stringMeas": [TEXT | {"compOp": "LOG", "limit": "a"}]},
            "have no limit for LOG",
        ),
        ({"stepType": []}, "root.stepType [] is not known"),
        ({"stepType": "SequenceCall"}, "root.seqCall must be an object, not None"),
    ],
)
def test_each_step_is_looked_at(step: dict[str, Any], words: str) -> None:
    (fault,) = faults_of(report(root=STEP | step))
    assert words in fault


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["steps", "stepType", "seqCall", "numericMeas", "stringMeas", "name", "compOp", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["miscInfos", "uut", "subUnits", "binaryData", "result"]), _junk),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["steps", "seqCall", "numericMeas", "stringMeas", "name", "status"], _junk)
    ),
    st.sampled_from(["SequenceCall", "ET_NLT", "ET_MNLT", "ET_SVT", "ET_PFT"]),
)
def test_whatever_is_sent_its_faults_are_told(head: dict[str, Any], root: dict[str, Any], kind: str) -> None:
    assert all(isinstance(fault, str) for fault in faults_of(report(**head, root=root | {"stepType": kind})))


async def test_it_answers_all_calls_about_assets_and_units() -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving(assets=["A1"], units=[("SN-1", "P")]) as server:
            async with client_of(server) as client:
                assert (await client.get_asset("A1"))["assetId"] == "asset-A1"
                await client.set_asset_state("A1", 3)
                await client.count_asset("A1", increment=2)
                await client.asset_message("asset-A1", "[error] E1")
                await client.maintain("A1", datetime(2026, 11, 24, tzinfo=UTC), "cleaned")
                await client.create_unit("SN-2", "P", "A")
                await client.add_child_unit(("SN-1", "P"), ("SN-2", "P"))
                await client.set_unit_phase("SN-1", "P", 16)
                await client.set_unit_process("SN-1", "P", 10)
                assert (await client.verify_unit("SN-1", "P"))["status"] == "Passed"
                assert {one["code"] for one in await client.processes()} >= {10, 110}
                for wrong in (client.get_asset("A2"), client.get_unit("SN-3", "P")):
                    with pytest.raises(WATSRejected, match="404"):
                        await wrong
                with pytest.raises(WATSRejected, match="409"):
                    await client.add_child_unit(("SN-1", "P"), ("SN-2", "P"))
    records = server.records
    assert (records.states, records.counts, records.logs) == ({"A1": 3}, {"A1": 2}, {"A1": ["[error] E1"]})
    assert records.serviced[0][:2] == ("A1", "Maintenance")
    assert records.units["SN-1", "P"]["subUnits"] == [{"serialNumber": "SN-2", "partNumber": "P"}]


async def test_it_says_that_it_is_not_wats() -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, httpx2.AsyncClient() as browser:
            answer = await browser.get(server.url)
    assert "not WATS" in answer.json()["what"]
    assert "not WATS" in answer.headers["server"]


async def test_in_virtual_time_it_is_called_without_sockets(autojump_clock: MockClock) -> None:
    server = StandInWATS()
    server.be_slow(3600)
    transport = httpx2.ASGITransport(app=server.app)
    async with WATSClient("http://wats", server.token, transport=transport) as client:
        await client.submit(report())
    assert trio.current_time() == 3600
    assert len(server.records.reports) == 1


def test_it_can_be_run_by_hand() -> None:
    command = [sys.executable, "-m", "pywats_wats.testing", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        process.send_signal(2)
        assert process.wait(DEADLINE) == 0
    assert first.startswith("export WATS_BASE_URL=http://127.0.0.1:")
    assert "not WATS" in second


# How it fails


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (lambda server: server.fail(503, retry_after=2), WATSUnavailable),
        (lambda server: server.fail(429), WATSUnavailable),
        (lambda server: server.fail(401), WATSRefused),
        (lambda server: server.fail(400), WATSRejected),
        (lambda server: server.hang(), WATSUnavailable),
        (lambda server: server.drop(), WATSUnavailable),
        (lambda server: server.answer_garbage(), WATSRefused),
        (lambda server: server.be_slow(60), WATSUnavailable),
    ],
)
async def test_each_failure_is_the_error_that_its_kind_is(
    trouble: Callable[[StandInWATS], None], error: type[Exception]
) -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server, timeout=0.3) as client:
            trouble(server)
            with pytest.raises(error):
                await client.submit(report())
            server.recover()
            await client.submit(report())


async def test_a_wrong_token_is_refused_and_not_shown() -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server:
            async with WATSClient(server.url, "d3Jvbmc=") as client:
                with pytest.raises(WATSRefused, match="401") as raised:
                    await client.submit(report())
    assert "d3Jvbmc" not in str(raised.value)


# Our handlers against it


async def publish(bus: AsyncEventBus, count: int) -> list[Any]:
    return [await bus.publish(result(f"SN-{number % 10}")) for number in range(count)]


@pytest.mark.parametrize(
    "trouble",
    [
        lambda server: server.fail(503, times=7),
        lambda server: server.fail(429, times=3, retry_after=0.05),
        lambda server: server.drop(times=5),
        lambda server: server.hang(times=3),
    ],
    ids=["503", "429", "drop", "hang"],
)
async def test_whatever_fails_for_a_while_each_result_is_one_report(
    trouble: Callable[[StandInWATS], None],
) -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server, timeout=0.3) as client:
            trouble(server)
            async with running_async_bus(**policies()) as bus:
                bus.subscribe(ReportHandler(client, profiles=[PROFILE]))
                receipts = await publish(bus, 50)
                await bus.wait_idle()
                assert bus.error_policy.dead_letter_queue.is_empty
    assert {receipt.event.id for receipt in receipts} == set(server.records.reports)


async def test_a_server_that_goes_away_and_comes_back_has_every_report() -> None:
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server) as client:
            async with running_async_bus(**policies()) as bus:
                handler = ReportHandler(client, profiles=[PROFILE])
                bus.subscribe(handler)
                receipts = await publish(bus, 20)
                url, failed = server.url, trio.Event()
                server.leave()
                bus.on_error(lambda event, error: failed.set())
                receipts += await publish(bus, 20)
                await failed.wait()
                server.return_()
                receipts += await publish(bus, 20)
                await bus.wait_idle()
                assert bus.error_policy.dead_letter_queue.is_empty
    assert server.url == url
    assert {receipt.event.id for receipt in receipts} == set(server.records.reports)
    for unit in range(10):
        mine = [receipt.event.id for receipt in receipts if receipt.event.payload["unit_id"] == f"SN-{unit}"]
        assert [one["id"] for one in server.records.reports_of(f"SN-{unit}")] == mine


async def test_what_it_will_never_take_is_a_dead_letter_with_its_words() -> None:
    profile = SourceProfile(process_codes={"*": 4711}, part_number="P", revision="A")
    with trio.fail_after(DEADLINE):
        async with StandInWATS.serving() as server, client_of(server) as client:
            async with running_async_bus(**policies()) as bus:
                bus.subscribe(ReportHandler(client, profiles=[profile]))
                receipt = await bus.publish(result())
                await receipt.wait_settled()
                assert receipt.outcomes == {"ReportHandler": Outcome.DEAD_LETTERED}
                (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert "processCode 4711 is not known" in str(letter.error)


def test_where_it_cannot_listen_is_told_in_one_line() -> None:
    def said(port: int) -> tuple[int, str]:
        command = [sys.executable, "-m", "pywats_wats.testing", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        return done.returncode, done.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, error = said(port)
    assert status == 1
    (line,) = error.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: " in line
    assert line.endswith("; give another --host or --port")
    status, error = said(99999)
    assert status == 2
    assert error.endswith("argument --port: it must be 0 to 65535, not '99999'\n")
