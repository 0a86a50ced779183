"""The errors of a store: one kind for each thing that its owner can do about it."""

from __future__ import annotations

from pywats_events.errors import EventsError

__all__ = [
    "NotAStore",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StoreTooNew",
    "StoreUnavailable",
]


class StoreError(EventsError):
    """Base of the errors that a store raises."""


class StoreUnavailable(StoreError):
    """The store cannot be written to or opened now; the cause is chained, or stands in the text."""


class StoreClosed(StoreUnavailable):
    """The store is not open, or was closed before this was written."""


class StoreDamaged(StoreUnavailable):
    """The database is damaged, wherever that was found: it is set aside, and a new one begun."""


class StoreInUse(StoreError):
    """Another process, or another store of this one, has this folder open."""


class StoreTooNew(StoreError):
    """A newer version of this package wrote the store; the text says how to go back."""


class NotAStore(StoreError):
    """The file in the store's place is a database of some other program."""
