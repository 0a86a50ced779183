"""Run the demonstration: put it together, show it at work, and close the books."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pywats_events import EventType
from pywats_events.durability import Store
from pywats_events.handlers.handler_chain import HandlerChain
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, RetryPolicy
from pywats_station._signals import heed_signals
from pywats_station._wire import plain_tree
from pywats_station.cli.showing import counted, screen, tree_of
from pywats_station.demo.books import Books
from pywats_station.demo.sources import HANDLE, TESTER, CFXSource, FileSource
from pywats_station.logs import quiet
from pywats_station.station import Station
from pywats_supervision.errors import unwrapped
from pywats_wats import AssetHandler, ProductionHandler, ReportHandler, SourceProfile, WATSClient
from pywats_wats.testing import StandInWATS

__all__ = ["Demo", "DemoFolder", "main"]

DROP: Final = "drop"
STORE: Final = "store"
"""Of the folder, the parts for files and for what survives."""
WIDTH: Final = 100
"""Characters of a line of the books, at the most."""
REFRESH: Final = 0.5
"""Seconds between two looks, at a terminal."""
PERIOD: Final = 20.0
"""Seconds in which everything goes wrong once."""
WELL: Final = "answers"
PATIENCE: Final = 60.0
"""Seconds in which what was accepted has to be handled when the machines have stopped."""
PROFILES: Final = (
    SourceProfile(
        match=HANDLE,
        machine="ICT-1",
        location="Line 1",
        purpose="Demo",
        process_codes={"ICT": 10, "*": 10},
        part_number="PCBA-1",
        revision="A",
    ),
    SourceProfile(
        match=TESTER,
        machine=TESTER,
        location="Line 2",
        purpose="Demo",
        process_codes={"FCT": 100},
    ),
)


class DemoFolder(Exception):
    """The folder cannot be used for a demonstration; the text says why, and what to do."""


def main(seconds: float | None, *, rate: float = 10.0, data: Path | None = None) -> bool:
    """Run it; returns whether the books balance.

    Args:
        seconds: for which the machines work; None until Ctrl-C.
        rate: panels, and files, per second.
        data: where the store and the files are kept; None for a folder that is removed in the end.

    Raises:
        ValueError: if a number cannot work.
        DemoFolder: if the folder cannot be used.
        SystemExit: at a second signal, which ends it at once.
    """
    if not rate > 0 or (seconds is not None and not seconds > 0):
        raise ValueError("seconds and rate must be more than 0")
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())  # what fails here is meant to, and counted; a real station logs it
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pywats-demo-")))
        _make_room(folder)
        try:
            return trio.run(_run, folder, inf if seconds is None else seconds, rate)
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None


def _make_room(folder: Path) -> None:
    """Make the folder: an earlier demonstration in it would be counted in the books of this one."""
    for place in (folder / DROP, folder / STORE):
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise DemoFolder(f"{place} is of an earlier demonstration; remove it, or give another folder")
    try:
        (folder / DROP).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoFolder(
            f"the folder {folder} cannot be made or written to: {error.strerror}; give another one"
        ) from error


async def _run(folder: Path, seconds: float, rate: float) -> bool:
    async with StandInWATS.serving() as server, WATSClient(server.url, server.token, timeout=2.0) as wats:
        demo = Demo(folder, rate, server, wats)
        return await demo.run(seconds)


class Demo:
    """One demonstration.

    Args:
        folder: of the store and the files.
        rate: panels, and files, per second.
        server: the stand-in.
        wats: a client of it.
    """

    def __init__(self, folder: Path, rate: float, server: StandInWATS, wats: WATSClient) -> None:
        self.console: Console = screen()
        self.server = server
        self.mood: str = WELL
        self.books: Books = Books()
        self.files: FileSource = FileSource(folder / DROP, rate)
        self.sources: list[CFXSource | FileSource] = [*self._cfx(rate), self.files]
        self.handlers: list[ReportHandler | AssetHandler | ProductionHandler] = [
            ReportHandler(wats),
            AssetHandler(wats),
            ProductionHandler(wats),
        ]
        self.station: Station = Station(
            "demo",
            transports=[source.transport for source in self.sources],
            handlers=self.handlers,
            sources=PROFILES,
            retry_policy=RetryPolicy(max_retries=5, initial_delay=0.1, max_delay=2),
            breaker=CircuitBreaker(failure_threshold=5, reset_timeout=0.5, success_threshold=1),
            middleware=HandlerChain().add(self.books),
            data=Store(folder / STORE, min_free=0),  # it takes little, and is over soon
        )
        self._seen = 0

    def _cfx(self, rate: float) -> list[CFXSource]:
        try:
            return [CFXSource(rate)]
        except ImportError as error:
            self.console.print(
                f"no machine over AMQP 1.0, only files: {error}", style="yellow", soft_wrap=True
            )
            return []

    @property
    def taken(self) -> set[EventType]:
        """The types that a handler takes."""
        return {kind for handler in self.handlers for kind in handler.event_types}

    @property
    def letters(self) -> DeadLetterQueue:
        """The dead letters."""
        return self.station.dead_letters

    async def run(self, seconds: float) -> bool:
        """Run for some seconds, or until Ctrl-C; then finish, and close the books."""
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(heed_signals, over.set)
            await nursery.start(partial(self.station.run, signals=False))
            self.station.bus.on_event(self.books.accept)
            async with trio.open_nursery() as shown:
                shown.start_soon(self._show)
                await self._work(seconds, over)
                with trio.move_on_after(PATIENCE):
                    await self._finish()
                shown.cancel_scope.cancel()
            balanced = self._close()
            self.station.request_stop(5.0)
            await self.station.bus.wait_stopped()
            nursery.cancel_scope.cancel()
        return balanced

    async def _work(self, seconds: float, over: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            for source in self.sources:
                nursery.start_soon(source.work, over)
            with trio.move_on_after(seconds):
                await self._trouble(min(PERIOD, seconds), over)
            over.set()
        self._be_well()

    async def _trouble(self, period: float, over: trio.Event) -> None:
        """Have the server slow, refuse, fail and go away, again and again."""
        server = self.server
        scenes: list[tuple[float, str, Callable[[], object]]] = [
            (0.15, "is slow", lambda: server.be_slow(0.05)),
            (0.15, WELL, self._be_well),
            (0.10, "refuses some reports (400)", lambda: server.fail(400, times=2, path="/api/Report")),
            (0.10, "is overloaded (503)", lambda: server.fail(503)),
            (0.15, WELL, self._be_well),
            (0.15, "is away", server.leave),
            (0.20, WELL, self._be_well),
        ]
        while not over.is_set():
            for part, mood, begin in scenes:
                begin()
                self.mood = mood
                with trio.move_on_after(part * period):
                    await over.wait()

    def _be_well(self) -> None:
        self.mood = WELL
        self.server.recover()
        self.server.return_()

    async def _finish(self) -> None:
        """Wait until all that was sent is taken, and all that was taken is settled."""
        while self.files.waiting:  # noqa: ASYNC110 - a folder tells nobody
            await trio.sleep(0.05)
        while True:
            await self.station.bus.wait_idle()
            if self.files.balanced:
                return
            await trio.sleep(0.05)

    # What is seen

    async def _show(self) -> None:
        if not self.console.is_terminal:
            while True:
                await trio.sleep(2.0)
                self.console.print("; ".join(self._rates(2.0).values()))
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                await trio.sleep(REFRESH)
                live.update(self._screen(), refresh=True)

    def _screen(self) -> Group:
        tree = tree_of(plain_tree(self.station.snapshot(), self.letters))
        rates = Table.grid(padding=(0, 2))
        rates.add_column(style="bold", no_wrap=True)
        rates.add_column(no_wrap=True, overflow="ellipsis")
        for name, said in self._rates(REFRESH).items():
            rates.add_row(name, said)
        rates.add_row("", Text("Ctrl-C ends it", "dim"))
        return Group(rates, "", tree)  # a terminal that is too low shows the beginning

    def _rates(self, seconds: float) -> dict[str, str]:
        came = sum(self.books.came.values())
        rate, self._seen = (came - self._seen) / seconds, came
        reports = counted(len(self.server.records.reports), "report")
        in_hand = self.station.bus.queue_size
        failures, letters = self.books.failures, self.letters.size
        return {
            "came in": f"{counted(came, 'event')}, {rate:.0f} a second, {in_hand} in hand",
            "WATS": f"{reports}; the server {self.mood}",
            "trouble": f"{counted(failures, 'failed attempt')}, {counted(letters, 'dead letter')}",
        }

    def _close(self) -> bool:
        """Print the books; returns whether they balance."""
        self._tell()
        queue = self.letters
        missing = self.books.reports_missing(self.server.records, queue)
        lost = self.books.lost(self.taken, queue)
        units = [source.units for source in self.sources]
        results = self.books.came[EventType.TEST_RESULT]
        reports = len(self.server.records.reports)
        dead = sum(letter.event_type == EventType.TEST_RESULT for letter in queue)
        both = reports + dead - results
        sums = (
            f"{' + '.join(map(str, units))} units tested = {results} results = {reports} reports + "
            f"{counted(dead, 'dead letter')}"
        )
        if both:  # it took the report, its answer was lost, and the next attempt was refused
            sums += f" - {both} that the server had taken before it refused it"
        say = self.console.print
        if not missing and not lost and sum(units) == results and self.files.balanced:
            say(f"every event is accounted for: {sums}", style="bold green")
            return True
        say(f"UNACCOUNTED FOR: {len(missing)} results, {lost} events; {sums}", style="bold red")
        return False

    def _tell(self) -> None:
        """Print what came in, what became of it, and what the server has."""
        came = _grid()
        for source in self.sources:
            came.add_row(source.name, source.told())
        has = _grid()
        for name, said in self._of_server():
            has.add_row(name, said)
        tried_again = counted(self.books.failures - self.letters.size, "attempt")
        for part in (
            Text("What came in", "bold"),
            came,
            Text("\nWhat became of it", "bold"),
            self._accounts(),
            Text(f"  {tried_again} failed, and the event was tried again"),
            Text("\nWhat WATS has (a stand-in, not WATS)", "bold"),
            has,
            "",
        ):
            self._print(part)

    def _print(self, part: Text | Table | str) -> None:
        """Print a part in short lines; tables pad theirs, which is no use in a pipe."""
        with self.console.capture() as printed:
            self.console.print(part, width=min(WIDTH, self.console.width))
        for line in printed.get().splitlines():
            self.console.file.write(f"{line.rstrip()}\n")

    def _accounts(self) -> Table:
        table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
        for name in ("event", "came in", "handled", "dead letters", ""):
            number = name not in {"event", ""}
            table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
        for account in self.books.accounts(self.taken, self.letters):
            handled, dead = ("", "") if account.handled is None else (str(account.handled), str(account.dead))
            table.add_row(account.name, str(account.came), handled, dead, Text(account.note, "dim"))
        return table

    def _of_server(self) -> Iterator[tuple[str, str]]:
        has = self.server.records.summary()
        repeats = f"{has['repeats']} came twice, and count once" if has["repeats"] else "none came twice"
        reports, units = counted(has["reports"], "report"), counted(has["units"], "unit")
        yield "has", f"{reports} of {units}; {has['passed']} passed; {repeats}."
        faults = self.books.handled[EventType.ASSET_FAULT]
        if faults:
            lines = counted(has["log_lines"], "line")
            yield "log", f"{lines} about the machine, of {faults} about faults: one a minute of each kind."
        reasons = Counter(f"{letter.error_type}: {letter.error}" for letter in self.letters if letter.event)
        for reason, count in reasons.items():
            yield "refused", f"{counted(count, 'report')}, now dead letters: {reason}"


def _grid() -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    return grid
