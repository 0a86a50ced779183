"""Reading: opens files and has them converted, in worker threads.

A small file with a quick converter stays where it is, and is converted where it is read: all of a
batch are read before the first is converted, as either goes faster in a row. The others are taken
into hand and converted elsewhere: a converter may take its time, and others use the disk meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO, Final, NamedTuple, TypeVar, TypeVarTuple, Unpack

from pywats_events import Event
from pywats_events.models import now
from pywats_files._decisions import Patterns, Seen
from pywats_files._folder import Folder, NotNow, check_unchanged
from pywats_files._platform import READING
from pywats_files._telling import Trouble
from pywats_files.config import FolderConfig
from pywats_files.converters import FileInfo
from pywats_files.errors import FileChanged, FileNotReady, FileRefused

__all__ = ["Content", "Later", "Pages", "Reader", "Taken", "told"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

LARGE: Final = 1024 * 1024
"""Bytes from which on a file is read twice, for its digest and in pages, instead of held in memory."""
PAGE: Final = 256
"""Events of a large file that are in memory at once."""
AT_ONCE: Final = 1024 * 1024
"""Bytes of a large file that are read at once for its digest."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Later(NamedTuple):
    """A file that cannot be taken now; with no trouble it is only to be looked at again."""

    name: str
    trouble: Trouble | None = None


class Content(NamedTuple):
    """A file that is to be converted.

    Attributes:
        seen: the file itself.
        pattern: of its converter.
        data: what is in it; None for a large file, which is read while it is converted.
        received_at: when it was taken.
        in_hand: whether it is in hand; else it is where it was.
    """

    seen: Seen
    pattern: str
    data: bytes | None
    received_at: datetime
    in_hand: bool


class Taken(NamedTuple):
    """A file, converted.

    Attributes:
        seen: the file itself.
        digest: of its content.
        pages: its events, a page at a time; None if something is wrong with it, or its content is done.
        error: what is wrong with it.
        in_hand: whether it is in hand; else it is where it was.
    """

    seen: Seen
    digest: bytes = b""
    pages: Pages | None = None
    error: str | None = None
    in_hand: bool = True


class Pages:
    """The events of a file: of a small one all at once, those of a large one as they are asked for.

    Attributes:
        first: the first page.
        more: whether there may be others.

    Raises:
        Exception: what the converter raises.
    """

    __slots__ = ("_events", "_room", "_stream", "first", "more")

    def __init__(self, events: Iterator[Event], most: int, large: BinaryIO | None = None) -> None:
        self._events = events
        self._room = most
        self._stream = large
        self.more = False
        if large is None:
            self.first: list[Event] = _checked(list(islice(events, most + 1)), most)
        else:
            self.first = self.next()

    def next(self) -> list[Event]:
        """The next page; blocks.

        Raises:
            Exception: what the converter raises.
        """
        events = _checked(list(islice(self._events, PAGE)), self._room)
        self._room -= len(events)
        self.more = len(events) == PAGE
        return events

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            close = getattr(self._events, "close", None)
            if close is not None:
                close()
            self._stream.close()


def _checked(events: list[Event], most: int) -> list[Event]:
    """The events of a converter, if they are events and no more than allowed."""
    if len(events) > most:
        raise FileRefused("it makes more events than are allowed (max_events)")
    for event in events:
        if event.__class__ is not Event:
            raise FileRefused(f"its converter makes events, not {event!r}")
    return events


class Reader:
    """Takes files and reads them.

    Args:
        config: of the watcher.
        folder: where they are.
    """

    def __init__(self, config: FolderConfig, folder: Folder) -> None:
        self._config = config
        self._folder = folder
        self._patterns = Patterns(config)
        self._source = config.source_name
        self._place = str(config.path)
        self._small = min(LARGE, config.max_file + 1) if config.finished != "marker" else 0
        self._quick = _those_that("is_quick", config)
        self._whole = _those_that("makes_whole", config)

    def read(self, files: list[Seen], *, in_hand: bool = False) -> list[Content | Taken | Later]:
        """Read files that are not large, in order, and convert those whose converters are quick; blocks.

        Args:
            files: as they were seen.
            in_hand: whether they are in hand already: since an earlier life, or to be read again.

        Raises:
            FolderLost: if the folder is away.
        """
        received_at, quick = now(), self._quick
        read = [self._tried(seen.name, self._read, seen, received_at, in_hand) for seen in files]
        found = [
            self._tried(each.seen.name, self._convert, each)
            if isinstance(each, Content) and each.pattern in quick and each.data is not None
            else each
            for each in read
        ]
        return [each for each in found if each is not None]

    def convert(self, found: list[Content | Taken | Later]) -> list[Taken | Later]:
        """Convert what is not converted yet, in order; blocks.

        Raises:
            FolderLost: if the folder is away.
        """
        converted = [
            self._tried(each.seen.name, self._convert, each) if isinstance(each, Content) else each
            for each in found
        ]
        return [each for each in converted if each is not None]

    def _tried(self, name: str, step: Callable[[Unpack[Args]], T], *args: Unpack[Args]) -> T | Later | None:
        """What a step makes of a file; None if the file is gone."""
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
            self._folder.check()
            return Later(name, Trouble("unreadable", name, str(error)))

    def _read(self, seen: Seen, received_at: datetime, in_hand: bool) -> Content | Taken:
        name = seen.name
        pattern = self._patterns.kind(name).pattern
        stays = not in_hand and pattern in self._quick and seen.size < self._small
        if in_hand:
            descriptor, held, seen = self._folder.reopen(name)
        elif stays:
            descriptor, held = self._folder.open_seen(seen)
        else:
            descriptor, held = self._folder.claim(seen)
        try:
            if pattern is None:
                return Taken(seen, error="no converter takes files of that name any more")
            allowed = self._config.max_file
            if seen.size > allowed:
                return Taken(seen, error=f"it has {seen.size} bytes, and {allowed} are allowed (max_file)")
            if seen.size >= LARGE:
                return Content(seen, pattern, None, received_at, in_hand=True)
            data = os.read(descriptor, seen.size)
            if not held:
                check_unchanged(seen, os.fstat(descriptor))
            if len(data) < seen.size:
                raise FileChanged("it was cut short while it was read; it is read again")
        finally:
            os.close(descriptor)
        return Content(seen, pattern, data, received_at, not stays)

    def _convert(self, content: Content) -> Taken:
        data = content.data
        if data is None:
            return self._large(content)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        return self._converted(content, digest, io.BytesIO(data))

    def _large(self, content: Content) -> Taken:
        seen = content.seen
        descriptor = os.open(self._folder.path_of(seen.name), READING)
        stream = open(descriptor, "rb")  # noqa: SIM115 - its pages are read later
        try:
            digest = self._digest_of(stream)
            check_unchanged(seen, os.fstat(descriptor))
            stream.seek(0)
            taken = self._converted(content, digest, stream)
        except BaseException:
            stream.close()
            raise
        if taken.pages is None:
            stream.close()
        return taken

    def _converted(self, content: Content, digest: bytes, stream: BinaryIO) -> Taken:
        seen, in_hand = content.seen, content.in_hand
        if self._folder.is_done(digest):
            return Taken(seen, digest, in_hand=in_hand)
        try:
            events = self._events(content, digest, stream)
            pages = Pages(events, self._config.max_events, stream if content.data is None else None)
        except FileNotReady:
            raise
        except Exception as error:  # noqa: BLE001 - also a user's converter; the file is kept, with the error
            return Taken(seen, digest, error=told(error), in_hand=in_hand)
        return Taken(seen, digest, pages, None, in_hand)

    def _digest_of(self, stream: BinaryIO) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        while data := stream.read(AT_ONCE):
            digest.update(data)
        return digest.digest()

    def _events(self, content: Content, digest: bytes, stream: BinaryIO) -> Iterator[Event]:
        seen, convert = content.seen, self._config.converters[content.pattern]
        info = FileInfo(
            name=seen.name,
            path=self._folder.path_of(seen.name),
            source=self._source,
            size=seen.size,
            modified=EPOCH + timedelta(microseconds=seen.mtime_ns // 1000),
            received_at=content.received_at,
            digest=digest,
            custom={"file": seen.name, "folder": self._place},
            max_line=self._config.max_line,
        )
        if content.pattern in self._whole:
            return iter(convert(stream, info))
        keep_id = getattr(convert, "keeps_ids", False)
        return (
            info.completed(event, index, keep_id=keep_id) for index, event in enumerate(convert(stream, info))
        )


def _those_that(say: str, config: FolderConfig) -> frozenset[str]:
    """The patterns of the converters that say something of themselves."""
    return frozenset(
        pattern for pattern, convert in config.converters.items() if getattr(convert, say, False)
    )


def told(error: Exception) -> str:
    """What a person is told of a file that could not be converted."""
    return str(error) if isinstance(error, FileRefused) else f"{type(error).__name__}: {error}"
