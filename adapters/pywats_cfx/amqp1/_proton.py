"""The part of python-qpid-proton that is used here, and what is said where it is missing."""

from __future__ import annotations

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

__all__ = [
    "Collector",
    "Condition",
    "Connection",
    "Delivery",
    "Endpoint",
    "Event",
    "Link",
    "ProtonException",
    "Session",
    "Terminus",
    "Transport",
]
