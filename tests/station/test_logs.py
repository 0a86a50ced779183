"""Logs: lines of JSON with what a record says beside its text, rotated by size."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from pywats_events import Event, EventType
from pywats_events.policies import RetryPolicy
from pywats_events.transports import MockTransport
from pywats_files import FileWatcher, FolderConfig
from pywats_station import SourceProfile, Station, logs
from support.handlers import Recording

DEADLINE = 20
"""Seconds that a test on the real clock waits at most."""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs.OURS}
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_record_is_one_line_of_json_with_what_it_says_beside_its_text(tmp_path: Path) -> None:
    logs.configure(log_file=tmp_path / "log", stream=io.StringIO())
    logger = logging.getLogger("pywats_events")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("event failed", extra={"event_id": "1", "actor": "reports", "attempt": 2})
    (line,) = (tmp_path / "log").read_text().splitlines()
    said = json.loads(line)
    assert said["message"] == "event failed"
    assert (said["event_id"], said["actor"], said["attempt"], said["level"]) == ("1", "reports", 2, "ERROR")
    assert said["traceback"].endswith("ValueError: two\nlines")


async def test_what_goes_wrong_in_a_station_is_logged_with_the_event_handler_transport_and_file(
    tmp_path: Path,
) -> None:
    async def refuse(event: Event) -> None:
        raise ConnectionError("away")

    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "bad.json").write_text("[1, 2")
    logs.configure(log_file=tmp_path / "log", stream=io.StringIO())
    line = MockTransport("line 1")
    station = Station(
        "ICT-01",
        transports=[line, FileWatcher(FolderConfig(folder=drop, finished="renamed"))],
        handlers=[Recording(refuse, name="reports")],
        retry_policy=RetryPolicy(max_retries=1, initial_delay=0.01),
        sources=[SourceProfile(match="known")],
    )
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(station.run)
            event = Event(EventType.TEST_RESULT, {"unit_id": "SN-1"}, source="unknown")
            await (await station.publish(event)).wait_settled()
            line.simulate_error(ConnectionResetError("gone"))
            while not (drop / "failed" / "bad.json.error.txt").exists():
                await trio.sleep(0.01)
            station.request_stop()
    said = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]

    def beside(text: str) -> list[dict[str, Any]]:
        found = [one for one in said if text in one["message"]]
        return [{name: one[name] for name in logs.EXTRAS if name in one} for one in found]

    of_event = {"actor": "reports", "event_id": event.id}
    assert beside("'reports' failed") == [{**of_event, "attempt": 1}, {**of_event, "attempt": 2}]
    assert beside("gave up after 2 attempts") == [{**of_event, "attempt": 2}]
    assert beside("no SourceProfile matches") == [{"event_id": event.id, "sender": "unknown"}]
    assert beside("transport 'line 1' failed") == [{"transport": "line 1"}]
    assert beside("bad.json")[0] == {
        "transport": station.config.transports[1].transport.name,
        "file": "bad.json",
    }
    bare = [one["message"] for one in said if not set(one) & set(logs.EXTRAS)]
    assert bare == []


def test_half_a_character_from_outside_is_written_as_json_calls_it(tmp_path: Path) -> None:
    logs.configure(log_file=tmp_path / "log", stream=io.StringIO())
    logging.getLogger("pywats_cfx").warning("from %r", "cut \ud83d", extra={"sender": "\ud83d"})
    (line,) = map(json.loads, (tmp_path / "log").read_text(encoding="utf-8").splitlines())
    assert (line["message"], line["sender"]) == (r"from 'cut \ud83d'", "\ud83d")


def test_the_file_is_rotated_by_its_size(tmp_path: Path) -> None:
    logs.configure(log_file=tmp_path / "log", max_bytes=1000, backups=2, stream=io.StringIO())
    for number in range(100):
        logging.getLogger("pywats_station").info("line %d", number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 1100 for path in tmp_path.iterdir())
    assert "line 99" in (tmp_path / "log").read_text()


def test_a_file_that_cannot_be_renamed_goes_on_growing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, while somebody reads it."""

    def refuse(source: str, target: str) -> None:
        raise PermissionError(f"somebody reads {source}")

    logs.configure(log_file=tmp_path / "log", max_bytes=1000, stream=io.StringIO())
    monkeypatch.setattr("os.rename", refuse)
    for number in range(100):
        logging.getLogger("pywats_station").info("line %d", number)
    assert (tmp_path / "log").read_text().count("line") == 100


def test_the_terminal_gets_lines_to_read_or_json(tmp_path: Path) -> None:
    readable, plain = io.StringIO(), io.StringIO()
    logs.configure(stream=readable)
    logs.configure(stream=plain, as_json=True)
    logging.getLogger("pywats_station").info("the station starts")
    logging.getLogger("somebody.else").info("not shown")
    assert "INFO    pywats_station: the station starts" in readable.getvalue()
    assert json.loads(plain.getvalue())["message"] == "the station starts"
