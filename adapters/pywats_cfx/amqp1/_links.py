"""What the engine knows of a link and of a delivery that came on it."""

from __future__ import annotations

from collections import deque
from enum import Enum

from pywats_cfx.amqp1._proton import Link, Raw, addressof, pn_link_credit, raw

__all__ = ["InLink", "Incoming", "Large", "OutLink", "Outcome"]


class Outcome(Enum):
    """What became of a message that was sent."""

    ACCEPTED = "accepted"
    """The peer has it."""
    REJECTED = "rejected"
    """The peer calls it invalid."""
    RELEASED = "released"
    """The peer did not handle it, and could be sent it again."""
    MODIFIED = "modified"
    """Like released, but the peer may have begun; the .NET SDK counts it as delivered."""
    LOST = "lost"
    """The link or connection ended first: the peer may have it or not."""


class InLink:
    """A link on which the peer sends to us.

    Attributes:
        raw: proton's pointer, good while the link is open, and `key` the number by which events name it.
        address: on our side for a link that the peer opened, on its side for one that we opened.
        window: how many deliveries may be unsettled.
    """

    __slots__ = (
        "_parts",
        "address",
        "key",
        "name",
        "open",
        "ours",
        "raw",
        "size",
        "unsettled",
        "window",
    )

    def __init__(self, proton: Link, *, name: str, address: str, window: int, ours: bool) -> None:
        self.raw: Raw = raw(proton)
        self.key: int = addressof(self.raw)
        self.name: str = name
        self.address: str = address
        self.window: int = window
        self.ours: bool = ours
        self.open: bool = True
        self.unsettled: int = 0
        self.size: int = 0
        self._parts: list[bytes] = []

    def add_part(self, part: bytes) -> int:
        """Keep a part of the delivery that is coming in, and give its size."""
        self._parts.append(part)
        self.size += len(part)
        return len(part)

    def take_parts(self) -> bytes:
        """The delivery, now that all of it is there."""
        parts, self._parts, self.size = self._parts, [], 0
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def drop_parts(self) -> int:
        """Forget a delivery that will not be completed, and give the size of what was there."""
        size = self.size
        self._parts, self.size = [], 0
        return size


class Large:
    """A message that is sent piece by piece, or waits behind one that is."""

    __slots__ = ("delivery", "rest", "settled", "tag")

    def __init__(self, tag: str, rest: memoryview, settled: bool) -> None:
        self.tag = tag
        self.rest = rest
        self.settled = settled
        self.delivery: Raw | None = None


class OutLink:
    """A link on which we send to the peer.

    Attributes:
        raw: proton's pointer, good while the link is open, and `key` the number by which events name it.
        address: on the peer's side for a link that we opened, on our side for one that the peer opened.
        target: the peer's address for a link that it opened, e.g. the one it expects an answer on.
    """

    __slots__ = (
        "address",
        "in_pieces",
        "key",
        "name",
        "open",
        "ours",
        "raw",
        "sent",
        "target",
        "unsettled",
    )

    def __init__(self, proton: Link, *, name: str, address: str, ours: bool) -> None:
        self.raw: Raw = raw(proton)
        self.key: int = addressof(self.raw)
        self.name: str = name
        self.address: str = address
        self.target: str = ""
        self.ours: bool = ours
        self.open: bool = True
        self.sent: int = 0
        self.unsettled: int = 0
        self.in_pieces: deque[Large] = deque()

    @property
    def credit(self) -> int:
        """How many messages the peer wants at the moment."""
        return int(pn_link_credit(self.raw)) - len(self.in_pieces) if self.open else 0


class Incoming:
    """A delivery that came in, until it is settled."""

    __slots__ = ("done", "link", "payload", "raw", "settled", "size")

    def __init__(self, link: InLink, delivery: Raw, payload: bytes, *, settled: bool) -> None:
        self.link: InLink = link
        self.raw: Raw = delivery
        self.payload: bytes = payload
        self.size: int = len(payload)
        self.settled: bool = settled
        self.done: bool = False
