"""The core of a bus: what both faces share, and the only place where events are accepted.

Everything that must survive a crash in the tree is owned here: subscriptions and their
mailboxes, the ledger, the inbox of the router, the dead letters. All calls are made on the
trio thread.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from pywats_actors.mailbox import Mailbox, checked_capacity
from pywats_actors.workers import Workers
from pywats_events.bus._checks import check_callable, check_kind, check_name, checked_priority, checked_rate
from pywats_events.bus._dead_letters import DeadLetters
from pywats_events.bus._outermost import OUTERMOST
from pywats_events.bus._own_children import OwnChildren
from pywats_events.bus._own_employer import OwnEmployer
from pywats_events.bus._routing_actor import INBOX, MARK, Door, Route, RouterPerformer, Routes, chosen
from pywats_events.bus._subscriptions import Subscription, name_of, wants_of
from pywats_events.bus._system_events import SystemEvents
from pywats_events.bus._transports import Transports
from pywats_events.bus._tree import Tree, tree
from pywats_events.bus._watched_policy import WatchedPolicy
from pywats_events.bus._what_is_left import tell_what_is_left
from pywats_events.errors import BusNotRunning, BusStopped, NotAnEvent
from pywats_events.handlers._binding import checked_types, takes_of
from pywats_events.handlers._handler_actor import CURRENT_HAND, HandlerPerformer
from pywats_events.handlers.handler_chain import HandlerChain
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.policies.circuit_breaker import CircuitBreaker
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.policies.retry_policy import NoRetryPolicy, RetryPolicy
from pywats_events.settlement import Ledger, Outcome, Receipt, Waits
from pywats_events.transports.base_transport import BaseTransport
from pywats_supervision import RestartType, Runtime
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.errors import said_by, unwrapped
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import Backoff, RestartPolicy, compose

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.bus._journaling import Journaling
    from pywats_events.durability import Store

__all__ = ["DEFAULT_CAPACITY", "DEFAULT_GRACE", "BusCore"]

M = TypeVar("M")

DEFAULT_CAPACITY: Final = 1024
"""Events a subscription may hold before publishers of its types wait."""
DEFAULT_GRACE: Final = 5.0
"""Seconds that a stop gives to what was accepted."""

logger = GuardedLogger("pywats_events")


class BusCore:
    """One bus, behind either face.

    Args:
        name: for logs, snapshots and the `source` of system events.
        waits: how its receipts wait.
        retry_policy: of subscriptions without one of their own; None means no retries.
        error_policy: where dead letters go, and the breaker of subscriptions without one.
        capacity: events a subscription may hold before publishers of its types wait.
        middleware: wraps every handler.
        store: where events are written down before their source is told; None without one.
        runtime: where time, ids and chance come from; None takes those of the tree around it.
    """

    def __init__(
        self,
        name: str,
        waits: Waits,
        *,
        retry_policy: RetryPolicy | None,
        error_policy: ErrorPolicy | None,
        capacity: float,
        middleware: HandlerChain | None,
        store: Store | None,
        runtime: Runtime | None,
    ) -> None:
        check_kind("retry_policy", retry_policy, RetryPolicy)
        check_kind("error_policy", error_policy, ErrorPolicy)
        check_kind("middleware", middleware, HandlerChain)
        check_kind("runtime", runtime, Runtime)
        check_name(name)
        self.name = name
        self.capacity = checked_capacity(capacity)
        self.retry_policy = retry_policy
        self.error_policy = error_policy or ErrorPolicy()
        self.ledger = Ledger(waits)
        self.store: Store | None = store
        self.journaling: Journaling | None = None
        if store is not None:
            from pywats_events.bus._journaling import Journaling

            self.journaling = Journaling(store, self)
            self.error_policy.keep_in(store.dead_letters)
        self.running = False
        self.failure: BaseException | None = None
        """What left the tree, if it failed."""
        self.subscriptions: list[Subscription] = []
        self.leaving: list[Subscription] = []
        """Out of the table, and not done yet with what they were given before."""
        self.transports = Transports()
        self.on_event: list[Callable[[Event], object]] = []
        self.on_error: list[Callable[[Event, Exception], object]] = []
        self.on_system_event: list[Callable[[Event], object]] = []
        self.system = SystemEvents(self)
        self.own_children = OwnChildren(self.system.child_failed)
        self.tree: Tree | None = None
        self._idle: trio.Event | None = None
        self._over = trio.Event()
        self._middleware = middleware
        self._runtime = runtime
        self.dead_letters = DeadLetters(self)
        self._router: Workers[Receipt] = Workers(
            "bus",
            OwnEmployer(self.error_policy, partial(RouterPerformer, self.dead_letters.untaken)),
            shared=True,
            capacity=INBOX,
            ordered=True,
        )
        self.inbox: Mailbox[Receipt] = self._router.mailbox
        self.door = Door(self.inbox)
        self.routes = Routes(())

    # Accepting events

    def route(self, event: Event) -> Route:
        """The route of an event.

        Raises:
            NotAnEvent: if it is none.
        """
        if event.__class__ is not Event:
            raise NotAnEvent(
                f"publish takes an Event, not {event!r}; build one with Event(event_type=..., payload=...)"
            )
        return self.routes[event.event_type]

    def hand(self) -> HandlerPerformer | None:
        """The handler that the caller runs in, if it is one of this bus and has a message in hand."""
        hand = CURRENT_HAND.get()
        if hand is None or hand.bus is not self or not hand.busy or not hand.is_callers:
            return None
        return hand

    def in_hook(self) -> bool:
        """Whether the caller runs in a handler of this bus with no event in hand: in one of its hooks.

        It must not wait at the door: the handler may be the one that has to make space.
        """
        hand = CURRENT_HAND.get()
        return hand is not None and hand.bus is self and not hand.busy and hand.is_callers

    def check_open(self) -> None:
        """Raise unless a publish from outside is welcome."""
        if not self.running and self.tree is not None:
            raise BusStopped(f"bus {self.name!r} has been stopped; build another one")
        if not self.running:
            raise BusNotRunning(f"bus {self.name!r} is not running; start it before you publish")
        if not self.door.open:
            raise BusStopped(f"bus {self.name!r} is stopping; it accepts no more events")

    async def wait_open(self, event: Event) -> Route:
        """Wait at the door until an event can be accepted; the route that it takes then.

        Subscriptions may come and go meanwhile, so it is looked up after each wait.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        while True:
            route = self.route(event)
            if self.journaling is not None and not self.journaling.has_room:
                await self.journaling.room()
                self.check_open()
                continue
            if self.ledger.accepted < route.open_until:
                return route
            await self.door.wait(route, self.ledger.accepted)
            self.check_open()

    def accept(self, event: Event, route: Route) -> Receipt:
        """Accept an event; never waits. HOT: tests/benchmarks/bench_route.py."""
        if self.journaling is not None:
            known = self.journaling.repeat_of(event)
            if known is not None:
                return known
        takers = route.takers
        if route.filtered:
            takers, doubtful = chosen(event, takers)
            receipt = Receipt(event, takers, self.ledger, len(takers) or 1, doubtful=doubtful)
        else:
            receipt = Receipt(event, takers, self.ledger, len(takers) or 1)
        if self.journaling is not None and (takers or not self.error_policy.dead_letter_unrouted):
            self.journaling.accept(receipt)
        self.ledger.accepted += 1
        self.inbox.put(receipt)
        if self.on_event:
            self.tell(self.on_event, event)
        return receipt

    def keep(self, event: Event, hand: HandlerPerformer) -> Receipt:
        """Keep an event, published inside a handler, with the message in its hand."""
        self.route(event)
        receipt = self.entering(event)
        hand.publish(receipt)
        return receipt

    def entering(self, event: Event) -> Receipt:
        """The receipt of an event that enters later (see `enter`); from any thread.

        With a store it is encoded here: who publishes what cannot be written is told, and nobody else.

        Raises:
            EventValidationError: if it cannot be written.
        """
        encoded = None if self.journaling is None else event.to_msgpack()
        return Receipt(event, (), self.ledger, 1, routed=-1, encoded=encoded)

    def enter(self, kept: Iterable[Receipt], parent: Receipt | None) -> None:
        """Accept what was kept: by a handler until its return, or by a thread until this one's turn."""
        for receipt in kept:
            if self.inbox.closed:
                # A thread published while the bus was ending, which never saw the event.
                self.ledger.accepted += 1
                receipt.conclude("", Outcome.HANDED_BACK)
                continue
            if self.journaling is not None and self.journaling.repeat_of(receipt.event) is not None:
                receipt.settle_at_once(Outcome.KNOWN)
                continue
            route = self.routes[receipt.event.event_type]
            takers = route.takers
            if route.filtered:
                takers, receipt.doubtful = chosen(receipt.event, takers)
            receipt.takers = takers
            receipt.pending = len(takers) or 1
            receipt.routed = 0
            if self.journaling is not None and (takers or not self.error_policy.dead_letter_unrouted):
                self.journaling.accept(receipt)
            elif parent is not None:
                receipt.parent = parent
                parent.pending += 1
            self.ledger.accepted += 1
            self.inbox.put(receipt)
            if self.on_event:
                self.tell(self.on_event, receipt.event)

    # Subscriptions

    def subscribe(
        self,
        handler: Any,
        *,
        event_types: Iterable[EventType | str] | None = None,
        name: str | None = None,
        retry_policy: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        concurrency: int | None = None,
        order_by: Callable[[Event], Hashable] | None = None,
        ordered: bool = False,
        filter: Callable[[Event], bool] | None = None,  # noqa: A002 - the name users know
        priority: int | None = None,
        capacity: float | None = None,
        drain_rate: float | None = None,
        shutdown: float = 5.0,
    ) -> Subscription:
        """Add a subscription; see `AsyncEventBus.subscribe`."""
        check_kind("retry_policy", retry_policy, RetryPolicy)
        check_kind("breaker", breaker, CircuitBreaker)
        check_callable("filter", filter)
        check_name(name, or_none=True)
        check_kind("ordered", ordered, bool)
        make = None
        if isinstance(handler, type) or (not hasattr(handler, "handle") and event_types is None):
            if not callable(handler):
                raise TypeError(f"handler {handler!r} has no `handle` method and makes no handlers")
            make, handler = handler, handler()
        takes = takes_of(handler) if event_types is None else checked_types(event_types, handler)
        rate = checked_rate(
            "drain_rate", getattr(handler, "drain_rate", inf) if drain_rate is None else drain_rate
        )
        says = None if ordered else handler  # one after the other is stricter than what it says itself
        order_by = getattr(says, "order_by", None) if order_by is None else order_by
        check_callable("order_by", order_by)
        told = getattr(handler, "subscribed_to", None)
        if event_types is not None and callable(told):
            told(takes)
        name = self._free_name(name, str(getattr(handler, "name", None) or name_of(handler)))
        subscription = Subscription(
            self,
            name,
            handler,
            make=make,
            event_types=takes,
            wants=wants_of(handler, filter),
            priority=checked_priority(getattr(handler, "priority", 100) if priority is None else priority),
            policy=self._policy(name, retry_policy, breaker),
            concurrency=getattr(says, "concurrency", 1) if concurrency is None else concurrency,
            capacity=self.capacity if capacity is None else capacity,
            order_by=order_by,
            ordered=ordered,
            shutdown=checked_duration("shutdown", shutdown),
        )
        self.subscriptions.append(subscription)
        if self.journaling is not None:
            self.journaling.join(subscription, rate)
        self._compile()
        watch = getattr(handler, "watch", None)
        if callable(watch):
            watch(partial(self.ledger.waits.call_soon, self._refilter, subscription, filter))
        if self.tree is not None and self.running:
            self.tree.handlers.add(subscription.spec())
        return subscription

    def hear(self, callbacks: list[Callable[..., object]], callback: Callable[..., object]) -> None:
        """Add a callback to one of the lists of those to be told.

        Raises:
            TypeError: if it cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        callbacks.append(callback)

    def unsubscribe(self, handler: Any) -> Subscription | None:
        """Take a subscription, named by itself, its handler or its name, out of the table."""
        subscription = self._named(handler)
        if subscription is not None:
            self.subscriptions.remove(subscription)
            if self.running:
                self.leaving.append(subscription)
            subscription.retired = True
            self._compile()
        return subscription

    def _named(self, handler: Any) -> Subscription | None:
        """The very one that is meant; else one that is equal, as methods of the same object are."""
        for same in (operator.is_, operator.eq):
            for subscription in self.subscriptions:
                if any(same(own, handler) for own in (subscription, subscription.handler, subscription.name)):
                    return subscription
        return None

    def request_unsubscribe(self, handler: Any) -> bool:
        """Take a subscription out of the table, and have it stopped when it is done; never waits."""
        subscription = self.unsubscribe(handler)
        if subscription is not None and self.running:
            trio.lowlevel.spawn_system_task(self.retire, subscription)
        return subscription is not None

    async def retire(self, subscription: Subscription) -> None:
        """Let a subscription that is out of the table do what it was given before, then stop it.

        Cancelled: it goes on, and is stopped with the bus.
        """
        if self.tree is None or not self.running:
            return
        mark = Receipt(None, (MARK,), Ledger(self.ledger.waits), 1)
        self.inbox.put(mark)
        await self.ledger.waits.wait_settled(mark)
        await subscription.wait_idle()
        await self.tree.handlers.remove(subscription.name)
        subscription.mailbox.close()
        self.leaving.remove(subscription)

    def _compile(self) -> None:
        self.routes = Routes(tuple(self.subscriptions))
        self.door.look_up()
        if self.journaling is not None:
            self.journaling.subscriptions_changed()

    def _refilter(self, subscription: Subscription, given: Callable[[Event], bool] | None) -> None:
        """A handler was enabled, disabled, or given another filter."""
        subscription.wants = wants_of(subscription.handler, given)
        self._compile()

    def _policy(
        self, name: str, retry: RetryPolicy | None, breaker: CircuitBreaker | None
    ) -> RestartPolicy[Any]:
        retry = retry or self.retry_policy or NoRetryPolicy()
        breaker = breaker or self.error_policy.circuit_breaker
        return WatchedPolicy(
            retry if breaker is None else compose(retry, breaker),
            name,
            call_soon=self.ledger.waits.call_soon,
            announce=self.system.announce,
        )

    def _free_name(self, given: str | None, own: str) -> str:
        """The given name, which nobody may have; else the handler's own, numbered if it is taken.

        With a store the name is what the backlog of a handler is kept under: a given one never changes.
        """
        taken = {subscription.name for subscription in (*self.subscriptions, *self.leaving)}
        if given is None:
            numbers = (f"{own}-{number}" for number in itertools.count(2))
            return own if own not in taken else next(name for name in numbers if name not in taken)
        if given in taken:
            raise ValueError(
                f"name {given!r} is taken by a subscription of bus {self.name!r}; give another, or await "
                "unsubscribe() first"
            )
        return given

    # Running

    async def run(self, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - handed on
        """Run the tree until it is stopped or fails."""
        if (journaling := self.journaling) is not None:
            await journaling.open()
        self.tree = tree(
            self.name,
            journal=None if journaling is None else journaling.writer(),
            store=self.dead_letters.workers.spec(restart=RestartType.PERMANENT, policy=Backoff(**OUTERMOST)),
            router=self._router.spec(),
            system=self.system.spec(),
            services=self.own_children.services,
            handlers=[subscription.spec() for subscription in self.subscriptions],
            transports=self.transports.specs(),
            paging=() if journaling is None else journaling.paging(),
            observers=self.own_children.observers,
            runtime=self._runtime,
        )
        self.running = True
        self.door.open = True
        try:
            await self.tree.root.run(task_status=task_status)
        except BaseException as error:
            if not isinstance(error, trio.Cancelled):
                self.failure = unwrapped(error)
            raise
        finally:
            self.running = False
            self.door.close()
            self._over.set()
            self._close_mailboxes()
            if journaling is not None:
                journaling.close()
            tell_what_is_left(self.name, self.ledger, stored=journaling is not None)

    def _close_mailboxes(self) -> None:
        """Hand back what the bus still holds: no receipt stays open."""
        self._router.mailbox.close()
        for subscription in (*self.subscriptions, *self.leaving):
            subscription.mailbox.close()
        self.dead_letters.workers.mailbox.close()
        self.system.workers.mailbox.close()

    async def stop(self, grace: float) -> None:
        """Stop the inputs, let what was accepted settle, then stop the tree.

        Args:
            grace: seconds for all of it; what is not settled then is handed back.
        """
        running = self.tree
        if running is None or running.root.snapshot().state not in {"starting", "running"}:
            return
        self.door.close()
        deadline = trio.current_time() + grace
        with trio.move_on_at(deadline):
            await running.root.stop_child("transports")
            await self.wait_idle()
        if trio.current_time() >= deadline:
            parts: list[Subscription | BaseTransport] = [*self.subscriptions, *self.leaving]
            for part in [*parts, *self.transports.values()]:
                part.abandon()
        await running.root.stop(max(0.0, deadline - trio.current_time()))

    async def wait_stopped(self) -> None:
        """Wait until the tree has ended. Cancelled: nothing has happened."""
        await self._over.wait()

    async def wait_idle(self) -> None:
        """Wait until every accepted event is settled.

        Cancelled: nothing has happened. Several tasks may wait.
        """
        while self.ledger.unsettled:
            if self._idle is None:
                self._idle = trio.Event()
                self.ledger.idle = self._say_idle
            await self._idle.wait()

    def _say_idle(self) -> None:
        """The last unsettled event is settled."""
        if self._idle is not None:
            self._idle.set()
        self._idle = self.ledger.idle = None

    # What the actors report

    def wrapped(self, call: Callable[[Event], Any]) -> Callable[[Event], Any]:
        """A handler's call inside the middleware."""
        return call if self._middleware is None else self._middleware.wrap(call)

    def report_failure(self, subscription: Subscription, event: Event, error: Exception) -> None:
        """One attempt of a handler failed."""
        name = subscription.name
        extra = {"event_id": event.id, "actor": name, "attempt": event.attempt}
        logger.info("event %s: %r failed: %s", event.id, name, said_by(error), extra=extra)
        self.tell(self.on_error, event, error)
        self.system.handler_failed(name, event, error)

    def tell(self, callbacks: list[Callable[..., object]], *args: Any) -> None:
        """Call each; what one raises is logged, and keeps nobody else from hearing it."""
        for callback in tuple(callbacks):
            try:
                callback(*args)
            except Exception:  # a user's callback; the event goes its way
                logger.exception("a callback of bus %r raised", self.name)
