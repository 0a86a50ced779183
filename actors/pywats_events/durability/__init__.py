"""What survives the process: one SQLite database with one writer."""

from pywats_events.durability._capacity import Alarm
from pywats_events.durability._database import Opened
from pywats_events.durability._group_commit import Commit, StoreState
from pywats_events.durability.dead_letters import SQLiteDeadLetterQueue
from pywats_events.durability.errors import (
    NotAStore,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreInUse,
    StoreTooNew,
    StoreUnavailable,
)
from pywats_events.durability.journal import Journal, Page, Paged, Replay
from pywats_events.durability.keepsakes import Shelf, Spool
from pywats_events.durability.seen_events import SeenEvents
from pywats_events.durability.store import Store

__all__ = [
    "Alarm",
    "Commit",
    "Journal",
    "NotAStore",
    "Opened",
    "Page",
    "Paged",
    "Replay",
    "SQLiteDeadLetterQueue",
    "SeenEvents",
    "Shelf",
    "Spool",
    "Store",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StoreState",
    "StoreTooNew",
    "StoreUnavailable",
]
