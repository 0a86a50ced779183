"""CFXTransport: an IPC-CFX endpoint that machines and brokers talk to, on a bus."""

from __future__ import annotations

from pywats_cfx.transport.cfx_transport import CFXTransport

__all__ = ["CFXTransport"]
