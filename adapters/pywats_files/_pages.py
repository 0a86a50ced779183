"""The events of a large file, a page at a time: memory holds no more of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

from pywats_events import Event
from pywats_files.errors import FileRefused

__all__ = ["Pages", "checked"]

PAGE: Final = 256
"""Events that are in memory at once."""


class Pages:
    """The events of a file that is read as they are asked for.

    Args:
        events: as its converter makes them.
        most: how many there may be.
        stream: the file.

    Attributes:
        more: whether there may be others.
    """

    def __init__(self, events: Iterator[Event], most: int, stream: BinaryIO) -> None:
        self._events = events
        self._room = most
        self._stream = stream
        self._busy = False
        self.more: bool = True

    def next(self) -> list[Event]:
        """The next page; blocks.

        Raises:
            FileRefused: if it makes what is no event, or too many.
            Exception: what the converter raises.
        """
        self._busy = True
        try:
            events = checked(self._events, PAGE, self._room)
        finally:
            self._busy = False
        self._room -= len(events)
        self.more = len(events) == PAGE
        return events

    def close(self) -> None:
        """Close the file; a thread that was left behind and still reads it lets go of it at its end."""
        if self._busy:
            return
        close = getattr(self._events, "close", None)
        if close is not None:
            close()
        self._stream.close()


def checked(events: Iterator[Event], count: int, most: int) -> list[Event]:
    """The next events of a converter.

    Args:
        events: as it makes them.
        count: at most so many are taken.
        most: how many are allowed.

    Raises:
        FileRefused: if one is none, or they are more than allowed.
        Exception: what the converter raises.
    """
    page = list(islice(events, count))
    if len(page) > most:
        raise FileRefused("it makes more events than are allowed (max_events)")
    for event in page:
        if event.__class__ is not Event:
            raise FileRefused(f"its converter makes events, not {event!r}")
    return page
