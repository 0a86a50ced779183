"""What only the operating system knows: who has a folder, and whether a file is still being written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt

__all__ = ["READING", "WINDOWS", "is_being_written", "length_of", "lock", "longest_name"]

WINDOWS: Final = sys.platform == "win32"
READING: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
"""How a file is opened that somebody else put there: no link is followed, no pipe is waited for."""

LONGEST: Final = 255
"""Of a name, nearly everywhere; FAT says six times as much, and means characters."""


def lock(path: Path) -> int:
    """Open a file and lock it, for as long as the descriptor is open or the process lives.

    Raises:
        BlockingIOError: if somebody has it.
        OSError: if it cannot be opened, or its file system knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        if sys.platform == "win32":
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError as error:
                raise BlockingIOError(error.errno, error.strerror) from error
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def longest_name(folder: str) -> int:
    """How long the name of a file in a folder may be, as `length_of` counts.

    Raises:
        OSError: if the folder is away.
    """
    return LONGEST if WINDOWS else min(LONGEST, os.pathconf(folder, "PC_NAME_MAX"))


def length_of(name: str) -> int:
    """The length of a name as the file system counts it: bytes, on Windows units of UTF-16."""
    return len(name.encode("utf-16-le", "surrogatepass")) // 2 if WINDOWS else len(os.fsencode(name))


def is_being_written(descriptor: int) -> bool:
    """Whether somebody has the file open for writing, as far as the system tells.

    Linux tells it of files of one's own on a local disk, by refusing a lease. Windows refuses to
    open or rename such a file, so there is nothing to ask. Elsewhere nobody knows.
    """
    if sys.platform != "linux":
        return False
    try:
        # Whoever opens it for writing meanwhile waits a moment, and this signal, which nobody heeds, is sent.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, SIGNAL)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # not our file, or a file system without leases
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


if sys.platform == "linux":
    from signal import SIGURG

    SIGNAL: Final = int(SIGURG)
    """Ignored unless somebody asks for it; what a lease sends by default would end the process."""
