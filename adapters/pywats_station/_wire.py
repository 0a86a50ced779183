"""What a running station and its command line say to each other: lines of JSON over a local socket.

A question is one line, `{"ask": "tree"}`; the answer is one line for each thing, then `{"end": true}` or
`{"error": ...}`. Without one of these it is no whole answer: the station has ended.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from pywats_events import Event
from pywats_events.policies import DeadLetterQueue
from pywats_supervision import SupervisorSnapshot

__all__ = [
    "END",
    "LONGEST_LINE",
    "Question",
    "Watched",
    "as_json",
    "plain_snapshot",
    "plain_tree",
    "socket_path",
    "watched",
]

END: Final[dict[str, Any]] = {"end": True}
"""The last line of an answer."""
LONGEST_LINE: Final = 1 << 20
"""Bytes of a question."""
LONGEST_PATH: Final = 100
"""Bytes of a socket's path; the kernel takes 107."""


class Question(msgspec.Struct):
    """What the command line asks.

    Attributes:
        ask: "tree", "events", "dead-letters" or "replay".
        where: for dead letters, the values that they have (see `DeadLetterQueue.find`).
        limit: at most so many; None for all.
    """

    ask: str
    where: dict[str, str] = {}
    limit: int | None = None


class Watched(msgspec.Struct):
    """One event, as it is shown to who watches.

    Attributes:
        id: of the event.
        event_type: dotted name.
        source: who sent it.
        timestamp: when it happened, ISO 8601.
        about: the unit, asset, file, handler or transport that it is about; if it is about none, what its
            source calls it.
        verdict: result or state, if it has one; of a system event what happened.
    """

    id: str
    event_type: str
    source: str
    timestamp: str
    about: str = ""
    verdict: str = ""


_ABOUT: Final = (
    *("unit_id", "asset_id", "work_order_id"),
    *("file", "handler", "transport", "sender", "source", "what", "level"),
)
_VERDICT: Final = ("result", "new_state", "fault_code", "error_message", "message", "reason")


def watched(event: Event) -> Watched:
    """What there is to see of an event."""
    return Watched(
        event.id,
        str(event.event_type),
        event.source or "",
        event.timestamp.isoformat(),
        _first(event.payload, _ABOUT) or (event.source_topic or "").rpartition(".")[2],
        _first(event.payload, _VERDICT) or _in_full(event),
    )


def _in_full(event: Event) -> str:
    """What a system event says, if none of it is a sentence."""
    if not event.event_type.is_system or not isinstance(event.payload, dict):
        return ""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in event.payload.items()
        if name not in _ABOUT and value is not None
    )


def _first(payload: Any, names: tuple[str, ...]) -> str:
    for name in names:
        value = payload.get(name) if isinstance(payload, dict) else getattr(payload, name, None)
        if value not in (None, ""):
            return str(value)
    return ""


def socket_path(folder: Path) -> Path:
    """Where a station with that data folder listens; in a folder that only its user may open.

    A path too long for the kernel becomes one in the folder for temporary files, the same one for both
    sides.
    """
    path = folder.absolute() / "run" / "control.sock"
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return Path(tempfile.gettempdir()) / f"pywats-{_user()}-{digest}" / "control.sock"


def _user() -> str:
    getuid = getattr(os, "getuid", None)
    return "user" if getuid is None else str(getuid())


def plain_tree(snapshot: SupervisorSnapshot, letters: DeadLetterQueue) -> dict[str, Any]:
    """The tree of a station in plain values.

    Args:
        snapshot: of its bus.
        letters: what the bus keeps; the store's child only knows those of this process.
    """
    tree = plain_snapshot(snapshot)
    for child in tree["children"]:
        if child["name"] == "store" and child["detail"] is not None:
            child["detail"]["dead_letters"] = letters.size
    return tree


def plain_snapshot(snapshot: SupervisorSnapshot) -> dict[str, Any]:
    """A snapshot in plain values."""
    return {
        "name": snapshot.name,
        "state": snapshot.state,
        "at": snapshot.at,
        "detail": _plain(snapshot.detail),
        "children": [
            {
                "name": child.name,
                "state": child.state.value,
                "life": child.life,
                "restarts": child.restarts,
                "last_error": child.last_error,
                "since": child.since,
                "due": child.due,
                "policy": _plain(child.policy),
                "detail": plain_snapshot(child.detail)
                if isinstance(child.detail, SupervisorSnapshot)
                else _plain(child.detail),
            }
            for child in snapshot.children
        ],
    }


def _plain(value: Any) -> Any:
    """Plain values, whatever a child says of itself."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.structs.asdict(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and abs(value) != float("inf") else str(value)


def as_json(value: Any) -> bytes:
    """One line."""
    return msgspec.json.encode(value, enc_hook=str) + b"\n"
