"""Logs of a station: readable at a terminal, JSON in a file that is rotated by its size."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, TextIO, final

__all__ = ["LINE_FORMAT", "OURS", "JSONFormatter", "configure", "quiet"]

LINE_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
EXTRAS: Final = ("station", "transport", "actor", "event_id", "attempt", "sender", "file")
"""What our records say beside their text: what they are about. An actor is a handler or another child."""
OURS: Final = (
    "pywats_supervision",
    "pywats_actors",
    "pywats_events",
    "pywats_asyncio",
    "pywats_rabbitmq",
    "pywats_cfx",
    "pywats_files",
    "pywats_wats",
    "pywats_station",
)
"""The loggers of this project."""


@final
class JSONFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and what the record says beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class _Rotating(logging.handlers.RotatingFileHandler):
    """Goes on with the old file where it cannot be renamed: on Windows, while somebody reads it."""

    def rotate(self, source: str, dest: str) -> None:
        """Rename the file, or leave it for the next time."""
        try:
            super().rotate(source, dest)
        except PermissionError:
            self.maxBytes = os.path.getsize(source) + (self.maxBytes or 1)


def configure(
    *,
    level: int | str = logging.INFO,
    log_file: str | os.PathLike[str] | None = None,
    max_bytes: int = 10 << 20,
    backups: int = 5,
    stream: TextIO | None = None,
    as_json: bool = False,
) -> None:
    """Have the logs of this project, and what other libraries warn of, written; for a program's main.

    Args:
        level: of this project's records; of others, warnings and worse are written.
        log_file: gets them as lines of JSON; None for none.
        max_bytes: at which the file is rotated.
        backups: how many older files are kept.
        stream: gets them too; None for standard error.
        as_json: whether that stream gets JSON as well.

    Raises:
        OSError: if the file cannot be opened.
    """
    root = logging.getLogger()
    shown = logging.StreamHandler(stream)
    shown.setFormatter(JSONFormatter() if as_json else logging.Formatter(LINE_FORMAT))
    if log_file is not None:  # first: where it cannot be opened, nothing is configured
        kept = _Rotating(
            log_file,
            maxBytes=max_bytes,
            backupCount=backups,
            encoding="utf-8",
            errors="backslashreplace",  # half a character from outside, which is what JSON calls it too
        )
        kept.setFormatter(JSONFormatter())
        root.addHandler(kept)
    root.addHandler(shown)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Log nothing of this project around a block: for demonstrations, where what fails is meant to."""
    loggers = [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
