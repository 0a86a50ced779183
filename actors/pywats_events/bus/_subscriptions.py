"""Subscriptions: who takes which events, with the mailbox that waits for them.

They belong to the bus object, above the tree, so no crash in the tree can lose one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pywats_actors.blocking import Blocking
from pywats_actors.mailbox import Mailbox
from pywats_actors.workers import Workers
from pywats_events.bus._outermost import OUTERMOST, ToldBackoff
from pywats_events.bus._paging import Cursor
from pywats_events.handlers._binding import Binding, bound, call_in_thread, finished
from pywats_events.handlers._handler_actor import HandlerPerformer
from pywats_events.models.event import Event
from pywats_events.settlement import Outcome, Receipt
from pywats_supervision import ChildSpec
from pywats_supervision.policies import RestartPolicy
from pywats_supervision.policies.decision import Failure

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability.store import Store

__all__ = ["Bus", "GivenUp", "Subscription", "Told", "name_of", "wants_of"]


class GivenUp(Protocol):
    """Where what a subscription gives up goes."""

    def bury(self, receipt: Receipt, name: str, failure: Failure) -> None: ...


class Told(Protocol):
    """Who hears that a handler failed as a whole."""

    def child_failed(self, branch: str, name: str, error: Exception) -> None: ...


class Bus(Protocol):
    """What a subscription needs of its bus."""

    @property
    def store(self) -> Store | None: ...
    @property
    def dead_letters(self) -> GivenUp: ...
    @property
    def system(self) -> Told: ...
    def wrapped(self, call: Callable[[Event], Any]) -> Callable[[Event], Any]: ...
    def enter(self, caused: list[Receipt], parent: Receipt) -> None: ...
    def report_failure(self, subscription: Subscription, event: Event, error: Exception) -> None: ...


class Subscription:
    """One handler, or one factory of handlers, with what it takes and how it is supervised.

    Attributes:
        name: unique in its bus; that of the handler is numbered if it is taken.
        event_types: what it takes; empty for all.
        priority: lower is dispatched to first.
        wants: the filter; None takes all.
        mailbox: what it has been given and has not done.
        cursor: what is left on the disk for it; None in a bus without a store.
    """

    __slots__ = (
        "_first",
        "_make",
        "bus",
        "cursor",
        "event_types",
        "handler",
        "mailbox",
        "name",
        "policy",
        "priority",
        "put",
        "retired",
        "threads",
        "wants",
        "workers",
    )

    def __init__(
        self,
        bus: Bus,
        name: str,
        handler: object,
        *,
        make: Callable[[], object] | None,
        event_types: tuple[str, ...],
        wants: Callable[[Event], bool] | None,
        priority: int,
        policy: RestartPolicy[Any],
        concurrency: int,
        capacity: float,
        order_by: Callable[[Event], Hashable] | None,
        ordered: bool,
        shutdown: float,
    ) -> None:
        self.bus: Bus = bus
        self.name: str = name
        self.handler: object = handler
        self.event_types: tuple[str, ...] = event_types
        self.wants: Callable[[Event], bool] | None = wants
        self.priority: int = priority
        self.retired: bool = False
        """It was taken away from the bus: what it still holds is dropped, not handed back."""
        self.policy: RestartPolicy[Any] = policy
        self._make = make
        self._first: Binding | None = bound(handler)
        self.threads: Blocking | None = Blocking(concurrency) if self._first.blocking else None
        """Where its sync calls run; None if they run on the bus's thread."""
        self.workers: Workers[Receipt] = Workers(
            name,
            self,
            shared=make is None,
            concurrency=concurrency,
            capacity=capacity,
            order_by=None if order_by is None else lambda receipt: order_by(receipt.event),
            ordered=ordered,
            policy=policy,
            shutdown=shutdown,
        )
        self.mailbox: Mailbox[Receipt] = self.workers.mailbox
        self.put: Callable[[Receipt], None] = self.mailbox.put
        """Gives it an event; never waits."""
        self.cursor: Cursor | None = None

    def page_with(self, cursor: Cursor) -> None:
        """Leave on the disk what the mailbox has no room for."""
        self.cursor = cursor
        self.put = cursor.put

    def holds(self, receipt: Receipt) -> bool:
        """Whether the event waits here or on the disk, or is in hand."""
        if (
            self.cursor is not None
            and receipt.durable is not None
            and self.cursor.owes(receipt.durable.number)
        ):
            return True
        return self.mailbox.holds(receipt)

    async def wait_idle(self) -> None:
        """Wait until it has done all that it was given. Cancelled: nothing has happened."""
        if self.cursor is not None:
            await self.cursor.wait_read(self.cursor.head)
        await self.workers.wait_idle()

    def spec(self) -> ChildSpec:
        """The child that runs its workers."""
        tell = partial(self.bus.system.child_failed, "handlers", self.name)
        return self.workers.spec(policy=ToldBackoff(**OUTERMOST, tell=tell))

    def perform(self) -> HandlerPerformer:
        """Make the performer of one life: on the one instance, or on a fresh one."""
        binding = self._first
        if binding is None or self._make is not None:
            binding = binding or bound(self._make() if self._make is not None else self.handler)
            self._first = None if self._make is not None else binding
        return HandlerPerformer(self, binding, self.bus.wrapped(self._caller(binding)))

    def _caller(self, binding: Binding) -> Callable[[Event], Any]:
        if binding.is_async:
            return binding.call
        if self.threads is not None:
            return partial(call_in_thread, self.threads, binding.call)

        async def inline(event: Event) -> Any:
            return await finished(binding.call(event))

        return inline

    def abandon(self) -> None:
        """The bus stops for good and the grace is over: leave blocking calls behind."""
        if self.threads is not None:
            self.threads.abandon()

    # What its worker asks and reports (see Office)

    @property
    def store(self) -> Store | None:
        """The bus's store."""
        return self.bus.store

    def enter(self, caused: list[Receipt], parent: Receipt) -> None:
        """Let what the handler published enter the bus."""
        self.bus.enter(caused, parent)

    def failed(self, event: Event, error: Exception) -> None:
        """Hear of a failed attempt."""
        self.bus.report_failure(self, event, error)

    # What its mailbox reports (see Owner)

    def given_up(self, message: Receipt, failure: Failure) -> None:
        """No attempt is left: it becomes a dead letter."""
        self.bus.dead_letters.bury(message, self.name, failure)

    def left_over(self, message: Receipt) -> None:
        """Its turn never came: dropped with the subscription, or handed back at the bus's end."""
        message.conclude(self.name, Outcome.DROPPED if self.retired else Outcome.HANDED_BACK)

    def closed(self) -> None:
        """The mailbox has given back all it held; what still comes goes the same way."""
        self.put = self.left_over
        self.workers.gone()


def name_of(handler: object) -> str:
    """The name of a handler that says none itself."""
    return getattr(handler, "__name__", None) or type(handler).__name__


def wants_of(handler: object, given: Callable[[Event], bool] | None) -> Callable[[Event], bool] | None:
    """The handler's own filter and the subscription's, as one; None if both take everything."""
    own = getattr(handler, "filter_of_events", None)
    own = own() if callable(own) else None
    if own is None or given is None:
        return own or given
    return lambda event: own(event) and given(event)
