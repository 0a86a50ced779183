"""What an answer of the server means for what was sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywats_wats import WATSRefused, WATSRejected, WATSUnavailable
from pywats_wats._status import (
    REFUSED,
    REFUSED_REPORTS,
    REPORT_PATH,
    UNAVAILABLE,
    error_of,
    error_of_proxy,
    id_of,
    retry_after,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JSON = {"content-type": "application/json"}
ASSET = "/api/Asset/A1"


@pytest.mark.parametrize("status", [400, 409, 412, 413, 414, 418, 422, 499])
@pytest.mark.parametrize("path", [REPORT_PATH, ASSET])
def test_a_body_that_the_server_will_never_take_is_rejected(status: int, path: str) -> None:
    error = error_of(status, path, JSON, b'{"message": "no such process"}', NOW)
    assert isinstance(error, WATSRejected)
    assert error.blames_item
    assert error.status == status
    assert f'answered {status}: {{"message": "no such process"}}' in str(error)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check the token"),
        (402, "check its licence"),
        (403, "check the token"),
        (407, "user and password in the proxy's URL"),
        (421, "check the base URL and the proxy"),
        (426, "begins with https://"),
        (431, "check the token"),
        (440, "check the token"),
        (451, "check the proxy"),
    ],
)
@pytest.mark.parametrize("path", [REPORT_PATH, ASSET])
def test_what_says_the_same_of_every_call_stops_and_keeps_everything(
    status: int, advice: str, path: str
) -> None:
    error = error_of(status, path, JSON, b"", NOW)
    assert isinstance(error, WATSRefused)
    assert error.suspend
    assert f"answered {status}: " in str(error)
    assert advice in str(error)


@pytest.mark.parametrize("status", [404, 405, 406, 410, 415])
def test_a_report_url_that_takes_none_is_a_fault_of_configuration_and_an_unknown_asset_is_not(
    status: int,
) -> None:
    error = error_of(status, REPORT_PATH, JSON, b"", NOW)
    assert isinstance(error, WATSRefused)
    assert "no report is taken there: check the base URL" in str(error)
    assert isinstance(error_of(status, ASSET, JSON, b"", NOW), WATSRejected)


@pytest.mark.parametrize("status", [408, 423, 425, 429, 449, 500, 501, 502, 503, 504, 511, 599])
@pytest.mark.parametrize("path", [REPORT_PATH, ASSET])
def test_an_outage_is_held_and_nobody_s_fault(status: int, path: str) -> None:
    error = error_of(status, path, {"retry-after": "17"}, b"<html>busy</html>", NOW)
    assert isinstance(error, WATSUnavailable)
    assert (error.outage, error.retry_after) == (True, 17)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_an_answer_that_leads_elsewhere_is_a_fault_of_configuration(status: int) -> None:
    error = error_of(status, ASSET, JSON, b"", NOW)
    assert isinstance(error, WATSRefused)
    assert "it leads elsewhere" in str(error)


def test_no_status_has_two_meanings_and_no_table_has_one_of_the_messages_own() -> None:
    tables = [set(REFUSED), set(REFUSED_REPORTS), set(UNAVAILABLE)]
    assert sum(map(len, tables)) == len(set().union(*tables))
    assert not {400, 409, 422} & set().union(*tables)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("407 Proxy Authentication Required", WATSRefused, "give its user and password"),
        ("403 Forbidden", WATSRefused, "check the proxy and its rights"),
        ("400 Bad Request", WATSRefused, "check the proxy and its rights"),
        ("404 Not Found", WATSRefused, "check the proxy and its rights"),
        ("429 Too Many Requests", WATSUnavailable, "429"),
        ("503 Service Unavailable", WATSUnavailable, "503"),
        ("4034 of what?", WATSUnavailable, "4034"),
        ("", WATSUnavailable, "not let through by the proxy"),
    ],
)
def test_a_proxy_that_lets_nothing_through_is_never_the_message_s_fault(
    said: str, kind: type[Exception], words: str
) -> None:
    error = error_of_proxy(REPORT_PATH, said)
    assert type(error) is kind
    assert words in str(error)


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
