"""What a FileWatcher is told: which folder, which files of it, when they are finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Final, Literal

from pywats_files.converters import Convert, json_events, json_line_events, wsjf_events

__all__ = ["FolderConfig"]

MiB: Final = 1024 * 1024


def _usual() -> dict[str, Convert]:
    return {"*.wsjf": wsjf_events, "*.json": json_events, "*.jsonl": json_line_events}


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """One folder, and how its files become events.

    Args:
        folder: where files are dropped; its subfolders are not looked into.
        source: whose the events are that do not say it themselves; None is the folder's name.
        converters: by pattern of the file's name (`*.csv`), what makes its events; the first pattern
            that matches counts, and files that none matches stay where they are. Upper and lower case
            are the same.
        ignore: patterns of names that are never taken: what writers call a file they have not finished.
        finished: when a file is complete: "stable", when its size and time have not changed for
            `stable_for`; "renamed", at once, as it is renamed to its name by its writer; "marker",
            when there is a file of the same name and `marker` beside it that is no older.
        stable_for: seconds, more than 0.
        marker: what a marker's name has at its end.
        watch: "notify" is woken by the operating system; "poll" only looks, for network shares, whose
            servers tell nobody.
        poll_interval: seconds between two looks at the folder, more than 0; with "notify" too, which
            is silent when the folder goes away.
        retry_after: seconds until a file is tried again that cannot be read or moved, more than 0.
        done: folder of files that are done, within `folder` or on the same file system.
        failed: folder of files that could not be converted, each with an `.error.txt`; as `done`.
        state: folder of files being worked on, the ledger and the lock; as `done`.
        max_file: bytes of a file, at the most.
        max_line: bytes of a line of a file that is read by lines, at the most.
        max_events: events of a file, at the most.
        in_flight: files taken and not yet done, at the most.
        remember: files of which the ledger knows that they are done, at the least; 0 remembers none.

    Raises:
        TypeError: for a value of the wrong kind, naming it.
        ValueError: for one out of its range, naming it and what is allowed.
    """

    folder: str | Path
    source: str | None = None
    converters: Mapping[str, Convert] = field(default_factory=_usual)
    ignore: tuple[str, ...] = (".*", "~*", "*.tmp", "*.part", "*.partial", "*.crdownload", "*.filepart")
    finished: Literal["stable", "renamed", "marker"] = "stable"
    stable_for: float = 1.0
    marker: str = ".ready"
    watch: Literal["notify", "poll"] = "notify"
    poll_interval: float = 3.0
    retry_after: float = 5.0
    done: str | Path = "done"
    failed: str | Path = "failed"
    state: str | Path = ".pywats"
    max_file: int = 256 * MiB
    max_line: int = 4 * MiB
    max_events: int = 1_000_000
    in_flight: int = 512
    remember: int = 100_000

    def __post_init__(self) -> None:
        for name in ("folder", "done", "failed", "state"):
            _check_path(name, getattr(self, name))
        if self.source is not None:
            _check_text("source", self.source)
        self._check_patterns()
        _check_choice("finished", self.finished, ("stable", "renamed", "marker"))
        _check_choice("watch", self.watch, ("notify", "poll"))
        _check_text("marker", self.marker)
        if "/" in self.marker or "\\" in self.marker:
            raise ValueError(f'marker must be the end of a file name, such as ".ready", not {self.marker!r}')
        for name in ("stable_for", "poll_interval", "retry_after"):
            _check_seconds(name, getattr(self, name))
        for name in ("max_file", "max_line", "max_events", "in_flight"):
            _check_count(name, getattr(self, name), 1)
        _check_count("remember", self.remember, 0)
        places = [self.done_path, self.failed_path, self.state_path]
        if len({*places, self.path}) < 4:
            raise ValueError(
                f"folder, done, failed and state must be four folders, not {self.path}, "
                f"{', '.join(map(str, places))}"
            )

    def _check_patterns(self) -> None:
        given: object = self.converters
        if not isinstance(given, Mapping) or not given:
            raise TypeError(f"converters must be a mapping of patterns to callables, not {given!r}")
        for pattern, convert in given.items():
            if not isinstance(pattern, str) or not pattern or "/" in pattern:
                raise ValueError(
                    f"converters must be keyed by patterns of names, such as *.csv, not {pattern!r}"
                )
            if not callable(convert):
                raise TypeError(
                    f"converters[{pattern!r}] must be callable with (stream, info), not {convert!r}"
                )
        ignored: object = self.ignore
        if not isinstance(ignored, tuple) or not all(isinstance(each, str) for each in ignored):
            raise TypeError(f"ignore must be a tuple of patterns, not {ignored!r}")

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        return Path(self.folder).expanduser().absolute()

    @property
    def source_name(self) -> str:
        """Whose the events are that do not say it."""
        return self.source or self.path.name or str(self.path)

    @property
    def done_path(self) -> Path:
        """Where done files go, absolute."""
        return self.path / self.done

    @property
    def failed_path(self) -> Path:
        """Where failed files go, absolute."""
        return self.path / self.failed

    @property
    def state_path(self) -> Path:
        """Where the watcher's own files are, absolute."""
        return self.path / self.state


def _check_path(name: str, value: object) -> None:
    if not isinstance(value, str | Path):
        raise TypeError(f"{name} must be a path, not {value!r}")
    if not str(value) or "\0" in str(value):
        raise ValueError(f"{name} must be a path, not {value!r}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty text, not {value!r}")


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (value > 0 and isfinite(value)):
        raise ValueError(f"{name} must be more than 0 seconds and finite, not {value!r}")


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
