"""Decisions know neither trio nor clock, directly or through others."""

from __future__ import annotations

import grimp
import pytest

from support.house import PACKAGES

IMPURE = {"trio", "anyio", "asyncio", "time", "random", "threading", "socket", "sqlite3", "logging"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of all packages, those from outside included."""
    names = [package.name for package in PACKAGES]
    return grimp.build_graph(names[0], *names[1:], include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize("room", ["core", "policies", "runtime", "errors"])
def test_a_pure_room_of_supervision_imports_no_trio_clock_or_chance(
    graph: grimp.ImportGraph, room: str
) -> None:
    needed = graph.find_upstream_modules(f"pywats_supervision.{room}", as_package=True)
    assert {name.partition(".")[0] for name in needed} & IMPURE == set()


def test_the_graph_sees_that_the_shell_imports_trio(graph: grimp.ImportGraph) -> None:
    assert "trio" in graph.find_upstream_modules("pywats_supervision._system")
