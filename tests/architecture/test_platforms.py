"""Windows counts as a platform: what only POSIX has is imported under a guard."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.house import ROOT, python_files

POSIX_ONLY = {
    "_posixsubprocess",
    "crypt",
    "fcntl",
    "grp",
    "nis",
    "ossaudiodev",
    "posix",
    "pty",
    "pwd",
    "resource",
    "spwd",
    "syslog",
    "termios",
    "tty",
}
FILES = python_files("supervision", "actors", "adapters", "samples", "tests", "docs")


def imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The top-level modules that one statement imports."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return [name.partition(".")[0] for name in names]


def is_guard(node: ast.AST) -> bool:
    """Whether what stands inside may be missing: a `try`, or a test of the platform."""
    if isinstance(node, ast.If):
        return any(word in ast.unparse(node.test) for word in ("sys.platform", "os.name", "TYPE_CHECKING"))
    return isinstance(node, ast.Try) and any(
        word in ast.unparse(handler.type)
        for handler in node.handlers
        if handler.type is not None
        for word in ("ImportError", "ModuleNotFoundError")
    )


def unguarded(source: str) -> list[str]:
    """The POSIX-only modules that a source imports without a guard, each with its line."""
    found = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if is_guard(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [f"line {node.lineno}: {name}" for name in imported_modules(node) if name in POSIX_ONLY]
        waiting.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_only_posix_has_are_imported_under_a_guard(path: Path) -> None:
    assert unguarded(path.read_text(encoding="utf-8")) == []


def test_an_import_without_a_guard_is_found_and_a_guarded_one_is_not() -> None:
    assert unguarded("import os, fcntl") == ["line 1: fcntl"]
    assert unguarded("def lock():\n    from resource import getrlimit") == ["line 2: resource"]
    assert unguarded("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None") == []
    assert unguarded("try:\n    import fcntl\nexcept OSError:\n    fcntl = None") == ["line 2: fcntl"]
    assert unguarded("if sys.platform != 'win32':\n    import termios") == []
