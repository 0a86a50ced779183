"""The part of python-qpid-proton that is used here, and what is said where it is missing.

What happens once per connection or link goes through proton's classes. What happens for each message calls
the C functions below them (`pn_*`, named as in proton's C API): a class makes five wrappers for an event,
which cost more than all the rest of a message's way.
"""

from __future__ import annotations

from typing import Any

from pywats_cfx.amqp1.errors import ProtonMissing

try:
    from cproton import (  # type: ignore[import-untyped]
        PN_ACCEPTED,
        PN_CONNECTION_REMOTE_CLOSE,
        PN_CONNECTION_REMOTE_OPEN,
        PN_DELIVERY,
        PN_LINK_FLOW,
        PN_LINK_REMOTE_CLOSE,
        PN_LINK_REMOTE_DETACH,
        PN_LINK_REMOTE_OPEN,
        PN_MODIFIED,
        PN_REJECTED,
        PN_RELEASED,
        PN_SESSION_REMOTE_CLOSE,
        PN_SESSION_REMOTE_OPEN,
        PN_TRANSPORT_ERROR,
        addressof,
        pn_collector_peek,
        pn_collector_pop,
        pn_delivery,
        pn_delivery_aborted,
        pn_delivery_link,
        pn_delivery_partial,
        pn_delivery_pending,
        pn_delivery_remote_state,
        pn_delivery_settle,
        pn_delivery_settled,
        pn_delivery_tag,
        pn_delivery_update,
        pn_delivery_updated,
        pn_event_delivery,
        pn_event_link,
        pn_event_type,
        pn_link_advance,
        pn_link_credit,
        pn_link_current,
        pn_link_flow,
        pn_link_get_drain,
        pn_link_queued,
        pn_link_recv,
        pn_link_remote_max_message_size,
        pn_link_send,
    )
    from proton import (
        Collector,
        Condition,
        Connection,
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
"""An event: which of link and session it has depends on its kind, which types cannot say."""

Raw = Any
"""A pointer of the C library. It is valid until its link is freed, or the delivery settled."""


def raw(wrapper: Collector | Link) -> Raw:
    """The pointer inside one of proton's objects."""
    return wrapper._impl  # noqa: SLF001 - proton has no public name for it, and hands it to the same functions


__all__ = [
    "PN_ACCEPTED",
    "PN_CONNECTION_REMOTE_CLOSE",
    "PN_CONNECTION_REMOTE_OPEN",
    "PN_DELIVERY",
    "PN_LINK_FLOW",
    "PN_LINK_REMOTE_CLOSE",
    "PN_LINK_REMOTE_DETACH",
    "PN_LINK_REMOTE_OPEN",
    "PN_MODIFIED",
    "PN_REJECTED",
    "PN_RELEASED",
    "PN_SESSION_REMOTE_CLOSE",
    "PN_SESSION_REMOTE_OPEN",
    "PN_TRANSPORT_ERROR",
    "Collector",
    "Condition",
    "Connection",
    "Endpoint",
    "Event",
    "Link",
    "ProtonEvent",
    "ProtonException",
    "Raw",
    "Session",
    "Terminus",
    "Transport",
    "addressof",
    "pn_collector_peek",
    "pn_collector_pop",
    "pn_delivery",
    "pn_delivery_aborted",
    "pn_delivery_link",
    "pn_delivery_partial",
    "pn_delivery_pending",
    "pn_delivery_remote_state",
    "pn_delivery_settle",
    "pn_delivery_settled",
    "pn_delivery_tag",
    "pn_delivery_update",
    "pn_delivery_updated",
    "pn_event_delivery",
    "pn_event_link",
    "pn_event_type",
    "pn_link_advance",
    "pn_link_credit",
    "pn_link_current",
    "pn_link_flow",
    "pn_link_get_drain",
    "pn_link_queued",
    "pn_link_recv",
    "pn_link_remote_max_message_size",
    "pn_link_send",
    "raw",
]
