"""What is sent on a connection: small messages at once, large ones in pieces, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pywats_cfx.amqp1._links import Large, Outcome, OutLink
from pywats_cfx.amqp1._proton import (
    PN_ACCEPTED,
    PN_MODIFIED,
    PN_REJECTED,
    PN_RELEASED,
    Raw,
    pn_delivery,
    pn_delivery_pending,
    pn_delivery_remote_state,
    pn_delivery_settle,
    pn_delivery_settled,
    pn_delivery_tag,
    pn_link_advance,
    pn_link_send,
)

__all__ = ["Outgoing"]

_OUTCOMES: Final[dict[int, Outcome]] = {
    PN_ACCEPTED: Outcome.ACCEPTED,
    PN_REJECTED: Outcome.REJECTED,
    PN_RELEASED: Outcome.RELEASED,
    PN_MODIFIED: Outcome.MODIFIED,
}

_PIECE = 128 * 1024
"""How many bytes of one message proton is given at once."""


class Outgoing:
    """The outgoing deliveries of one connection.

    Args:
        report: told what became of a delivery: its link, its tag and the outcome.
    """

    def __init__(self, report: Callable[[OutLink, str, Outcome], None]) -> None:
        self._report = report
        self._large: dict[OutLink, None] = {}

    def send(self, link: OutLink, payload: bytes, *, settled: bool) -> str:
        """Hand a message to proton; gives its tag."""
        link.sent += 1  # HOT: tests/benchmarks/bench_amqp1.py
        tag = str(link.sent)
        if not settled:
            link.unsettled += 1
        if len(payload) > _PIECE or link.in_pieces:
            link.in_pieces.append(Large(tag, memoryview(payload), settled))
            self._large[link] = None
            return tag
        delivery = pn_delivery(link.raw, tag)
        pn_link_send(link.raw, payload)
        if settled:
            pn_delivery_settle(delivery)
        else:
            pn_link_advance(link.raw)
        return tag

    def send_pieces(self) -> None:
        """Give proton the next piece of each large message whose piece before is out.

        proton moves all that it holds of a message for each frame, so a whole large one costs the square of
        its size.
        """
        for link in list(self._large):
            while link.in_pieces:
                large = link.in_pieces[0]
                if large.delivery is None:
                    large.delivery = pn_delivery(link.raw, large.tag)
                elif pn_delivery_pending(large.delivery):
                    break
                pn_link_send(link.raw, large.rest[:_PIECE])
                large.rest = large.rest[_PIECE:]
                if large.rest:
                    break
                link.in_pieces.popleft()
                if large.settled:
                    pn_delivery_settle(large.delivery)
                else:
                    pn_link_advance(link.raw)
            if not link.in_pieces:
                del self._large[link]

    def forget(self, link: OutLink) -> None:
        """A link is over: drop what was not sent."""
        link.in_pieces.clear()
        self._large.pop(link, None)

    def conclude(self, link: OutLink, delivery: Raw) -> None:
        """Read the outcome of a delivery that we sent."""
        outcome = _OUTCOMES.get(pn_delivery_remote_state(delivery))
        if outcome is None and not pn_delivery_settled(delivery):
            return
        link.unsettled -= 1
        tag = str(pn_delivery_tag(delivery))
        pn_delivery_settle(delivery)
        # Settled without a state: the peer has taken charge and says no more (3.4).
        self._report(link, tag, outcome or Outcome.ACCEPTED)
