"""The commands of `pywats-station`; what they do is in the modules beside."""

from __future__ import annotations

import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

try:
    import rich  # noqa: F401 - for the commands beside
    import typer
except ImportError as _missing:
    raise ImportError(
        'the command line needs typer and rich; install them with: pip install "pywats-events[station]"'
    ) from _missing

__all__ = [
    "Exit",
    "app",
    "check",
    "demo",
    "events",
    "letters",
    "letters_drop",
    "letters_export",
    "letters_list",
    "letters_replay",
    "letters_show",
    "main",
    "run",
    "simulate",
    "tree",
]


FASTEST = 1000
"""Panels and files per second in the demonstration; more would say nothing of any station."""


class Exit(IntEnum):
    """What the exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    FOUND_ERRORS = 3
    NOT_RUNNING = 4


app: typer.Typer = typer.Typer(
    name="pywats-station",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run stations, look into them, and deal with what they could not handle.",
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 3 check found errors, 4 no station runs there, "
    "128 and the signal's number if one ended it at once (130 for Ctrl-C).",
)
letters: typer.Typer = typer.Typer(
    no_args_is_help=True,
    help="What no handler could deal with: look, try again, drop.",
)
app.add_typer(letters, name="dead-letters")

File = Annotated[
    str,
    typer.Argument(
        metavar="STATION", help="the Python file that makes the station; FILE:name, if it makes several"
    ),
]
Where = Annotated[
    str,
    typer.Argument(metavar="STATION", help="its data folder, or the file that makes it, also as FILE:name"),
]
AsJSON = Annotated[bool, typer.Option("--json", help="plain JSON, for scripts")]
Handler = Annotated[str | None, typer.Option(help="only those of this handler")]
Source = Annotated[str | None, typer.Option(help="only those from this source, such as cfx:SMTPlus.AOI.1")]
ErrorType = Annotated[str | None, typer.Option("--error", help="only those with this class of error")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="of dead letters; the beginning is enough, if no other begins so"),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pywats-station {version('pywats-events')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="show tracebacks, and log everything; also after the command")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="show the version and exit", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    _State.debug = debug


class _State:
    debug = False


@app.command()
def run(
    file: File,
    log_file: Annotated[Path | None, typer.Option(help="write the log there too, as JSON")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="JSON on standard error as well")] = False,
) -> None:
    """Run a station until Ctrl-C or SIGTERM.

    Both let it finish what it has accepted; a second one ends it at once.
    """
    from pywats_station.cli import running

    running.run(file, debug=_State.debug, log_file=log_file, log_json=log_json)


@app.command()
def check(file: File, json: AsJSON = False) -> None:
    """Look whether a station would work, without starting it.

    Then it shows the tree that it would run.
    """
    from pywats_station.cli import running

    if not running.check(file, json=json):
        raise typer.Exit(Exit.FOUND_ERRORS)


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(help="how long the machines work; without it, until Ctrl-C")
    ] = None,
    rate: Annotated[float, typer.Option(help="panels and files per second, of each source")] = 10.0,
    data: Annotated[
        Path | None, typer.Option(help="keep the store and the files there, in store/ and drop/")
    ] = None,
) -> None:
    """A whole station on this machine, and all that can go wrong.

    A machine over AMQP 1.0, files, a stand-in for the server that fails now and then; in the end what
    became of each event.
    """
    from pywats_station.cli.errors import WrongUsage
    from pywats_station.demo import main as run_demo

    if not 0 < rate <= FASTEST or (seconds is not None and not seconds > 0):
        raise WrongUsage(f"--seconds and --rate must be more than 0, and --rate at most {FASTEST}")
    if not run_demo(seconds, rate=rate, data=data):
        raise typer.Exit(Exit.FAILED)


@app.command()
def tree(
    where: Where,
    json: AsJSON = False,
    once: Annotated[bool, typer.Option("--once", help="show it once, not live")] = False,
) -> None:
    """The supervision tree of a running station, live."""
    from pywats_station.cli import looking

    looking.tree(where, json=json, once=once)


@app.command()
def events(
    where: Where,
    json: AsJSON = False,
    count: Annotated[int | None, typer.Option(min=1, help="stop after so many")] = None,
) -> None:
    """The events of a running station, as they go by."""
    from pywats_station.cli import looking

    looking.events(where, json=json, count=count)


@app.command()
def simulate(
    policy: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY", help="RetryPolicy(max_retries=5), CircuitBreaker(...) or Backoff(1, 30)"
        ),
    ],
    away: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", help="seconds in which attempts fail; may be repeated"),
    ] = None,
    kind: Annotated[str, typer.Option(help="error, outage, refused or poison")] = "outage",
    every: Annotated[float, typer.Option(help="seconds between two events")] = 5.0,
    lasting: Annotated[float, typer.Option("--for", help="seconds in all; virtual ones")] = 300.0,
    json: AsJSON = False,
) -> None:
    """When would a handler be tried again, suspended or given up?

    A time line of what these policies do about failures: its own, RetryPolicy and CircuitBreaker; and of a
    child of the tree, Backoff.
    """
    from pywats_station.cli import running

    running.simulate(policy, away or ["10-130"], kind, every, lasting, json=json)


@letters.command("list")
def letters_list(
    where: Where,
    handler: Handler = None,
    source: Source = None,
    error: ErrorType = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest")] = 50,
    json: AsJSON = False,
) -> None:
    """The dead letters of a station.

    It may run or not. The newest come first.
    """
    from pywats_station.cli import letters as commands

    commands.show_some(where, _where(handler, source, error), limit, json=json)


@letters.command("show")
def letters_show(where: Where, ids: Ids, json: AsJSON = False) -> None:
    """All there is to know of dead letters."""
    from pywats_station.cli import letters as commands

    commands.show(where, ids or [], json=json)


@letters.command("replay")
def letters_replay(
    where: Where,
    ids: Ids = None,
    handler: Handler = None,
    source: Source = None,
    error: ErrorType = None,
    everything: Annotated[bool, typer.Option("--all", help="all that there are")] = False,
    json: AsJSON = False,
) -> None:
    """Give dead letters once more to their handlers.

    The station must run. What became of each is told as soon as it is known; while their server is away
    that is not yet. Ctrl-C ends the waiting: those not begun stay dead letters.
    """
    from pywats_station.cli import letters as commands

    commands.replay(where, ids or [], _where(handler, source, error), everything=everything, json=json)


@letters.command("drop")
def letters_drop(
    where: Where,
    ids: Ids = None,
    handler: Handler = None,
    source: Source = None,
    error: ErrorType = None,
    everything: Annotated[bool, typer.Option("--all", help="all that there are")] = False,
    json: AsJSON = False,
) -> None:
    """Forget dead letters, for good."""
    from pywats_station.cli import letters as commands

    commands.drop(where, ids or [], _where(handler, source, error), everything=everything, json=json)


@letters.command("export")
def letters_export(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="OUT", help="gets one line of JSON for each")],
    json: AsJSON = False,
) -> None:
    """Write all dead letters into a file.

    The store keeps them.
    """
    from pywats_station.cli import letters as commands

    commands.export(where, file, json=json)


def _where(handler: str | None, source: str | None, error: str | None) -> dict[str, str]:
    given = {"handler": handler, "source": source, "error_type": error}
    return {name: value for name, value in given.items() if value is not None}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are one line with what to do, tracebacks come with `--debug`.

    Args:
        arguments: default those of the process.

    Raises:
        SystemExit: always, with the status.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if not {"-h", "--help", "--version"} & set(given):
            import pywats_supervision  # noqa: F401 - first: it says so where pywats-api lies over ours
        app(args=_debug_first(given), prog_name="pywats-station")
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        if _State.debug:
            raise
        sys.exit(_told(error))


def _debug_first(arguments: list[str]) -> list[str]:
    """The arguments with --debug before the command, wherever it was written."""
    rest = [argument for argument in arguments if argument != "--debug"]
    return rest if len(rest) == len(arguments) else ["--debug", *rest]


def _told(error: BaseException) -> int:
    """Say in one line what was wrong; gives the status."""
    error = _alone(error)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return Exit.DONE
    from pywats_station.cli.errors import NotRunning, WrongUsage

    said = " ".join(str(error).split()) or type(error).__name__
    known = (ValueError, LookupError, OSError, ImportError)
    kind = (
        ""
        if isinstance(error, known) or type(error).__module__.startswith("pywats")
        else type(error).__name__ + ": "
    )
    if isinstance(error, WrongUsage):
        sys.stderr.write(f"pywats-station: {said}\n")
        return Exit.USAGE
    sys.stderr.write(f"pywats-station: {kind}{said} (--debug shows where)\n")
    return Exit.NOT_RUNNING if isinstance(error, NotRunning) else Exit.FAILED


def _alone(error: Any) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    alone: BaseException = error
    return alone
