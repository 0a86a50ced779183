"""The pytest plugin: buses as fixtures. The only file here that imports pytest.

`@pytest.mark.event_bus(retry_policy=..., capacity=...)` gives the fixtures' bus its options.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus
from pywats_events.testing.running_bus import running_async_bus, running_bus

__all__ = ["async_event_bus", "event_bus", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "event_bus(**options): options of the bus that event_bus or async_event_bus gives"
    )


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("event_bus")
    return {} if marker is None else dict(marker.kwargs)


@pytest.fixture
def event_bus(request: pytest.FixtureRequest) -> Iterator[EventBus]:
    """A running EventBus, for plain code; checked at the end (see `running_bus`)."""
    with running_bus(**_options(request)) as bus:
        yield bus


async def _async_event_bus(request: pytest.FixtureRequest) -> AsyncIterator[AsyncEventBus]:
    """A running AsyncEventBus, for tests on trio; checked at the end (see `running_async_bus`)."""
    async with running_async_bus(**_options(request)) as bus:
        yield bus  # noqa: ASYNC119, RUF100 - pytest-trio runs a fixture to its end


try:
    from pytest_trio import trio_fixture  # type: ignore[import-untyped]
except ImportError:

    @pytest.fixture
    def async_event_bus() -> None:
        """Say what is missing."""
        pytest.fail("the fixture async_event_bus needs pytest-trio: pip install pytest-trio", pytrace=False)

else:
    async_event_bus = trio_fixture(_async_event_bus)
