"""What the README and the guide have a newcomer do works as it is written; only the ports are free ones."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pywats_station._wire import socket_path
from pywats_station.cli.loading import load
from support.house import ROOT
from support.processes import wait_for

DEADLINE = 60
"""Seconds that a command may take."""
SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("## A station of your own")[1].split("\n## ")[0]
)
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)


def block(kind: str, number: int = 0) -> str:
    return [text for language, text in BLOCKS if language == kind][number]


def as_here(command: str) -> list[str]:
    """A command of the README, by the interpreter of this test."""
    program, *rest = command.split()
    return [sys.executable, *(rest if program == "python" else ["-m", "pywats_station", *rest])]


@contextmanager
def started(command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        as_here(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="the section is for POSIX shells")
def test_its_station_reports_each_unit_of_the_simulated_machine_to_the_stand_in(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "line.py").write_text(block("python").replace("5672", port))
    export, check, run = block("bash", 1).splitlines()
    simulate, tree, letters = block("bash", 2).replace("5672", port).splitlines()
    elsewhere = {name: value for name, value in os.environ.items() if not name.startswith("WATS_")}

    def done(command: str, exported: dict[str, str]) -> str:
        said = subprocess.run(
            as_here(command),
            cwd=tmp_path,
            env={**elsewhere, **exported},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout

    with started(block("bash", 0).strip() + " --port 0") as server:
        assert server.stdout is not None
        first = server.stdout.readline().strip()
        assert re.sub(r":\d+ ", ":8080 ", first) == export
        second = dict(word.split("=", 1) for word in first.split()[1:])
        third: dict[str, str] = {}
        assert "it would work" in done(check, second).splitlines()[-1]
        with started(run, cwd=str(tmp_path), env={**elsewhere, **second}) as station:
            wait_for(socket_path(tmp_path / "ict-01"), station)
            assert "ICT-01  running" in done(tree, third)
            told = re.search(r"(\d+) units", done(simulate.replace("--rate 20", "--rate 0"), third))
            assert "ReportHandler" in done(tree, third)
            station.send_signal(signal.SIGTERM)
            assert station.wait(DEADLINE) == 0
        assert done(letters, third) == "no dead letters\n"
        server.send_signal(signal.SIGINT)
        said, _ = server.communicate(timeout=DEADLINE)
    counts = dict(line.split(maxsplit=1) for line in said.splitlines() if " " in line)
    assert told is not None
    assert counts["reports"] == told[1]
    assert int(told[1]) > 100


def test_the_station_of_the_guide_is_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # which gets the folder of the file
    monkeypatch.setenv("WATS_TOKEN", "c3RhdGlvbjpzZWNyZXQ=")
    guide = (ROOT / "docs" / "guide" / "station.md").read_text(encoding="utf-8")
    (tmp_path / "of_the_guide.py").write_text(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[0])
    config = load(str(tmp_path / "of_the_guide.py")).config
    assert [spec.title for spec in config.transports] == ["cfx", "files"]
    assert [spec.title for spec in config.handlers] == ["ReportHandler", "AssetHandler"]
