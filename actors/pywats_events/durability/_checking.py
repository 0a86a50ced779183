"""Would a store work in its folder? Looked at from outside, without opening or changing it. Blocks."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pywats_events.checks import Finding, nearest, unwritable
from pywats_events.durability._capacity import Sample, fullness
from pywats_events.durability._faults import is_corrupt, unavailable
from pywats_events.durability._files import Folder, holder_of
from pywats_events.durability._schema import check_ours
from pywats_events.durability.errors import NotAStore, StoreTooNew

__all__ = ["finding"]


def finding(path: Path, max_size: int, min_free: float) -> Finding:
    """What there is to say of a store's folder.

    Args:
        path: of the folder, which need not be there.
        max_size: bytes that the store may take.
        min_free: the part of the disk, 0 to 1, that has to stay free.
    """
    what = f"data {path}"
    wrong = _wrong(path, max_size, min_free)
    if wrong is not None:
        return Finding("error", what, wrong)
    holder = holder_of(path)
    if holder is not None:  # perhaps the same station, which is to be started again as it is configured now
        text = f"it is in use by {holder}; stop that before this one starts"
        return Finding("warning", what, text, occupied=True)
    return _of_database(what, Folder(path).database) or Finding(
        "ok", what, "it can be written to" if path.exists() else "it will be made"
    )


def _of_database(what: str, file: Path) -> Finding | None:
    """What is wrong with the database, as far as its first pages tell."""
    if not file.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            check_ours(reader, str(file))
    except (NotAStore, StoreTooNew) as error:
        return Finding("error", what, str(error))
    except sqlite3.Error as error:
        said = str(unavailable(f"{file} cannot be read", error))
        return Finding("warning" if is_corrupt(error) else "error", what, said)
    return None


def _wrong(path: Path, max_size: int, min_free: float) -> str | None:
    there = nearest(path)
    if not there.is_dir():
        return f"{there} is no folder"
    forbidden = unwritable(there)
    if forbidden is not None:
        return f"{forbidden}, or give another folder"
    disk = shutil.disk_usage(there)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if fullness(Sample(0.0, size, disk.free, disk.total), max_size, min_free) >= 1.0:
        return (
            f"it is full, so nothing would be accepted: it takes {size / 1e9:.1f} GB of at most "
            f"{max_size / 1e9:.1f} GB, and {disk.free / disk.total:.0%} of its disk are free, of which "
            f"{min_free:.0%} have to stay free; make room, or give data=Store(..., max_size=, min_free=)"
        )
    return None
