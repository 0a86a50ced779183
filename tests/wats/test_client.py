"""The client says what became of a call, and never shows its token."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trustme
from trio.testing import MockClock

from pywats_events.secrets import env, file
from pywats_wats import WATSClient, WATSError, WATSRefused, WATSRejected, WATSUnavailable

TOKEN = "c2VjcmV0OnRva2Vu"
URL = "https://wats.example.com"


def client(answer: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> WATSClient:
    return WATSClient(URL, TOKEN, transport=httpx2.MockTransport(answer), **options)


def answering(status: int, body: Any = None, **headers: str) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda request: httpx2.Response(status, json=body, headers=headers)


async def test_a_report_is_posted_as_json_with_the_token() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=[{"ID": "r-1"}])

    async with client(answer) as wats:
        assert await wats.submit({"id": "r-1"}) == "r-1"
        assert await wats.submit(b'{"id": "r-1"}') == "r-1"
    for request in seen:
        assert (request.method, str(request.url)) == ("POST", f"{URL}/api/Report/WSJF")
        assert request.headers["authorization"] == f"Basic {TOKEN}"
        assert request.headers["content-type"] == "application/json"
        assert request.content in {b'{"id":"r-1"}', b'{"id": "r-1"}'}


async def test_calls_go_below_the_base_url_those_of_a_pool_opened_again_too() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(200, json={"ID": "r-1"})

    wats = WATSClient(f"{URL}/plant/2/", TOKEN, transport=httpx2.MockTransport(answer))
    for _ in range(2):
        await wats.submit({})
        await wats.submit({})
        await wats.get_asset("a/b")
        await wats.aclose()
    report = f"{URL}/plant/2/api/Report/WSJF"
    assert seen == [report, report, f"{URL}/plant/2/api/Asset/a%2Fb"] * 2


class Closing(httpx2.MockTransport):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


def test_a_pool_is_closed_with_its_trio_run_and_the_next_run_has_its_own() -> None:
    transport = Closing(answering(200, [{"ID": "r-1"}]))
    wats = WATSClient(URL, TOKEN, transport=transport)
    trio.run(wats.submit, {})
    assert transport.closed == 1
    trio.run(wats.submit, {})
    assert transport.closed == 2


async def test_a_pool_is_closed_once_and_opened_again_when_it_is_used() -> None:
    transport = Closing(answering(200, [{"ID": "r-1"}]))
    wats = WATSClient(URL, TOKEN, transport=transport)
    for count in range(3):
        await wats.submit({})
        await wats.aclose()
        await wats.aclose()
        assert transport.closed == count + 1


DAY = datetime(2026, 1, 2, tzinfo=UTC)
PAIR = {"serialNumber": "S", "partNumber": "P"}
SERVICED = {"serialNumber": "A", "dateTime": DAY.isoformat()}
COUNTED = {"serialNumber": "A", "incrementBy": "2"}
TOTAL = {"serialNumber": "A", "totalCount": "9"}
LINE = {"assetId": "id", "comment": "hot", "user": "me"}
PROCESS = {**PAIR, "processCode": "10", "comment": "c"}
FAMILY = {
    "parentSerialNumber": "S",
    "parentPartNumber": "P",
    "childSerialNumber": "s",
    "childPartNumber": "p",
}
CALLS: list[tuple[Callable[[WATSClient], Any], str, str, dict[str, Any], Any]] = [
    (lambda c: c.get_asset("A/1"), "GET", "Asset/A%2F1", {}, None),
    (lambda c: c.set_asset_state("A", 3), "PUT", "Asset/State", {"serialNumber": "A", "state": "3"}, None),
    (lambda c: c.count_asset("A", increment=2), "PUT", "Asset/Count", COUNTED, None),
    (lambda c: c.count_asset("A", total=9), "PUT", "Asset/Count", TOTAL, None),
    (lambda c: c.asset_message("id", "hot", "me"), "POST", "Asset/Message", {}, LINE),
    (lambda c: c.maintain("A", DAY), "POST", "Asset/Maintenance", SERVICED, None),
    (lambda c: c.calibrate("A", DAY, "ok"), "POST", "Asset/Calibration", {**SERVICED, "comment": "ok"}, None),
    (lambda c: c.get_unit("S", "P"), "GET", "Production/Unit/S/P", {}, None),
    (lambda c: c.create_unit("S", "P", "R"), "POST", "Production/Unit", {}, {**PAIR, "revision": "R"}),
    (
        lambda c: c.set_unit_phase("S", "P", 16),
        "PUT",
        "Production/SetUnitPhase",
        {**PAIR, "phase": "16"},
        None,
    ),
    (lambda c: c.set_unit_process("S", "P", 10, "c"), "PUT", "Production/SetUnitProcess", PROCESS, None),
    (lambda c: c.verify_unit("S", "P"), "GET", "Production/UnitVerification", PAIR, None),
    (lambda c: c.add_child_unit(("S", "P"), ("s", "p")), "POST", "Production/AddChildUnit", FAMILY, None),
]


@pytest.mark.parametrize(("call", "method", "path", "query", "body"), CALLS)
async def test_each_call_is_the_server_s(
    call: Callable[[WATSClient], Any], method: str, path: str, query: dict[str, Any], body: Any
) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    async with client(answer) as wats:
        await call(wats)
    (request,) = seen
    assert (request.method, request.url.raw_path.decode().partition("?")[0]) == (method, f"/api/{path}")
    assert dict(request.url.params) == query
    assert (json.loads(request.content) if request.content else None) == body


async def test_the_processes_that_the_server_knows() -> None:
    async with client(answering(200, [{"code": 10, "name": "ICT"}, 5])) as wats:
        assert await wats.processes() == [{"code": 10, "name": "ICT"}]


@pytest.mark.parametrize(
    ("status", "kind"), [(400, WATSRejected), (401, WATSRefused), (503, WATSUnavailable), (302, WATSRefused)]
)
async def test_an_answer_that_is_not_done_is_raised(status: int, kind: type[Exception]) -> None:
    async with client(answering(status, {"message": "no"})) as wats:
        with pytest.raises(kind, match=f"answered {status}"):
            await wats.submit({})


async def test_an_answer_without_the_report_s_id_is_not_done() -> None:
    async with client(answering(200, {})) as wats:
        with pytest.raises(WATSUnavailable, match="without the report's id"):
            await wats.submit({})


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
async def test_a_connection_that_fails_is_an_outage(error: type[httpx2.TransportError]) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error("gone", request=request)

    async with client(answer) as wats:
        with pytest.raises(WATSUnavailable, match=f"was not answered: {error.__name__}: gone") as raised:
            await wats.submit({})
    assert raised.value.outage


async def test_an_answer_without_end_is_no_answer_of_wats() -> None:
    sent = 0

    async def endless(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.receive_some()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                await stream.send_all(b" " * (1 << 20))
                sent += 1

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, endless, [listener])
        async with WATSClient(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", TOKEN) as wats:
            with trio.fail_after(30), pytest.raises(WATSRefused, match="more than 16777216 bytes"):
                await wats.submit({})
        nursery.cancel_scope.cancel()
    assert 16 <= sent < 32


async def test_a_server_that_refuses_connections_is_an_outage() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with WATSClient(f"http://127.0.0.1:{port}", TOKEN) as wats:
        with pytest.raises(WATSUnavailable, match="ConnectError"):
            await wats.submit({})


async def test_a_call_that_is_cancelled_leaves_a_client_that_works(autojump_clock: MockClock) -> None:
    slow = True

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if slow:
            await trio.sleep(60)
        return httpx2.Response(200, json={"id": "x"})

    async with WATSClient(URL, TOKEN, transport=httpx2.MockTransport(answer)) as wats:
        with trio.move_on_after(1) as scope:
            await wats.submit({})
        assert scope.cancelled_caught
        slow = False
        assert await wats.submit({}) == "x"
        await wats.aclose()
        assert await wats.submit({}) == "x"  # it opens again


async def test_the_token_is_nowhere_to_be_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for answer in (answering(401, {"you": "sent what?"}), answering(500), answering(400)):
        async with client(answer) as wats:
            said += [repr(wats), str(wats)]
            with pytest.raises(WATSError) as raised:
                await wats.submit({})
            said += [repr(raised.value), "".join(traceback.format_exception(raised.value))]
    for wrong in ("no base64!", f"{TOKEN} "[:5] + "é"):
        with pytest.raises(ValueError, match="token must be base64") as refused:
            WATSClient(URL, wrong)
        said.append(str(refused.value))
        assert wrong not in said[-1]
    text = "\n".join([*said, caplog.text])
    assert len(said) == 14
    assert TOKEN not in text
    assert "secret:token" not in text


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"base_url": "wats.example.com"}, ValueError, "base_url must be a URL such as https://"),
        ({"base_url": "ftp://wats.example.com"}, ValueError, "base_url must be a URL such as https://"),
        ({"base_url": 5}, TypeError, "base_url must be a str"),
        ({"base_url": ""}, ValueError, "does not begin with https://"),
        ({"base_url": "https://"}, ValueError, "has no host"),
        ({"base_url": "https://."}, ValueError, "has no host, or one that cannot be"),
        ({"base_url": "https://wats%20.example.com"}, ValueError, "has no host, or one that cannot be"),
        ({"base_url": "https://[::1"}, ValueError, "has a host or port that cannot be"),
        ({"base_url": "https://wats:notaport"}, ValueError, "has a host or port that cannot be"),
        ({"base_url": "https://wats:99999"}, ValueError, "has a host or port that cannot be"),
        ({"base_url": "https://wats:0"}, ValueError, "has the port 0"),
        ({"base_url": "https://wats example.com"}, ValueError, "has blanks"),
        ({"base_url": "https://wats.exam\tple.com"}, ValueError, "has blanks or control characters"),
        ({"base_url": "https://wats.example.com/?a=b"}, ValueError, "has a query or fragment"),
        ({"base_url": "https://wats.example.com/#there"}, ValueError, "has a query or fragment"),
        ({"base_url": "https://me:pw@wats.example.com"}, ValueError, "must hold no user or password"),
        ({"base_url": "https://me:pw/@wats.example.com"}, ValueError, "must hold no user or password"),
        ({"token": ""}, ValueError, "token must be base64"),
        ({"token": "no base64!"}, ValueError, "token must be base64"),
        ({"token": None}, TypeError, r"token must be a str, env\(.*, not NoneType"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0"),
        ({"connections": 0}, ValueError, "connections must be at least 1"),
        ({"connections": 1.5}, TypeError, "connections must be an int"),
        ({"connections": True}, TypeError, "connections must be an int"),
        ({"proxy": 5}, TypeError, r"proxy must be a str, env\(.*, not int"),
        ({"proxy": "proxy.example.com:3128"}, ValueError, "proxy must be a URL such as http://"),
        ({"proxy": "socks5://proxy:1080"}, ValueError, "proxy must be a URL such as http://"),
        ({"proxy": "http://proxy:many"}, ValueError, "this one has a host or port that cannot be"),
        ({"proxy": env("NO_SUCH_PROXY")}, ValueError, "variable NO_SUCH_PROXY is empty or not set"),
        ({"ca_file": 5}, TypeError, "ca_file must be a path, not 5"),
        ({"ca_file": b"ca.pem"}, TypeError, "ca_file must be a path"),
        ({"ca_file": ""}, ValueError, "ca_file '' cannot be used: .*No such file"),
        ({"ca_file": "no/such/ca.pem"}, ValueError, "'no/such/ca.pem' cannot be used: .*No such file"),
        ({"ca_file": Path(__file__)}, ValueError, "test_client.py' cannot be used: it holds no certificate"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        WATSClient(**{"base_url": URL, "token": TOKEN, **options})


@pytest.mark.parametrize(
    "base_url", ["https://wats.example.com/", "http://[::1]:8080/wats", "https://wäts.de"]
)
def test_a_base_url_by_which_something_can_be_reached_is_taken(base_url: str) -> None:
    assert WATSClient(base_url, TOKEN).base_url == base_url.rstrip("/")


@pytest.mark.parametrize(
    "proxy",
    ["http://me:hun/ter2@proxy:1", "me:hun/ter2@proxy", "http://me:hun/ter2 @proxy", "ftp://me:hun/ter2@x"],
)
def test_a_proxy_s_password_is_in_no_error(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy must be a URL") as refused:
        WATSClient(URL, TOKEN, proxy=proxy)
    assert "ter2" not in "".join(traceback.format_exception(refused.value))
    assert "me:" not in str(refused.value)


async def test_a_token_that_is_no_longer_there_suspends_and_is_read_again_once_it_is(tmp_path: Path) -> None:
    kept, seen = tmp_path / "token", []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        status = 200 if seen[-1] == "Basic bmV3OnRva2Vu" else 401
        return httpx2.Response(status, json={"id": "x"})

    kept.write_text(TOKEN)
    async with WATSClient(URL, file(kept), transport=httpx2.MockTransport(answer)) as wats:
        kept.unlink()
        with pytest.raises(WATSRefused, match="token cannot be read: No such file") as refused:
            await wats.submit({})
        assert refused.value.suspend
        kept.write_text(TOKEN)
        with pytest.raises(WATSRefused, match="answered 401"):
            await wats.submit({})
        kept.write_text("bmV3OnRva2Vu\n")
        assert await wats.submit({}) == "x"
    assert seen == [f"Basic {TOKEN}", "Basic bmV3OnRva2Vu"]


async def test_a_ca_file_that_is_no_longer_there_suspends(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    async with client(answering(200, {"id": "x"}), ca_file=ca_file) as wats:
        ca_file.unlink()
        with pytest.raises(
            WATSRefused, match=r"ca_file .*ca\.pem' cannot be used: .*No such file"
        ) as refused:
            await wats.submit({})
        assert refused.value.suspend
        trustme.CA().cert_pem.write_to_path(ca_file)
        assert await wats.submit({}) == "x"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required", WATSRefused),
        (b"HTTP/1.1 403 Forbidden", WATSRefused),
        (b"HTTP/1.1 503 Service Unavailable", WATSUnavailable),
    ],
)
async def test_a_proxy_that_lets_no_tunnel_through_is_told_apart_by_what_it_says(
    line: bytes, kind: type[Exception]
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(line + b"\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        async with WATSClient(URL, TOKEN, proxy=f"http://me:secret@127.0.0.1:{port}") as wats:
            with pytest.raises(kind, match=line[9:12].decode()) as raised:
                await wats.submit({})
        assert "secret" not in "".join(traceback.format_exception(raised.value))
        nursery.cancel_scope.cancel()


def test_a_client_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATS_BASE_URL", raising=False)
    monkeypatch.delenv("WATS_TOKEN", raising=False)
    with pytest.raises(ValueError, match="WATS_BASE_URL is not set"):
        WATSClient.from_env()
    monkeypatch.setenv("WATS_BASE_URL", f"{URL}/")
    with pytest.raises(ValueError, match="WATS_TOKEN is not set"):
        WATSClient.from_env()
    monkeypatch.setenv("WATS_TOKEN", TOKEN)
    assert repr(WATSClient.from_env()) == f"WATSClient('{URL}')"


async def test_a_count_is_an_increment_or_a_total() -> None:
    async with client(answering(200, {})) as wats:
        for both in ({}, {"increment": 1, "total": 2}):
            with pytest.raises(ValueError, match="either increment or total"):
                await wats.count_asset("A", **both)
