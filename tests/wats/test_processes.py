"""Process codes that the server does not know are told before a station starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pywats_events.secrets import file
from pywats_wats import (
    ReportHandler,
    SourceProfile,
    WATSClient,
    WATSRefused,
    WATSUnavailable,
    check_process_codes,
)
from pywats_wats.processes import unknown_codes

KNOWN = [{"code": 10, "name": "ICT"}, {"code": 110, "name": "AOI"}, {"name": "of no code"}, {"code": []}]
PROFILES = [
    SourceProfile(match="AOI.*", process_codes={"AOI": 110, "SPI": 111}),
    SourceProfile(process_codes={"*": 7}),
]


class Server:
    """A server that knows some processes, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    async def processes(self) -> Sequence[Mapping[str, Any]]:
        if self.failure is not None:
            raise self.failure
        return KNOWN


async def test_codes_that_the_server_knows_are_fine() -> None:
    assert await check_process_codes(Server(), [SourceProfile(process_codes={"a": 10, "*": 110})])
    assert await check_process_codes(Server(), [])


async def test_every_code_that_the_server_does_not_know_is_named_with_its_profile() -> None:
    with pytest.raises(ValueError, match="which knows 10, 110") as wrong:
        await check_process_codes(Server(), PROFILES)
    assert "process_codes['SPI'] = 111 of the SourceProfile for 'AOI.*'" in str(wrong.value)
    assert "process_codes['*'] = 7 of the SourceProfile for '*'" in str(wrong.value)
    assert "= 110 of" not in str(wrong.value)


async def test_a_server_that_is_away_is_no_reason_not_to_start() -> None:
    assert not await check_process_codes(Server(WATSUnavailable("no route to host")), PROFILES)


async def test_a_server_that_lets_nobody_in_is_one() -> None:
    with pytest.raises(WATSRefused):
        await check_process_codes(Server(WATSRefused("401: check the token")), PROFILES)


def test_a_server_without_processes_knows_no_code() -> None:
    (line,) = unknown_codes([SourceProfile(process_codes={"*": 7})], [])
    assert line.endswith("which knows none")


class Reports(Server):
    """One that takes reports too."""

    async def submit(self, report: object) -> None:
        raise AssertionError("a check sends nothing")


@pytest.mark.parametrize(
    ("failure", "level", "words"),
    [
        (WATSRefused("401: check the token"), "error", "401: check the token"),
        (WATSUnavailable("no route to host"), "warning", "no route to host; the station will wait for it"),
        (
            FileNotFoundError(2, "No such file"),
            "error",
            "it cannot be asked: FileNotFoundError: [Errno 2] No",
        ),
        (KeyError("code"), "error", "it cannot be asked: KeyError: 'code'"),
    ],
)
async def test_a_check_says_what_failed_whatever_a_service_raises(
    failure: Exception, level: str, words: str
) -> None:
    (finding,) = await ReportHandler(Reports(failure)).check()
    assert finding.level == level
    assert words in finding.text


async def test_a_check_names_the_server_and_what_is_missing_for_it(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("c2VjcmV0OnRva2Vu")
    handler = ReportHandler(WATSClient("https://wats.example.com", file(kept)))
    kept.unlink()
    (finding,) = await handler.check()
    assert finding.level == "error"
    assert finding.what == "WATS at https://wats.example.com"
    assert f"file {kept} cannot be read" in finding.text
