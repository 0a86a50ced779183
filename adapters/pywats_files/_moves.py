"""Which files are being moved to `done`: what the next life looks at if this one ends meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from pywats_files._decisions import Seen

__all__ = ["Moves"]

NONE: Final = b"[]\n"
_decoder: Final = msgspec.json.Decoder(list[Seen])


class Moves:
    """The moves that are under way, on the first line of a file: each write begins at its start.

    Args:
        path: of its file; made when first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def left(self) -> list[Seen]:
        """The files that an earlier life was moving when it ended.

        Raises:
            OSError: if the file cannot be read.
        """
        try:
            line = self._path.read_bytes().partition(b"\n")[0]
        except FileNotFoundError:
            return []
        try:
            return _decoder.decode(line)
        except msgspec.DecodeError:
            return []  # cut off while it was written, so none was moved

    def begin(self, files: Sequence[Seen]) -> None:
        """Write down that files are moved now.

        Raises:
            OSError: if it cannot be written.
        """
        self._write(msgspec.json.encode(files) + b"\n")

    def end(self) -> None:
        """Write down that none is, which needs no room on the disk."""
        if self._path.exists():
            self._write(NONE)

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "wb", buffering=0) as file:
            if file.write(line) < len(line):
                raise OSError("the disk did not take all of it")
