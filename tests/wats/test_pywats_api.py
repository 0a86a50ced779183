"""Services of pywats-api are told apart, and what they raise has a meaning; tests/peers has the real ones."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pywats_events import Event, EventType
from pywats_events.models.result_events import TestResultEvent
from pywats_wats import ReportHandler, SourceProfile, WATSError, WATSRefused, WATSRejected, WATSUnavailable
from pywats_wats._pywats_api import is_of_pywats_api, wats_error

PROFILE = SourceProfile(machine="ICT-01", process_codes={"*": 10}, part_number="P", revision="A")


def of_pywats(name: str, *bases: type) -> type:
    return type(name, bases, {"__module__": "pywats.core.exceptions"})


Base = of_pywats("PyWATSError", Exception)


class SyncService:
    """A sync service such as pywats-api's."""

    __module__ = "pywats.pywats"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.threads: list[int] = []

    def submit(self, report: Any) -> Any:
        self.threads.append(threading.get_ident())
        return report["id"] if self.answer == "id" else self.answer


def result() -> Event:
    return Event(EventType.TEST_RESULT, TestResultEvent(unit_id="SN-1"), source="tester")


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (ValueError("Report submission failed (400): no such process"), WATSRejected),
        (ValueError("Report submission failed (503): away"), WATSUnavailable),
        (ValueError("Report submission failed (304): "), WATSRefused),
        (of_pywats("AuthorizationError", Base)("no"), WATSRefused),
        (of_pywats("ConflictError", Base)("there already"), WATSRejected),
        (of_pywats("SomethingNew", Base)("HTTP request failed"), WATSUnavailable),
        (TimeoutError("timed out"), WATSUnavailable),
    ],
)
def test_an_error_means_what_is_to_be_done(error: Exception, meant: type[WATSError]) -> None:
    assert type(wats_error(error)) is meant


def test_a_mistake_in_a_program_means_nothing_of_wats() -> None:
    for error in (
        ValueError("report_id is required"),
        KeyError("sn"),
        type("PyWATSError", (Exception,), {})(),
    ):
        assert wats_error(error) is None


def test_only_what_comes_from_pywats_api_is_its_service() -> None:
    assert is_of_pywats_api(type("Mine", (SyncService,), {})("id"))
    assert not is_of_pywats_api(object())


async def test_a_sync_service_is_called_in_one_thread_that_is_not_trio_s() -> None:
    service = SyncService("id")
    handler = ReportHandler(service, profiles=[PROFILE])
    for _ in range(5):
        await handler.handle(result())
    assert len(set(service.threads)) == 1
    assert threading.get_ident() not in service.threads


@pytest.mark.parametrize(("answer", "meant"), [(None, WATSUnavailable), ("<html>log in", WATSRefused)])
async def test_an_answer_without_an_id_is_not_done(answer: Any, meant: type[WATSError]) -> None:
    with pytest.raises(meant):
        await ReportHandler(SyncService(answer), profiles=[PROFILE]).handle(result())
