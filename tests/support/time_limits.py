"""How long a trio test may take: a tree that is wedged fails its test instead of hanging the whole run.

What never comes back to trio at all is ended by pytest's faulthandler, see `pyproject.toml`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import trio

__all__ = ["REAL", "VIRTUAL", "limit_test", "limited"]

REAL: Final = 120.0
"""Seconds on the real clock; the slowest test takes a quarter of it on a busy machine."""

VIRTUAL: Final = 100_000.0
"""Seconds on a clock that jumps: over at once where nothing is due, soon where something repeats itself."""


def limit_test(item: pytest.Item, seconds: float, *, virtual: bool) -> None:
    """Limit a trio test that runs on the one or the other kind of clock; leave others as they are."""
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return
    if virtual is any(clock in item.fixturenames for clock in ("autojump_clock", "mock_clock")):
        item.obj = limited(item.obj, seconds)


def limited(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    """The same test, which fails with `trio.TooSlowError` after so many seconds."""

    @functools.wraps(test)
    async def run(**fixtures: Any) -> None:
        with trio.fail_after(seconds):
            await test(**fixtures)

    return run
