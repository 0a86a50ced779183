"""A handler as an actor: receives, publishes what it caused, settles.

One `HandlerPerformer` per life of a worker. Events published inside a handler stay with the
message in hand (the outbox) and enter the bus when the handler returns, in one step with its
outcome; a crash discards them, so that a retry makes no doubles.

HOT: tests/benchmarks/bench_route.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from pywats_actors.blocking import Blocking
from pywats_actors.performer import CURRENT_SLOT, Performer, waits_for_this_task
from pywats_actors.slot import Slot
from pywats_events.errors import OutboxOverflow
from pywats_events.handlers._binding import Binding, call_hook
from pywats_events.models.event import Event
from pywats_events.settlement import Outcome, Receipt
from pywats_supervision import ChildContext
from pywats_supervision.errors import error_text
from pywats_supervision.logs import GuardedLogger

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability.store import Store

__all__ = ["CURRENT_HAND", "MAX_OUTBOX", "HandlerPerformer", "Office"]

logger: Final = GuardedLogger("pywats_events")

MAX_OUTBOX: Final = 1000
"""Events one message may cause; more is a handler that runs away, and its failure."""


class Office(Protocol):
    """What a handler's worker needs of its subscription and the bus behind it."""

    @property
    def name(self) -> str: ...

    @property
    def bus(self) -> object: ...

    @property
    def store(self) -> Store | None: ...

    @property
    def threads(self) -> Blocking | None:
        """Where the handler's sync calls run; None if they run on the bus's thread."""
        ...

    @property
    def wants(self) -> Callable[[Event], bool] | None:
        """The subscription's filter; None takes all."""
        ...

    def enter(self, caused: list[Receipt], parent: Receipt) -> None:
        """Let what a handler published enter the bus."""
        ...

    def failed(self, event: Event, error: Exception) -> None:
        """Hear of a failed attempt."""
        ...


CURRENT_HAND: Final[ContextVar[HandlerPerformer | None]] = ContextVar("pywats_hand", default=None)
"""The handler's life that the current task, or the worker thread it started, belongs to."""


class HandlerPerformer(Performer[Receipt]):
    """One life of a handler's worker, as its cell sees it."""

    __slots__ = ("_binding", "_call", "_office", "_slot", "outbox", "receipt")

    def __init__(self, office: Office, binding: Binding, call: Callable[[Event], Awaitable[Any]]) -> None:
        self._office = office
        self._binding = binding
        self._call = call
        slot: Slot[Receipt] | None = CURRENT_SLOT.get()
        if slot is None:
            raise RuntimeError("a handler's performer is made by the life that it serves")
        self._slot = slot
        self.outbox: list[Receipt] = []
        self.receipt: Receipt | None = None
        """The event in hand, or the last one (see `busy`); None in a hook."""
        CURRENT_HAND.set(self)

    @property
    def bus(self) -> object:
        """The bus whose handler this is."""
        return self._office.bus

    @property
    def office(self) -> Office:
        """The subscription that it works for."""
        return self._office

    @property
    def is_callers(self) -> bool:
        """Whether it waits for the caller to end: a task of its own, or a thread that it waits for.

        A task that the handler left in somebody else's nursery has its context, and goes on alone.
        """
        return not trio.lowlevel.in_trio_task() or waits_for_this_task(self._slot)

    @property
    def busy(self) -> bool:
        """Whether an event is in hand: what is published now belongs to it."""
        return self.receipt is not None and self._slot.item is self.receipt

    async def start(self, context: ChildContext) -> None:
        """Begin a life."""
        del context
        await call_hook(self._binding.on_start, threads=self._office.threads)

    async def stop(self) -> None:
        """End a life."""
        await call_hook(self._binding.on_stop, threads=self._office.threads, last=True)

    def handle(self, receipt: Receipt) -> Awaitable[Any]:
        """Handle one event. HOT."""
        self.receipt = receipt
        if receipt.doubtful or self._slot.attempt > 1 or receipt.durable is not None:
            return self._handle_with_history(receipt)
        call = self._call
        return call(receipt.event)

    async def _handle_with_history(self, receipt: Receipt) -> None:
        """Handle one that was tried before, or in the journal; or ask its filter, which raised, again."""
        event = self._as_tried(receipt)
        if receipt.durable is not None and receipt.durable.careful:
            await receipt.durable.take(event.id, self._office.name)
        wants = self._office.wants
        if wants is None or self._office.name not in receipt.doubtful or wants(event):
            await self._call(event)

    def _as_tried(self, receipt: Receipt) -> Event:
        event: Event = receipt.event
        return event if self._slot.attempt == 1 else event.with_attempt(self._slot.attempt)

    def done(self, receipt: Receipt, result: object) -> None:
        """Let what it caused enter the bus, and settle it here. HOT."""
        del result
        if self.outbox:
            self.receipt = None
            caused, self.outbox = self.outbox, []
            self._office.enter(caused, receipt)
        if receipt.durable is not None:
            self.receipt = None
            receipt.durable.settle(receipt, self._office.name, Outcome.HANDLED)
            return
        others = receipt.pending - 1
        if others:
            receipt.pending = others
        else:
            self.receipt = None
            receipt.one_less()

    async def interrupted(self, receipt: Receipt, error: BaseException) -> None:
        """Drop what was published with the event; a retry publishes it anew.

        Cancelled in the handler's hook: the event keeps its attempt.
        """
        self.receipt = None
        if receipt.durable is not None:
            receipt.durable.let_go(receipt.event.id, self._office.name)
        kept, self.outbox = self.outbox, []
        for published in kept:
            published.discard()
        if isinstance(error, Exception):
            event = self._as_tried(receipt)
            self._office.failed(event, error)
            try:
                await call_hook(self._binding.on_error, event, error, threads=self._office.threads)
            except Exception as late:  # a user's hook; the handler's own error is the one to judge
                logger.exception("on_error of %r raised for event %s", self._office.name, event.id)
                error.add_note(f"then on_error raised {error_text(late)}")

    def publish(self, receipt: Receipt) -> None:
        """Keep an event, published while a message is in hand, until that is done.

        Raises:
            OutboxOverflow: if there are too many.
        """
        if len(self.outbox) >= MAX_OUTBOX:
            raise OutboxOverflow(
                f"handler {self._office.name!r} published more than {MAX_OUTBOX} events while handling one; "
                "publish(..., now=True) does not collect them"
            )
        self.outbox.append(receipt)
