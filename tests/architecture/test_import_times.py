"""Importing a package costs little beside trio, and brings in nothing that only some of its users need."""

from __future__ import annotations

import pytest

from support.house import PACKAGES, run_python

NAMES = [package.name for package in PACKAGES]

# How much longer than `import trio` alone; generous, since machines are busy.
LONGEST = {"pywats_supervision": 0.5, "pywats_actors": 0.75}
LONGEST_OTHERS = 1.5

# What only testing, adapters or an asyncio program needs, each dearer than all of ours.
NOT_NEEDED = ("asyncio", "sqlite3", "pytest", "hypothesis", "unittest", "http", "multiprocessing", "pydantic")

# What asyncio programs need is what these packages are for.
ON_ASYNCIO = ("pywats_asyncio", "pywats_rabbitmq")


def seconds_beside_trio(name: str) -> float:
    """The time of an import after trio's, as a multiple of trio's."""
    done = run_python(
        "-c",
        "from time import perf_counter as now\n"
        f"start = now(); import trio; middle = now(); import {name}; end = now()\n"
        "print((end - middle) / (middle - start))",
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_an_import_takes_little_longer_than_trio_alone(name: str) -> None:
    longest = LONGEST.get(name, LONGEST_OTHERS)
    assert any(seconds_beside_trio(name) <= longest for _ in range(3))


@pytest.mark.parametrize("name", NAMES)
def test_an_import_brings_in_nothing_that_only_some_need(name: str) -> None:
    done = run_python(
        "-c",
        f"import sys, trio; before = set(sys.modules); import {name}\n"
        f"print(*sorted(set({NOT_NEEDED!r}) & (set(sys.modules) - before)))",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["asyncio"] if name in ON_ASYNCIO else [])
