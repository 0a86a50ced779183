"""Logs: lines of JSON with what a record says beside its text, rotated by size."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pywats_station import logs


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
