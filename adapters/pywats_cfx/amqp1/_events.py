"""What the engine reports: one kind of value per thing that can happen on a connection."""

from __future__ import annotations

from typing import NamedTuple

from pywats_cfx.amqp1._links import Incoming, InLink, Outcome, OutLink
from pywats_cfx.amqp1.errors import AMQPError

__all__ = [
    "Closed",
    "CreditChanged",
    "EngineEvent",
    "Failed",
    "LinkClosed",
    "LinkOpened",
    "LinkRequested",
    "Opened",
    "Received",
    "Settled",
]


class Opened(NamedTuple):
    """The peer has opened the connection: who and what it is, what it asked for, and as whom it logged in."""

    container: str
    hostname: str | None
    user: str | None
    product: str = ""


class Closed(NamedTuple):
    """The peer has closed the connection; `condition` is empty where all is well."""

    condition: str
    description: str


class Failed(NamedTuple):
    """The connection cannot go on; nothing follows."""

    error: AMQPError


class LinkRequested(NamedTuple):
    """The peer wants a link: admit or refuse it."""

    link: InLink | OutLink


class LinkOpened(NamedTuple):
    """The peer has answered a link that we asked for."""

    link: InLink | OutLink


class LinkClosed(NamedTuple):
    """A link is over; `condition` is empty where the peer gave no reason."""

    link: InLink | OutLink
    condition: str
    description: str


class CreditChanged(NamedTuple):
    """The peer has said how much it wants."""

    link: OutLink


class Received(NamedTuple):
    """A delivery is all there."""

    incoming: Incoming


class Settled(NamedTuple):
    """What became of what we sent under `tag`."""

    link: OutLink
    tag: str
    outcome: Outcome


EngineEvent = (
    Opened | Closed | Failed | LinkRequested | LinkOpened | LinkClosed | CreditChanged | Received | Settled
)
