"""The stand-in WATS server: its calls over HTTP, and the ways in which it can fail."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self, final

import msgspec
import trio

from pywats_wats.testing.records import Records, Refused
from pywats_wats.testing.trouble import Trouble, Troubles

try:
    import hypercorn.trio
    from hypercorn.config import Config
    from starlette.applications import Starlette
    from starlette.requests import Request  # noqa: TC002 - it comes with the rest or not at all
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as _missing:
    raise ImportError(
        "the stand-in WATS server needs starlette and hypercorn; install them with: "
        'pip install "pywats-events[demo]"'
    ) from _missing

__all__ = ["Broken", "StandInWATS"]

TOKEN: Final = b64encode(b"station:stand-in").decode()
LARGEST_BODY: Final = 64 << 20
"""Bytes of a body."""

# Its own loggers: a server that is told to fail would fill the station's log with what is wanted.
_quiet: Final = logging.getLogger("pywats_wats.testing")
_quiet.setLevel(logging.CRITICAL)


@final
class StandInWATS:
    """A server that answers as WATS does, for tests and demonstrations. It is not WATS.

    Example:
        ```python
        async with StandInWATS.serving() as server:
            client = WATSClient(server.url, server.token)
            await client.submit(report)
            assert server.records.reports
        ```

    Args:
        token: that it lets in.
        processes: the names of the processes that it knows, by code.
        units: serial and part numbers that it knows; None for all that are asked for.
        assets: serial numbers that it knows; None for all that are asked for.

    Attributes:
        records: what it has been told.
        app: the ASGI application, for instance for `httpx2.ASGITransport` in virtual time.
        calls: how many calls reached it, those that failed among them.
        url: where it serves.
        token: that it lets in.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        processes: Mapping[int, str] | None = None,
        units: Iterable[tuple[str, str]] | None = None,
        assets: Iterable[str] | None = None,
    ) -> None:
        self.records: Records = Records(processes=processes, units=units, assets=assets)
        self.token: str = token
        self.url: str = ""
        self.calls: int = 0
        self._troubles = Troubles()
        self._change = trio.Event()
        self._present = True
        self.app: Starlette = Starlette(routes=list(self._routes()))

    # What it is told to do

    def fail(
        self,
        status: int = 503,
        *,
        times: int | None = None,
        retry_after: float | None = None,
        path: str = "/api/",
    ) -> None:
        """Answer with a status.

        Args:
            status: of the answers.
            times: so often; None until `recover`.
            retry_after: seconds for the header of that name.
            path: beginning of the paths that it concerns.
        """
        self._troubles.add(Trouble("status", status, retry_after, path, times))

    def hang(self, times: int | None = None, path: str = "/api/") -> None:
        """Never answer."""
        self._troubles.add(Trouble("hang", times=times, path=path))

    def drop(self, times: int | None = None, path: str = "/api/") -> None:
        """End the connection in the middle of the answer, when what was sent has been taken."""
        self._troubles.add(Trouble("drop", times=times, path=path))

    def answer_garbage(self, times: int | None = None, path: str = "/api/") -> None:
        """Answer 200 with a page that is no JSON, as a proxy does."""
        self._troubles.add(Trouble("garbage", times=times, path=path))

    def be_slow(self, seconds: float) -> None:
        """Take so long for each answer."""
        self._troubles.delay = seconds

    def recover(self) -> None:
        """Do everything right again, and at once."""
        self._troubles.clear()

    def leave(self) -> None:
        """Be away: connections end, and nobody listens on the port."""
        self._present = False
        self._change.set()

    def return_(self) -> None:
        """Be there again, on the same port."""
        self._present = True
        self._change.set()

    # Serving

    @classmethod
    @asynccontextmanager
    async def serving(cls, host: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[Self]:
        """Serve around a block, on trio.

        Args:
            host: where it listens.
            port: likewise; 0 takes a free one.
            **options: of the class.

        Cancelled: connections end at once.
        """
        server = cls(**options)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, host, port)
            try:
                yield server
            finally:
                nursery.cancel_scope.cancel()

    async def run(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; `started` is given the URL."""
        while True:
            async with trio.open_nursery() as nursery:
                self.url = await nursery.start(self._serve, host, port)
                port = int(self.url.rpartition(":")[2])
                task_status.started(self.url)
                task_status = trio.TASK_STATUS_IGNORED
                await self._wait_until(present=False)
                nursery.cancel_scope.cancel()
            await self._wait_until(present=True)

    async def _wait_until(self, *, present: bool) -> None:
        while self._present is not present:
            self._change = trio.Event()
            await self._change.wait()

    async def _serve(  # noqa: ASYNC114 - of its own `run`
        self, host: str, port: int, *, task_status: trio.TaskStatus[str]
    ) -> None:
        config = Config()
        config.bind = [f"{host}:{port}"]
        config.accesslog = None
        config.errorlog = _quiet
        config.graceful_timeout = 0
        config.keep_alive_timeout = 60
        config.include_server_header = False
        async with trio.open_nursery() as nursery:
            (bound,) = await nursery.start(_served, _without_lifespan(self.app), config)
            task_status.started(bound)

    # Its calls

    def _routes(self) -> Iterable[Route]:
        yield Route("/", self._answering(self._summary, needs_token=False))
        calls: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
            ("POST", "/api/Report/WSJF", self._report),
            ("GET", "/api/Asset/{serial:path}", self._asset),
            ("PUT", "/api/Asset/State", self._state),
            ("PUT", "/api/Asset/Count", self._count),
            ("POST", "/api/Asset/Message", self._message),
            ("POST", "/api/Asset/{kind}", self._service),
            ("GET", "/api/Production/Unit/{serial}/{part}", self._unit),
            ("POST", "/api/Production/Unit", self._create_unit),
            ("GET", "/api/Production/UnitVerification", self._verification),
            ("PUT", "/api/Production/SetUnitPhase", self._phase),
            ("PUT", "/api/Production/SetUnitProcess", self._process),
            ("POST", "/api/Production/AddChildUnit", self._child),
            ("GET", "/api/App/Processes", self._processes),
        ]
        for method, path, call in calls:
            yield Route(path, self._answering(call), methods=[method])

    def _answering(
        self, call: Callable[[Request], Awaitable[Any]], *, needs_token: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """A call as HTTP: with trouble, the token, and errors as the server answers them."""

        async def answer(request: Request) -> Response:
            self.calls += 1
            if self._troubles.delay:
                await trio.sleep(self._troubles.delay)
            trouble = self._troubles.next(request.url.path)
            if trouble is not None and trouble.way != "drop":
                return await _troubled(trouble)
            if needs_token and request.headers.get("authorization") != f"Basic {self.token}":
                return _json({"message": "who are you?"}, 401)
            try:
                answered = await call(request)
            except Refused as error:
                return _json({"message": str(error)}, error.status)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                return _json({"message": f"this call cannot be read: {error!r}"}, 400)
            return _json(answered) if trouble is None else Broken(msgspec.json.encode(answered))

        return answer

    async def _summary(self, _: Request) -> Any:
        await trio.lowlevel.checkpoint()
        return self.records.summary()

    async def _report(self, request: Request) -> Any:
        return {"ID": self.records.take_report(await _body(request))}

    async def _asset(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        return self.records.asset(request.path_params["serial"])

    async def _state(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        self.records.set_state(request.query_params["serialNumber"], int(request.query_params["state"]))
        return {}

    async def _count(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        query = request.query_params
        numbers = [int(query[name]) if name in query else None for name in ("incrementBy", "totalCount")]
        self.records.count(query["serialNumber"], *numbers)
        return {}

    async def _message(self, request: Request) -> Any:
        body = await _body(request)
        self.records.log(body["assetId"], body["comment"])
        return {}

    async def _service(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        kind, query = request.path_params["kind"], request.query_params
        if kind not in {"Calibration", "Maintenance"}:
            raise Refused(404, f"no such call: {kind}")
        self.records.service(query["serialNumber"], kind, query["dateTime"], query.get("comment", ""))
        return {}

    async def _unit(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        return self.records.unit(request.path_params["serial"], request.path_params["part"])

    async def _create_unit(self, request: Request) -> Any:
        body = await _body(request)
        return self.records.create_unit(body["serialNumber"], body["partNumber"], body["revision"])

    async def _verification(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        return self.records.verification(*_key(request))

    async def _phase(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        self.records.unit(*_key(request))["phase"] = request.query_params["phase"]
        return {}

    async def _process(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        code = int(request.query_params["processCode"])
        if code not in self.records.processes:
            raise Refused(400, f"processCode {code} is not known")
        self.records.unit(*_key(request))["processCode"] = code
        return {}

    async def _child(self, request: Request) -> Any:
        await trio.lowlevel.checkpoint()
        self.records.add_child(_key(request, "parent"), _key(request, "child"))
        return {}

    async def _processes(self, _: Request) -> Any:
        await trio.lowlevel.checkpoint()
        return [{"code": code, "name": name} for code, name in self.records.processes.items()]


class Broken(Response):
    """An answer whose connection ends in its middle."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the beginning, then fail, which has the server close the connection."""
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999999")]}
        )
        await send({"type": "http.response.body", "body": bytes(self.body)[:5], "more_body": True})
        raise ConnectionResetError("told to drop the connection")


def _without_lifespan(app: Any) -> Any:
    """The application, asked for calls only: it has nothing to do at the start and the end."""

    async def calls(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await app(scope, receive, send)

    return calls


async def _served(  # noqa: ASYNC114, ASYNC128 - handed on
    app: Any, config: Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    # The default waits for signals; this one ends when it is cancelled.
    await hypercorn.trio.serve(app, config, shutdown_trigger=trio.sleep_forever, task_status=task_status)


async def _troubled(trouble: Trouble) -> Response:
    if trouble.way == "hang":
        await trio.sleep_forever()
    if trouble.way == "garbage":
        return Response("<html><title>Log in to the proxy</title></html>", media_type="text/html")
    answer = _json({"message": f"told to answer {trouble.status}"}, trouble.status)
    if trouble.retry_after is not None:
        answer.headers["retry-after"] = f"{trouble.retry_after:g}"
    return answer


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value),
        status,
        {"server": "a stand-in, not WATS"},
        media_type="application/json",
    )


async def _body(request: Request) -> Any:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Refused(413, f"a body has at most {LARGEST_BODY} bytes")
    return msgspec.json.decode(bytes(body))


def _key(request: Request, whose: str = "") -> tuple[str, str]:
    query = request.query_params
    names = [f"{whose}SerialNumber", f"{whose}PartNumber"] if whose else ["serialNumber", "partNumber"]
    return query[names[0]], query[names[1]]
