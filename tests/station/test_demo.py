"""The demonstration: whatever goes wrong, each event is accounted for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pywats_station import demo
from pywats_station.demo import main


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
