"""Was a committed part of SQLite's write-ahead log cut off, because it is damaged?

SQLite reads its log up to the first frame that is not whole, and says nothing of what follows. A frame
of a commit behind that place, of the same generation, tells that something was there.
See "WAL-mode File Format" in SQLite's documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final, Literal

__all__ = ["commit_frames"]

_HEAD: Final = 32
_FRAME_HEAD: Final = 24
_WORD: Final = 0xFFFFFFFF
_ORDERS: Final[dict[int, Literal["big", "little"]]] = {0x377F0682: "little", 0x377F0683: "big"}
"""The first word of a log, and the order of bytes that its checksums are made with."""


def commit_frames(log: Path, page: int) -> int:
    """The number of the last frame that ends a commit of the log's present generation.

    Args:
        log: the file; it need not be there.
        page: bytes of a page, where the log's head does not tell.

    Returns:
        Counted from 1, as SQLite does; 0 if there is none. Behind a damaged head SQLite reads nothing, and
        every frame may have been of a commit.
    """
    if not log.exists():
        return 0
    with log.open("rb") as file:
        head = file.read(_HEAD)
        if not head:
            return 0
        if not _is_whole(head):
            return max(1, (log.stat().st_size - _HEAD) // (_FRAME_HEAD + page))
        return _last_commit(file, int.from_bytes(head[8:12], "big"), head[16:24])


def _last_commit(file: BinaryIO, page: int, salts: bytes) -> int:
    last = number = 0
    while len(frame := file.read(_FRAME_HEAD)) == _FRAME_HEAD:
        number += 1
        if frame[8:16] == salts and frame[4:8] != b"\0\0\0\0":
            last = number
        file.seek(page, 1)
    return last


def _is_whole(head: bytes) -> bool:
    """Whether the checksum of a log's head is right."""
    order = _ORDERS.get(int.from_bytes(head[:4], "big"))
    if order is None or len(head) < _HEAD:
        return False
    first = second = 0
    for start in range(0, 24, 8):
        first = (first + int.from_bytes(head[start : start + 4], order) + second) & _WORD
        second = (second + int.from_bytes(head[start + 4 : start + 8], order) + first) & _WORD
    return head[24:32] == first.to_bytes(4, "big") + second.to_bytes(4, "big")
