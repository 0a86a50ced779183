"""The part of python-qpid-proton that is used here, and what is said where it is missing."""

from __future__ import annotations

from typing import Any

from pywats_cfx.amqp1.errors import ProtonMissing

try:
    from proton import (
        Collector,
        Condition,
        Connection,
        Delivery,
        Endpoint,
        Event,
        Link,
        ProtonException,
        Session,
        Terminus,
        Transport,
    )
except ModuleNotFoundError as error:
    raise ProtonMissing from error

ProtonEvent = Any
"""An event: which of link, session and delivery it has depends on its kind, which types cannot say."""

__all__ = [
    "Collector",
    "Condition",
    "Connection",
    "Delivery",
    "Endpoint",
    "Event",
    "Link",
    "ProtonEvent",
    "ProtonException",
    "Session",
    "Terminus",
    "Transport",
]
