"""Transports by the calls of pywats-api 0.6."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import trio

from pywats_events import AsyncEventBus, Event, EventBus, EventType
from pywats_events.errors import WouldDeadlock
from pywats_events.settlement import Outcome
from pywats_events.transports import BaseTransport, MockTransport, TransportState
from support.handlers import Recording, event_of


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the bus's thread does; it tells nobody."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def state_of(transport: BaseTransport) -> TransportState:
    """Its state now; a call, as type checkers think that an attribute stays what it was."""
    return transport.state


class Lines(BaseTransport):
    """As 0.6's examples write a transport: `start`, `stop`, and a callback that publishes."""

    def __init__(self) -> None:
        super().__init__(name="lines")

    def start(self) -> None:
        self._set_state(TransportState.CONNECTING)
        self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        self._set_state(TransportState.DISCONNECTED)

    def on_line(self, line: str) -> None:
        self.publish_event(Event.create(EventType.TEST_RESULT, {"unit_id": line}, source=self.name))

    def get_subscribed_topics(self) -> list[str]:
        return ["lines"]


def test_a_transport_starts_and_stops_with_its_bus_and_publishes_from_any_thread() -> None:
    transport, handler, told = Lines(), Recording(), list[str]()
    transport.on_connect(lambda: told.append("connect"))
    transport.on_disconnect(lambda: told.append("disconnect"))
    bus = EventBus()
    bus.register_handler(handler)
    bus.register_transport(transport)
    assert (transport.state, bus.transport_count) == (TransportState.DISCONNECTED, 1)
    bus.start()
    until(lambda: transport.is_connected)
    transport.on_line("SN-1")
    bus.wait_idle(timeout=10)
    bus.stop()
    assert [event.payload["unit_id"] for event in handler.handled] == ["SN-1"]
    assert told == ["connect", "disconnect"]
    assert transport.get_stats() == {"name": "lines", "state": "disconnected", "is_connected": False}
    assert transport.get_subscribed_topics() == ["lines"]


def test_a_transport_that_is_registered_with_a_running_bus_starts_at_once() -> None:
    transport = MockTransport()
    with EventBus() as bus:
        bus.register_transport(transport)
        until(lambda: transport.is_connected)


def test_an_unregistered_transport_is_stopped_and_its_name_is_free() -> None:
    early, running = MockTransport("early"), MockTransport("running")
    bus = EventBus()
    bus.register_transport(early)
    assert bus.unregister_transport(early)
    with bus:
        bus.register_transport(running)
        until(lambda: running.is_connected)
        assert bus.unregister_transport(running, timeout=10)
        assert state_of(running) is TransportState.DISCONNECTED
        assert not bus.unregister_transport("running")
        bus.register_transport(MockTransport("running"))
        assert bus.transport_count == 1
    assert state_of(early) is TransportState.DISCONNECTED


def test_a_late_transport_starts_at_once_on_the_async_bus_too() -> None:
    async def main() -> None:
        transport = MockTransport()
        async with AsyncEventBus() as bus:
            bus.register_transport(transport)
            with trio.fail_after(10):
                while not transport.is_connected:
                    await trio.sleep(0.001)

    trio.run(main)


def test_injected_events_are_handled_when_the_call_returns_and_are_remembered() -> None:
    transport, handler = MockTransport(name="mock"), Recording()
    with EventBus() as bus:
        bus.register_handler(handler)
        bus.register_transport(transport)
        until(lambda: transport.is_connected)
        receipt = transport.inject_event(event_of(1))
        assert receipt.outcomes == {"Recording": Outcome.HANDLED}
        transport.inject_events([event_of(2), event_of(3)])
        assert handler.numbers == [1, 2, 3]
        assert [event.payload["number"] for event in transport.injected_events] == [1, 2, 3]
        assert transport.published_events == transport.injected_events
        assert transport.event_count == 3
        assert transport.get_stats()["injected_count"] == 3
        transport.clear()
        assert transport.injected_events == []


def test_configured_failures_fail_the_start_and_the_injection() -> None:
    transport = MockTransport(auto_connect=True)
    errors: list[Exception] = []
    transport.on_error(errors.append)
    transport.configure_failure(fail_on_start=True)
    with EventBus() as bus:
        bus.register_transport(transport)
        until(lambda: bool(errors))
        assert state_of(transport) is TransportState.ERROR
        transport.configure_failure(fail_on_inject=True)
        until(lambda: transport.is_connected)  # its supervisor has started it again
        with pytest.raises(ConnectionError, match="configured to fail on inject"):
            transport.inject_event(event_of())
        transport.reset()
        assert state_of(transport) is TransportState.DISCONNECTED
        with pytest.raises(ConnectionError, match="not connected"):
            transport.inject_event(event_of())


def test_a_lost_connection_is_simulated_and_comes_back() -> None:
    transport, told = MockTransport(), list[str]()
    transport.on_connect(lambda: told.append("connect"))
    transport.on_disconnect(lambda: told.append("disconnect"))
    with EventBus() as bus:
        bus.register_transport(transport)
        until(lambda: transport.is_connected)
        transport.simulate_disconnect()
        assert state_of(transport) is not TransportState.CONNECTED
        transport.simulate_reconnect()
        assert state_of(transport) is TransportState.CONNECTED
    assert told == ["connect", "disconnect", "connect", "disconnect"]


def test_a_simulated_error_is_told_and_the_transport_is_started_again() -> None:
    transport, errors = MockTransport(), list[Exception]()
    transport.on_error(errors.append)
    with EventBus() as bus:
        bus.register_transport(transport)
        until(lambda: transport.is_connected)
        transport.simulate_error(ConnectionError("gone"))
        assert [str(error) for error in errors] == ["gone"]
        until(lambda: transport.is_connected)


def test_a_callback_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    transport = MockTransport()
    transport.on_connect(lambda: 1 / 0)
    with EventBus() as bus:
        bus.register_transport(transport)
        until(lambda: transport.is_connected)
        transport.inject_event(event_of())
    assert "a callback of transport 'mock' raised" in caplog.text


async def test_on_trio_injecting_is_awaited_and_the_plain_call_says_so() -> None:
    transport, handler = MockTransport(), Recording()
    async with AsyncEventBus() as bus:
        bus.register_handler(handler)
        bus.register_transport(transport)
        while not transport.is_connected:
            await trio.sleep(0.001)
        with pytest.raises(WouldDeadlock, match="inject_event_async"):
            transport.inject_event(event_of(1))
        await transport.inject_event_async(event_of(2))
    assert handler.numbers == [2]


@pytest.mark.parametrize("value", ["disconnected", "connecting", "connected", "reconnecting", "error"])
def test_the_states_have_their_old_values(value: str) -> None:
    assert TransportState(value).value == value


def test_in_a_handler_injecting_is_refused_before_anything_is_injected() -> None:
    transport, refused = MockTransport(), list[Exception]()

    def inject(event: Event) -> None:
        try:
            transport.inject_event(event_of(2))
        except WouldDeadlock as error:
            refused.append(error)

    with EventBus() as bus:
        bus.subscribe(inject, event_types=[EventType.TEST_RESULT])
        bus.register_transport(transport)
        until(lambda: transport.is_connected)
        transport.inject_event(event_of(1))
    assert len(refused) == 1
    assert [event.payload["number"] for event in transport.injected_events] == [1]
