"""When is an event settled? The receipt of one event, and the rule.

An event is settled when every subscription it went to has come to an outcome and every event
published while handling it is settled too. Pure: the waiting is in `bus`.

HOT: `Receipt` is made once per event; tests/benchmarks/bench_route.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

__all__ = ["Durable", "Ledger", "Outcome", "Receipt", "Taker", "Waits", "Written"]


class Outcome(enum.Enum):
    """What became of an event at one subscription."""

    HANDLED = "handled"
    """Its handler returned."""
    DEAD_LETTERED = "dead_lettered"
    """No attempt was left; it is among the dead letters."""
    DROPPED = "dropped"
    """The subscription was taken away before its turn came, or the handler that published it failed."""
    HANDED_BACK = "handed_back"
    """The bus ended before its turn came; whoever it came from still has it."""
    UNROUTED = "unrouted"
    """No subscription took it."""
    KNOWN = "known"
    """The bus accepted an event of this id before; nothing was done with this one."""


class Taker(Protocol):
    """A subscription, as far as a receipt is concerned."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def put(self) -> Callable[[Receipt], None]:
        """Gives it an event; never waits."""
        ...

    def holds(self, receipt: Receipt) -> bool:
        """Whether the event waits there, or is in hand."""
        ...


class Written(Protocol):
    """That something is on the disk, or will be."""

    @property
    def done(self) -> bool:
        """Whether it is."""
        ...

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Have it called when it is, at once if it is."""
        ...


class Durable(Protocol):
    """What the journal of a bus with a store knows of one event."""

    @property
    def number(self) -> int:
        """Its number in the journal."""
        ...

    @property
    def commit(self) -> Written | None:
        """The commit that its acceptance is in; None if that is on the disk since long."""
        ...

    def hold(self, receipt: Receipt) -> None:
        """Keep the receipt until it is settled, wherever its event waits: somebody is to be told."""
        ...

    @property
    def secured(self) -> bool:
        """Whether its acceptance is on the disk."""
        ...

    @property
    def careful(self) -> bool:
        """Whether it has to be taken before it is handled: it may be one that ends the process."""
        ...

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Have it called when that is so."""
        ...

    async def wait_secured(self) -> None:
        """Wait on trio until that is so."""
        ...

    def settle(self, receipt: Receipt, name: str, outcome: Outcome) -> None:
        """Write an outcome down, then call `Receipt.ended`."""
        ...

    async def take(self, event_id: str, name: str) -> None:
        """Write down that a subscription has it in hand, where that matters."""
        ...

    def let_go(self, event_id: str, name: str) -> None:
        """Write down that its attempt is over, where `take` has written."""
        ...


class Waits(Protocol):
    """How a receipt waits; the bus that gave it knows."""

    async def wait_settled(self, receipt: Receipt) -> None:
        """Wait on trio."""
        ...

    def wait(self, receipt: Receipt, timeout: float | None) -> None:
        """Wait in a plain thread."""
        ...

    def callback_failed(self, receipt: Receipt, error: Exception) -> None:
        """A done callback raised."""
        ...

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread: at once there, soon from any other."""
        ...


@dataclass(eq=False, slots=True)
class Ledger:
    """What a bus counts of all its events.

    Attributes:
        accepted: events accepted, the published ones of handlers included.
        settled: events settled.
        unrouted: of these, events that no subscription took.
        handed_back: of these, events that were handed back.
        holders: how many events each subscription, by its name, has handed back.
        waits: how its receipts wait.
        idle: called when the last unsettled event is settled; None while nobody waits for that.
    """

    waits: Waits
    accepted: int = 0
    settled: int = 0
    unrouted: int = 0
    handed_back: int = 0
    holders: dict[str, int] = field(default_factory=dict)
    idle: Callable[[], object] | None = None

    @property
    def unsettled(self) -> int:
        """Events accepted and not settled."""
        return self.accepted - self.settled


class Receipt(msgspec.Struct, eq=False, weakref=True):
    """What `publish` returns: that an event was accepted, and later what became of it.

    Attributes:
        event: the event; None for input that a transport rejected as it is none.
        pending: subscriptions without an outcome, and unsettled events that it caused.
        exceptional: outcomes other than HANDLED, by the subscription's name; None at one that gave the event
            up and whose dead letter is not kept yet.
        doubtful: names of takers whose filter raised; their workers ask it again, for their policies to hear.
        durable: what the journal knows of it; None without one.
        encoded: the event as it is to be written down, if it was encoded before it enters.
    """

    event: Any
    takers: tuple[Taker, ...]
    ledger: Ledger
    pending: int
    parent: Receipt | None = None
    exceptional: dict[str, Outcome | None] | None = None
    callbacks: list[Callable[[Receipt], object]] | None = None
    routed: int = 0
    doubtful: tuple[str, ...] = ()
    durable: Durable | None = None
    encoded: bytes | None = None

    @property
    def what(self) -> str:
        """What it is the receipt of, as texts say it."""
        return "input that is no event" if self.event is None else f"event {self.event.id}"

    @property
    def accepted(self) -> bool:
        """Whether the event is in the bus; False while it waits for its publishing handler to return."""
        return self.routed >= 0

    @property
    def settled(self) -> bool:
        """Whether it has come to an end everywhere."""
        return self.pending == 0

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcome per subscription so far, by its name.

        Only what is not plain HANDLED is written down: one entry per delivery would cost more than
        the delivery.
        """
        exceptional = self.exceptional or {}
        outcomes = {name: outcome for name, outcome in exceptional.items() if outcome is not None}
        for taker in self.takers[: self.routed]:
            if taker.name not in exceptional and (self.settled or not taker.holds(self)):
                outcomes[taker.name] = Outcome.HANDLED
        if self.settled and not outcomes:
            outcomes[""] = Outcome.UNROUTED
        return MappingProxyType(outcomes)

    @property
    def handed_back(self) -> bool:
        """Whether it, or an event it caused, was handed back: then its source must not forget it."""
        return self.exceptional is not None and Outcome.HANDED_BACK in self.exceptional.values()

    @property
    def secured(self) -> bool:
        """Whether its source may forget it: it is in the journal, or settled and not handed back."""
        if self.durable is not None and self.durable.secured:
            return True
        return self.settled and not self.handed_back

    def add_secured_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Have `callback(receipt)` called when its source may be told: acknowledge it there.

        With a store that is when the event is written down, else when it is settled; then look at
        `secured`, which is false if it was handed back. It is called on the bus's thread and must
        not wait. A bus that is killed before the event was written does not call it.

        Raises:
            TypeError: if it cannot be called.
        """
        _check_callback(callback)
        self.ledger.waits.call_soon(self._add_secured, callback)

    def _add_secured(self, callback: Callable[[Receipt], object]) -> None:
        if self.durable is None:
            self._add_callback(callback)
        else:
            self.durable.when_secured(lambda: self._call(callback))

    async def wait_secured(self) -> None:
        """Wait, on trio, until its source may be told (see `add_secured_callback`).

        Raises:
            StoreClosed: if the bus's store was closed before it was written.

        Cancelled: nothing has happened; the event stays accepted.
        """
        if self.durable is None:
            await self.wait_settled()
        else:
            await self.durable.wait_secured()

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Have `callback(receipt)` called when it is settled, at once if it is.

        It is called on the bus's thread and must not wait.

        Raises:
            TypeError: if it cannot be called.
        """
        _check_callback(callback)
        self.ledger.waits.call_soon(self._add_callback, callback)

    def remove_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Have it called no more; one that is not there, or was called, changes nothing."""
        self.ledger.waits.call_soon(self._remove_callback, callback)

    def _remove_callback(self, callback: Callable[[Receipt], object]) -> None:
        if self.callbacks is not None and callback in self.callbacks:
            self.callbacks.remove(callback)

    def _add_callback(self, callback: Callable[[Receipt], object]) -> None:
        if self.pending == 0:
            self._call(callback)
        elif self.callbacks is None:
            self.callbacks = [callback]
            if self.durable is not None:
                self.durable.hold(self)
        else:
            self.callbacks.append(callback)

    def call_back(self) -> None:
        """Call each callback, once."""
        callbacks, self.callbacks = self.callbacks, None
        for callback in callbacks or ():
            self._call(callback)

    def _call(self, callback: Callable[[Receipt], object]) -> None:
        try:
            callback(self)
        except Exception as error:  # noqa: BLE001 - a user's callback; it must not end whoever settles
            self.ledger.waits.callback_failed(self, error)

    @property
    def future(self) -> Future[Receipt]:
        """A future that is done when the receipt is settled, for asyncio (`wrap_future`) and Qt."""
        future: Future[Receipt] = Future()

        def settled(receipt: Receipt) -> None:
            if future.set_running_or_notify_cancel():
                future.set_result(receipt)

        def forget(future: Future[Receipt]) -> None:
            if future.cancelled():
                self.remove_done_callback(settled)

        self.add_done_callback(settled)
        future.add_done_callback(forget)
        return future

    async def wait_settled(self) -> None:
        """Wait, on trio, until it is settled.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        await self.ledger.waits.wait_settled(self)

    def wait(self, timeout: float | None = None) -> Receipt:
        """Wait, in a plain thread, until it is settled.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            UnsettledTimeout: if it is not settled in time; it says who has it.
            WouldDeadlock: on the bus's own thread or in a handler's.
        """
        self.ledger.waits.wait(self, timeout)
        return self

    # What the bus does

    def give_up(self, name: str) -> None:
        """No attempt is left at one subscription; it has no outcome there before its dead letter is kept."""
        if self.exceptional is None:
            self.exceptional = {}
        self.exceptional[name] = None

    def conclude(self, name: str, outcome: Outcome) -> None:
        """An outcome at one subscription that is not HANDLED: write it down if need be, and record it."""
        if self.durable is None or outcome is Outcome.HANDED_BACK:
            self.ended(name, outcome)
        else:
            self.durable.settle(self, name, outcome)

    def ended(self, name: str, outcome: Outcome) -> None:
        """Record an outcome at one subscription."""
        if outcome is not Outcome.HANDLED:
            if outcome is Outcome.HANDED_BACK:
                self._count_handed_back()
                self.ledger.holders[name] = self.ledger.holders.get(name, 0) + 1
            if self.exceptional is None:
                self.exceptional = {}
            self.exceptional[name] = outcome
        self.one_less()

    def _count_handed_back(self) -> None:
        if not self.handed_back:
            self.ledger.handed_back += 1

    def discard(self) -> None:
        """The handler that published it failed: it never enters the bus, and nobody waits for it in vain."""
        self.settle_at_once(Outcome.DROPPED)

    def settle_at_once(self, outcome: Outcome) -> None:
        """It is settled without having entered the bus."""
        self.exceptional = {"": outcome}
        self.pending = 0
        self.call_back()

    def one_less(self) -> None:
        """One subscription, or one caused event, has come to an end; settle what that settles.

        Not recursive: a chain of events that cause each other may be thousands long.
        """
        receipt: Receipt | None = self
        while receipt is not None:
            receipt.pending -= 1
            if receipt.pending:
                return
            ledger = receipt.ledger
            ledger.settled += 1
            parent = receipt.parent
            if parent is not None and receipt.handed_back:
                parent.taint(receipt)
            if receipt.callbacks:
                receipt.call_back()
            if ledger.idle is not None and ledger.settled == ledger.accepted:
                ledger.idle()
            receipt = parent

    def settles_before(self, other: Receipt) -> bool:
        """Whether `other` is this one, or cannot be settled before it: it is what caused it."""
        receipt: Receipt | None = self
        while receipt is not None and receipt is not other:
            receipt = receipt.parent
        return receipt is not None

    def taint(self, child: Receipt) -> None:
        """An event that this one caused was handed back, so this one is not done either."""
        self._count_handed_back()
        if self.exceptional is None:
            self.exceptional = {}
        self.exceptional[f"caused {child.event.id}"] = Outcome.HANDED_BACK

    def __repr__(self) -> str:
        state = "settled" if self.settled else f"{self.pending} pending"
        return f"Receipt({self.event!r}, {state}, {dict(self.outcomes)})"


def _check_callback(callback: object) -> None:
    if not callable(callback):
        raise TypeError(f"callback must be callable with a receipt, not {callback!r}")
