"""Waiting for what other processes do."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

__all__ = ["wait_for"]


def wait_for(file: Path, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    """Wait until a process has made a file; a process that ends instead, or takes longer, fails the test.

    Args:
        file: what it makes.
        process: whose standard output or error is a pipe.
        seconds: at the most.
    """
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, f"there is no {file} after {seconds:g} s"
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        said = process.stdout or process.stderr
        raise AssertionError(f"it has ended: {said.read() if said else process.returncode}")
