"""What survives the process: one SQLite database with one writer."""

from pywats_events.durability._database import Opened
from pywats_events.durability._group_commit import Commit, StoreState
from pywats_events.durability.errors import (
    NotAStore,
    StoreClosed,
    StoreError,
    StoreInUse,
    StoreTooNew,
    StoreUnavailable,
)
from pywats_events.durability.journal import Journal, Replay
from pywats_events.durability.store import Store

__all__ = [
    "Commit",
    "Journal",
    "NotAStore",
    "Opened",
    "Replay",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreInUse",
    "StoreState",
    "StoreTooNew",
    "StoreUnavailable",
]
