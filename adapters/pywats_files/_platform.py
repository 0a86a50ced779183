"""What only the operating system knows: who has a folder, who writes to a file, which name is free."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt

__all__ = ["READING", "WINDOWS", "hold", "length_of", "lock", "longest_name", "move_to_free"]

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


def hold(descriptor: int) -> bool:
    """See to it that nobody writes to a file until its descriptor is closed, as far as the system can.

    Linux does it for files of one's own on a local disk, by a lease. Windows refuses to open or
    rename a file that is being written, so there is nothing to ask. Elsewhere nobody knows.

    Returns:
        Whether it is so; if not, the file may change while it is read.

    Raises:
        BlockingIOError: if somebody has it open for writing.
    """
    if sys.platform != "linux":
        return False
    try:
        # Whoever opens it for writing meanwhile waits a moment, and this signal, which nobody heeds, is sent.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, SIGNAL)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise
    except OSError:
        return False  # not our file, or a file system without leases
    return True


def move_to_free(source: str, target: str) -> None:
    """Rename a file, unless there is one under its new name.

    Where the system cannot do both in one step, one that is put there in between is lost.

    Raises:
        FileExistsError: if the name is taken.
        OSError: if it cannot be renamed.
    """
    if renameat2 is not None:
        old, new = source.encode(ENCODING, ERRORS), target.encode(ENCODING, ERRORS)  # as os.fsencode, at once
        if not renameat2(AT_FDCWD, old, AT_FDCWD, new, NOREPLACE):
            return
        reason = ctypes.get_errno()
        if reason not in UNKNOWN:
            raise OSError(reason, os.strerror(reason), source, None, target)
    elif WINDOWS:
        os.rename(source, target)  # it never replaces there
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)


def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The function of the C library (glibc 2.28), where there is one."""
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        function.restype = ctypes.c_int
    return function


renameat2: Final = _renameat2()
ENCODING: Final = sys.getfilesystemencoding()
ERRORS: Final = sys.getfilesystemencodeerrors()
AT_FDCWD: Final = -100
"""Says that a path is meant as it is everywhere (linux/fcntl.h)."""
NOREPLACE: Final = 1
"""RENAME_NOREPLACE (linux/fs.h)."""
UNKNOWN: Final = {errno.ENOSYS, errno.EINVAL, errno.EPERM}
"""What a kernel, a file system or a container says that does not have it, if it is not the truth."""

if sys.platform == "linux":
    from signal import SIGURG

    SIGNAL: Final = int(SIGURG)
    """Ignored unless somebody asks for it; what a lease sends by default would end the process."""
