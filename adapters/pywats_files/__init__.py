"""Files dropped in a folder become events: watch, convert, publish, then move aside."""

from __future__ import annotations

import pywats_supervision  # noqa: F401 - first: it says so where pywats-api lies over ours
from pywats_files.config import FolderConfig
from pywats_files.converters import (
    Column,
    Convert,
    FileInfo,
    csv_events,
    json_events,
    json_line_events,
    keeps_ids,
    wsjf_events,
)
from pywats_files.errors import (
    FileNotReady,
    FileRefused,
    FilesError,
    FilesNotInstalled,
    FolderInUse,
    FolderLost,
)
from pywats_files.watcher import FileWatcher

__all__ = [
    "Column",
    "Convert",
    "FileInfo",
    "FileNotReady",
    "FileRefused",
    "FileWatcher",
    "FilesError",
    "FilesNotInstalled",
    "FolderConfig",
    "FolderInUse",
    "FolderLost",
    "csv_events",
    "json_events",
    "json_line_events",
    "keeps_ids",
    "wsjf_events",
]
