"""MockTransport: a source in the test's own hand."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

import trio

from pywats_events.models.event import Event
from pywats_events.settlement import Receipt
from pywats_events.transports.base_transport import BaseTransport, TransportState

__all__ = ["MockTransport"]

INJECT_TIMEOUT = 5.0
"""Seconds that `inject_event` waits for the handlers."""


class MockTransport(BaseTransport):
    """A transport for tests: inject events, lose the connection, fail.

    Args:
        name: unique in its bus.
        auto_connect: whether it connects when it is started.
    """

    def __init__(self, name: str = "mock", auto_connect: bool = True) -> None:
        super().__init__(name)
        if not isinstance(auto_connect, bool):
            raise TypeError(f"auto_connect must be True or False, not {auto_connect!r}")
        self._auto_connect = auto_connect
        self._injected: list[Event] = []
        self._published: list[Event] = []
        self._delay = 0.0
        self._fail_on_start = False
        self._fail_on_inject = False

    @property
    def injected_events(self) -> list[Event]:
        """The events injected so far."""
        return list(self._injected)

    @property
    def published_events(self) -> list[Event]:
        """The injected events that the bus accepted."""
        return list(self._published)

    @property
    def event_count(self) -> int:
        """How many events the bus accepted."""
        return len(self._published)

    # Life

    def start(self) -> None:
        """Connect, or fail as configured."""
        if self._fail_on_start:
            self._set_state(TransportState.ERROR)
            raise ConnectionError(f"mock transport {self.name!r} is configured to fail on start")
        self._set_state(TransportState.CONNECTING)
        if self._auto_connect:
            self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        """Disconnect."""
        self._set_state(TransportState.DISCONNECTED)

    async def start_async(self) -> None:
        """Connect, without a thread."""
        self.start()
        await trio.lowlevel.checkpoint()

    async def stop_async(self) -> None:
        """Disconnect, without a thread."""
        self.stop()
        await trio.lowlevel.checkpoint()

    # Injecting

    def inject_event(self, event: Event, timeout: float = INJECT_TIMEOUT) -> Receipt:
        """Publish an event as if it came from outside, and wait until every handler is done with it.

        Args:
            event: the event.
            timeout: seconds to wait.

        Raises:
            UnsettledTimeout: if it is not settled in time; it says what is pending.
            WouldDeadlock: on trio or in a handler; use `inject_event_async` there.
            ConnectionError: if the transport is not connected, or configured to fail.
        """
        self._ported().check_may_wait("inject_event")
        self._about_to_inject(event)
        receipt = self.publish_event(event)
        self._published.append(event)
        return receipt.wait(timeout)

    async def inject_event_async(self, event: Event) -> Receipt:
        """Publish an event as if it came from outside, and wait until every handler is done with it.

        Cancelled: the event may have been accepted.

        Raises:
            ConnectionError: if the transport is not connected, or configured to fail.
        """
        if self._delay > 0:
            await trio.sleep(self._delay)
        self._about_to_inject(event)
        receipt = await self.publish_event_async(event)
        self._published.append(event)
        await receipt.wait_settled()
        return receipt

    def inject_events(self, events: Iterable[Event]) -> None:
        """Inject events one after the other."""
        for event in events:
            self.inject_event(event)

    def _about_to_inject(self, event: Event) -> None:
        if self._fail_on_inject:
            raise ConnectionError(f"mock transport {self.name!r} is configured to fail on inject")
        if not self.is_connected:
            raise ConnectionError(f"mock transport {self.name!r} is {self.state.value}, not connected")
        self._injected.append(event)

    # What the test decides

    def configure_failure(self, fail_on_start: bool = False, fail_on_inject: bool = False) -> None:
        """Make `start` or `inject_event` fail from now on."""
        self._fail_on_start = fail_on_start
        self._fail_on_inject = fail_on_inject

    def set_inject_delay(self, delay: float) -> None:
        """Wait `delay` seconds, 0 or more and finite, before each `inject_event_async`."""
        if isinstance(delay, bool) or not isinstance(delay, int | float):
            raise TypeError(f"delay must be a number of seconds, not {delay!r}")
        if not 0 <= delay < inf:
            raise ValueError(f"delay must be 0 or more seconds, and finite, not {delay!r}")
        self._delay = delay

    def simulate_disconnect(self) -> None:
        """Lose the connection, without a failure."""
        if self.is_connected:
            self._set_state(TransportState.DISCONNECTED)

    def simulate_reconnect(self) -> None:
        """Have the connection back."""
        if not self.is_connected:
            self._set_state(TransportState.RECONNECTING)
            self._set_state(TransportState.CONNECTED)

    def simulate_error(self, error: Exception) -> None:
        """Fail: this life of the transport ends with `error`, and its supervisor starts it again."""
        self.fail(error)

    def clear(self) -> None:
        """Forget what was injected."""
        self._injected.clear()
        self._published.clear()

    def reset(self) -> None:
        """Be as new."""
        self.clear()
        self.configure_failure()
        self._delay = 0.0
        self._set_state(TransportState.DISCONNECTED)

    def get_stats(self) -> dict[str, Any]:
        """What there is to see of it."""
        return {
            **super().get_stats(),
            "injected_count": len(self._injected),
            "published_count": len(self._published),
        }
