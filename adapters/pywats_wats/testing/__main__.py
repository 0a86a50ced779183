"""Run the stand-in by hand: `python -m pywats_wats.testing --port 8080`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import trio

from pywats_supervision.errors import unwrapped
from pywats_wats.testing.server import StandInWATS

__all__ = ["main"]

EVERY: Final = 2.0
"""Seconds between two looks at how many reports there are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, then say what was received.

    Args:
        arguments: of the command line; default those of the process.

    Returns:
        The exit status: 1 if it cannot listen there.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pywats_wats.testing", description="A stand-in for the WATS server. It is not WATS."
    )
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="likewise; 0 takes a free one")
    options = parser.parse_args(arguments)
    server = StandInWATS()
    failed: BaseException | None = None
    try:
        trio.run(_serve, server, options.host, options.port)
    except* KeyboardInterrupt:
        sys.stderr.write("\n")
    except* OSError as group:
        failed = unwrapped(group)
    if failed is not None:
        where, why = f"{options.host}:{options.port}", getattr(failed, "strerror", None) or failed
        sys.stderr.write(f"{parser.prog}: cannot listen on {where}: {why}; give another --host or --port\n")
        return 1
    for name, value in server.records.summary().items():
        sys.stdout.write(f"{name:12} {value}\n")
    return 0


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"it must be 0 to 65535, not {text!r}")
    return int(text)


async def _serve(server: StandInWATS, host: str, port: int) -> None:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(server.run, host, port)
        _say(f"export WATS_BASE_URL={url} WATS_TOKEN={server.token}")
        _say("These are for the station. This is a stand-in, not WATS; Ctrl-C ends it.")
        told = 0
        while True:
            await trio.sleep(EVERY)
            if server.records.submissions != told:
                told = server.records.submissions
                _say(f"{len(server.records.reports)} reports")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
