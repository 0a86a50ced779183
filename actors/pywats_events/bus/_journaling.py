"""Journaling: what a bus with a store does with an event beside delivering it.

Acceptance is written down before the source is told, and each outcome before the receipt knows it:
both are told by the commit of the batch they are in. What was not settled when the process ended
comes back from here before anything new is let in.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol
from weakref import WeakValueDictionary

import trio

from pywats_events.bus._routing_actor import Door
from pywats_events.bus._subscriptions import OUTERMOST, Subscription
from pywats_events.durability import Commit, Replay, Store, StoreClosed
from pywats_events.errors import EndedTheProcess
from pywats_events.models.event import Event
from pywats_events.settlement import Ledger, Outcome, Receipt, Taker
from pywats_supervision import TRANSIENT, ChildSpec
from pywats_supervision.policies import Backoff
from pywats_supervision.policies.decision import Failure

__all__ = ["Journaling", "Kept"]

logger: Final = logging.getLogger("pywats_events")


class Bus(Protocol):
    """What journaling needs of its bus."""

    subscriptions: list[Subscription]
    ledger: Ledger
    door: Door

    def deliver(self, receipt: Receipt) -> None: ...

    def bury(self, receipt: Receipt, subscription: Subscription, failure: Failure) -> None: ...


class Kept:
    """What the journal knows of one event; hangs on its receipt (see `settlement.Durable`)."""

    __slots__ = ("_journaling", "careful", "commit")

    def __init__(self, journaling: Journaling, commit: Commit | None, *, careful: bool = False) -> None:
        self._journaling = journaling
        self.commit = commit
        self.careful: bool = careful

    @property
    def secured(self) -> bool:
        """Whether its acceptance is on the disk."""
        return self.commit is None or self.commit.done

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called when it is."""
        if self.commit is None:
            callback()
        else:
            self.commit.add_done_callback(callback)

    async def wait_secured(self) -> None:
        """Wait until it is."""
        if self.commit is None:
            await trio.lowlevel.checkpoint()
        else:
            await self.commit.wait()

    def settle(self, receipt: Receipt, name: str, outcome: Outcome) -> None:
        """Write an outcome down; the receipt knows it when that is done."""
        self._journaling.settle(receipt, name, outcome)

    async def take(self, event_id: str) -> None:
        """Write down that the event is in hand, if it may be one that ends the process."""
        if self.careful:
            await self._journaling.take(event_id)


class Journaling:
    """The journal of one bus.

    Args:
        store: where it is.
        bus: whose events they are.

    Attributes:
        replaying: what the process before left is still on its way to its handlers.
    """

    def __init__(self, store: Store, bus: Bus) -> None:
        if not isinstance(store, Store):
            raise TypeError(f"store must be a Store or None, not {store!r}; write Store(folder)")
        self.store: Store = store
        self._bus = bus
        self._journal = store.journal
        self._open: WeakValueDictionary[str, Receipt] = WeakValueDictionary()
        """The receipts of events that are not settled, as long as somebody has them."""
        self._names: dict[tuple[Taker, ...], tuple[str, ...]] = {}
        self._replayed = trio.Event()
        self._page: deque[Replay] = deque()
        """What was read and is not delivered yet; above the restarts of who delivers it."""
        self._missed: set[str] = set()

    async def open(self) -> None:
        """Open the store; what keeps it from opening is for whoever starts the bus.

        Raises:
            StoreError: if it cannot be opened.

        Cancelled: it is opened all the same.
        """
        opened = await self.store.open()
        if not opened.unsettled:
            self._replayed.set()

    @property
    def replaying(self) -> bool:
        """Whether publishers have to wait for what comes back."""
        return not self._replayed.is_set()

    async def wait_replayed(self) -> None:
        """Wait until all that came back is on its way. Cancelled: nothing has happened."""
        await self._replayed.wait()

    @property
    def has_room(self) -> bool:
        """Whether something new may come."""
        return self.store.has_room and not self.replaying

    async def room(self) -> None:
        """Wait until something new may come; no checkpoint if it may.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        if self.replaying:
            await self._replayed.wait()
        await self.store.room()

    # Accepting and settling

    def repeat_of(self, event: Event) -> Receipt | None:
        """The receipt for an event that was accepted before; None for a new one.

        A repeat of an event in flight joins its receipt.
        """
        if event.id not in self.store.seen:
            return None
        receipt = self._open.get(event.id)
        if receipt is None:
            # The commit of the first may still be at the disk, and is done before this one.
            kept = Kept(self, self.store.commit())
            known = {"": Outcome.KNOWN}
            receipt = Receipt(event, (), self._bus.ledger, 0, exceptional=known, durable=kept)
        return receipt

    def accept(self, receipt: Receipt) -> None:
        """Write an event down, with the takers it goes to.

        Raises:
            StoreClosed: if the store is not open.
        """
        event, takers = receipt.event, receipt.takers
        names = self._names.get(takers)
        if names is None:
            names = self._names[takers] = tuple(taker.name for taker in takers)
        commit = self._journal.accept(event.id, event.source, None, event.to_msgpack(), names)
        receipt.durable = Kept(self, commit)
        self._open[event.id] = receipt

    def settle(self, receipt: Receipt, name: str, outcome: Outcome) -> None:
        """Write an outcome down, and tell the receipt when that is done."""
        try:
            commit = self._journal.settle(receipt.event.id, name, outcome)
        except StoreClosed:
            # The bus is being killed. It is in the journal, and comes back with the next start.
            receipt.conclude(name, Outcome.HANDED_BACK)
            return
        commit.add_done_callback(partial(receipt.ended, name, outcome))

    async def take(self, event_id: str) -> None:
        """Write down that an event is in hand."""
        await self._journal.take(event_id).wait()

    def when_written(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called when what was written in this step is on the disk."""
        self.store.commit().add_done_callback(callback)

    def subscriptions_changed(self) -> None:
        """Takers came or went."""
        self._names.clear()

    def close(self) -> None:
        """The bus has ended: no receipt stays open, though what it tells of is in the journal."""
        for receipt in list(self._open.values()):
            while not receipt.settled:
                receipt.conclude("", Outcome.HANDED_BACK)

    # What runs in the tree

    def writer(self) -> ChildSpec:
        """The child that writes batches."""
        return ChildSpec("journal", self.store.run, policy=Backoff(**OUTERMOST))

    def replayer(self) -> ChildSpec:
        """The child that delivers what the process before left; it ends when that is done."""
        return ChildSpec("replay", self._replay, restart=TRANSIENT, policy=Backoff(**OUTERMOST))

    async def _replay(self) -> None:
        """Deliver all of it. Cancelled: what was not delivered stays in the page, and in the journal."""
        while True:
            if not self._page:
                self._page.extend(await self._journal.next_replays())
            if not self._page:
                break
            replay = self._page[0]
            await self._bus.door.wait_space(self._takers(replay))
            self._deliver(replay, self._takers(replay))
            self._page.popleft()
        self._replayed.set()

    def _takers(self, replay: Replay) -> tuple[Subscription, ...]:
        """Those that had not finished with it and are here."""
        return tuple(taker for taker in self._bus.subscriptions if taker.name in replay.handlers)

    def _deliver(self, replay: Replay, takers: tuple[Subscription, ...]) -> None:
        self._tell_missing(replay, takers)
        if not takers:
            return
        try:
            event = Event.from_msgpack(replay.encoded)
        except ValueError as error:
            self._bury_unread(replay, error)
            return
        kept = Kept(self, None, careful=replay.careful)
        receipt = Receipt(event, takers, self._bus.ledger, len(takers), durable=kept)
        self._open[event.id] = receipt
        if not replay.exhausted:
            self._bus.deliver(receipt)
            return
        given_up = EndedTheProcess(
            f"event {replay.event_id} was in hand at {replay.ends} unclean ends of the process in a row"
        )
        receipt.routed = len(takers)
        self._bus.ledger.accepted += 1
        for taker in takers:
            self._bus.bury(receipt, taker, Failure(given_up, receipt, replay.ends))

    def _bury_unread(self, replay: Replay, error: ValueError) -> None:
        """Keep what cannot be read as an event, in one transaction with its end."""
        logger.error("event %s in the journal cannot be read: %s", replay.event_id, error)
        self.store.dead_letters.add(None, error, raw=replay.encoded, source=replay.source)
        for name in replay.handlers:
            self._journal.settle(replay.event_id, name, Outcome.DEAD_LETTERED)

    def _tell_missing(self, replay: Replay, takers: tuple[Subscription, ...]) -> None:
        missing = set(replay.handlers) - {taker.name for taker in takers} - self._missed
        for name in missing:
            self._missed.add(name)
            logger.warning(
                "the journal in %s holds events for %r, and there is no such subscription: they stay "
                "there until a bus with one of that name is started",
                self.store.path,
                name,
            )
