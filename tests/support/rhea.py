"""The npm package rhea, run with node: an AMQP 1.0 peer that shares no line with ours, nor with proton."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import trio

from support.programs import missing, require_program

__all__ = ["rhea", "said_by_rhea", "tell_rhea"]

_SCRIPT = Path(__file__).with_name("rhea.js")


@cache
def _installed() -> Path:
    """The folder of the package, installed into the user's cache at the first use."""
    require_program("node")
    npm = require_program("npm")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pywats-tests" / "rhea"
    package = base / "node_modules" / "rhea"
    if not (package / "package.json").exists():
        base.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", base, "rhea@3"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        if done.returncode:
            missing(f"the npm package rhea cannot be installed: {done.stderr[-500:]}")
    return package


@asynccontextmanager
async def rhea(*arguments: str) -> AsyncIterator[trio.Process]:
    """Run the peer for the length of the block; `said_by_rhea` gives what it sees."""
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_run, *arguments)
        yield process
        nursery.cancel_scope.cancel()


async def _run(*arguments: str, task_status: trio.TaskStatus[trio.Process]) -> None:
    command = [require_program("node"), _SCRIPT, *arguments]
    environment = os.environ | {"RHEA": str(_installed())}
    process = await trio.lowlevel.open_process(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        task_status.started(process)
        await process.wait()
        # Its last words may still be in the pipe: the block that holds it closes that.
        await trio.sleep_forever()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.aclose()
            await process.stdout.aclose()


async def tell_rhea(process: trio.Process, order: dict[str, Any]) -> None:
    """Give the peer something to do."""
    assert process.stdin is not None
    await process.stdin.send_all(json.dumps(order).encode() + b"\n")


async def said_by_rhea(process: trio.Process) -> AsyncIterator[dict[str, Any]]:
    """Each line that the peer prints, until it ends."""
    assert process.stdout is not None
    rest = b""
    async for chunk in process.stdout:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)
