"""From `FILE[:name]` on the command line to the station that is meant."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from pywats_station.cli.errors import CannotLoad, WrongUsage
from pywats_station.station import Station

__all__ = ["data_folder", "load"]

T = TypeVar("T")


def load(where: str) -> Station:
    """The station that a Python file makes. What the file prints goes to standard error.

    Args:
        where: `FILE` or `FILE:name`; the name is that of a Station, or of a function that gives one.

    Raises:
        CannotLoad: if there is none, or the file raises an error: which, and where.
        WrongUsage: if there is no such file.
    """
    path, name = _parts(where)
    module = _run(path)
    if name:
        found = getattr(module, name, None)
        if found is None:
            raise CannotLoad(f"{path} has no {name!r}; it has {_stations(module) or 'no station at all'}")
        station = found if isinstance(found, Station) or not callable(found) else _made(found, path, module)
        if not isinstance(station, Station):
            raise CannotLoad(f"{name!r} in {path} is no Station, but {station!r}")
        return station
    named = {key: value for key, value in vars(module).items() if isinstance(value, Station)}
    if "station" in named:
        return named["station"]
    if len(set(map(id, named.values()))) == 1:
        return next(iter(named.values()))
    if not named:
        raise CannotLoad(
            f"{path} makes no Station; write `station = Station(...)`, or name a function that gives one: "
            f"{path}:FUNCTION"
        )
    raise CannotLoad(
        f"{path} has several stations: {', '.join(sorted(named))}; name one: {path}:{min(named)}"
    )


def _parts(where: str) -> tuple[Path, str]:
    path = Path(where)
    if path.exists():
        return path, ""
    head, colon, name = where.rpartition(":")
    if colon and name.isidentifier() and Path(head).exists():
        return Path(head), name
    raise WrongUsage(f"there is no file {head if colon and name.isidentifier() else where}")


def _run(path: Path) -> ModuleType:
    if path.is_dir():
        raise CannotLoad(f"{path} is a folder; name the Python file that makes the station")
    name = f"station_{path.stem}"  # the file may be called as a module is
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotLoad(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    beside = str(path.parent.absolute())
    sys.modules[name] = module
    sys.path.insert(0, beside)
    try:
        _made(partial(spec.loader.exec_module, module), path, module)
    except CannotLoad:
        del sys.modules[name]
        sys.path.remove(beside)
        raise
    return module


def _made(make: Callable[[], T], path: Path, module: ModuleType) -> T:
    """What code of the file gives; what it prints is kept out of what a command answers."""
    try:
        with redirect_stdout(sys.stderr):
            return make()
    except Exception as error:
        line, text = _place(error, module.__file__)
        said = " ".join(text.split())
        raise CannotLoad(f"{path}{line}: {type(error).__name__}: {said}") from error


def _place(error: Exception, file: str | None) -> tuple[str, str]:
    """The line of the file in which an error came up, empty if it did not get there; and what it says."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f":{error.lineno}", error.msg
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f":{lines[-1]}" if lines else "", str(error)


def _stations(module: ModuleType) -> str:
    return ", ".join(sorted(key for key, value in vars(module).items() if isinstance(value, Station)))


def data_folder(where: str) -> Path:
    """The data folder that is meant: the folder itself, or that of the station in a file.

    Raises:
        CannotLoad: if there is none.
        WrongUsage: if there is neither.
    """
    path = Path(where)
    if path.is_dir():
        return path
    if not path.suffix and ":" not in where and not path.exists():
        raise WrongUsage(f"there is no folder {where}, and no file of that name")
    try:
        station = load(where)
    except CannotLoad as error:
        raise CannotLoad(f"{error}; a station's data folder can be given instead of its file") from error
    if station.config.folder is None:
        raise CannotLoad(f"station {station.name!r} has no data folder, so nobody can ask it; give it data=")
    return station.config.folder
