"""The commands about dead letters: by the running station where there is one, else by its store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from rich.console import Console, Group
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from pywats_events.durability import SQLiteDeadLetterQueue, StoreUnavailable
from pywats_events.policies import DeadLetterEntry
from pywats_station._wire import Question, as_json, watched
from pywats_station.cli.asking import answers, ask, opened
from pywats_station.cli.errors import CannotWrite, NotRunning, WrongUsage
from pywats_station.cli.loading import data_folder
from pywats_station.cli.showing import counted, line_of, moment_of, printable, say, screen

__all__ = ["drop", "export", "replay", "show", "show_some"]

ID: Final = 36
"""Characters of an id."""


def show_some(where: str, filters: dict[str, str], limit: int, *, json: bool) -> None:
    """The newest dead letters."""
    with _reading(data_folder(where)) as queue:
        found = queue.select(**filters, limit=limit + 1)
        console, shown = screen(), 0
        for shown, letter in enumerate(islice(found, limit), 1):  # noqa: B007 - how many there were
            _list(console, letter, json=json)
        cut = f"the newest {limit}, of {len(queue)} in all; --limit shows more" if any(found) else ""
        if console.is_terminal and shown and not json:
            said = cut or counted(shown, "dead letter")
            console.print()
            console.print(Text(f"{said}; of an id its beginning is enough, if no other begins so", "dim"))
        elif cut:
            sys.stderr.write(f"{cut}\n")
        elif not shown and not json:
            console.print(_none(len(queue)))


def _list(console: Console, letter: DeadLetterEntry, *, json: bool) -> None:
    if json:
        sys.stdout.buffer.write(as_json(letter.to_dict()))
        return
    for line in _in_short(letter) if console.is_terminal else [_in_a_line(letter)]:
        say(console, line)


def _none(there: int) -> str:
    return f"no dead letters like that, of {there}" if there else "no dead letters"


def _in_short(letter: DeadLetterEntry) -> Iterator[Text]:
    """Two lines for a terminal: which, and why."""
    yield line_of(
        (letter.id, "yellow"),
        "  ",
        (moment_of(letter.timestamp.isoformat()), "dim"),
        "  ",
        (_whose(letter), "bold"),
    )
    yield line_of("    ", _about(letter), "  ", (_why(letter), "red"))


def _in_a_line(letter: DeadLetterEntry) -> Text:
    """One line for a pipe, whole."""
    moment = moment_of(letter.timestamp.isoformat())
    attempts = counted(letter.attempts, "attempt")
    return line_of("  ".join([letter.id, moment, _whose(letter), _about(letter), attempts, _why(letter)]))


def _whose(letter: DeadLetterEntry) -> str:
    return letter.handler or f"from {letter.source}"


def _about(letter: DeadLetterEntry) -> str:
    if letter.event is None:
        return "no event"
    seen = watched(letter.event)
    return f"{seen.event_type} {seen.about}".rstrip()


def _why(letter: DeadLetterEntry) -> str:
    return f"{letter.error_type}: {' '.join(str(letter.error).split())}"


def show(where: str, ids: Sequence[str], *, json: bool) -> None:
    """All of some."""
    console = screen()
    with _reading(data_folder(where)) as queue:
        for letter in _chosen(queue, ids, {}):
            if json or not console.is_terminal:
                sys.stdout.buffer.write(msgspec.json.format(as_json(letter.to_dict())) + b"\n")
            else:
                _show_in_full(console, letter)


def _show_in_full(console: Console, letter: DeadLetterEntry) -> None:
    said = letter.to_dict()
    fields = Table.grid(padding=(0, 2))
    fields.add_column(style="bold", no_wrap=True)
    fields.add_column(overflow="fold")
    rows = {
        "dead letter": Text(letter.id, "yellow"),
        "when": moment_of(said["timestamp"]),
        "handler": None if letter.handler is None else f"{letter.handler}, {_tries(letter.attempts)}",
        "replayed": said.get("replayed_at") and moment_of(said["replayed_at"]),
        "from": letter.source or (letter.event and letter.event.source),
        "error": Text(_in_lines(f"{letter.error_type}: {letter.error}"), "red"),
    }
    for name, value in rows.items():
        if value:
            fields.add_row(name, value if isinstance(value, Text) else printable(value))
    parts: list[Any] = [fields]
    if isinstance(said["event"], dict):
        parts += [Text("event", "bold"), JSON(as_json(said["event"]).decode(), indent=2)]
    elif said["event"] or said["raw"]:
        parts += [Text("what came", "bold"), Text(_in_lines(said["event"] or _readable(letter.raw)))]
    if said["traceback"]:
        parts += [Text("traceback", "bold"), Text(_in_lines(said["traceback"].rstrip()), "dim")]
    console.print(Group(*parts, ""))


def _tries(attempts: int) -> str:
    return f"which gave up after {counted(attempts, 'attempt')}"


def _in_lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


def _readable(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "backslashreplace")


def replay(where: str, ids: Sequence[str], filters: dict[str, str], *, everything: bool, json: bool) -> None:
    """Give some once more to their handlers."""
    _check_chosen(ids, filters, everything=everything)
    folder = data_folder(where)
    questions = [{"letter_id": one} for one in _whole(folder, ids)] or [filters]
    replayed = failed = 0
    for question in questions:
        told, refused = trio.run(_replay, folder, question, json)
        replayed, failed = replayed + told, failed + refused
    if not replayed and not json:
        with _reading(folder) as queue:
            sys.stdout.write(f"{_none(len(queue))}\n")
    if failed:
        raise ValueError(f"{failed} could not be replayed")


async def _replay(folder: Path, where: dict[str, str], json: bool) -> tuple[int, int]:
    """Tell of each as it is known; how many there were, and how many could not be replayed."""
    told = failed = 0
    async with await opened(folder, Question("replay", where)) as stream, aclosing(answers(stream)) as lines:
        async for answer in lines:
            line = as_json(answer) if json else f"{answer['id']}  {_became(answer)}\n".encode()
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            told, failed = told + 1, failed + ("error" in answer)
    return told, failed


def _became(answer: dict[str, Any]) -> str:
    """What became of a dead letter that was replayed."""
    outcomes = answer.get("outcomes", {}).items()
    return answer.get("error") or ", ".join(f"{name}: {what.replace('_', ' ')}" for name, what in outcomes)


def drop(where: str, ids: Sequence[str], filters: dict[str, str], *, everything: bool, json: bool) -> None:
    """Forget some."""
    _check_chosen(ids, filters, everything=everything)
    folder = data_folder(where)
    ids = _whole(folder, ids)
    try:
        dropped = sum(
            trio.run(ask, folder, Question("drop", question))[0]["dropped"]
            for question in [{"letter_id": one} for one in ids] or [filters]
        )
    except NotRunning:
        with closing(SQLiteDeadLetterQueue.open(folder)) as queue:
            dropped = queue.drop(*(letter.id for letter in _chosen(queue, ids, filters)))
    _say(f"{dropped} dropped", {"dropped": dropped}, json=json)


def export(where: str, file: Path, *, json: bool) -> None:
    """Write all of them."""
    with _reading(data_folder(where)) as queue:
        try:
            written = queue.export(file)
        except OSError as error:
            raise CannotWrite(f"{file} cannot be written: {error.strerror}; give another file") from error
    _say(f"{written} written to {file}", {"written": written, "file": str(file)}, json=json)


def _say(line: str, fields: dict[str, Any], *, json: bool) -> None:
    sys.stdout.buffer.write(as_json(fields) if json else f"{line}\n".encode())


def _reading(folder: Path) -> closing[SQLiteDeadLetterQueue]:
    """The dead letters in a folder; reading does not disturb a station that runs."""
    return closing(SQLiteDeadLetterQueue.open(folder, read_only=True))


def _whole(folder: Path, ids: Sequence[str]) -> list[str]:
    """Ids that are there, of which the beginnings may have been given, as far as they can be looked up."""
    if not ids:
        return []
    try:
        with _reading(folder) as queue:
            return [_id_of(queue, one) for one in ids]
    except StoreUnavailable:  # whoever is asked next says what is wrong
        return list(ids)


def _id_of(queue: SQLiteDeadLetterQueue, beginning: str) -> str:
    found = queue.ids_beginning(beginning, 2)
    if not found:
        raise LookupError(f"there is no dead letter {beginning}")
    if len(found) > 1:
        raise WrongUsage(f"several dead letters begin with {beginning}; give more of the id")
    return found[0]


def _chosen(
    queue: SQLiteDeadLetterQueue, ids: Sequence[str], filters: dict[str, Any]
) -> Iterator[DeadLetterEntry]:
    if not ids:
        yield from queue.select(**filters)
    for one in ids:
        letter = queue.get(one if len(one) >= ID else _id_of(queue, one))
        if letter is None:
            raise LookupError(f"there is no dead letter {one}")
        yield letter


def _check_chosen(ids: Sequence[str], filters: dict[str, str], *, everything: bool) -> None:
    if not ids and not filters and not everything:
        raise WrongUsage("say which: ids, --handler, --source, --error, or --all")
    if ids and (filters or everything):
        raise WrongUsage("give ids, or --handler, --source, --error or --all; not both")
