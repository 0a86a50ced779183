"""Converting: from what is in a file to its events.

A small file whose converter only computes is converted on trio, when its events are published: what
one processor makes and another uses has to travel between them, and events are many times what they
are made of. The others are converted in a thread: they may take their time, and may block.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final

from pywats_events import Event
from pywats_files._folder import Folder, check_unchanged
from pywats_files._pages import Pages, checked
from pywats_files._platform import READING
from pywats_files._reading import Content, Later, Taken, those_that, tried
from pywats_files._telling import Trouble
from pywats_files.config import FolderConfig
from pywats_files.converters import FileInfo
from pywats_files.errors import FileNotReady, FileRefused

__all__ = ["Converting", "told"]

AT_ONCE: Final = 1024 * 1024
"""Bytes of a large file that are read at once for its digest."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Converting:
    """Converts files that were read.

    Args:
        config: of the watcher.
        folder: where they are.
    """

    def __init__(self, config: FolderConfig, folder: Folder) -> None:
        self._config = config
        self._folder = folder
        self._source = config.source_name
        self._place = str(config.path)
        self._whole = those_that("makes_whole", config)

    def convert(self, found: list[Content | Taken | Later]) -> list[Content | Taken | Later]:
        """Convert those that are not quick, in order; blocks.

        Raises:
            FolderLost: if the folder is away.
        """
        converted = [
            tried(self._folder, each.seen.name, self._convert, each)
            if isinstance(each, Content) and not each.quick
            else each
            for each in found
        ]
        return [each for each in converted if each is not None]

    def convert_quick(self, content: Content) -> Taken | Later:
        """Convert one that is quick; does not block."""
        try:
            return self._convert(content)
        except FileNotReady as error:
            name = content.seen.name
            return Later(name, Trouble("waiting", name, str(error)))

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

    def _digest_of(self, stream: BinaryIO) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        while data := stream.read(AT_ONCE):
            digest.update(data)
        return digest.digest()

    def _converted(self, content: Content, digest: bytes, stream: BinaryIO) -> Taken:
        seen, in_hand, most = content.seen, content.in_hand, self._config.max_events
        if self._folder.is_done(digest):
            return Taken(seen, digest, in_hand=in_hand)
        pages = None
        try:
            made = self._events(content, digest, stream)
            if content.data is not None:
                events = checked(made, most + 1, most)
            else:
                pages = Pages(made, most, stream)
                events = pages.next()
        except FileNotReady:
            raise
        except Exception as error:  # noqa: BLE001 - also a user's converter; the file is kept, with the error
            return Taken(seen, digest, None, told(error), in_hand)
        return Taken(seen, digest, events, None, in_hand, pages)

    def _events(self, content: Content, digest: bytes, stream: BinaryIO) -> Iterator[Event]:
        seen, convert = content.seen, self._config.converters[content.pattern]
        info = FileInfo(
            name=seen.name,
            path=self._folder.path_of(seen.name),
            source=self._source,
            size=seen.size,
            modified=EPOCH + timedelta(0, 0, seen.mtime_ns // 1000),
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


def told(error: Exception) -> str:
    """What a person is told of a file that could not be converted."""
    return str(error) if isinstance(error, FileRefused) else f"{type(error).__name__}: {error}"
