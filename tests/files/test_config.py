"""A bad configuration is one clear error."""

from __future__ import annotations

from typing import Any

import pytest

from pywats_files import FileWatcher, FolderConfig, json_events


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"folder": 3}, TypeError, "folder must be a path, not 3"),
        ({"folder": ""}, ValueError, "folder must be a path, not ''"),
        ({"source": ""}, ValueError, "source must be a non-empty text, not ''"),
        ({"converters": {}}, TypeError, "converters must be a mapping of patterns to callables"),
        ({"converters": {"a/b": json_events}}, ValueError, "converters must be keyed by patterns of names"),
        ({"converters": {"*.x": 1}}, TypeError, r"converters\['\*.x'\] must be callable with"),
        ({"ignore": "*.tmp"}, TypeError, "ignore must be a tuple of patterns"),
        ({"finished": "soon"}, ValueError, "finished must be one of 'stable', 'renamed', 'marker'"),
        ({"watch": "no"}, ValueError, "watch must be one of 'notify', 'poll'"),
        ({"marker": "a/b"}, ValueError, "marker must be the end of a file name"),
        ({"stable_for": 0}, ValueError, "stable_for must be more than 0 seconds"),
        ({"poll_interval": float("inf")}, ValueError, "poll_interval must be more than 0 seconds and finite"),
        ({"retry_after": "1"}, TypeError, "retry_after must be a number of seconds"),
        ({"max_file": 0}, ValueError, "max_file must be at least 1"),
        ({"in_flight": 1.5}, TypeError, "in_flight must be an int"),
        ({"remember": -1}, ValueError, "remember must be at least 0"),
        ({"failed": "done"}, ValueError, "folder, done, failed and state must be four folders"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        FolderConfig(**{"folder": "drop", **options})


def test_a_watcher_needs_a_configuration() -> None:
    with pytest.raises(TypeError, match="config must be a FolderConfig, not 'drop'"):
        FileWatcher("drop")  # type: ignore[arg-type]


def test_events_are_the_folders_unless_somebody_else_is_named() -> None:
    assert FolderConfig(folder="/data/ICT-01").source_name == "ICT-01"
    assert FolderConfig(folder="/data/ICT-01", source="Line 1").source_name == "Line 1"
