"""Hands reports in through pywats-api's services to a server of its own, and says what became of them.

Runs with pywats-api and ours. The server answers by the serial number of a report. What goes out is, for
each kind of service, an object by the names of what was tried.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trio
from pywats import AsyncWATS, pyWATS  # type: ignore[import-not-found]

from pywats_asyncio import AsyncioBridge
from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import ErrorPolicy, RetryPolicy
from pywats_wats import ReportHandler, SourceProfile, WATSError

__all__: list[str] = []

PROFILE = SourceProfile(machine="ICT-01", process_codes={"*": 10}, part_number="P", revision="A")
STATUSES = (400, 401, 403, 404, 409, 422, 429, 500, 503)
SERIES = 12


class Server(ThreadingHTTPServer):
    """Keeps reports; a unit `status-N` is answered N, `slow` waits, `page` gets a proxy's page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.reports: list[dict[str, Any]] = []
        self.slow_arrived = threading.Event()
        self.let_go = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Answers(BaseHTTPRequestHandler):
    """What the server says to one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Take a report, or not."""
        report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        unit = report["sn"]
        if unit == "slow":
            self.server.slow_arrived.set()
            self.server.let_go.wait(20)
        status = int(unit.removeprefix("status-")) if unit.startswith("status-") else 200
        if status == 200 and unit != "page":
            self.server.reports.append(report)
        body = json.dumps([{"ID": report["id"]}] if status == 200 else {"Message": "the server's words"})
        content = "<html>log in</html>" if unit == "page" else body
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if unit == "page" else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *args: Any, **options: Any) -> None:
        """Say nothing."""


def event_of(unit: str) -> Event:
    return Event(EventType.TEST_RESULT, TestResultEvent(unit_id=unit), source="tester")


async def error_for(handler: ReportHandler, unit: str) -> dict[str, Any]:
    try:
        await handler.handle(event_of(unit))
    except WATSError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {"error": None}


async def cancelled(handler: ReportHandler, server: Server) -> dict[str, Any]:
    """Cancel a call that the server has not answered, and look what is left of it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handler.handle, event_of("slow"))
        await trio.to_thread.run_sync(server.slow_arrived.wait, 20)
        nursery.cancel_scope.cancel()
        server.let_go.set()
    busy = trio.to_thread.current_default_thread_limiter().borrowed_tokens
    return {"busy threads": busy, "next": (await error_for(handler, "after"))["error"]}


async def on_a_bus(handler: ReportHandler) -> dict[str, Any]:
    """What a bus makes of one that is taken and one that never will be."""
    policies = {"retry_policy": RetryPolicy(max_retries=3), "error_policy": ErrorPolicy()}
    async with AsyncEventBus(**policies) as bus:
        bus.subscribe(handler, concurrency=4)
        receipts = [await bus.publish(event_of(unit)) for unit in ("good", "status-400")]
        for receipt in receipts:
            await receipt.wait_settled()
        letters = [letter.attempts for letter in bus.error_policy.dead_letter_queue.get_entries()]
        outcomes = [str(receipt.outcomes["ReportHandler"].name) for receipt in receipts]
    return {"outcomes": outcomes, "attempts": letters}


async def tried(handler: ReportHandler, away: ReportHandler) -> dict[str, Any]:
    """All that is tried with one kind of service."""
    found: dict[str, Any] = {f"status-{n}": await error_for(handler, f"status-{n}") for n in STATUSES}
    found["page"] = await error_for(handler, "page")
    found["away"] = await error_for(away, "away")
    found["bus"] = await on_a_bus(handler)
    async with trio.open_nursery() as nursery:
        for number in range(SERIES):
            nursery.start_soon(handler.handle, event_of(f"at once {number}"))
    return found


async def main() -> None:
    found = {}
    options: dict[str, Any] = {"token": "dG9rZW4=", "retry_enabled": False}
    bridge = AsyncioBridge()
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        for kind, api in (("sync", pyWATS), ("async", AsyncWATS)):
            server = Server()
            url = f"http://127.0.0.1:{server.server_port}"
            given = {"profiles": [PROFILE], "bridge": bridge if kind == "async" else None}
            service = api(base_url=url, **options).report
            handler = ReportHandler(service, **given)
            away = ReportHandler(api(base_url="http://127.0.0.1:9", **options).report, **given)
            found[kind] = await tried(handler, away)
            found[kind]["cancelled"] = await cancelled(handler, server)
            found[kind]["arrived"] = sorted(report["sn"] for report in server.reports)
            server.shutdown()
            server.server_close()
        try:
            ReportHandler(AsyncWATS(base_url="http://127.0.0.1:9", **options).report)
        except TypeError as error:
            found["without a bridge"] = {"text": str(error)}
        nursery.cancel_scope.cancel()
    json.dump(found, sys.stdout)


logging.disable()
trio.run(main)
