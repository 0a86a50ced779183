"""Reading: takes files into hand, and has them converted, in worker threads.

These are two steps because a converter may take its time: others use the disk meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO, Final, NamedTuple, ParamSpec, TypeVar

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

P = ParamSpec("P")
T = TypeVar("T")

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
    """A file in hand that is to be converted.

    Attributes:
        seen: the file itself.
        pattern: of its converter.
        data: what is in it; None for a large file, which is read while it is converted.
    """

    seen: Seen
    pattern: str
    data: bytes | None


class Taken(NamedTuple):
    """A file in hand, converted.

    Attributes:
        seen: the file itself.
        digest: of its content.
        pages: its events, a page at a time; None if something is wrong with it, or its content is done.
        error: what is wrong with it.
    """

    seen: Seen
    digest: bytes = b""
    pages: Pages | None = None
    error: str | None = None


class Pages:
    """The events of a file, read as they are asked for.

    Attributes:
        first: the first page; for a small file it is all.
        more: whether there may be others.
    """

    def __init__(self, stream: BinaryIO, events: Iterator[Event], most: int, *, whole: bool) -> None:
        self._stream = stream
        self._events = events
        self._room = most
        self.more = False
        self.first: list[Event] = self.next() if not whole else self._all()

    def _all(self) -> list[Event]:
        events = list(islice(self._events, self._room + 1))
        self._check(events)
        self.close()
        return events

    def next(self) -> list[Event]:
        """The next page; blocks.

        Raises:
            Exception: what the converter raises.
        """
        events = list(islice(self._events, PAGE))
        self._check(events)
        self._room -= len(events)
        self.more = len(events) == PAGE
        return events

    def _check(self, events: list[Event]) -> None:
        if len(events) > self._room:
            raise FileRefused("it makes more events than are allowed (max_events)")
        for event in events:
            if event.__class__ is not Event:
                raise FileRefused(f"its converter makes events, not {event!r}")

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()
        self._stream.close()


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

    def read(self, files: list[Seen], *, in_hand: bool = False) -> list[Content | Taken | Later]:
        """Take files into hand and read those that are not large, in order; blocks.

        Args:
            files: as they were seen.
            in_hand: whether they are in hand already: since an earlier life, or to be read again.

        Raises:
            FolderLost: if the folder is away.
        """
        found = [self._tried(seen.name, self._read, seen, in_hand) for seen in files]
        return [each for each in found if each is not None]

    def convert(self, found: list[Content | Taken | Later]) -> list[Taken | Later]:
        """Convert what was read, in order; blocks.

        Raises:
            FolderLost: if the folder is away.
        """
        converted = [
            self._tried(each.seen.name, self._convert, each) if isinstance(each, Content) else each
            for each in found
        ]
        return [each for each in converted if each is not None]

    def _tried(self, name: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | Later | None:
        """What a step makes of a file; None if the file is gone."""
        try:
            return step(*args, **named)
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

    def _read(self, seen: Seen, in_hand: bool) -> Content | Taken:
        descriptor, seen = self._folder.reopen(seen.name) if in_hand else self._folder.claim(seen)
        try:
            pattern = self._patterns.kind(seen.name).pattern
            if pattern is None:
                return Taken(seen, error="no converter takes files of that name any more")
            allowed = self._config.max_file
            if seen.size > allowed:
                return Taken(seen, error=f"it has {seen.size} bytes, and {allowed} are allowed (max_file)")
            if seen.size >= LARGE:
                return Content(seen, pattern, None)
            data = os.read(descriptor, seen.size)
            check_unchanged(seen, os.fstat(descriptor))
            if len(data) < seen.size:
                raise FileChanged("it was cut short while it was read; it is read again")
            return Content(seen, pattern, data)
        finally:
            os.close(descriptor)

    def _convert(self, content: Content) -> Taken:
        seen, pattern, data = content
        if data is None:
            return self._large(seen, pattern)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        return self._converted(seen, pattern, digest, io.BytesIO(data))

    def _large(self, seen: Seen, pattern: str) -> Taken:
        descriptor = os.open(self._folder.path_in_hand(seen.name), READING)
        stream = open(descriptor, "rb")  # noqa: SIM115 - its pages are read later
        try:
            digest = hashlib.blake2b(digest_size=16)
            while data := stream.read(AT_ONCE):
                digest.update(data)
            check_unchanged(seen, os.fstat(descriptor))
            stream.seek(0)
        except BaseException:
            stream.close()
            raise
        return self._converted(seen, pattern, digest.digest(), stream)

    def _converted(self, seen: Seen, pattern: str, digest: bytes, stream: BinaryIO) -> Taken:
        if self._folder.is_done(digest):
            stream.close()
            return Taken(seen, digest)
        try:
            events = self._events(pattern, stream, seen, digest)
            return Taken(
                seen, digest, Pages(stream, events, self._config.max_events, whole=seen.size < LARGE)
            )
        except FileNotReady:
            stream.close()
            raise
        except Exception as error:  # noqa: BLE001 - also a user's converter; the file is kept, with the error
            stream.close()
            return Taken(seen, digest, error=told(error))

    def _events(self, pattern: str, stream: BinaryIO, seen: Seen, digest: bytes) -> Iterator[Event]:
        convert = self._config.converters[pattern]
        info = FileInfo(
            name=seen.name,
            path=self._folder.path_in_hand(seen.name),
            source=self._source,
            size=seen.size,
            modified=EPOCH + timedelta(microseconds=seen.mtime_ns // 1000),
            received_at=now(),
            digest=digest,
            custom={"file": seen.name, "folder": self._place},
            max_line=self._config.max_line,
        )
        keep_id = getattr(convert, "keeps_ids", False)
        return (
            info.completed(event, index, keep_id=keep_id) for index, event in enumerate(convert(stream, info))
        )


def told(error: Exception) -> str:
    """What a person is told of a file that could not be converted."""
    return str(error) if isinstance(error, FileRefused) else f"{type(error).__name__}: {error}"
