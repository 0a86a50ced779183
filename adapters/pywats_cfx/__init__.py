"""IPC-CFX (IPC-2591) for test stations: messages, the wire, and a real endpoint.

Names load when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from pywats_cfx.errors import CFXConvertError, CFXDecodeError, CFXError

if TYPE_CHECKING:
    from pywats_cfx.config import AMQPConfig, CFXConfig, EndpointConfig, ExchangeConfig, RetryConfig
    from pywats_cfx.convert import Converter, SourceRules
    from pywats_cfx.messages import EndpointConnected, Heartbeat
    from pywats_cfx.messages.production import UnitsArrived, UnitsDeparted, WorkCompleted, WorkStarted
    from pywats_cfx.messages.production.assembly import MaterialsInstalled
    from pywats_cfx.messages.production.testandinspection import UnitsInspected, UnitsTested
    from pywats_cfx.messages.resourceperformance import FaultCleared, FaultOccurred, StationStateChanged
    from pywats_cfx.transport import CFXTransport
    from pywats_cfx.wire import Envelope, decode, decode_batch, decode_each, encode, encode_batch

__all__ = [
    "AMQPConfig",
    "CFXConfig",
    "CFXConvertError",
    "CFXDecodeError",
    "CFXError",
    "CFXTransport",
    "Converter",
    "EndpointConfig",
    "EndpointConnected",
    "Envelope",
    "ExchangeConfig",
    "FaultCleared",
    "FaultOccurred",
    "Heartbeat",
    "MaterialsInstalled",
    "RetryConfig",
    "SourceRules",
    "StationStateChanged",
    "UnitsArrived",
    "UnitsDeparted",
    "UnitsInspected",
    "UnitsTested",
    "WorkCompleted",
    "WorkStarted",
    "decode",
    "decode_batch",
    "decode_each",
    "encode",
    "encode_batch",
]

_WHERE: Final = {
    "wire": ("Envelope", "decode", "decode_batch", "decode_each", "encode", "encode_batch"),
    "config": ("AMQPConfig", "CFXConfig", "EndpointConfig", "ExchangeConfig", "RetryConfig"),
    "convert": ("Converter", "SourceRules"),
    "transport": ("CFXTransport",),
    "messages": ("EndpointConnected", "Heartbeat"),
    "messages.production": ("UnitsArrived", "UnitsDeparted", "WorkCompleted", "WorkStarted"),
    "messages.production.assembly": ("MaterialsInstalled",),
    "messages.production.testandinspection": ("UnitsInspected", "UnitsTested"),
    "messages.resourceperformance": ("FaultCleared", "FaultOccurred", "StationStateChanged"),
}


def __getattr__(name: str) -> Any:
    """Load a name on its first use."""
    for module, found in _WHERE.items():
        if name in found:
            import pywats_supervision  # noqa: F401 - first: it says so where pywats-api lies over ours

            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
