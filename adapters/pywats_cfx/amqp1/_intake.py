"""What is taken in on a connection, and how much of it: deliveries put together, within two bounds.

- By count: the credit that a link is granted and its unsettled deliveries together never exceed its `window`.
- By bytes: while `max_unsettled_bytes` are unsettled, nothing more is read out of proton; its session window
  then closes, and the peer holds the rest. A delivery that is alone may exceed that, or it could never come.
"""

from __future__ import annotations

from collections.abc import Callable

from pywats_cfx.amqp1._links import Incoming, InLink, Outcome
from pywats_cfx.amqp1._proton import (
    PN_ACCEPTED,
    PN_RELEASED,
    Raw,
    pn_delivery_aborted,
    pn_delivery_partial,
    pn_delivery_pending,
    pn_delivery_settle,
    pn_delivery_settled,
    pn_delivery_update,
    pn_link_advance,
    pn_link_credit,
    pn_link_current,
    pn_link_flow,
    pn_link_recv,
)
from pywats_cfx.amqp1.limits import Limits

__all__ = ["Intake"]

_OVERRUN = 4
"""How many times its window a peer may send unsettled before its link is ended: one that ignores credit."""


class Intake:
    """The incoming deliveries of one connection.

    Args:
        limits: the bounds.
        hand_over: takes each delivery that is complete.
        end_link: ends a link because of what the peer sent on it, with a condition and a description.
    """

    def __init__(
        self,
        limits: Limits,
        hand_over: Callable[[Incoming], None],
        end_link: Callable[[InLink, str, str], None],
    ) -> None:
        self.held_bytes = 0
        self._limits = limits
        self._hand_over = hand_over
        self._end_link = end_link
        self._unsettled = 0
        self._held_back: list[InLink] = []
        self._giant: InLink | None = None
        self._to_grant: dict[InLink, None] = {}

    def read(self, link: InLink) -> None:  # HOT: tests/benchmarks/bench_amqp1.py
        """Take what came on a link out of proton, as far as the bounds allow."""
        while link.open:
            delivery = pn_link_current(link.raw)
            if not delivery:
                return
            if pn_delivery_aborted(delivery):
                self.held_bytes -= link.drop_parts()
                pn_delivery_settle(delivery)
                continue
            size = pn_delivery_pending(delivery)
            if size and not self._may_read(link):
                if link not in self._held_back:
                    self._held_back.append(link)
                return
            if link.size + size > self._limits.max_message:
                most = f"at most {self._limits.max_message} bytes"
                self._end_link(link, "amqp:link:message-size-exceeded", most)
                return
            partial = pn_delivery_partial(delivery)
            if size:
                self.held_bytes += link.add_part(pn_link_recv(link.raw, size)[1])
            if partial:
                return
            self._complete(link, delivery)

    def _complete(self, link: InLink, delivery: Raw) -> None:
        """Hand over a delivery that is all there."""
        payload = link.take_parts()
        if link is self._giant:
            self._giant = None
        settled = bool(pn_delivery_settled(delivery))
        link.unsettled += 1
        self._unsettled += 1
        pn_link_advance(link.raw)
        incoming = Incoming(link, delivery, payload, settled=settled)
        if settled:
            pn_delivery_settle(delivery)
        if link.unsettled > link.window * _OVERRUN:
            self._let_go(incoming)
            self._end_link(link, "amqp:link:transfer-limit-exceeded", f"the credit was {link.window}")
            return
        self._to_grant[link] = None
        self._hand_over(incoming)

    def _may_read(self, link: InLink) -> bool:
        """Whether the bound on bytes lets more of this link in; a delivery that is alone may exceed it."""
        if self.held_bytes < self._limits.max_unsettled_bytes:
            return True
        if self._unsettled == 0 and self._giant in (None, link):
            self._giant = link
            return True
        return False

    def settle(
        self, incoming: Incoming, outcome: Outcome, *, tell: bool
    ) -> bool:  # HOT: tests/benchmarks/bench_amqp1.py
        """Make the place of a delivery free, and tell the peer what became of it.

        Args:
            incoming: the delivery; settling it again does nothing.
            outcome: what became of it.
            tell: whether the connection still goes.

        Returns:
            False if there is nobody to tell.
        """
        if incoming.done:
            return False
        self._let_go(incoming)
        told = incoming.link.open and tell
        if told:
            if not incoming.settled:
                pn_delivery_update(incoming.raw, PN_ACCEPTED if outcome is Outcome.ACCEPTED else PN_RELEASED)
                pn_delivery_settle(incoming.raw)
            self._to_grant[incoming.link] = None
        if tell:
            self._read_on()
        return told

    def _let_go(self, incoming: Incoming) -> None:
        incoming.done = True
        incoming.link.unsettled -= 1
        self._unsettled -= 1
        self.held_bytes -= incoming.size

    def grant(self) -> None:
        """Top up the credit of links that have used theirs up.

        Never earlier: RabbitMQ 3 sends too much when a flow crosses its deliveries, and takes the
        credit, which is negative then, for four billions.
        """
        if not self._to_grant:
            return
        to_grant, self._to_grant = self._to_grant, {}
        for link in to_grant:
            free = link.window - link.unsettled
            if free > 0 and link.open and (credit := pn_link_credit(link.raw)) <= 0:
                pn_link_flow(link.raw, free - credit)

    def forget(self, link: InLink) -> None:
        """A link is over: let go of what came in part."""
        self.held_bytes -= link.drop_parts()
        if link is self._giant:
            self._giant = None
        if link in self._held_back:
            self._held_back.remove(link)
        self._read_on()

    def _read_on(self) -> None:
        """There may be room now for what was held back."""
        if self._held_back:
            held_back, self._held_back = self._held_back, []
            for link in held_back:
                self.read(link)
