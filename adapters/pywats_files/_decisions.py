"""Which files are taken, in which order, under which names: decisions without a disk (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from glob import escape
from typing import Final, NamedTuple, TypeVar

import msgspec

from pywats_files.config import FolderConfig

__all__ = ["Kind", "Patterns", "Seen", "Stability", "batches", "free_name", "is_marked", "oldest"]

T = TypeVar("T")

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a name must not have: it would deceive whoever reads a log, as also what turns the direction of
writing does (Unicode's Bidi_Control); nor bytes that are no text."""


class Seen(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """A file as one look at the folder found it; sorts by time, then name.

    Attributes:
        mtime_ns: when it was last written.
        name: in its folder.
        size: bytes.
        inode: which file of that name it is.
    """

    mtime_ns: int
    name: str
    size: int
    inode: int


class Kind(NamedTuple):
    """What a name says: `pattern` of its converter, None if it is not for us; `refused` says why not."""

    pattern: str | None
    refused: str | None = None


NOT_OURS: Final = Kind(None)
DECEIVING: Final = Kind(None, "its name has control characters, or bytes that are no text")


class Patterns:
    """Which converter a file's name has."""

    def __init__(self, config: FolderConfig) -> None:
        ignored = list(config.ignore)
        if config.finished == "marker":
            ignored.append(f"*{escape(config.marker)}")
        named = [(each, NOT_OURS) for each in ignored]
        named += [(pattern, Kind(pattern)) for pattern in config.converters]
        # Tried in this order by one call; the number of the group says which it is.
        self._any = re.compile("|".join(f"({translate(pattern.lower())})" for pattern, _ in named))
        self._kinds = [kind for _, kind in named]

    def kind(self, name: str) -> Kind:
        """What becomes of a file of that name."""
        found = self._any.match(name.lower())
        if found is None:
            return NOT_OURS
        kind = self._kinds[found.lastindex - 1]  # type: ignore[operator]
        if not name.isascii() or not name.isprintable():
            return DECEIVING if kind.pattern is not None and CONTROL.search(name) else kind
        return kind


def oldest(files: Iterable[Seen], count: int) -> list[Seen]:
    """The `count` oldest files in order of time; holds no more than twice as many."""
    found: list[Seen] = []
    for file in files:
        found.append(file)
        if len(found) == 2 * count:
            found.sort()
            del found[count:]
    found.sort()
    return found[:count]


def is_marked(file_mtime_ns: int, marker_mtime_ns: int | None) -> bool:
    """Whether a marker says that its file is complete: an older one was for the file before."""
    return marker_mtime_ns is not None and marker_mtime_ns >= file_mtime_ns


class Stability:
    """Which files have stayed as they are for a while.

    Args:
        stable_for: seconds.
    """

    def __init__(self, stable_for: float) -> None:
        self._stable_for = stable_for
        self._since: dict[str, tuple[Seen, float]] = {}

    def stable(self, files: Sequence[Seen], now: float) -> tuple[list[Seen], float]:
        """Of the files seen now: those that have not changed for long enough, and when to look again.

        Args:
            files: all that are there.
            now: seconds on any monotonic clock.

        Returns:
            The stable ones in the given order, and the time at which the next could be; inf if none.
        """
        known, self._since = self._since, {}
        ready, due = [], float("inf")
        for file in files:
            before, since = known.get(file.name, (None, now))
            if before != file:
                since = now
            self._since[file.name] = (file, since)
            if since + self._stable_for <= now:
                ready.append(file)
            else:
                due = min(due, since + self._stable_for)
        return ready, due


def batches(items: Sequence[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[list[T]]:
    """The items in the given order, in groups; a large one is a group of its own.

    Args:
        items: files, or what was read of them.
        size: bytes of an item.
        most: items of a group, at the most.
        most_bytes: bytes of a group of several, at the most.
    """
    group: list[T] = []
    room = most_bytes
    for item in items:
        needed = size(item)
        if group and (len(group) == most or needed > room):
            yield group
            group, room = [], most_bytes
        group.append(item)
        room -= needed
    if group:
        yield group


def free_name(
    name: str, is_taken: Callable[[str], bool], *, room: int = 255, length: Callable[[str], int] = len
) -> str:
    """The name, or the first `name-2.ext`, `name-3.ext` ... that is free; cut short where it has no room.

    Args:
        name: of a file.
        is_taken: whether there is a file of a name.
        room: the length of a name, at the most.
        length: of a name, as its file system counts it.
    """
    if length(name) <= room and not is_taken(name):
        return name
    stem, ending = _parted(name, room, length)
    number = 1
    while True:
        tail = ending if number == 1 else f"-{number}{ending}"
        end = len(stem)
        while end and length(stem[:end] + tail) > room:
            end -= 1
        if not is_taken(stem[:end] + tail):
            return stem[:end] + tail
        number += 1


def _parted(name: str, room: int, length: Callable[[str], int]) -> tuple[str, str]:
    """Stem and ending: from the first point on, or from the last one if that is most of the name."""
    if not name.startswith("."):
        for at in (name.find("."), name.rfind(".")):
            if at >= 0 and length(name[at:]) <= room // 2:
                return name[:at], name[at:]
    return name, ""
