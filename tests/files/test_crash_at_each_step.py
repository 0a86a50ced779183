"""A process that ends between any two file operations loses nothing and doubles nothing."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pywats_files import FolderConfig, _folder
from pywats_files._folder import Folder
from pywats_files._reading import Reader, Taken
from support.files import converted

FILES = {"a.json": "one", "b.json": "two", "c.json": "", "d.json": "one"}
"""Contents by name: the third is none, the fourth repeats the first."""
OPERATIONS = (
    "rename",
    "replace",
    "open",
    "unlink",
    "stat",
    "fstat",
    "scandir",
    "listdir",
    "makedirs",
    "close",
)


class Killed(BaseException):
    """The process is no more."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have file operation number `step` never happen, nor any after it."""
    done: list[str] = []

    def counted(name: str, operation: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if len(done) >= step and name != "close":
                raise Killed
            done.append(name)
            return operation(*args, **options)

        return call

    with monkeypatch.context() as patched:
        for name in OPERATIONS:
            patched.setattr(os, name, counted(name, getattr(os, name)))
        patched.setattr(builtins, "open", counted("open", builtins.open))
        patched.setattr(_folder, "move_to_free", counted("move_to_free", _folder.move_to_free))
        yield done


class Station:
    """What a life of a watcher does, in the order in which it does it, with a store that knows ids."""

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.folder = Folder(config)
        self.stored: dict[str, str] = {}

    def live(self) -> None:
        """Work off all there is."""
        self.folder = folder = Folder(self.config)
        try:
            folder.open()
            reader = Reader(self.config, folder)
            sight = folder.look(frozenset(), 100)
            read = reader.read(sight.in_hand, in_hand=True) + reader.read(sight.waiting)
            for each in converted(self.config, folder, read):
                assert isinstance(each, Taken)
                for event in each.events or ():
                    self.stored.setdefault(event.id, event.payload["unit_id"])
                if each.error is None:
                    folder.remember([each.digest])
                assert folder.put_aside_all([(each.seen, each.error)]) == [None]
        finally:
            folder.close()


def drop_all(folder: Path, marker: str | None) -> None:
    for number, (name, unit) in enumerate(FILES.items()):
        event = {"event_type": "test.result", "payload": {"unit_id": unit}}
        (folder / name).write_text(json.dumps(event) if unit else "{")
        os.utime(folder / name, (number, number))
        if marker:
            (folder / f"{name}{marker}").touch()


@pytest.mark.parametrize("finished", ["renamed", "stable", "marker"])
def test_after_a_kill_before_any_file_operation_the_next_life_does_the_rest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Any
) -> None:
    step, ended = 0, False
    while not ended:
        place = tmp_path / str(step)
        place.mkdir()
        drop_all(place, ".ready" if finished == "marker" else None)
        station = Station(FolderConfig(folder=place, finished=finished))
        with killed_at(step, monkeypatch) as operations:
            try:
                station.live()
                ended = True
            except Killed:
                pass
        station.live()
        assert sorted(station.stored.values()) == ["one", "two"], operations
        names = {name: sorted(os.listdir(place / name)) for name in ("done", "failed", ".pywats/hand")}
        assert names == {
            "done": ["a.json", "b.json", "d.json"],
            "failed": ["c.json", "c.json.error.txt"],
            ".pywats/hand": [],
        }, operations
        assert sorted(os.listdir(place)) == [".pywats", "done", "failed"], operations
        step += 1
    assert step > 30


def test_a_file_that_was_put_under_the_name_of_one_that_is_put_aside_is_taken_by_the_next_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the process ends right after the move or not; the old file is gone, as by its writer's will."""
    for killed in (False, True):
        place = tmp_path / str(killed)
        place.mkdir()
        drop_all(place, None)
        station = Station(FolderConfig(folder=place, finished="renamed"))
        real = _folder.move_to_free

        def swap_and_move(source: str, target: str, place: Path = place, killed: bool = killed) -> None:
            if target.endswith("done/b.json"):
                (place / "new.part").write_text(
                    '{"event_type": "test.result", "payload": {"unit_id": "new"}}'
                )
                os.rename(place / "new.part", place / "b.json")
                real(source, target)  # noqa: B023 - called in this turn
                monkeypatch.undo()
                if killed:
                    raise Killed
            else:
                real(source, target)  # noqa: B023 - called in this turn

        monkeypatch.setattr(_folder, "move_to_free", swap_and_move)
        with pytest.raises(Killed if killed else AssertionError):
            station.live()
        station.live()
        assert sorted(station.stored.values()) == ["new", "one", "two"]
        assert sorted(os.listdir(place / "done")) == ["a.json", "b.json", "d.json"]
        assert sorted(os.listdir(place)) == [".pywats", "done", "failed"]
