"""The commands that look into a station: tree, events, dead-letters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import msgspec
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pywats_events.durability import SQLiteDeadLetterQueue
from pywats_events.policies import DeadLetterEntry
from pywats_station._wire import Question, as_json
from pywats_station.cli.asking import NotRunning, answers, ask, opened
from pywats_station.cli.loading import data_folder
from pywats_station.cli.showing import event_line, tree_of

__all__ = [
    "drop_letters",
    "events",
    "export_letters",
    "list_letters",
    "replay_letters",
    "show_letters",
    "tree",
]

REFRESH = 1.0
"""Seconds between two looks at a tree."""


def tree(where: str, *, json: bool, once: bool) -> None:
    """Show the tree of a running station."""
    folder = data_folder(where)
    if json or once or not sys.stdout.isatty():
        (snapshot,) = trio.run(ask, folder, Question("tree"))
        if json:
            _write(snapshot)
        else:
            Console().print(tree_of(snapshot))
        return
    trio.run(_live_tree, folder)


async def _live_tree(folder: Path) -> None:
    with Live(screen=False, auto_refresh=False) as live:
        while True:
            (snapshot,) = await ask(folder, Question("tree"))
            live.update(tree_of(snapshot), refresh=True)
            await trio.sleep(REFRESH)


def events(where: str, *, json: bool, count: int | None) -> None:
    """Show the events of a running station as they go by."""
    console = Console(highlight=False)
    show: Callable[[dict[str, Any]], None] = (
        _write if json else lambda event: console.print(event_line(event))
    )
    trio.run(_events, data_folder(where), count, show)


async def _events(folder: Path, count: int | None, show: Callable[[dict[str, Any]], None]) -> None:
    shown = 0
    async with await opened(folder, Question("events")) as stream, aclosing(answers(stream)) as lines:
        async for event in lines:
            show(event)
            shown += 1
            if shown == count:
                return
    raise NotRunning(f"the station with the data folder {folder} has stopped")


# Dead letters: by the running station where there is one, else by the store


def list_letters(where: str, filters: dict[str, str], limit: int, *, json: bool) -> None:
    """The newest dead letters."""
    found = _queue(where).select(**filters, limit=limit)
    if json:
        for letter in found:
            _write(letter.to_dict())
        return
    table = Table("id", "when", "handler", "event", "attempts", "replayed", "error")
    for letter in found:
        table.add_row(
            letter.id,
            letter.timestamp.isoformat()[:19],
            letter.handler or f"from {letter.source}",
            letter.event_type or "no event",
            str(letter.attempts),
            "" if letter.replayed_at is None else letter.replayed_at.isoformat()[:19],
            f"{letter.error_type}: {str(letter.error)[:160]}",
        )
    Console().print(table if table.rows else "no dead letters")


def show_letters(where: str, ids: Sequence[str]) -> None:
    """All of some."""
    queue = _queue(where)
    for letter in _chosen(queue, ids, {}):
        sys.stdout.buffer.write(msgspec.json.format(as_json(letter.to_dict())) + b"\n")


def replay_letters(where: str, ids: Sequence[str], filters: dict[str, str], *, everything: bool) -> None:
    """Give some once more to their handlers."""
    _check_chosen(ids, filters, everything=everything)
    questions = [{"letter_id": one} for one in ids] or [filters]
    folder = data_folder(where)
    failed = 0
    for question in questions:
        for answer in trio.run(ask, folder, Question("replay", question)):
            said = answer.get("error") or ", ".join(
                f"{name}: {what}" for name, what in answer["outcomes"].items()
            )
            failed += "error" in answer
            sys.stdout.write(f"{answer['id']}  {said}\n")
    if failed:
        raise ValueError(f"{failed} could not be replayed")


def drop_letters(where: str, ids: Sequence[str], filters: dict[str, str], *, everything: bool) -> None:
    """Forget some."""
    _check_chosen(ids, filters, everything=everything)
    folder = data_folder(where)
    try:
        dropped = sum(
            trio.run(ask, folder, Question("drop", question))[0]["dropped"]
            for question in [{"letter_id": one} for one in ids] or [filters]
        )
    except NotRunning:
        with closing(SQLiteDeadLetterQueue.open(folder)) as queue:
            dropped = queue.drop(*(letter.id for letter in _chosen(queue, ids, filters)))
    sys.stdout.write(f"{dropped} dropped\n")


def export_letters(where: str, file: Path) -> None:
    """Write all of them."""
    sys.stdout.write(f"{_queue(where).export(file)} written to {file}\n")


def _queue(where: str) -> SQLiteDeadLetterQueue:
    # Reading does not disturb a station that runs.
    return SQLiteDeadLetterQueue.open(data_folder(where), read_only=True)


def _chosen(
    queue: SQLiteDeadLetterQueue, ids: Sequence[str], filters: dict[str, Any]
) -> Iterator[DeadLetterEntry]:
    if not ids:
        yield from queue.select(**filters)
    for one in ids:
        letter = queue.get(one)
        if letter is None:
            raise LookupError(f"there is no dead letter {one}")
        yield letter


def _check_chosen(ids: Sequence[str], filters: dict[str, str], *, everything: bool) -> None:
    if not ids and not filters and not everything:
        raise ValueError("say which: ids, --handler, --source, --error, or --all")


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(as_json(answer))
    sys.stdout.flush()
