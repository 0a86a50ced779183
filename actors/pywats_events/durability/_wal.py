"""Was a committed part of SQLite's write-ahead log cut off, because it is damaged?

SQLite reads its log up to the first frame that is not whole, and says nothing of what follows. A frame
of a commit behind that place, of the same generation, tells that something was there.
See "WAL-mode File Format" in SQLite's documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["commit_frames"]

_HEAD: Final = 32
_FRAME_HEAD: Final = 24
_MAGIC: Final = (0x377F0682, 0x377F0683)


def commit_frames(log: Path) -> int:
    """The number of the last frame that ends a commit of the log's present generation.

    Args:
        log: the file; it need not be there.

    Returns:
        Counted from 1, as SQLite does; 0 if there is none, or the log's head is none.
    """
    if not log.exists():
        return 0
    last = 0
    with log.open("rb") as file:
        head = file.read(_HEAD)
        if len(head) < _HEAD or int.from_bytes(head[:4], "big") not in _MAGIC:
            return 0
        page, salts, number = int.from_bytes(head[8:12], "big"), head[16:24], 0
        while len(frame := file.read(_FRAME_HEAD)) == _FRAME_HEAD:
            number += 1
            if frame[8:16] == salts and frame[4:8] != b"\0\0\0\0":
                last = number
            file.seek(page, 1)
    return last
