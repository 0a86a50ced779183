"""Which contents are done: a file of digests that outlives a crash.

It is appended to when all events of a file are secured, and before the file is moved. It only ever
says less than is true (a line that was cut off by a crash, an entry that is forgotten): then a file
is converted again, to events with the same ids.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Ledger"]

DIGITS = 32
"""Of a digest of 16 bytes."""


class Ledger:
    """The digests of the contents that are done.

    Args:
        path: of its file; made when first needed.
        remember: how many are known, at the least; it is cut down when there are twice as many.

    Raises:
        OSError: if the file cannot be read.
    """

    def __init__(self, path: Path, remember: int) -> None:
        self._path = path
        self._remember = remember
        self._known: dict[bytes, None] = {}
        self._unwritten: list[bytes] = []
        if remember:
            self._read()

    def _read(self) -> None:
        try:
            entries = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for entry in entries:
            if len(entry) == DIGITS:
                try:
                    self._known[bytes.fromhex(entry.decode("ascii"))] = None
                except ValueError:
                    continue  # a disk's garbage: one content is not known
        if len(self._known) > self._remember:
            self._rewrite()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def add(self, digests: Iterable[bytes]) -> None:
        """Remember contents; blocks.

        Raises:
            OSError: if they cannot be written; this process knows them, and the next call writes them.
        """
        new = [digest for digest in digests if digest not in self._known] if self._remember else []
        self._known.update(dict.fromkeys(new))
        self._unwritten += new
        if not self._unwritten:
            return
        if len(self._known) > 2 * self._remember:
            self._rewrite()
        else:
            with open(self._path, "ab") as file:  # buffered, which writes all or raises
                file.write(_written(self._unwritten))
        self._unwritten.clear()

    def _rewrite(self) -> None:
        """Keep the newest, in a new file put in the place of the old one."""
        for digest in list(self._known)[: max(0, len(self._known) - self._remember)]:
            del self._known[digest]
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(_written(self._known))
        os.replace(temporary, self._path)


def _written(digests: Iterable[bytes]) -> bytes:
    """Each on a line of its own, whose end comes first: one cut off by a full disk spoils no other."""
    return b"".join(b"\n%s" % digest.hex().encode() for digest in digests)
