"""Would a store work in its folder? Looked at from outside, without opening or changing it. Blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

from pywats_events.checks import Finding, nearest, unwritable
from pywats_events.durability._capacity import Sample, fullness
from pywats_events.durability._files import holder_of

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
    return Finding("ok", what, "it can be written to" if path.exists() else "it will be made")


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
