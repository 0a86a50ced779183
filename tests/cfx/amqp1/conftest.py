"""What all tests with real sockets have in common: none may hang."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import pytest
import trio

LONGEST = 20


def within_time(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def timed(*args: Any, **kwargs: Any) -> None:
        with trio.fail_after(LONGEST):
            await test(*args, **kwargs)

    return timed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        mine = isinstance(item, pytest.Function) and str(item.path).startswith(here)
        if mine and inspect.iscoroutinefunction(item.obj):
            item.obj = within_time(item.obj)
