"""The conformance kits, run on what is here, and on what does not conform."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
import trio

from pywats_events import BaseHandler, Event, EventType
from pywats_events.models import TestResultEvent
from pywats_events.policies import DeadLetterQueue
from pywats_events.testing.conformance import (
    AcknowledgingTransportConformance,
    DeadLetterStoreConformance,
    HandlerConformance,
    TransportConformance,
)
from pywats_events.transports import BaseTransport, MockTransport, TransportState


class TestDeadLetterQueue(DeadLetterStoreConformance):
    def make_queue(self, max_size: int = 1000) -> DeadLetterQueue:
        return DeadLetterQueue(max_size)


class TestMockTransport(TransportConformance):
    def make_transport(self) -> MockTransport:
        return MockTransport()

    async def send(self, transport: Any, number: int) -> None:
        await transport.inject_event_async(Event(EventType.TEST_RESULT, {"number": number}))

    def number_of(self, event: Event) -> int:
        return int(event.payload["number"])

    async def lose(self, transport: Any) -> None:
        transport.simulate_error(ConnectionError("the wire is cut"))


class QueueTransport(BaseTransport):
    """Takes numbers from a queue that remembers what was acknowledged."""

    def __init__(self, *, hasty: bool = False) -> None:
        super().__init__("queue")
        self.source: deque[int] = deque()
        self.acknowledged: list[int] = []
        self._hasty = hasty

    def start(self) -> None:
        self._set_state(TransportState.CONNECTED)

    def stop(self) -> None:
        self._set_state(TransportState.DISCONNECTED)

    async def serve(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                while self.source:
                    number = self.source.popleft()
                    receipt = await self.publish_event_async(Event(EventType.TEST_RESULT, {"number": number}))
                    if self._hasty:
                        self.acknowledged.append(number)
                    else:
                        nursery.start_soon(self._acknowledge, number, receipt)
                await trio.sleep(0.001)

    async def _acknowledge(self, number: int, receipt: Any) -> None:
        await receipt.wait_settled()
        if not receipt.handed_back:
            self.acknowledged.append(number)


class TestQueueTransport(AcknowledgingTransportConformance):
    hasty = False

    def make_transport(self) -> QueueTransport:
        return QueueTransport(hasty=self.hasty)

    async def send(self, transport: Any, number: int) -> None:
        transport.source.append(number)
        await trio.lowlevel.checkpoint()

    def number_of(self, event: Event) -> int:
        return int(event.payload["number"])

    async def lose(self, transport: Any) -> None:
        transport.fail(ConnectionError("the queue is gone"))

    def acknowledged(self, transport: Any) -> list[int]:
        return list(transport.acknowledged)


class Hasty(TestQueueTransport):
    __test__ = False
    hasty = True


def test_a_transport_that_acknowledges_too_early_does_not_conform() -> None:
    with pytest.raises(BaseException) as caught:
        Hasty().test_it_acknowledges_what_is_settled_and_not_before()
    assert "AssertionError" in repr(caught.value)
    with pytest.raises(AssertionError):
        Hasty().test_it_never_acknowledges_what_is_handed_back()


class Reporter(BaseHandler):
    """Reports each unit once; the second time it finds it reported."""

    def __init__(self) -> None:
        self.reported: set[str] = set()

    @property
    def event_types(self) -> list[EventType]:
        return [EventType.TEST_RESULT]

    async def handle(self, event: Event) -> None:
        result = event.as_(TestResultEvent)
        await trio.lowlevel.checkpoint()
        self.reported.add(result.unit_id)


class TestReporter(HandlerConformance):
    def make_handler(self) -> Any:
        return Reporter()

    def make_event(self) -> Event:
        return Event(EventType.TEST_RESULT, TestResultEvent(unit_id="SN-1", result="pass"))  # type: ignore[arg-type]


class TestPlainSyncHandler(HandlerConformance):
    def make_handler(self) -> Any:
        class Plain:
            event_types = "test.*"

            def handle(self, event: Event) -> None:
                assert event.payload["unit_id"]

        return Plain()

    def make_event(self) -> Event:
        return Event(EventType.TEST_RESULT, {"unit_id": "SN-1"})


class Naughty(HandlerConformance):
    __test__ = False

    def __init__(self, what: str) -> None:
        self.what = what

    def make_handler(self) -> Any:
        what = self.what

        class Handler:
            event_types = (EventType.ASSET_FAULT,) if what == "type" else (EventType.TEST_RESULT,)
            seen: set[str] = set()  # noqa: RUF012 - shared on purpose
            half_done = False

            async def handle(self, event: Event) -> None:
                if what == "mutates":
                    event.payload["unit_id"] = "SN-2"
                if what == "struct" and isinstance(event.payload, dict):
                    raise AttributeError("unit_id")
                if what == "once" and event.id in self.seen:
                    raise ValueError("seen before")
                if what == "half done" and self.half_done:
                    raise RuntimeError("half done before")
                self.half_done = True
                self.seen.add(event.id)
                await trio.sleep(0.01)
                self.half_done = False

        return Handler()

    def make_event(self) -> Event:
        payload: Any = TestResultEvent(unit_id="SN-1") if self.what == "struct" else {"unit_id": "SN-1"}
        return Event(EventType.TEST_RESULT, payload)


@pytest.mark.parametrize(
    ("what", "test"),
    [
        ("type", "test_it_names_event_types_and_takes_the_event"),
        ("mutates", "test_it_handles_the_event_and_leaves_its_payload_alone"),
        ("struct", "test_it_handles_the_event_as_it_comes_from_a_wire"),
        ("once", "test_it_stands_an_event_that_comes_twice"),
        ("half done", "test_after_a_crash_it_handles_the_event_again"),
    ],
)
def test_a_handler_that_does_not_conform_is_found(what: str, test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(Naughty(what), test)()
