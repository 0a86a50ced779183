"""The folder on the disk: every file operation of a watcher, in the order in which a crash loses nothing.

A file that is done soon goes from the folder to `done` by one rename. Any other goes to `hand` by one
and from there to `done` or `failed` by another; what a crash leaves in hand is found there by the next
life. Nothing of a file is ever written, and nothing is removed but markers. All of it blocks, and is
called from a worker thread, by one at a time: a file system moves one file at a time between folders,
and two threads only wait for each other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from pywats_files._decisions import Patterns, Seen, free_name, is_marked, oldest
from pywats_files._ledger import Ledger
from pywats_files._moves import Moves
from pywats_files._platform import READING, WINDOWS, hold, length_of, lock, longest_name, move_to_free
from pywats_files._telling import Trouble
from pywats_files.config import FolderConfig
from pywats_files.errors import FileChanged, FolderInUse, FolderLost

__all__ = ["Folder", "NotNow", "Sight", "check_unchanged", "seen_of"]

CHANGED: Final = "it was written to after it was taken; it is read again"
ERROR: Final = ".error.txt"
"""What is added to the name of a failed file for that of the one that says why."""


class NotNow(Exception):
    """A file is not taken now; with the trouble that a person should hear of, if any."""

    def __init__(self, trouble: Trouble | None) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class Sight(NamedTuple):
    """One look at the folder.

    Attributes:
        in_hand: files of an earlier life that are still in hand.
        waiting: the oldest of those that are waiting, in order of time.
        files: how many are waiting.
        troubles: what is wrong with others.
    """

    in_hand: list[Seen]
    waiting: list[Seen]
    files: int
    troubles: list[Trouble]


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
        self._locks: list[int] = []
        self._moves: Moves | None = None
        self._identity: tuple[int, int] | None = None
        self._ledger: Ledger | None = None
        self._names_in_hand: set[str] = set()
        self._longest = 0

    # Having the folder

    def open(self) -> None:
        """Take the folder for this watcher alone.

        Raises:
            FolderLost: if it is not there, or nothing can be written in it.
            FolderInUse: if another watcher has it.
        """
        config = self._config
        self.close()  # of an earlier life, a step of which was left behind and is over now
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
            self._locks.append(lock(config.state_path / "lock"))
            self._ledger = Ledger(config.state_path / "ledger", config.remember)
            self._longest = min(longest_name(self._done), longest_name(self._failed))
            self._moves = Moves(config.state_path / "moves")
            self._make_good()
            self._names_in_hand = set(os.listdir(self._hand))
        except BlockingIOError as error:
            raise FolderInUse(f"another watcher has the folder {self._path}") from error
        except OSError as error:
            self.close()
            raise FolderLost(f"the folder {self._path} cannot be used: {error}") from error
        self._identity = (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Let others have it; once is enough, and several threads may."""
        with suppress(IndexError):
            os.close(self._locks.pop())

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
        troubles: list[Trouble] = []
        try:
            counted = _Counted(self._waiting(troubles))
            waiting = oldest(counted, most)
            with os.scandir(self._hand) as entries:
                in_hand = sorted(
                    seen_of(entry.name, entry.stat(follow_symlinks=False))
                    for entry in entries
                    if entry.name not in known
                )
        except OSError as error:
            raise FolderLost(f"the folder {self._path} cannot be read: {error}") from error
        return Sight(in_hand, waiting, counted.count, troubles)

    def _waiting(self, troubles: list[Trouble]) -> Iterator[Seen]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                kind = self._patterns.kind(entry.name)
                if kind.pattern is None and kind.refused is None:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        continue
                    reason = kind.refused or _not_a_file(found)
                    if reason is not None:
                        troubles.append(Trouble("refused", entry.name, reason))
                    elif self._config.finished != "marker" or self._is_marked(entry.name, found.st_mtime_ns):
                        yield seen_of(entry.name, found)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self.check()
                    troubles.append(Trouble("unreadable", entry.name, str(error)))

    def _is_marked(self, name: str, mtime_ns: int) -> bool:
        try:
            return is_marked(mtime_ns, os.stat(f"{self._path}/{name}{self._config.marker}").st_mtime_ns)
        except FileNotFoundError:
            return False

    # Taking

    def open_seen(self, seen: Seen) -> tuple[int, bool]:
        """Open a file where it is, if it is finished; it stays there.

        Returns:
            Its descriptor, and whether nobody can write to it before that is closed.

        Raises:
            NotNow: if it is not what was seen, or its writer still has it open.
            OSError: if it cannot be opened.
        """
        name = seen.name
        if name in self._names_in_hand:
            raise NotNow(None)  # an earlier file of that name is being worked on
        descriptor = os.open(f"{self._path}/{name}", READING)
        try:
            held = _held(descriptor, name)
            found = os.fstat(descriptor)
            if seen_of(name, found) != seen or not stat.S_ISREG(found.st_mode):
                raise NotNow(None)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, held

    def claim(self, seen: Seen) -> tuple[int, bool]:
        """Move a file into hand, if it is finished.

        Returns:
            As `open_seen`.

        Raises:
            NotNow: if it is not what was seen, or its writer still has it open.
            OSError: if it cannot be opened or moved; it is where it was.
        """
        descriptor, held = self.open_seen(seen)
        try:
            if WINDOWS:
                os.close(descriptor)  # an open file cannot be renamed there
                descriptor = -1
            self.take_into_hand(seen.name)
            if WINDOWS:
                descriptor = os.open(f"{self._hand}/{seen.name}", READING)
        except BaseException:
            if descriptor != -1:
                os.close(descriptor)
            raise
        if self._config.finished == "marker":
            _remove(f"{self._path}/{seen.name}{self._config.marker}")
        return descriptor, held

    def take_into_hand(self, name: str) -> None:
        """Move a file into hand, whatever is there under its name now: `put_aside` looks what it is.

        Raises:
            OSError: if it cannot be moved; it is where it was.
        """
        if name not in self._names_in_hand:
            os.rename(f"{self._path}/{name}", f"{self._hand}/{name}")
            self._names_in_hand.add(name)

    def reopen(self, name: str) -> tuple[int, bool, Seen]:
        """Open a file that is in hand already.

        Returns:
            As `open_seen`, and the file as it is now.

        Raises:
            NotNow: if somebody has it open for writing.
            OSError: if it cannot be opened.
        """
        if self._config.finished == "marker" and not os.path.lexists(f"{self._path}/{name}"):
            _remove(f"{self._path}/{name}{self._config.marker}")
        descriptor = os.open(f"{self._hand}/{name}", READING)
        self._names_in_hand.add(name)  # unknown if the folder was away for the moment of an earlier step
        try:
            held = _held(descriptor, name)
            return descriptor, held, seen_of(name, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def path_of(self, name: str) -> str:
        """Where a file is now that is being worked on."""
        return f"{self._hand if name in self._names_in_hand else self._path}/{name}"

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

    def put_aside_all(self, files: Sequence[tuple[Seen, str | None]]) -> list[OSError | FileChanged | None]:
        """Move files to `done`, or with an error to `failed`, the error beside it.

        A file that is still in the folder goes to `done` by one rename. What was moved is looked at
        after that, for somebody may have put another file under its name just before: that one goes
        into hand. Which are moved so is written down first, so that a crash in between is made good.

        Args:
            files: as they were read, each with what is wrong with it.

        Returns:
            For each, why it is not put aside, and is in hand: it is another than was read, or cannot
            be moved.

        Raises:
            OSError: if it cannot be written down; none is moved.
        """
        assert self._moves is not None
        direct = [seen for seen, error in files if error is None and seen.name not in self._names_in_hand]
        if direct:
            self._moves.begin(direct)
        fates: list[OSError | FileChanged | None] = []
        for seen, error in files:
            try:
                self._put_aside(seen, error)
                fates.append(None)
            except (FileChanged, OSError) as reason:
                fates.append(reason)
        if direct:
            self._moves.end()
        return fates

    def _put_aside(self, seen: Seen, error: str | None) -> None:
        name = seen.name
        if error is None and name not in self._names_in_hand and self._moved_to_done(seen):
            return
        hand = f"{self._hand}/{name}"
        try:
            self.take_into_hand(name)
            found = os.stat(hand, follow_symlinks=False)
        except FileNotFoundError:
            self.check()
            self._names_in_hand.discard(name)
            return  # somebody has taken it away: a person, for we are alone
        check_unchanged(seen, found)
        if error is None:
            os.rename(hand, self._free(self._done, name))
        else:
            self._put_to_failed(hand, name, error)
        self._names_in_hand.discard(name)

    def _moved_to_done(self, seen: Seen) -> bool:
        """Move a file from the folder to `done`, unless its name is taken there, or it cannot be moved."""
        name = seen.name
        target = f"{self._done}/{name}"
        try:
            move_to_free(f"{self._path}/{name}", target)
        except OSError:
            return False
        try:
            moved = os.stat(target, follow_symlinks=False)
        except FileNotFoundError:
            return True  # somebody has fetched it from there already
        if seen_of(name, moved) != seen:
            os.rename(target, f"{self._hand}/{name}")
            self._names_in_hand.add(name)
            raise FileChanged(CHANGED)
        return True

    def _make_good(self) -> None:
        """Take into hand what an earlier life moved to `done` just before its end without having read it."""
        assert self._moves is not None
        for seen in self._moves.left():
            target = f"{self._done}/{seen.name}"
            try:
                found = os.stat(target, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if seen_of(seen.name, found) != seen:
                os.rename(target, self._free(self._hand, seen.name))
        self._moves.end()

    def _put_to_failed(self, hand: str, name: str, error: str) -> None:
        target = self._free(self._failed, name, beside=ERROR)
        temporary = f"{self._config.state_path}/error.new"
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{error}\n")
        os.replace(temporary, f"{target}{ERROR}")
        os.rename(hand, target)

    def _free(self, place: str, name: str, *, beside: str = "") -> str:
        """A path for a file of that name, with room for another beside it whose name is longer by that."""
        found = free_name(
            name,
            lambda other: os.path.lexists(f"{place}/{other}"),
            room=self._longest - len(beside),
            length=length_of,
        )
        return f"{place}/{found}"


class _Counted:
    """An iterator that counts."""

    def __init__(self, files: Iterator[Seen]) -> None:
        self._files = files
        self.count = 0

    def __iter__(self) -> Iterator[Seen]:
        for file in self._files:
            self.count += 1
            yield file


def seen_of(name: str, found: os.stat_result) -> Seen:
    """A file as the system describes it; Windows does not tell its inode in a listing."""
    return Seen(found.st_mtime_ns, name, found.st_size, 0 if WINDOWS else found.st_ino)


def check_unchanged(seen: Seen, found: os.stat_result) -> None:
    """Raise FileChanged if a file in hand is not what it was: whoever has it open writes on."""
    if seen_of(seen.name, found) != seen:
        raise FileChanged(CHANGED)


def _held(descriptor: int, name: str) -> bool:
    """Hold a file, if that can be done; raises NotNow if it is being written."""
    try:
        return hold(descriptor)
    except BlockingIOError:
        raise NotNow(Trouble("held", name, "its writer still has it open")) from None


def _not_a_file(found: os.stat_result) -> str | None:
    if stat.S_ISREG(found.st_mode):
        return None
    if stat.S_ISLNK(found.st_mode):
        return "it is a link, and only files are taken"
    return "it is neither a file nor a folder"


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
