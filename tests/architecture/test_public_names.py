"""What is public is listed in `__all__`, exists, and is documented."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest

from support.house import Module, modules

PUBLIC_MODULES = [module for module in modules() if module.public]


@pytest.fixture(params=PUBLIC_MODULES, ids=str)
def module(request: pytest.FixtureRequest) -> Module:
    """Each public module in turn."""
    found: Module = request.param
    return found


def test_each_name_in_all_exists_and_is_there_once(module: Module) -> None:
    imported = importlib.import_module(module.name)
    names = imported.__all__
    assert [name for name in names if not hasattr(imported, name)] == []
    assert len(names) == len(set(names))


def test_each_public_class_and_function_is_in_all(module: Module) -> None:
    imported = importlib.import_module(module.name)
    tree = ast.parse(module.path.read_text(encoding="utf-8"))
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]
    assert [name for name in defined if name not in imported.__all__] == []


def test_each_public_module_class_function_and_method_says_what_it_is(module: Module) -> None:
    imported = importlib.import_module(module.name)
    undocumented = [] if imported.__doc__ else [module.name]
    for name in imported.__all__:
        value = getattr(imported, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            undocumented += [name] if not inspect.getdoc(value) else []
        if inspect.isclass(value):
            undocumented += [
                f"{name}.{method}"
                for method in vars(value)
                if not method.startswith("_")
                and (inspect.isroutine(getattr(value, method)) or isinstance(vars(value)[method], property))
                and not inspect.getdoc(getattr(value, method))
            ]
    assert undocumented == []
