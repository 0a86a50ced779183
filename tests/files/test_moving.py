"""A file that is moved replaces no other, whatever the system offers for that."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pywats_files import _platform


def without(*_: Any) -> int:
    """The call on a file system that does not have it."""
    ctypes.set_errno(errno.EINVAL)
    return -1


WAYS: dict[str, Any] = {"in one step": _platform.renameat2, "in two": None, "when one is refused": without}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_platform, "renameat2", WAYS[request.param])


@pytest.mark.usefixtures("way")
def test_a_file_is_moved_to_a_name_that_is_free(tmp_path: Path) -> None:
    for name in ("a.json", "\u00e5 \u65e5.json"):
        (tmp_path / name).write_text(name)
        _platform.move_to_free(str(tmp_path / name), str(tmp_path / f"new {name}"))
        assert not (tmp_path / name).exists()
        assert (tmp_path / f"new {name}").read_text() == name


@pytest.mark.usefixtures("way")
def test_a_file_is_not_moved_over_another(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError) as refused:
        _platform.move_to_free(str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert refused.value.filename2 == str(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_text() == "a.json"
    assert (tmp_path / "b.json").read_text() == "b.json"


@pytest.mark.usefixtures("way")
def test_a_file_that_is_gone_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _platform.move_to_free(str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert os.listdir(tmp_path) == []
