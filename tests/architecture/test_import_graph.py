"""Decisions know neither trio nor clock, and no package looks into what is private to another."""

from __future__ import annotations

import ast

import grimp
import pytest

from support.house import PACKAGES, Module, modules

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
    assert "trio" in graph.find_upstream_modules("pywats_supervision.system")


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_package_imports_only_what_is_public_of_another(module: Module) -> None:
    own = module.name.partition(".")[0]
    foreign = [name for name in imported_by(module) if name.partition(".")[0] != own]
    assert [name for name in foreign if is_private(name)] == []


def imported_by(module: Module) -> list[str]:
    """The dotted names that a module imports from packages of ours."""
    ours = {package.name for package in PACKAGES}
    found = list[str]()
    for node in ast.walk(ast.parse(module.path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.partition(".")[0] in ours]


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))
