"""A tree that is wedged in virtual time fails its test at once.

Only here: elsewhere threads may be at work while nothing in trio is due, and a clock that jumps does not wait
for them.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from support.time_limits import VIRTUAL, limit_test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Set a limit to each trio test on a clock that jumps."""
    limit_test(item, VIRTUAL, virtual=True)
    return (yield)
