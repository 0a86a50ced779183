"""The commands that look into a running station: tree and events."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio
from rich.live import Live

from pywats_station._wire import Question, as_json
from pywats_station.cli.asking import answers, ask, opened
from pywats_station.cli.loading import data_folder
from pywats_station.cli.showing import event_line, say, screen, tree_of

__all__ = ["events", "tree"]

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
            screen().print(tree_of(snapshot))
        return
    trio.run(_live_tree, folder)


async def _live_tree(folder: Path) -> None:
    with Live(console=screen(), auto_refresh=False) as live:
        while True:
            (snapshot,) = await ask(folder, Question("tree"))
            live.update(tree_of(snapshot), refresh=True)
            await trio.sleep(REFRESH)


def events(where: str, *, json: bool, count: int | None) -> None:
    """Show the events of a running station as they go by."""
    console = screen()
    show: Callable[[dict[str, Any]], None] = _write if json else lambda event: say(console, event_line(event))
    trio.run(_events, data_folder(where), count, show)


async def _events(folder: Path, count: int | None, show: Callable[[dict[str, Any]], None]) -> None:
    shown = 0
    async with await opened(folder, Question("events")) as stream, aclosing(answers(stream)) as lines:
        async for event in lines:
            show(event)
            shown += 1
            if shown == count:
                return


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(as_json(answer))
    sys.stdout.flush()
