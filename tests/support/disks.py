"""A small disk of its own, to be really full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.programs import missing

__all__ = ["fill_up", "free", "small_disk"]


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A disk in memory, mounted on a folder; who may not mount skips.

    Args:
        path: of the folder, which is made.
        size: its bytes.
    """
    path.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        missing("only root on Linux can mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        missing(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def free(path: Path) -> int:
    """Bytes that are free on a disk."""
    return shutil.disk_usage(path).free


def fill_up(path: Path, left: int) -> Path:
    """Write a file that leaves only so many bytes free; gives the file."""
    filler = path / "filler"
    with filler.open("wb") as file:
        while (room := free(path) - left) > 0:
            file.write(bytes(min(room, 1 << 20)))
            file.flush()
    return filler
