"""The demonstration: whatever goes wrong, each event is accounted for."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pywats_station import demo
from pywats_station.demo import main
from pywats_station.demo.show import DemoFolder

DEADLINE = 30
"""Seconds that a demonstration may take to end."""


def test_all_that_comes_in_is_at_the_server_or_a_dead_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(3.0, rate=20, data=tmp_path)
    said = capsys.readouterr().out
    assert "every event is accounted for" in said
    assert "over AMQP 1.0" in said
    books = said.split("What came in")[1].splitlines()
    assert [line for line in books[:-1] if len(line) > 100 or line != line.rstrip()] == []
    numbers = re.search(
        r"accounted for: (\d+) \+ (\d+) units tested = (\d+) results = (\d+) reports \+ (\d+) dead letters?"
        r"(?: - (\d+) that)?",
        said,
    )
    assert numbers is not None, said
    machine, tester, results, reports, letters, both = (int(number or 0) for number in numbers.groups())
    assert machine + tester == results == reports + letters - both
    assert re.search(rf"test\.result +{results} +{results - letters} +{letters} *\n", said)
    assert f"{reports} reports of {reports} units" in said
    assert (tmp_path / "store" / "store.db").exists()
    assert list((tmp_path / "drop" / "failed").glob("*.error.txt"))


def test_without_amqp_it_says_so_and_goes_on_with_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(rate: float) -> None:
        raise ImportError("CFXTransport needs python-qpid-proton")

    monkeypatch.setattr(sys.modules[f"{demo.__name__}.show"], "CFXSource", missing)
    assert main(1.0)
    said = capsys.readouterr().out
    assert "no machine over AMQP 1.0, only files" in said
    assert "machine " not in said.split("What came in")[1]
    assert re.search(r"accounted for: (\d+) units tested = \1 results = ", said)


def test_numbers_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        main(0)


def test_a_folder_of_an_earlier_demonstration_or_none_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoFolder, match="cannot be made or written to: Not a directory; give another"):
        main(1.0, data=tmp_path / "file" / "data")
    for name in ("drop", "store"):
        (tmp_path / name / "done").mkdir(parents=True)
        with pytest.raises(DemoFolder, match=f"{name} is of an earlier demonstration; remove it"):
            main(1.0, data=tmp_path)
        (tmp_path / name / "done").rmdir()


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to a process there only")
def test_a_second_signal_ends_it_at_once_with_the_status_of_one(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pywats_station", "demo", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "events, " in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) in {(128 + signal.SIGINT, ""), (128 + signal.SIGTERM, "")}


def test_in_a_narrow_terminal_nothing_of_the_books_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    show = sys.modules[f"{demo.__name__}.show"]
    monkeypatch.setattr(show, "screen", lambda: Console(width=60, file=out))
    assert main(1.0)
    books = out.getvalue().split("What came in")[1]
    assert "production." in books
    assert "…" not in books
    assert [line for line in books.splitlines()[:-2] if len(line) > 60] == []
