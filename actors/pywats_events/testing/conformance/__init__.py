"""Tests of what every transport, handler and dead letter queue has to do, to be run on your own.

Derive a class whose name pytest finds, say how to make yours, and its tests run:

    ```python
    class TestSerialTransport(TransportConformance):
        def make_transport(self) -> SerialTransport:
            return SerialTransport(self.port)

        async def send(self, transport: SerialTransport, number: int) -> None:
            self.port.write(line_of(number))
    ```

They need neither pytest nor a plugin of it, and bring their own trio run.
"""

from pywats_events.testing.conformance.dead_letter_store import DeadLetterStoreConformance
from pywats_events.testing.conformance.handler import HandlerConformance
from pywats_events.testing.conformance.transport import (
    AcknowledgingTransportConformance,
    TransportConformance,
)

__all__ = [
    "AcknowledgingTransportConformance",
    "DeadLetterStoreConformance",
    "HandlerConformance",
    "TransportConformance",
]
