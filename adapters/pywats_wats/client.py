"""WATSClient: the calls of the WATS server that this package makes, over httpx2 on trio."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, final
from urllib.parse import quote

import msgspec
import trio

from pywats_events.secrets import SecretText, env
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies.checks import checked_count
from pywats_supervision.system import current_runtime
from pywats_wats._settings import checked_base_url, checked_proxy, checked_token, trusting
from pywats_wats._status import REPORT_PATH, error_of, error_of_proxy, id_of
from pywats_wats.errors import WATSRefused, WATSRejected, WATSUnavailable

try:
    import httpx2
except ImportError as _missing:
    raise ImportError(
        'WATSClient needs httpx2; install it with: pip install "pywats-events[wats]"'
    ) from _missing

__all__ = ["WATSClient"]

LONGEST_CLOSING: Final = 1.0
"""Seconds that closing connections may take at the end of a trio run."""
LARGEST_ANSWER: Final = 16 << 20
"""Bytes of an answer; the longest that WATS has, the list of processes, has some thousand."""


@final
class WATSClient:
    """A connection pool to one WATS server.

    Example:
        ```python
        async with WATSClient("https://wats.example.com", token) as wats:
            await wats.submit(report)
        ```

    It opens with its first call, in the trio run of that, and is closed with that run: stations in one
    process may share it, each with a pool of its own. `aclose` closes it before, and it may be used again.

    Args:
        base_url: such as `https://wats.example.com`.
        token: for `Authorization: Basic`, base64 already; never shown. Or where it is kept:
            `env("NAME")`, `file(path)` (`pywats_events.secrets`), read when the pool opens, and again
            after the server did not let us in.
        timeout: seconds for connecting, and between two parts of an answer.
        connections: calls at once, at the most; at least 1.
        proxy: URL of an HTTP proxy, or where it is kept, as it may hold a password; None takes none.
        ca_file: PEM file of certificates to trust instead of the system's.
        transport: what carries the calls, for tests; None opens sockets.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work: a URL by which nothing can be reached, a token that is no
            base64, a file that is not there or holds no certificate. What becomes so later is a
            `WATSRefused` of the call that needs it.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretText,
        *,
        timeout: float = 30.0,
        connections: int = 8,
        proxy: SecretText | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url: str = checked_base_url(base_url)
        checked_token(token)
        self._token = token
        self._authorization: str | None = None
        self._timeout = checked_duration("timeout", timeout, positive=True)
        self._connections = checked_count("connections", connections, least=1)
        if proxy is not None:
            checked_proxy(proxy)
        self._proxy = proxy
        if ca_file is not None:
            trusting(ca_file)
        self._ca_file = ca_file
        self._transport = transport
        self._pool: trio.lowlevel.RunVar[httpx2.AsyncClient | None] = trio.lowlevel.RunVar("pool", None)
        self._is_seen_to: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("is seen to", False)
        self._report_url: httpx2.URL | str = REPORT_PATH

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """A client by WATS_BASE_URL and WATS_TOKEN, and WATS_PROXY and WATS_CA_FILE if they are set.

        Args:
            **options: of the class; they win over the environment.

        Raises:
            ValueError: if one of the first two is not set, or cannot work.
        """
        given = {
            "base_url": "WATS_BASE_URL",
            "token": "WATS_TOKEN",
            "proxy": "WATS_PROXY",
            "ca_file": "WATS_CA_FILE",
        }
        for name, variable in given.items():
            if name not in options and os.environ.get(variable):
                options[name] = env(variable) if name in {"token", "proxy"} else os.environ[variable]
        for name in ("base_url", "token"):
            if name not in options:
                raise ValueError(f"{given[name]} is not set; set it, or give {name} in code")
        return cls(**options)

    async def __aenter__(self) -> Self:
        """Give the client; it connects with its first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pool."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool; without effect on one that is closed. Cancelled: it is closed all the same."""
        client, self._authorization = self._pool.get(), None
        self._pool.set(None)
        if client is not None:
            await client.aclose()

    async def _close_with_the_run(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(LONGEST_CLOSING, shield=True):
                await self.aclose()

    # Reports

    async def submit(self, report: Mapping[str, Any] | bytes) -> str:
        """Hand a report in; the server recognises a repeat by its id.

        Args:
            report: a WSJF report, or one that is JSON already.

        Returns:
            The report's id, as the server has it.

        Raises:
            WATSRejected: if the server will never take it.
            WATSUnavailable: if the server is away, slow or overloaded.
            WATSRefused: if the server does not let this station in.

        Cancelled: the server may have it.
        """
        body = report if isinstance(report, bytes) else _written(report)
        answer = await self._call("POST", REPORT_PATH, content=body)
        identity = id_of(answer)
        if identity is None:
            raise WATSUnavailable(f"{REPORT_PATH} was answered without the report's id, so it may be lost")
        return identity

    # Assets

    async def get_asset(self, serial_number: str) -> dict[str, Any]:
        """The asset of a serial number; WATSRejected if the server knows none."""
        return _object(await self._call("GET", f"/api/Asset/{quote(serial_number, safe='')}"))

    async def set_asset_state(self, serial_number: str, state: int) -> None:
        """Set an asset's state: 1 in operation, 3 in maintenance and so on."""
        await self._call("PUT", "/api/Asset/State", serialNumber=serial_number, state=state)

    async def count_asset(
        self, serial_number: str, *, increment: int | None = None, total: int | None = None
    ) -> None:
        """Count an asset's use: by an increment, which is counted again if repeated, or by the total."""
        if (increment is None) == (total is None):
            raise ValueError("count_asset takes either increment or total")
        await self._call(
            "PUT", "/api/Asset/Count", serialNumber=serial_number, incrementBy=increment, totalCount=total
        )

    async def asset_message(self, asset_id: str, comment: str, user: str | None = None) -> None:
        """Write a line to an asset's log."""
        body = {"assetId": asset_id, "comment": comment, **({} if user is None else {"user": user})}
        await self._call("POST", "/api/Asset/Message", content=msgspec.json.encode(body))

    async def calibrate(self, serial_number: str, when: datetime, comment: str = "") -> None:
        """Say that an asset was calibrated."""
        await self._serviced("/api/Asset/Calibration", serial_number, when, comment)

    async def maintain(self, serial_number: str, when: datetime, comment: str = "") -> None:
        """Say that an asset was maintained."""
        await self._serviced("/api/Asset/Maintenance", serial_number, when, comment)

    async def _serviced(self, path: str, serial_number: str, when: datetime, comment: str) -> None:
        await self._call(
            "POST", path, serialNumber=serial_number, dateTime=when.isoformat(), comment=comment or None
        )

    # Production

    async def get_unit(self, serial_number: str, part_number: str) -> dict[str, Any]:
        """A unit; WATSRejected if the server does not know it."""
        path = f"/api/Production/Unit/{quote(serial_number, safe='')}/{quote(part_number, safe='')}"
        return _object(await self._call("GET", path))

    async def create_unit(self, serial_number: str, part_number: str, revision: str) -> None:
        """Make a unit known."""
        body = {"serialNumber": serial_number, "partNumber": part_number, "revision": revision}
        await self._call("POST", "/api/Production/Unit", content=msgspec.json.encode(body))

    async def set_unit_phase(
        self, serial_number: str, part_number: str, phase: int | str, comment: str | None = None
    ) -> None:
        """Say where a unit stands: 16 or "Finalized" and so on."""
        await self._call(
            "PUT",
            "/api/Production/SetUnitPhase",
            serialNumber=serial_number,
            partNumber=part_number,
            phase=phase,
            comment=comment,
        )

    async def set_unit_process(
        self, serial_number: str, part_number: str, process_code: int, comment: str | None = None
    ) -> None:
        """Say in which process a unit is."""
        await self._call(
            "PUT",
            "/api/Production/SetUnitProcess",
            serialNumber=serial_number,
            partNumber=part_number,
            processCode=process_code,
            comment=comment,
        )

    async def verify_unit(self, serial_number: str, part_number: str) -> dict[str, Any]:
        """Whether a unit may be processed here: its grade and the processes that are missing."""
        path = "/api/Production/UnitVerification"
        return _object(await self._call("GET", path, serialNumber=serial_number, partNumber=part_number))

    async def add_child_unit(self, parent: tuple[str, str], child: tuple[str, str]) -> None:
        """Say that a unit was built into another; each by its serial number and part number."""
        await self._call(
            "POST",
            "/api/Production/AddChildUnit",
            parentSerialNumber=parent[0],
            parentPartNumber=parent[1],
            childSerialNumber=child[0],
            childPartNumber=child[1],
        )

    async def processes(self) -> list[dict[str, Any]]:
        """The processes that the server knows, with their codes."""
        answer = await self._call("GET", "/api/App/Processes")
        found = msgspec.json.decode(answer) if answer.strip() else []
        if not isinstance(found, list):
            raise WATSRejected("/api/App/Processes was not answered with a list")
        return [one for one in found if isinstance(one, dict)]

    # The one way to the server

    async def _call(self, method: str, path: str, *, content: bytes | None = None, **query: Any) -> bytes:
        client = self._opened()
        url = self._report_url if path == REPORT_PATH else path
        headers = {"Authorization": self._authorized()}
        if content is not None:
            headers["Content-Type"] = "application/json"
        # An empty dict would have the URL parsed once more.
        parameters = {name: value for name, value in query.items() if value is not None} or None
        try:
            async with client.stream(
                method, url, params=parameters, content=content, headers=headers
            ) as answer:
                body = await _body_of(answer, path)
        except httpx2.ProxyError as error:
            raise error_of_proxy(path, str(error)) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            # Its text is httpx2's and names no header, so no token.
            raise WATSUnavailable(f"{path} was not answered: {type(error).__name__}: {error}") from error
        now = datetime.fromtimestamp(current_runtime().wall_clock() / 1e9, UTC)
        wrong = error_of(answer.status_code, path, answer.headers, body, now)
        if wrong is not None:
            if isinstance(wrong, WATSRefused):
                # Who mends it may have put another token in its place.
                self._authorization = None
            raise wrong
        return body

    def _authorized(self) -> str:
        if self._authorization is None:
            try:
                self._authorization = f"Basic {checked_token(self._token)}"
            except ValueError as error:
                raise WATSRefused(str(error)) from error
        return self._authorization

    def _opened(self) -> httpx2.AsyncClient:
        client = self._pool.get()
        if client is None:
            try:
                client = self._made()
                # Parsed once: for each call anew, it is a twentieth of the time of a report.
                self._report_url = client.build_request("POST", REPORT_PATH).url
            except (ValueError, httpx2.InvalidURL) as error:
                raise WATSRefused(f"{self!r} cannot be opened: {error}") from error
            self._pool.set(client)
            if not self._is_seen_to.get():
                trio.lowlevel.spawn_system_task(self._close_with_the_run)
                self._is_seen_to.set(True)
        return client

    def _made(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.base_url,
            headers={"Accept": "application/json"},
            timeout=self._timeout,
            limits=httpx2.Limits(
                max_connections=self._connections, max_keepalive_connections=self._connections
            ),
            proxy=None if self._proxy is None else checked_proxy(self._proxy),
            verify=True if self._ca_file is None else trusting(self._ca_file),
            trust_env=False,
            transport=self._transport,
        )

    def __repr__(self) -> str:
        return f"WATSClient({self.base_url!r})"


async def _body_of(answer: httpx2.Response, path: str) -> bytes:
    body = bytearray()
    # Cancelled rather than left: httpx2's own generators below end in order only when they are.
    with trio.CancelScope() as scope:
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                scope.cancel()
    if len(body) > LARGEST_ANSWER:
        raise WATSRefused(
            f"{path} was answered {answer.status_code} with more than {LARGEST_ANSWER} bytes, which "
            "is no answer of WATS; check the base URL and the proxy"
        )
    return bytes(body)


def _written(report: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(report)
    except (TypeError, ValueError, RecursionError) as error:
        raise WATSRejected(f"the report cannot be written as JSON: {error}") from error


def _object(answer: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(answer) if answer.strip() else {}
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise WATSRejected("the server did not answer with an object")
    return found
