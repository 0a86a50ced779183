"""The commands that make a station, or only its policies: run, check, simulate."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path

import msgspec
import trio
from rich.text import Text

from pywats_events.checks import Finding
from pywats_station import checking, logs
from pywats_station.cli import simulating
from pywats_station.cli.errors import CannotLoad, CannotWrite, WrongUsage
from pywats_station.cli.loading import load
from pywats_station.cli.showing import counted, findings, plan_of, screen

__all__ = ["check", "run", "simulate"]


def run(file: str, *, debug: bool, log_file: Path | None, log_json: bool) -> None:
    """Run the station of a file until a signal stops it."""
    try:
        logs.configure(level=logging.DEBUG if debug else logging.INFO, log_file=log_file, as_json=log_json)
    except OSError as error:
        raise CannotWrite(
            f"the log file {log_file} cannot be written: {error.strerror}; give another --log-file"
        ) from error
    station = load(file)
    logging.getLogger("pywats_station").info(
        "station %s starts", station.name, extra={"station": station.name}
    )
    trio.run(station.run)
    logging.getLogger("pywats_station").info("station %s has stopped", station.name)


def check(file: str, *, json: bool) -> bool:
    """Say what was found; whether there was no error."""
    try:
        station = load(file)
    except CannotLoad as error:
        if json:
            told = {"findings": [Finding("error", file, str(error))], "tree": None}
            sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        raise
    found = trio.run(checking.check, station.config)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"findings": found, "tree": station.plan()}) + b"\n")
    else:
        console = screen()
        console.print(plan_of(station.plan()))
        console.print()
        console.print(findings(found))
        console.print(_verdict(found))
    return not any(finding.level == "error" for finding in found)


def _verdict(found: Sequence[Finding]) -> Text:
    levels = Counter(finding.level for finding in found)
    said = [counted(levels[level], level) for level in ("error", "warning") if levels[level]]
    if levels["error"]:
        return Text(f"it would not work: {', '.join(said)}", "bold red")
    return Text(", ".join(["it would work", *said]), "bold yellow" if said else "bold green")


def simulate(
    policies: Sequence[str], away: Sequence[str], kind: str, every: float, lasting: float, *, json: bool
) -> None:
    """Draw a time line of what a handler with these policies would live through."""
    if not every > 0 or not lasting > 0:
        raise WrongUsage("--every and --for must be more than 0 seconds")
    looked_at = simulating.policies_of(policies)
    spans = tuple(_span(text) for text in away)
    scenario = simulating.Scenario(away=spans, kind=kind, every=every, lasting=lasting)
    with logs.quiet():  # what fails here is meant to
        moments, ended = simulating.simulate(scenario, looked_at)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"moments": moments, "ended": ended}) + b"\n")
        return
    console = screen()
    for moment in simulating.told(moments):
        console.print(_moment(moment))
    console.print(", ".join(_counted(count, what) for what, count in ended.items()), style="bold")


def _counted(count: int, what: str) -> str:
    return counted(count, what.removesuffix("s")) if what.endswith("s") else f"{count} {what}"


def _span(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        span = float(start), float(end)
    except ValueError:
        span = 1.0, 0.0
    if not dash or not span[0] <= span[1]:
        raise WrongUsage(f"--away takes FROM-TO in seconds, such as 10-130, not {text!r}")
    return span


def _moment(moment: simulating.Moment) -> Text:
    colour = {"failed": "red", "dead letter": "bold red", "circuit open": "yellow"}.get(moment.what, "green")
    numbered = f", attempt {moment.attempt}" if moment.event or moment.what == "dead letter" else ""
    if moment.attempt and not numbered:
        numbered = f", life {moment.attempt}"
    return Text.assemble(
        (f"{moment.at:>10.1f} s", "dim"),
        "  ",
        (f"event {moment.event}  " if moment.event else "", "bold"),
        (moment.what, colour),
        numbered,
        (_until(moment), "yellow"),
    )


def _until(moment: simulating.Moment) -> str:
    if moment.until is None:
        return ""
    if moment.until == inf:
        return " until a person closes it" if moment.what == "circuit open" else "; suspended until resumed"
    if moment.what == "circuit open":
        return f" until {moment.until:.1f} s"
    return f"; again at {moment.until:.1f} s"
