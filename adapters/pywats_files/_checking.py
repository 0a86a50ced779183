"""Would a folder be watched as it is configured? Looked at from outside, without taking it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pywats_events.checks import Finding, nearest, unwritable
from pywats_files._platform import lock
from pywats_files.config import FolderConfig

__all__ = ["findings"]


def findings(config: FolderConfig) -> list[Finding]:
    """What there is to say of it; blocks."""
    what = f"folder {config.path}"
    wrong = _why_not(config)
    if wrong is not None:
        return [Finding("error", what, wrong)]
    return [*_warnings(config, what), Finding("ok", what, "its files can be taken and put aside")]


def _why_not(config: FolderConfig) -> str | None:
    """Why the folder cannot be watched."""
    path = config.path
    if not path.exists():
        return "it is not there; make it, or mend the path"
    if not path.is_dir():
        return "it is no folder"
    try:
        os.listdir(path)
    except OSError as error:
        return f"it cannot be read: {error}"
    return _cannot_hold(path, path) or next(
        (
            f"files cannot be put aside: {reason}"
            for place in (config.state_path, config.done_path, config.failed_path)
            if (reason := _cannot_hold(place, path)) is not None
        ),
        None,
    )


def _cannot_hold(place: Path, folder: Path) -> str | None:
    """Why files of the folder cannot be moved to a place, which may have to be made."""
    there = nearest(place)
    if not there.is_dir():
        return f"{there} is no folder"
    if os.stat(there).st_dev != os.stat(folder).st_dev:
        return f"{place} is not on the file system of {folder}"
    return unwritable(there)


def _warnings(config: FolderConfig, what: str) -> Iterator[Finding]:
    if _is_in_use(config.state_path / "lock"):
        text = "a watcher has it now; another one would wait until that is gone"
        yield Finding("warning", what, text, occupied=True)
    if config.watch == "notify" and find_spec("watchfiles") is None:
        yield Finding(
            "warning",
            what,
            f"watchfiles is not installed, so it is only looked at every {config.poll_interval:g} s; "
            'pip install "pywats-events[files]", or give watch="poll"',
        )


def _is_in_use(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        os.close(lock(path))
    except BlockingIOError:
        return True
    return False
