"""A test that would wait for ever fails, on the real clock and on one that jumps."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from support.time_limits import REAL, limited


async def test_a_trio_test_has_a_limit() -> None:
    assert trio.current_effective_deadline() <= trio.current_time() + REAL


async def test_what_waits_for_ever_in_virtual_time_fails_at_once(autojump_clock: MockClock) -> None:
    async def wedged(what: trio.Event) -> None:
        await what.wait()

    with pytest.raises(trio.TooSlowError):
        await limited(wedged, 1000.0)(what=trio.Event())
    assert trio.current_time() == 1000
