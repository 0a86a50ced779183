"""What an answer of the server means for what was sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_wats import WATSRefused, WATSRejected, WATSUnavailable
from pywats_wats._status import REPORT_PATH, error_of, id_of, retry_after

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("status", [400, 405, 409, 413, 422])
def test_a_body_that_the_server_will_never_take_is_rejected(status: int) -> None:
    error = error_of(status, REPORT_PATH, JSON, b'{"message": "no such process"}', NOW)
    assert isinstance(error, WATSRejected)
    assert error.blames_item
    assert error.status == status
    assert f'answered {status}: {{"message": "no such process"}}' in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_stops_and_keeps_everything(status: int) -> None:
    error = error_of(status, "/api/App/Processes", JSON, b"", NOW)
    assert isinstance(error, WATSRefused)
    assert error.suspend
    assert "check the token" in str(error)


def test_an_unknown_report_url_is_a_fault_of_configuration_and_an_unknown_asset_is_not() -> None:
    assert isinstance(error_of(404, REPORT_PATH, JSON, b"", NOW), WATSRefused)
    assert isinstance(error_of(404, "/api/Asset/A1", JSON, b"", NOW), WATSRejected)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_an_outage_is_held_and_nobody_s_fault(status: int) -> None:
    error = error_of(status, REPORT_PATH, {"retry-after": "17"}, b"<html>busy</html>", NOW)
    assert isinstance(error, WATSUnavailable)
    assert (error.outage, error.retry_after) == (True, 17)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html"}, b"<html>Log in</html>"),
        (JSON, b"<html>Log in</html>"),
        (JSON, b'{"ID": "half'),
        (JSON, b"\xff\xfe"),
    ],
)
def test_a_login_page_is_not_done_though_it_says_200(headers: dict[str, str], body: bytes) -> None:
    error = error_of(200, REPORT_PATH, headers, body, NOW)
    assert isinstance(error, WATSRefused)
    assert "perhaps a proxy's login page" in str(error)


@given(st.integers(100, 599), st.binary(max_size=50), st.sampled_from([REPORT_PATH, "/api/Asset/A"]))
def test_every_status_has_one_answer(status: int, body: bytes, path: str) -> None:
    error = error_of(status, path, JSON, body, NOW)
    assert error is None or isinstance(error, WATSRejected | WATSRefused | WATSUnavailable)
    assert (error is None) <= (200 <= status < 300)


def test_the_server_s_words_are_bounded_and_on_one_line() -> None:
    text = str(error_of(400, "/x", JSON, b"a\nb\x1b[31m" + 10_000 * b"c", NOW))
    assert len(text) < 600
    assert "a b?[31mccc" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("-5", 0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("nan", None),
        ("1e9", 86_400),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"ID": "a"}', "a"),
        (b'[{"id": "b"}]', "b"),
        (b'{"uuid": "c", "more": 1}', "c"),
        (b"[]", None),
        (b"{}", None),
        (b'"a"', None),
        (b"?", None),
    ],
)
def test_the_report_s_id_is_found_in_an_object_or_a_list_of_one(body: bytes, found: str | None) -> None:
    assert id_of(body) == found
