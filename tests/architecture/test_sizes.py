"""A file holds one question, and a function fits a screen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.house import ROOT, is_generated, python_files

LONGEST_FILE = 450
LONGEST_FUNCTION = 60
FILES = [
    path for path in python_files("supervision", "actors", "adapters", "samples") if not is_generated(path)
]


def lines_of_docstrings(tree: ast.AST) -> set[int]:
    """The numbers of all lines that belong to a docstring, of attributes too."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_keep_their_length_without_docstrings(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstrings = lines_of_docstrings(tree)
    assert len(source.splitlines()) - len(docstrings) <= LONGEST_FILE
    too_long = [
        f"{node.name}: {length}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (
            length := len(set(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)) - docstrings)
        )
        > LONGEST_FUNCTION
    ]
    assert too_long == []
