"""The commands that make a station, or only its policies: run, check, simulate."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio
from rich.console import Console
from rich.text import Text

from pywats_events.checks import Finding
from pywats_station import checking, logs
from pywats_station.cli import simulating
from pywats_station.cli.loading import load
from pywats_station.plan import outline

__all__ = ["check", "run", "simulate"]

_LEVELS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("ERROR", "bold red")}


def run(file: str, *, debug: bool, log_file: Path | None, log_json: bool) -> None:
    """Run the station of a file until a signal stops it."""
    logs.configure(level=logging.DEBUG if debug else logging.INFO, log_file=log_file, as_json=log_json)
    station = load(file)
    logging.getLogger("pywats_station").info(
        "station %s starts", station.name, extra={"station": station.name}
    )
    trio.run(station.run)
    logging.getLogger("pywats_station").info("station %s has stopped", station.name)


def check(file: str, *, json: bool) -> bool:
    """Say what was found; whether there was no error."""
    station = load(file)
    found = trio.run(checking.check, station.config)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"findings": found, "tree": station.plan()}) + b"\n")
    else:
        console = Console()
        for finding in found:
            console.print(_told(finding), soft_wrap=True)
        console.print()
        for line in outline(station.plan()):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return not any(finding.level == "error" for finding in found)


def _told(finding: Finding) -> Text:
    word, style = _LEVELS[finding.level]
    return Text.assemble((f"{word:>8}", style), "  ", (finding.what, "bold"), f": {finding.text}")


def simulate(
    policies: Sequence[str], away: Sequence[str], kind: str, every: float, lasting: float, *, json: bool
) -> None:
    """Draw a time line of what a handler with these policies would live through."""
    retry, breaker = simulating.policies_of(policies)
    spans = tuple(_span(text) for text in away)
    scenario = simulating.Scenario(away=spans, kind=kind, every=every, lasting=lasting)
    with logs.quiet():  # what fails here is meant to
        moments, ended = simulating.simulate(scenario, retry, breaker)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"moments": moments, "ended": ended}) + b"\n")
        return
    console = Console(highlight=False)
    for moment in simulating.told(moments):
        console.print(_moment(moment))
    console.print(", ".join(f"{count} {what}" for what, count in ended.items()), style="bold")


def _span(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        span = float(start), float(end)
    except ValueError:
        span = 1.0, 0.0
    if not dash or span[0] > span[1]:
        raise ValueError(f"--away takes FROM-TO in seconds, such as 10-130, not {text!r}")
    return span


def _moment(moment: simulating.Moment) -> Text:
    colour = {"failed": "red", "dead letter": "bold red", "circuit opened": "yellow"}.get(
        moment.what, "green"
    )
    return Text.assemble(
        (f"{moment.at:>10.1f} s", "dim"),
        "  ",
        (f"event {moment.event}  " if moment.event else "", "bold"),
        (moment.what, colour),
        f", attempt {moment.attempt}" if moment.attempt else "",
    )
