"""Results reach a service as reports: each unit's in order, through outages, with nothing invented."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pywats_events import AsyncEventBus, Event, EventType
from pywats_events.durability import Store
from pywats_events.models.material_events import InstalledComponent
from pywats_events.models.result_events import TestResultEvent
from pywats_events.policies import CircuitBreaker, ErrorPolicy, RetryPolicy
from pywats_events.settlement import Outcome
from pywats_events.testing import running_async_bus, virtual_runtime
from pywats_wats import (
    WSJF,
    Part,
    ReelMemory,
    ReportHandler,
    SourceProfile,
    WATSRefused,
    WATSRejected,
    WATSUnavailable,
)

PROFILE = SourceProfile(machine="ICT-01", process_codes={"*": 10}, part_number="P", revision="A")
DAY = 86_400.0


def result(unit: str = "SN-1", **fields: Any) -> Event:
    return Event(EventType.TEST_RESULT, TestResultEvent(unit_id=unit, **fields), source="tester")


class Server:
    """A service that does what the test says."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.away: Exception | None = None
        self.calls = 0
        self.closed = 0

    async def submit(self, report: dict[str, Any]) -> str:
        self.calls += 1
        await trio.sleep(0.01)
        if self.away is not None:
            raise self.away
        if self.errors:
            raise self.errors.pop(0)
        self.reports.append(report)
        return str(report["id"])

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


def policies() -> dict[str, Any]:
    breaker = CircuitBreaker(
        failure_threshold=3, reset_timeout=600.0, half_open_max_calls=1, success_threshold=1
    )
    return {
        "retry_policy": RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=60.0),
        "error_policy": ErrorPolicy(circuit_breaker=breaker),
    }


async def test_a_result_becomes_a_report_with_the_event_s_id(autojump_clock: MockClock) -> None:
    server = Server()
    handler = ReportHandler(server, profiles=[PROFILE])
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(handler)
        event = result()
        await (await bus.publish(event)).wait_settled()
    assert [(report["id"], report["sn"]) for report in server.reports] == [(event.id, "SN-1")]
    assert (handler.statistics.submitted, server.closed) == (1, 0)


async def test_three_days_of_outage_lose_nothing_and_keep_the_order_of_each_unit(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    server.away = WATSUnavailable("no route to host")
    handler = ReportHandler(server, profiles=[PROFILE])
    events = [result(f"SN-{number % 7}", recipe_name=str(number)) for number in range(200)]
    async with running_async_bus(grace=600.0, **policies()) as bus:
        bus.subscribe(handler, concurrency=4, order_by=handler.unit_of)
        receipts = [await bus.publish(event) for event in events]
        await trio.sleep(3 * DAY)
        assert not any(receipt.settled for receipt in receipts)
        assert server.calls < 3 * DAY / 600 + 50
        server.away = None
        for receipt in receipts:
            await receipt.wait_settled()
        assert bus.error_policy.dead_letter_queue.size == 0
    ordered: dict[str, list[str]] = defaultdict(list)
    for report in server.reports:
        ordered[report["sn"]].append(report["root"]["seqCall"]["name"])
    assert len(server.reports) == len({report["id"] for report in server.reports}) == 200
    for number in range(7):
        assert ordered[f"SN-{number}"] == [str(one) for one in range(200) if one % 7 == number]


def with_store(folder: Path) -> AsyncEventBus:
    store = Store(folder, commit_after=0.0, min_free=0)
    return AsyncEventBus(store=store, runtime=virtual_runtime(), **policies())


async def test_after_an_outage_the_backlog_goes_to_the_server_at_a_bounded_rate(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    count, server, times = 600, Server(), []
    server.away = WATSUnavailable("no route to host")
    handler = ReportHandler(server, profiles=[PROFILE])
    async with with_store(tmp_path / "store") as bus:
        bus.subscribe(handler, capacity=10)
        for number in range(count):
            await bus.publish(result(f"SN-{number}"))
        await trio.sleep(DAY)
        server.away = None
        while len(server.reports) < count:
            await trio.sleep(1.0)
            times.append(len(server.reports))
        assert bus.error_policy.dead_letter_queue.size == 0
    sent = [more for before, after in itertools.pairwise([0, *times]) if (more := after - before)]
    # What waits in memory for a retry, and in the mailbox, goes first.
    assert sent[0] <= 256 + 10 + 4 + 50
    assert max(sent[1:]) <= 2 * 50
    assert sum(sent[1:]) / 50 - 2 <= len(sent[1:])


async def test_a_station_that_keeps_up_is_not_held_up_by_the_rate(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    server = Server()
    async with with_store(tmp_path / "store") as bus:
        bus.subscribe(ReportHandler(server, profiles=[PROFILE]), capacity=10)
        begun = trio.current_time()
        for number in range(600):
            await bus.publish(result(f"SN-{number}"))
            await trio.sleep(0.005)  # four times the rate
        await bus.wait_idle()
        assert trio.current_time() - begun <= 600 * 0.005 + 0.1


async def test_what_the_server_will_never_take_is_a_dead_letter_at_once(autojump_clock: MockClock) -> None:
    server = Server()
    server.errors = [WATSRejected("400: no such process")]
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(ReportHandler(server, profiles=[PROFILE]))
        refused, taken = [await bus.publish(result()) for _ in range(2)]
        await refused.wait_settled()
        await taken.wait_settled()
        assert refused.outcomes == {"ReportHandler": Outcome.DEAD_LETTERED}
        assert taken.outcomes == {"ReportHandler": Outcome.HANDLED}
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert (letter.attempts, str(letter.error)) == (1, "400: no such process")


async def test_a_token_that_is_refused_stops_sending_and_keeps_everything(autojump_clock: MockClock) -> None:
    server = Server()
    server.away = WATSRefused("401: check the token")
    async with AsyncEventBus(runtime=virtual_runtime(), **policies()) as bus:
        bus.subscribe(ReportHandler(server, profiles=[PROFILE]))
        receipts = [await bus.publish(result()) for _ in range(5)]
        await trio.sleep(10 * DAY)
        assert server.calls < 5
        assert bus.error_policy.dead_letter_queue.size == 0
        assert not any(receipt.settled for receipt in receipts)
        await bus.stop(1.0)
    assert all(receipt.handed_back for receipt in receipts)


async def test_when_the_token_is_mended_and_the_breaker_reset_all_are_sent(autojump_clock: MockClock) -> None:
    server, given = Server(), policies()
    server.away = WATSRefused("401: check the token")
    async with running_async_bus(**given) as bus:
        bus.subscribe(ReportHandler(server, profiles=[PROFILE]), concurrency=3)
        for number in range(20):
            await bus.publish(result(f"SN-{number}"))
        await trio.sleep(DAY)
        server.away = None
        given["error_policy"].circuit_breaker.reset()
        await bus.wait_idle()
        assert trio.current_time() < DAY + 100
    assert len(server.reports) == 20


async def test_a_result_that_can_make_no_report_says_which_field_is_missing(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    handler = ReportHandler(server)
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(handler)
        await (await bus.publish(result())).wait_settled()
        (letter,) = bus.error_policy.dead_letter_queue.get_entries()
    assert letter.attempts == 1
    assert "the part number is missing; the revision is missing; no process code" in str(letter.error)
    assert (handler.statistics.incomplete, server.calls) == (1, 0)


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_part_is_asked_of_whoever_knows_it(is_async: bool, autojump_clock: MockClock) -> None:
    server = Server()

    def part_of(event: Event) -> Any:
        part = Part(f"part of {event.payload['unit_id']}", "C")

        async def later() -> Part:
            await trio.sleep(1)
            return part

        return later() if is_async else part

    async with running_async_bus(**policies()) as bus:
        bus.subscribe(ReportHandler(server, part_of=part_of, profiles=[PROFILE]))
        await (await bus.publish(result())).wait_settled()
    assert (server.reports[0]["pn"], server.reports[0]["rev"]) == ("part of SN-1", "C")


async def test_a_unit_that_was_skipped_makes_no_report_and_is_counted(autojump_clock: MockClock) -> None:
    server = Server()
    handler = ReportHandler(server)
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(handler)
        receipt = await bus.publish(result(result="skipped"))
        await receipt.wait_settled()
    assert receipt.outcomes == {"ReportHandler": Outcome.HANDLED}
    assert (server.reports, handler.statistics.skipped) == ([], 1)


async def test_a_report_that_exists_already_is_passed_on_as_it_is(autojump_clock: MockClock) -> None:
    server = Server()
    report = {
        "id": "749ecb98-95b4-5d9d-a4db-ad45da7c58d8",
        "pn": "P",
        "sn": "S",
        "rev": "A",
        "processCode": 1,
        "result": "P",
        "machineName": "M",
        "location": "L",
        "purpose": "T",
        "start": "2026-01-26T10:30:00+01:00",
        "root": {"anything": "of its maker"},
    }
    broken = [{**report, "sn": ""}, {**report, "id": "7"}, "no report"]
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(ReportHandler(server), order_by=ReportHandler.unit_of)
        for one in (report, *broken[:2]):
            await (await bus.publish(Event(WSJF, {"wsjf": one}))).wait_settled()
        letters = [str(letter.error) for letter in bus.error_policy.dead_letter_queue.get_entries()]
    assert server.reports == [report]
    assert "the id '7' of the report" in letters[0]
    assert "has no sn, which WATS needs" in letters[1]


async def test_contradictions_are_counted(autojump_clock: MockClock) -> None:
    handler = ReportHandler(Server(), profiles=[PROFILE])
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(handler)
        await (await bus.publish(result(conflicts=["unit Passed", "failed: S"]))).wait_settled()
    assert handler.statistics.conflicts == 1


def test_a_service_and_profiles_are_checked() -> None:
    with pytest.raises(TypeError, match=r"report_service must have `async submit\(report\)`"):
        ReportHandler(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="profiles must be SourceProfiles, not 'ICT'"):
        ReportHandler(Server(), profiles=["ICT"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"process_codes\['AOI'\] must be an int"):
        SourceProfile(process_codes={"AOI": "110"})  # type: ignore[dict-item]


async def test_reels_that_were_installed_go_along_with_the_next_report(autojump_clock: MockClock) -> None:
    server, reels = Server(), ReelMemory()
    reels.add("SN-1", InstalledComponent(reference_designator="R1", part_number="RES-1", lot_number="LOT-7"))
    async with running_async_bus(**policies()) as bus:
        bus.subscribe(ReportHandler(server, profiles=[PROFILE], sub_units_of=reels.sub_units_of))
        for _ in range(2):
            await (await bus.publish(result())).wait_settled()
    first, second = server.reports
    assert [(unit["partType"], unit["pn"], unit["sn"]) for unit in first["subUnits"]] == [
        ("Reel", "RES-1", "LOT-7")
    ]
    assert "subUnits" not in second
