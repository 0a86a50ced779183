"""Journaling: what a bus with a store does with an event beside delivering it.

Acceptance is written down before the source is told, and each outcome before the receipt knows it:
both are told by the commit of the batch they are in. What a subscription has no room for stays there,
and what was not settled when the process ended comes back the same way (see `_paging`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakValueDictionary

import trio

from pywats_events.bus._outermost import OUTERMOST
from pywats_events.bus._paging import Cursor, Pager
from pywats_events.bus._subscriptions import GivenUp, Subscription
from pywats_events.bus._system_events import SystemEvents
from pywats_events.durability import Commit, Opened, Page, Paged, Replay, Store, StoreClosed
from pywats_events.errors import EndedTheProcess
from pywats_events.models.event import Event
from pywats_events.settlement import Ledger, Outcome, Receipt, Taker
from pywats_supervision import TRANSIENT, ChildSpec
from pywats_supervision.context import CURRENT_LIFE
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import Backoff
from pywats_supervision.policies.decision import Failure

__all__ = ["Journaling", "Kept"]

logger: Final = GuardedLogger("pywats_events")

Start: TypeAlias = Callable[[trio.TaskStatus[Any]], Awaitable[None]]


class Bus(Protocol):
    """What journaling needs of its bus."""

    subscriptions: list[Subscription]

    leaving: list[Subscription]
    running: bool
    ledger: Ledger
    system: SystemEvents

    @property
    def dead_letters(self) -> GivenUp: ...


class Kept:
    """What the journal knows of one event; hangs on its receipt (see `settlement.Durable`)."""

    __slots__ = ("_journaling", "careful", "commit", "number")

    def __init__(
        self, journaling: Journaling, number: int, commit: Commit | None, *, careful: bool = False
    ) -> None:
        self._journaling = journaling
        self.number: int = number
        self.commit: Commit | None = commit
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

    def hold(self, receipt: Receipt) -> None:
        """Keep the receipt until it is settled, as somebody is to be told."""
        self._journaling.hold(receipt)

    def settle(self, receipt: Receipt, name: str, outcome: Outcome) -> None:
        """Write an outcome down; the receipt knows it when that is done."""
        self._journaling.settle(receipt, name, outcome)

    async def take(self, event_id: str, name: str) -> None:
        """Write down that the event is in hand, if it may be one that ends the process."""
        if self.careful:
            await self._journaling.take(event_id, name)

    def let_go(self, event_id: str, name: str) -> None:
        """Write down that it is in hand no more, and has ended nothing."""
        if self.careful:
            self._journaling.let_go(event_id, name)


class Journaling:
    """The journal of one bus.

    Args:
        store: where it is.
        bus: whose events they are.
    """

    def __init__(self, store: Store, bus: Bus) -> None:
        if not isinstance(store, Store):
            raise TypeError(f"store must be a Store or None, not {store!r}; write Store(folder)")
        self.store: Store = store
        self._bus = bus
        self._journal = store.journal
        self._open: WeakValueDictionary[str, Receipt] = WeakValueDictionary()
        """The receipts of events that are not settled, as long as somebody has them."""
        self._held: dict[str, Receipt] = {}
        """Those of them that somebody is to be told of."""
        self._names: dict[tuple[Taker, ...], tuple[str, ...]] = {}
        self._pager = Pager(self)
        self._starters: tuple[Subscription, ...] | None = None
        """Those who were there at the start, once it is made."""
        self._replayed = trio.Event()
        self._damage: Opened | None = None
        """What was found and is to be announced when the bus runs."""

    async def open(self) -> None:
        """Open the store; what keeps it from opening is for whoever starts the bus.

        Raises:
            StoreError: if it cannot be opened.

        Cancelled: it is opened all the same.
        """
        self.store.on_alarm(self._bus.system.store_fills)
        self.store.on_damage(self._found_damage)
        opened = await self.store.open()
        self._starters = tuple(self._bus.subscriptions)
        if not opened.unsettled:
            self._replayed.set()
            return
        for subscription in self._starters:
            if subscription.cursor is not None:
                subscription.cursor.begin(0, self._journal.last_of_earlier, None)

    def _found_damage(self, opened: Opened) -> None:
        self._damage = opened
        if self._bus.running:
            self._tell_damage()
            if opened.set_aside is not None:
                self._end_lost()

    def _end_lost(self) -> None:
        """Settle what was only on the disk, in a database that was set aside: nobody will read it here."""
        lost = 0
        for subscription in (*self._bus.subscriptions, *self._bus.leaving):
            cursor = subscription.cursor
            if cursor is None or not cursor.behind:
                continue
            for event_id in self._journal.lost(cursor.name, cursor.read, cursor.head):
                lost += 1
                receipt = self._open.get(event_id)
                if self._journal.count(event_id):
                    self._bus.ledger.accepted += 1
                commit = self._journal.settle(event_id, cursor.name, Outcome.DROPPED)
                if receipt is not None:
                    commit.add_done_callback(partial(receipt.ended, cursor.name, Outcome.DROPPED))
                elif event_id not in self._journal:
                    commit.add_done_callback(Receipt(None, (), self._bus.ledger, 1).one_less)
        if lost:
            logger.error(
                "%d events waited for their handlers on the disk only; they are in the store set aside", lost
            )

    def _tell_damage(self) -> None:
        damage, self._damage = self._damage, None
        if damage is not None:
            self._bus.system.store_damaged(damage)

    def join(self, subscription: Subscription, rate: float) -> None:
        """Have a subscription leave on the disk what it has no room for.

        One that comes after the start gets what earlier lives have left for it as well.

        Args:
            subscription: of the bus.
            rate: events per second by which that becomes less, at the most.
        """
        cursor = Cursor(subscription.name, subscription.mailbox, self._pager.add, rate)
        subscription.page_with(cursor)
        opened = self.store.opened
        if self._starters is not None and opened is not None and opened.unsettled:
            # Another of this name may have been there, whose last outcomes are on their way.
            cursor.begin(0, self._journal.last_of_earlier, self.store.commit())

    async def wait_replayed(self) -> None:
        """Wait until all that came back is on its way. Cancelled: nothing has happened."""
        await self._replayed.wait()

    @property
    def has_room(self) -> bool:
        """Whether something new may come."""
        return self.store.has_room

    async def room(self) -> None:
        """Wait until something new may come; no checkpoint if it may.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        await self.store.room()

    # Accepting and settling

    def repeat_of(self, event: Event) -> Receipt | None:
        """The receipt for an event that was accepted before; None for a new one.

        A repeat of an event in flight joins its receipt.
        """
        if event.id not in self.store.seen and event.id not in self._journal:
            return None
        receipt = self._open.get(event.id) or self._made_again(event)
        if receipt is None:
            # The commit of the first may still be at the disk, and is done before this one.
            kept = Kept(self, 0, self.store.commit())
            known: dict[str, Outcome | None] = {"": Outcome.KNOWN}
            receipt = Receipt(event, (), self._bus.ledger, 0, exceptional=known, durable=kept)
        return receipt

    def accept(self, receipt: Receipt) -> None:
        """Write an event down, with the takers it goes to.

        Raises:
            EventValidationError: if it cannot be written.
            StoreClosed: if the store is not open.
        """
        event, takers = receipt.event, receipt.takers
        names = self._names.get(takers)
        if names is None:
            names = self._names[takers] = tuple(taker.name for taker in takers)
        encoded, receipt.encoded = receipt.encoded or event.to_msgpack(), None
        number = self._journal.following
        commit = self._journal.accept(event.id, event.source, None, encoded, names)
        receipt.durable = Kept(self, number, commit)
        self._open[event.id] = receipt
        if receipt.callbacks:
            self.hold(receipt)

    def hold(self, receipt: Receipt) -> None:
        """Keep a receipt until it is settled."""
        if receipt.callbacks is not None and receipt.event.id not in self._held:
            self._held[receipt.event.id] = receipt
            receipt.callbacks.append(self._let_go)

    def _let_go(self, receipt: Receipt) -> None:
        del self._held[receipt.event.id]

    def settle(self, receipt: Receipt, name: str, outcome: Outcome) -> None:
        """Write an outcome down, and tell the receipt when that is done."""
        try:
            commit = self._journal.settle(receipt.event.id, name, outcome)
        except StoreClosed:
            # The bus is being killed. It is in the journal, and comes back with the next start.
            receipt.conclude(name, Outcome.HANDED_BACK)
            return
        commit.add_done_callback(partial(receipt.ended, name, outcome))

    async def take(self, event_id: str, name: str) -> None:
        """Write down that a subscription has an event in hand."""
        await self._journal.take(event_id, name).wait()

    def let_go(self, event_id: str, name: str) -> None:
        """Write down that it has it in hand no more."""
        with suppress(StoreClosed):  # the bus is being killed: that end counts
            self._journal.let_go(event_id, name)

    def kept(self, receipt: Receipt, told: Callable[[], object]) -> None:
        """Have `told()` called when the dead letter of what had no handler is on the disk.

        Only with that an event that nobody takes becomes known: its source may send it again until then.
        """
        event = receipt.event
        if event is not None:
            self._journal.accept(event.id, event.source, None, b"", ())
        self.when_written(told)

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
        # What is left there has no receipt: it is handed back to the journal.
        ledger = self._bus.ledger
        ledger.handed_back += ledger.unsettled
        ledger.settled = ledger.accepted
        if ledger.idle is not None:
            ledger.idle()

    # What runs in the tree

    def writer(self) -> ChildSpec:
        """The child that writes batches."""
        return self._child("journal", self._write)

    def _child(self, name: str, start: Start) -> ChildSpec:
        async def run(task_status: trio.TaskStatus[Any]) -> None:  # noqa: ASYNC128 - handed on
            with self._told(name):
                await start(task_status)

        return ChildSpec(name, run, policy=Backoff(**OUTERMOST))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Tell the failure of a child that all events depend on, also under a bare bus."""
        try:
            yield
        except Exception as error:  # a failure of a child, raised again
            text = "%r, which works on the store in %s, failed and is started again: %s"
            logger.error(text, name, self.store.path, error)  # noqa: TRY400 - the supervisor has the traceback
            raise

    def paging(self) -> tuple[ChildSpec, ...]:
        """The children that read for those that are behind, and tell when the replay is done."""
        return (
            self._child("pager", self._pager.run),
            ChildSpec("replay", self._replay, restart=TRANSIENT, policy=Backoff(**OUTERMOST)),
        )

    async def _write(self, task_status: trio.TaskStatus[Any]) -> None:  # noqa: ASYNC114, ASYNC128 - handed on
        if (life := CURRENT_LIFE.get()) is not None:
            life.describe = lambda: {"unsettled": len(self._journal)}
        await self.store.run(task_status)

    async def _replay(self) -> None:
        """Say who is missing, and when all that came back is on its way. Cancelled: it begins anew."""
        self._tell_damage()
        if self._replayed.is_set():
            return
        with self._told("replay"):
            self._tell_missing(await self._journal.handlers_of_earlier())
            for subscription in self._starters or ():
                if subscription.cursor is not None:
                    await subscription.cursor.wait_read(self._journal.last_of_earlier)
        self._replayed.set()

    def _tell_missing(self, names: frozenset[str]) -> None:
        there = {subscription.name for subscription in (*self._bus.subscriptions, *self._bus.leaving)}
        for name in sorted(names - there):
            logger.warning(
                "the journal in %s holds events for %r, and there is no such subscription: they stay "
                "there until there is one of that name",
                self.store.path,
                name,
                extra={"actor": name},
            )

    # Pages (see Pages)

    async def page(self, name: str, after: int, upto: int, limit: int) -> Page:
        """Read a page. Cancelled: nothing has happened."""
        return await self._journal.page(name, after, upto, limit)

    def give(self, cursor: Cursor, page: Page) -> None:
        """Put its events into the mailbox of a subscription."""
        for one in page.events:
            try:
                receipt = self._receipt(cursor, one)
            except ValueError as error:
                self._bury_unread(one.replay, error)
                continue
            if one.replay.exhausted:
                self._give_up(cursor, one.replay, receipt)
            else:
                cursor.mailbox.put(receipt)
        for number, event_id in page.damaged:
            self._end_damaged(cursor, number, event_id)

    def _receipt(self, cursor: Cursor, one: Paged) -> Receipt:
        """The receipt of an event that was read: the one that somebody has, or a new one."""
        replay = one.replay
        if self._is_late(cursor, one.number):
            late = tuple([taker for taker in self._bus.subscriptions if taker.cursor is cursor])
            event = Event.from_msgpack(replay.encoded)
            self._bus.ledger.accepted += 1
            return self._new(event, one.number, late, careful=replay.careful)
        receipt = self._open.get(replay.event_id)
        if receipt is None:
            event = Event.from_msgpack(replay.encoded)
            takers = self._unfinished(one.number, replay.handlers)
            receipt = self._new(event, one.number, takers, careful=replay.careful)
            self._open[event.id] = receipt
            if self._journal.count(replay.event_id):
                self._bus.ledger.accepted += 1
        return receipt

    def _new(self, event: Event, number: int, takers: tuple[Taker, ...], *, careful: bool) -> Receipt:
        kept = Kept(self, number, None, careful=careful)
        count = len(takers)
        return Receipt(event, takers, self._bus.ledger, count, routed=count, durable=kept)

    def _made_again(self, event: Event) -> Receipt | None:
        """A receipt for an event on the disk whose own nobody has any more."""
        number, careful = self._journal.number(event.id), self._journal.is_careful(event.id)
        takers = self._unfinished(number, self._journal.pending(event.id))
        if not takers:
            return None
        receipt = self._new(event, number, takers, careful=careful)
        receipt.durable = Kept(self, number, self.store.commit(), careful=careful)
        self._open[event.id] = receipt
        if self._journal.count(event.id):
            self._bus.ledger.accepted += 1
        return receipt

    def _is_late(self, cursor: Cursor, number: int) -> bool:
        """Whether an event of an earlier life goes to one that was not there at the start.

        The receipt of the others may be settled by then, so it gets one of its own.
        """
        if number > self._journal.last_of_earlier or self._starters is None:
            return False
        return all(starter.cursor is not cursor for starter in self._starters)

    def _unfinished(self, number: int, names: tuple[str, ...]) -> tuple[Taker, ...]:
        """Those of some names that an event went to, and that still have to tell its outcome."""
        there = (*self._bus.subscriptions, *self._bus.leaving)
        return tuple(
            [
                taker
                for taker in there
                if taker.name in names
                and taker.cursor is not None
                and not self._is_late(taker.cursor, number)
                and (not taker.mailbox.closed or taker.cursor.owes(number))
            ]
        )

    def _give_up(self, cursor: Cursor, replay: Replay, receipt: Receipt) -> None:
        given_up = EndedTheProcess(
            f"event {replay.event_id} was in hand at {replay.ends} unclean ends of the process in a row"
        )
        for taker in (*self._bus.subscriptions, *self._bus.leaving):
            if taker.cursor is cursor:
                self._bus.dead_letters.bury(receipt, taker.name, Failure(given_up, receipt, replay.ends))

    def _bury_unread(self, replay: Replay, error: ValueError) -> None:
        """Keep what cannot be read as an event, in one transaction with its end."""
        extra = {"event_id": replay.event_id, "sender": replay.source}
        logger.error("event %s in the journal cannot be read: %s", replay.event_id, error, extra=extra)
        self.store.dead_letters.add(None, error, raw=replay.encoded, source=replay.source)
        if self._journal.count(replay.event_id):
            self._bus.ledger.accepted += 1
        for name in replay.handlers:
            self._journal.settle(replay.event_id, name, Outcome.DEAD_LETTERED)
        self.when_written(Receipt(None, (), self._bus.ledger, 1).one_less)

    def _end_damaged(self, cursor: Cursor, number: int, event_id: str) -> None:
        """Settle what can never be read: it is a dead letter."""
        receipt = self._open.get(event_id)
        if receipt is None:
            if not self._is_late(cursor, number):
                self.when_written(Receipt(None, (), self._bus.ledger, 1).one_less)
            return
        for subscription in (*self._bus.subscriptions, *self._bus.leaving):
            owing = subscription.cursor is not None and subscription.cursor.owes(number)
            if owing and any(taker is subscription for taker in receipt.takers):
                self.when_written(partial(receipt.ended, subscription.name, Outcome.DEAD_LETTERED))
