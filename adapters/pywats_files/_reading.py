"""Reading: opens files and reads those that are not large, in the thread of the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar, TypeVarTuple, Unpack

import msgspec

from pywats_events import Event
from pywats_events.models import now
from pywats_files._decisions import Patterns, Seen
from pywats_files._folder import Folder, NotNow, check_unchanged
from pywats_files._pages import Pages
from pywats_files._telling import Trouble
from pywats_files.config import FolderConfig
from pywats_files.errors import FileChanged, FileNotReady

__all__ = ["LARGE", "Content", "Later", "Reader", "Taken", "those_that", "tried"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

SMALL: Final = 16 * 1024
"""Bytes up to which a file is converted on trio if its converter only computes: for about a millisecond."""
LARGE: Final = 1024 * 1024
"""Bytes from which on a file is read twice, for its digest and in pages, instead of held in memory."""


class Later(msgspec.Struct, frozen=True, gc=False):
    """A file that cannot be taken now; with no trouble it is only to be looked at again."""

    name: str
    trouble: Trouble | None = None


class Content(msgspec.Struct, frozen=True, gc=False):
    """A file that is to be converted.

    Attributes:
        seen: the file itself.
        pattern: of its converter.
        data: what is in it; None for a large file, which is read while it is converted.
        received_at: when it was taken.
        in_hand: whether it is in hand; else it is where it was.
        quick: whether it is small and its converter only computes.
    """

    seen: Seen
    pattern: str
    data: bytes | None
    received_at: datetime
    in_hand: bool
    quick: bool


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A file, converted.

    Attributes:
        seen: the file itself.
        digest: of its content.
        events: those of the file, of a large one the first page; None if something is wrong with it, or
            its content is done.
        error: what is wrong with it.
        in_hand: whether it is in hand; else it is where it was.
        pages: the further events of a large file.
    """

    seen: Seen
    digest: bytes = b""
    events: list[Event] | None = None
    error: str | None = None
    in_hand: bool = True
    pages: Pages | None = None


class Reader:
    """Takes files and reads them.

    A small file whose converter only computes stays where it is. The others are taken into hand: a
    converter may take its time.

    Args:
        config: of the watcher.
        folder: where they are.
    """

    def __init__(self, config: FolderConfig, folder: Folder) -> None:
        self._folder = folder
        self._patterns = Patterns(config)
        self._allowed = config.max_file
        self._may_stay = config.finished != "marker"
        self._quick = those_that("is_quick", config)

    def read(self, files: list[Seen], *, in_hand: bool = False) -> list[Content | Taken | Later]:
        """Read files, in order; blocks.

        Args:
            files: as they were seen.
            in_hand: whether they are in hand already: since an earlier life, or to be read again.

        Raises:
            FolderLost: if the folder is away.
        """
        received_at = now()
        found = [tried(self._folder, seen.name, self._read, seen, received_at, in_hand) for seen in files]
        return [each for each in found if each is not None]

    def _read(self, seen: Seen, received_at: datetime, in_hand: bool) -> Content | Taken:
        name = seen.name
        pattern = self._patterns.kind(name).pattern
        only_computes = pattern in self._quick
        if in_hand:
            descriptor, held, seen = self._folder.reopen(name)
        elif only_computes and self._may_stay and seen.size <= SMALL:
            descriptor, held = self._folder.open_seen(seen)
        else:
            in_hand = True
            descriptor, held = self._folder.claim(seen)
        try:
            if pattern is None:
                return Taken(seen, error="no converter takes files of that name any more")
            if seen.size > self._allowed:
                return Taken(
                    seen, error=f"it has {seen.size} bytes, and {self._allowed} are allowed (max_file)"
                )
            if seen.size >= LARGE:
                return Content(seen, pattern, None, received_at, in_hand, quick=False)
            data = os.read(descriptor, seen.size)
            if not held:
                check_unchanged(seen, os.fstat(descriptor))
            if len(data) < seen.size:
                raise FileChanged("it was cut short while it was read; it is read again")
        finally:
            os.close(descriptor)
        return Content(seen, pattern, data, received_at, in_hand, only_computes and seen.size <= SMALL)


def those_that(say: str, config: FolderConfig) -> frozenset[str]:
    """The patterns of the converters that say something of themselves."""
    return frozenset(
        pattern for pattern, convert in config.converters.items() if getattr(convert, say, False)
    )


def tried(folder: Folder, name: str, step: Callable[[Unpack[Args]], T], *args: *Args) -> T | Later | None:
    """What a step makes of a file; None if the file is gone.

    Raises:
        FolderLost: if the folder is away.
    """
    try:
        return step(*args)
    except FileNotFoundError:
        return None
    except NotNow as reason:
        return Later(name, reason.trouble)
    except FileChanged as error:
        return Later(name, Trouble("changed", name, str(error)))
    except FileNotReady as error:
        return Later(name, Trouble("waiting", name, str(error)))
    except OSError as error:
        folder.check()
        return Later(name, Trouble("unreadable", name, str(error)))
