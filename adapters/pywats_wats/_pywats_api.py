"""How is a report handed to a service of pywats-api, and what do its errors mean?

pywats-api is not imported: its services are told by the names of their classes' modules. An async
one runs on the asyncio loop of a bridge. A sync one runs in a thread of its own, always the same: it
keeps an asyncio loop for each thread that calls it and one pool of connections for all of them, and a
connection does not work on another loop than that which opened it.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from pywats_actors.blocking import Blocking
from pywats_supervision.system import current_runtime
from pywats_wats._fields import is_uuid
from pywats_wats._status import REPORT_PATH, error_of
from pywats_wats.errors import WATSError, WATSRefused, WATSRejected, WATSUnavailable

if TYPE_CHECKING:
    from pywats_asyncio import AsyncioBridge

__all__ = ["PywatsApiReports", "is_of_pywats_api", "wats_error"]

_STATUS: Final = re.compile(r"Report submission failed \((\d{3})\): (.*)", re.DOTALL)

_MEANINGS: Final[dict[str, type[WATSError]]] = {
    "AuthenticationError": WATSRefused,
    "AuthorizationError": WATSRefused,
    "NotFoundError": WATSRefused,
    "ValidationError": WATSRejected,
    "ConflictError": WATSRejected,
    "CircuitBreakerOpenError": WATSUnavailable,
    "PyWATSError": WATSUnavailable,
}
"""By the name of a class in pywats-api, or of its nearest base."""


def is_of_pywats_api(service: object) -> bool:
    """Whether a service is one of pywats-api's, or derived from one."""
    return any(_is_pywats(kind) for kind in type(service).__mro__)


class PywatsApiReports:
    """A report service of pywats-api, with the `submit` that handlers call.

    Args:
        service: `pyWATS(...).report`, or `AsyncWATS(...).report`.
        bridge: runs the async one's calls; the sync one needs none.

    Raises:
        TypeError: if the service has no `submit`, or is async and there is no bridge.
    """

    def __init__(self, service: Any, bridge: AsyncioBridge | None) -> None:
        if not callable(getattr(service, "submit", None)):
            raise TypeError(f"report_service must have `submit(report)`, and {service!r} has not")
        self._submit = service.submit
        self._on_asyncio = iscoroutinefunction(self._submit)
        if self._on_asyncio and bridge is None:
            raise TypeError(
                f"report_service {type(service).__name__} is for asyncio: give ReportHandler a bridge, an "
                "AsyncioBridge whose run() is a child of the tree"
            )
        self._bridge = bridge
        self._thread = ThreadPoolExecutor(1, "pywats-api")
        self._blocking = Blocking(1)

    async def submit(self, report: Any) -> str:
        """Hand a report in.

        Cancelled: an async call is cancelled and its end waited for; a sync one cannot be, so it is
        waited for, as long as its own timeout and retries last.

        Raises:
            WATSError: by what is to be done, whatever pywats-api raised.
        """
        try:
            answer = await self._called(report)
        except Exception as error:
            meant = wats_error(error)
            if meant is None:
                raise
            raise meant from error
        if answer is None:
            raise WATSUnavailable(f"{REPORT_PATH} was answered without the report's id, so it may be lost")
        if not is_uuid(str(answer)):
            raise WATSRefused(
                f"{REPORT_PATH} was answered with what is no report's id: perhaps a proxy's login page; "
                "check the base URL and the proxy"
            )
        return str(answer)

    async def _called(self, report: Any) -> Any:
        if self._on_asyncio:
            assert self._bridge is not None
            return await self._bridge.call(self._submit, report)
        return await self._blocking.run(self._in_its_thread, report)

    def _in_its_thread(self, report: Any) -> Any:
        return self._thread.submit(self._submit, report).result()


def wats_error(error: Exception) -> WATSError | None:
    """The error of this package that one of pywats-api, or of the bridge to it, stands for.

    None if it stands for none, such as a mistake in a program.
    """
    told = _STATUS.match(str(error)) if isinstance(error, ValueError) else None
    if told is not None:
        # The only place where pywats-api tells the status of a report that was not taken.
        return _by_status(int(told[1]), told[2])
    if isinstance(error, TimeoutError) or _is_bridge_s(type(error)):
        return WATSUnavailable(f"{REPORT_PATH} was not answered: {type(error).__name__}: {error}")
    for kind in type(error).__mro__:
        if _is_pywats(kind) and kind.__name__ in _MEANINGS:
            return _MEANINGS[kind.__name__](f"{REPORT_PATH}: {type(error).__name__}: {error}")
    return None


def _by_status(status: int, words: str) -> WATSError:
    now = datetime.fromtimestamp(current_runtime().wall_clock() / 1e9, UTC)
    meant = error_of(status, REPORT_PATH, {}, words.encode(errors="replace"), now)
    return meant or WATSUnavailable(f"{REPORT_PATH} was answered {status}, and not taken: {words}")


def _is_pywats(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pywats"


def _is_bridge_s(kind: type) -> bool:
    return any(base.__module__ == "pywats_asyncio.errors" for base in kind.__mro__)
