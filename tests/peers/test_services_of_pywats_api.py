"""Reports go through pywats-api's services, sync and async, and its errors mean what ours do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.peers import Peer


@pytest.fixture(scope="module")
def tried(pywats_api: Peer) -> dict[str, Any]:
    """What became of everything that was tried, in one process."""
    found = pywats_api.run(Path(__file__).with_name("hands_in_reports.py"), with_ours=True)
    assert isinstance(found, dict)
    return found


@pytest.fixture(params=["sync", "async"])
def of_kind(request: pytest.FixtureRequest, tried: dict[str, Any]) -> dict[str, Any]:
    found = tried[request.param]
    assert isinstance(found, dict)
    return found


def test_reports_arrive_one_by_one_and_many_at_once(of_kind: dict[str, Any]) -> None:
    assert [unit for unit in of_kind["arrived"] if unit.startswith("at once")] == sorted(
        f"at once {number}" for number in range(12)
    )
    assert of_kind["arrived"].count("good") == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "WATSRejected"),
        (401, "WATSRefused"),
        (403, "WATSRefused"),
        (404, "WATSRefused"),
        (409, "WATSRejected"),
        (422, "WATSRejected"),
        (429, "WATSUnavailable"),
        (500, "WATSUnavailable"),
        (503, "WATSUnavailable"),
    ],
)
def test_a_status_means_what_it_means_with_our_own_client(
    of_kind: dict[str, Any], status: int, error: str
) -> None:
    found = of_kind[f"status-{status}"]
    assert found["error"] == error
    assert f"was answered {status}: the server's words" in found["text"]


def test_a_server_that_is_away_is_an_outage(of_kind: dict[str, Any]) -> None:
    assert of_kind["away"]["error"] == "WATSUnavailable"


def test_a_proxy_s_page_is_not_taken_for_an_id(of_kind: dict[str, Any]) -> None:
    assert of_kind["page"]["error"] == "WATSRefused"


def test_on_a_bus_what_is_rejected_is_a_dead_letter_at_once(of_kind: dict[str, Any]) -> None:
    assert of_kind["bus"] == {"outcomes": ["HANDLED", "DEAD_LETTERED"], "attempts": [1]}


def test_a_call_that_is_cancelled_leaves_no_thread_busy_and_the_next_one_works(
    of_kind: dict[str, Any],
) -> None:
    assert of_kind["cancelled"] == {"busy threads": 0, "next": None}


def test_an_async_service_without_a_bridge_is_told_at_construction(tried: dict[str, Any]) -> None:
    assert (
        "AsyncReportService is for asyncio: give ReportHandler a bridge" in tried["without a bridge"]["text"]
    )
