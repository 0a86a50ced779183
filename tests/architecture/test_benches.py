"""Every bench runs, with as little to measure as it can do with."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path

import pytest

from benchmarks import yardstick
from support.house import FLOORS, ROOT

SIZES: dict[str, dict[str, float]] = {
    "actors": {"ACTORS": 5},
    "amqp1": {"MESSAGES": 5, "BATCHES": 5},
    "ask": {"ASKS": 5, "HOPS": 5, "ACTORS": 2},
    "cfx_decode": {"MESSAGES": 5},
    "cfx_endpoint": {"MESSAGES": 5, "BATCHES": 2},
    "children": {"CHILDREN": 5},
    "files": {"FILES": 5},
    "restarts": {"RESTARTS": 5},
    "route": {"TO_ONE": 5, "TO_EIGHT": 5},
    "store": {"SECONDS": 0.1, "REPLAYED": 50, "EVENTS": 50, "BACKLOG": 50, "WINDOW": 10},
    "timers": {"SECONDS": 0.1},
    "wats": {"COUNT": 5},
}
TOO_SLOW = {"rabbit"}  # its broker takes seconds to start
NOT_ALWAYS = {"store: accepted, of persist-queue"}  # a package that only `make bench` installs


def test_every_bench_is_tried_here() -> None:
    benches = {path.stem.removeprefix("bench_") for path in (ROOT / "tests/benchmarks").glob("bench_*.py")}
    assert benches == SIZES.keys() | TOO_SLOW


@pytest.mark.parametrize("name", SIZES)
def test_a_bench_and_its_other_processes_run_from_any_folder_without_a_path_to_the_tests(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module(f"benchmarks.bench_{name}")
    for constant, value in SIZES[name].items():
        monkeypatch.setattr(bench, constant, value)
    monkeypatch.setattr(yardstick, "EVENTS", 5)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, FLOORS)))
    monkeypatch.chdir(tmp_path)
    figures = bench.measure(1)
    promised = getattr(bench, "PROMISES", {}).keys() | getattr(bench, "MOST", {}).keys()
    assert promised - NOT_ALWAYS <= figures.keys()
    assert all(math.isfinite(value) for value in figures.values())


async def test_a_bench_whose_other_process_fails_says_what_that_wrote() -> None:
    with pytest.raises(RuntimeError, match=r"No module named benchmarks\.nowhere"):
        async with yardstick.peer("benchmarks.nowhere"):
            pass
