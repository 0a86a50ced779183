"""The folder on the disk: every file operation of a watcher, in the order in which a crash loses nothing.

A file goes from the folder to `hand` by one rename, and from there to `done` or `failed` by another;
what a crash leaves in hand is found there by the next life. Nothing of a file is ever written, and
nothing is removed but markers. All of it blocks, and is called from worker threads, one at a time
for taking and one for putting aside.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

from pywats_events import Event
from pywats_events.models._clock import now
from pywats_files._decisions import Patterns, Seen, free_name, is_marked, oldest
from pywats_files._ledger import Ledger
from pywats_files._platform import READING, WINDOWS, is_being_written, lock
from pywats_files._telling import Trouble
from pywats_files.config import FolderConfig
from pywats_files.converters import FileInfo
from pywats_files.errors import FileChanged, FileRefused, FolderInUse, FolderLost

__all__ = ["Folder", "Later", "Pages", "Sight", "Taken", "told"]

LARGE: Final = 1024 * 1024
"""Bytes from which on a file is read twice, for its digest and in pages, instead of held in memory."""
PAGE: Final = 256
"""Events of a large file that are in memory at once."""
READ_AT_ONCE: Final = 1024 * 1024
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Later(NamedTuple):
    """A file that cannot be taken now; with no trouble it is only to be looked at again."""

    name: str
    trouble: Trouble | None = None


class Sight(NamedTuple):
    """One look at the folder.

    Attributes:
        in_hand: files of an earlier life that are still in hand.
        waiting: the oldest of those that are waiting, in order of time.
        files: how many are waiting.
        refused: those that are never taken.
    """

    in_hand: list[Seen]
    waiting: list[Seen]
    files: int
    refused: list[Trouble]


class Taken(NamedTuple):
    """A file in hand.

    Attributes:
        seen: the file itself.
        digest: of its content.
        pages: its events, a page at a time.
        error: what is wrong with it.
        repeat: whether its content is done already.
    """

    seen: Seen
    digest: bytes = b""
    pages: Pages | None = None
    error: str | None = None
    repeat: bool = False


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


class Folder:
    """The folder of a watcher, while that has it.

    Args:
        config: of the watcher.
    """

    def __init__(self, config: FolderConfig) -> None:
        self._config = config
        self._patterns = Patterns(config)
        self._path = str(config.path)
        self._hand = str(config.state_path / "hand")
        self._done = str(config.done_path)
        self._failed = str(config.failed_path)
        self._lock: int | None = None
        self._identity: tuple[int, int] | None = None
        self._ledger: Ledger | None = None

    # Having the folder

    def open(self) -> None:
        """Take the folder for this watcher alone.

        Raises:
            FolderLost: if it is not there, or nothing can be written in it.
            FolderInUse: if another watcher has it.
        """
        config = self._config
        try:
            found = os.stat(self._path)
            if not stat.S_ISDIR(found.st_mode):
                raise FolderLost(f"{self._path} is no folder")
            for place in (self._hand, self._done, self._failed):
                os.makedirs(place, exist_ok=True)
                if os.stat(place).st_dev != found.st_dev:
                    raise FolderLost(
                        f"{place} is not on the file system of {self._path}: files cannot be moved there"
                    )
            self._lock = lock(config.state_path / "lock")
            self._ledger = Ledger(config.state_path / "ledger", config.remember)
        except BlockingIOError as error:
            raise FolderInUse(f"another watcher has the folder {self._path}") from error
        except OSError as error:
            self.close()
            raise FolderLost(f"the folder {self._path} cannot be used: {error}") from error
        self._identity = (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check(self) -> None:
        """Raise FolderLost unless the folder is there, and still the one that was opened."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise FolderLost(f"the folder {self._path} is away: {error}") from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise FolderLost(f"{self._path} is another folder than before: a share has come or gone")

    # Looking

    def look(self, known: frozenset[str], most: int) -> Sight:
        """Look at what is there.

        Args:
            known: names in hand that this process is working on.
            most: how many files to tell of.

        Raises:
            FolderLost: if it cannot be read.
        """
        self.check()
        refused: list[Trouble] = []
        try:
            counted = _Counted(self._waiting(refused))
            waiting = oldest(counted, most)
            with os.scandir(self._hand) as entries:
                in_hand = sorted(
                    _seen(entry.name, entry.stat(follow_symlinks=False))
                    for entry in entries
                    if entry.name not in known
                )
        except OSError as error:
            raise FolderLost(f"the folder {self._path} cannot be read: {error}") from error
        return Sight(in_hand, waiting, counted.count, refused)

    def _waiting(self, refused: list[Trouble]) -> Iterator[Seen]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                kind = self._patterns.kind(entry.name)
                if kind.pattern is None and kind.refused is None:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                reason = kind.refused or _not_a_file(found)
                if stat.S_ISDIR(found.st_mode):
                    continue
                if reason is not None:
                    refused.append(Trouble("refused", entry.name, reason))
                elif self._config.finished != "marker" or self._is_marked(entry.name, found.st_mtime_ns):
                    yield _seen(entry.name, found)

    def _is_marked(self, name: str, mtime_ns: int) -> bool:
        try:
            return is_marked(mtime_ns, os.stat(f"{self._path}/{name}{self._config.marker}").st_mtime_ns)
        except FileNotFoundError:
            return False

    # Taking

    def take(self, files: list[Seen], *, in_hand: bool = False) -> list[Taken | Later]:
        """Take files into hand and convert them, in order.

        Args:
            files: as they were seen.
            in_hand: whether they are in hand already, since an earlier life.

        Raises:
            FolderLost: if the folder is away.
        """
        return [taken for seen in files if (taken := self._take(seen, in_hand)) is not None]

    def _take(self, seen: Seen, in_hand: bool) -> Taken | Later | None:
        try:
            stream = self._reopened(seen.name) if in_hand else self._claimed(seen)
        except FileNotFoundError:
            return None
        except _NotNow as error:
            return Later(seen.name, error.trouble)
        except OSError as error:
            self.check()
            return Later(seen.name, Trouble("unreadable", seen.name, str(error)))
        try:
            return self._converted(seen.name, stream)
        except OSError as error:
            stream.close()
            self.check()
            return Later(seen.name, Trouble("unreadable", seen.name, str(error)))

    def _claimed(self, seen: Seen) -> BinaryIO:
        """Move a file into hand, if it is finished; the open file."""
        name = seen.name
        place, hand = f"{self._path}/{name}", f"{self._hand}/{name}"
        if os.path.lexists(hand):
            raise _NotNow(None)  # an earlier file of that name is being worked on
        descriptor = os.open(place, READING)
        try:
            found = os.fstat(descriptor)
            if _seen(name, found) != seen or not stat.S_ISREG(found.st_mode):
                raise _NotNow(None)
            if is_being_written(descriptor):
                raise _NotNow(Trouble("held", name, "its writer still has it open"))
            if WINDOWS:
                os.close(descriptor)  # an open file cannot be renamed there
                descriptor = -1
            os.rename(place, hand)
            if descriptor == -1 or os.stat(hand, follow_symlinks=False).st_ino != found.st_ino:
                replaced, descriptor = descriptor, os.open(hand, READING)
                if replaced != -1:
                    os.close(replaced)
        except BaseException:
            if descriptor != -1:
                os.close(descriptor)
            raise
        if self._config.finished == "marker":
            _remove(place + self._config.marker)
        return open(descriptor, "rb")

    def _reopened(self, name: str) -> BinaryIO:
        if self._config.finished == "marker" and not os.path.lexists(f"{self._path}/{name}"):
            _remove(f"{self._path}/{name}{self._config.marker}")
        return open(os.open(f"{self._hand}/{name}", READING), "rb")

    def _converted(self, name: str, stream: BinaryIO) -> Taken:
        before = os.fstat(stream.fileno())
        seen = _seen(name, before)
        kind = self._patterns.kind(name)
        if seen.size > self._config.max_file:
            stream.close()
            return Taken(
                seen, error=f"it has {seen.size} bytes, and {self._config.max_file} are allowed (max_file)"
            )
        if kind.pattern is None:
            stream.close()
            return Taken(seen, error="no converter takes files of that name any more")
        whole = seen.size < LARGE
        digest = _digest(stream)
        stream.seek(0)
        assert self._ledger is not None
        if digest in self._ledger:
            stream.close()
            return Taken(seen, digest, repeat=True)
        try:
            pages = Pages(
                stream, self._events(kind.pattern, stream, seen, digest), self._config.max_events, whole=whole
            )
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - also a user's converter; the file is kept, with the error
            stream.close()
            return Taken(seen, digest, error=told(error))
        return Taken(seen, digest, pages)

    def _events(self, pattern: str, stream: BinaryIO, seen: Seen, digest: bytes) -> Iterator[Event]:
        config = self._config
        convert = config.converters[pattern]
        info = FileInfo(
            name=seen.name,
            path=f"{self._hand}/{seen.name}",
            source=config.source_name,
            size=seen.size,
            modified=EPOCH + timedelta(microseconds=seen.mtime_ns // 1000),
            received_at=now(),
            digest=digest,
            custom={"file": seen.name, "folder": self._path},
            max_line=config.max_line,
        )
        keep_id = getattr(convert, "keeps_ids", False)
        return (
            info.completed(event, index, keep_id=keep_id) for index, event in enumerate(convert(stream, info))
        )

    # Putting aside

    def remember(self, digests: list[bytes]) -> None:
        """Write down that contents are done.

        Raises:
            OSError: if the disk does not take it; that costs no more than the memory of them.
        """
        assert self._ledger is not None
        self._ledger.add(digests)

    def is_done(self, digest: bytes) -> bool:
        """Whether a content is known to be done; does not block."""
        assert self._ledger is not None
        return digest in self._ledger

    def put_aside(self, seen: Seen, error: str | None) -> None:
        """Move a file out of hand: to `done`, or with an error to `failed`, the error beside it.

        Raises:
            FileChanged: if it was written to since it was read; it is back in the folder.
            OSError: if it cannot be moved; it is still in hand.
        """
        hand = f"{self._hand}/{seen.name}"
        try:
            found = os.stat(hand, follow_symlinks=False)
        except FileNotFoundError:
            self.check()
            return  # somebody has taken it away: a person, for we are alone
        if _seen(seen.name, found) != seen:
            os.rename(hand, _free(self._path, seen.name))
            raise FileChanged(f"{seen.name} was written to after it was taken; it is taken again")
        if error is None:
            os.rename(hand, _free(self._done, seen.name))
            return
        target = _free(self._failed, seen.name)
        temporary = f"{self._config.state_path}/error.new"
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{error}\n")
        os.replace(temporary, f"{target}.error.txt")
        os.rename(hand, target)


class _NotNow(Exception):
    """A file is not taken now; with the trouble that a person should hear of, if any."""

    def __init__(self, trouble: Trouble | None) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class _Counted:
    """An iterator that counts."""

    def __init__(self, files: Iterator[Seen]) -> None:
        self._files = files
        self.count = 0

    def __iter__(self) -> Iterator[Seen]:
        for file in self._files:
            self.count += 1
            yield file


def _seen(name: str, found: os.stat_result) -> Seen:
    return Seen(found.st_mtime_ns, name, found.st_size, found.st_ino)


def _not_a_file(found: os.stat_result) -> str | None:
    if stat.S_ISREG(found.st_mode):
        return None
    if stat.S_ISLNK(found.st_mode):
        return "it is a link, and only files are taken"
    return "it is neither a file nor a folder"


def _digest(stream: BinaryIO) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    while data := stream.read(READ_AT_ONCE):
        digest.update(data)
    return digest.digest()


def _free(place: str, name: str) -> str:
    return f"{place}/{free_name(name, lambda other: os.path.lexists(f'{place}/{other}'))}"


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def told(error: Exception) -> str:
    """What a person is told of a file that could not be converted."""
    return str(error) if isinstance(error, FileRefused) else f"{type(error).__name__}: {error}"
