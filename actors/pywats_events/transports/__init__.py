"""Transports: what connects a bus to outside sources."""

from pywats_events.transports.base_transport import BaseTransport, TransportState
from pywats_events.transports.mock_transport import MockTransport

__all__ = ["BaseTransport", "MockTransport", "TransportState"]
