"""AsyncEventBus: the bus on trio."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self, final

import trio

from pywats_events.bus._checks import check_no_more
from pywats_events.bus._core import DEFAULT_CAPACITY, DEFAULT_GRACE, BusCore
from pywats_events.bus._own_children import BranchName
from pywats_events.bus._redelivery import Redelivery
from pywats_events.bus._subscriptions import Subscription
from pywats_events.bus._thread import this_thread
from pywats_events.bus._trio_port import TrioPort
from pywats_events.errors import BusFull, BusNotRunning, BusStopped, WouldDeadlock
from pywats_events.handlers._handler_actor import CURRENT_HAND
from pywats_events.handlers.handler_chain import HandlerChain
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.policies.circuit_breaker import CircuitBreaker
from pywats_events.policies.dead_letter_queue import DeadLetterEntry
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.policies.retry_policy import RetryPolicy
from pywats_events.settlement import Receipt
from pywats_events.transports.base_transport import BaseTransport, Port
from pywats_supervision import ChildContext, ChildSpec, Runtime, Supervisor, SupervisorSnapshot
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.errors import unwrapped
from pywats_supervision.policies import Backoff

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability import Store

__all__ = ["AsyncEventBus"]


@final
class AsyncEventBus:
    """Publish and subscribe, on trio, with supervised handlers and transports.

    While it runs it belongs to its trio run. From other threads `publish_nowait` and `request_stop`
    may be called, callbacks may be added, and properties and `get_handlers` tell what they know; all other
    calls raise `WrongThread` there.

    Example:
        ```python
        async with AsyncEventBus() as bus:
            bus.subscribe(MyHandler())
            receipt = await bus.publish(event)
            await receipt.wait_settled()
        ```

    Args:
        name: for logs, snapshots and the `source` of system events.
        retry_policy: of subscriptions without one of their own; None means that a failed event is a
            dead letter at once.
        error_policy: where dead letters go, and the breaker of subscriptions without one.
        capacity: events a subscription may hold in memory before publishers of its types wait, or, with
            a store, the others stay on the disk; at least 1.
        middleware: wraps every handler.
        store: where events are written down before their source is told, with the dead letters; None
            keeps everything in memory.
        runtime: where time, ids and chance come from; None takes those of the tree around it.
        **unknown: none; names of pywats-api 0.6 are refused with the call that took their place.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work.
    """

    def __init__(
        self,
        name: str = "default",
        retry_policy: RetryPolicy | None = None,
        error_policy: ErrorPolicy | None = None,
        *,
        capacity: float = DEFAULT_CAPACITY,
        middleware: HandlerChain | None = None,
        store: Store | None = None,
        runtime: Runtime | None = None,
        **unknown: Never,
    ) -> None:
        check_no_more(type(self).__name__, unknown)
        self._port = TrioPort(
            partial(
                BusCore,
                name,
                retry_policy=retry_policy,
                error_policy=error_policy,
                capacity=capacity,
                middleware=middleware,
                store=store,
                runtime=runtime,
            )
        )
        self._core = self._port.core
        self._redelivery = Redelivery(self._core)
        self._nursery: AbstractAsyncContextManager[trio.Nursery] | None = None

    # Publishing

    async def publish(self, event: Event, *, now: bool = False) -> Receipt:
        """Publish an event. HOT: tests/benchmarks/bench_route.py.

        From outside it waits while a subscription that the event goes to is full, and with a store
        until the event is written down; it is a checkpoint only when it waits. Inside a handler it
        never waits: the event stays with the message in hand and enters the bus when the handler
        returns, or is discarded if it fails.
        In a handler's hooks (`on_start`, `on_error`, `on_stop`) it enters at once.

        Args:
            event: the event.
            now: inside a handler, enter the bus at once, whatever becomes of the handler.

        Returns:
            The receipt, which tells when every handler is done with it.

        Raises:
            NotAnEvent: if it is no Event.
            EventValidationError: with a store, if it cannot be written down.
            BusNotRunning: before the bus runs.
            BusStopped: if it is stopping or has stopped, and the caller is not one of its handlers.
            WrongThread: in another thread; use `publish_nowait` there.
            OutboxOverflow: if a handler publishes more than 1,000 events for one.
            StoreClosed: if the store was closed before the event was written down.

        Cancelled: the event was not accepted; with a store, it may have been.
        """
        core = self._core
        hand = CURRENT_HAND.get() and core.hand()
        if hand is not None and not now:
            return core.keep(event, hand)
        if this_thread() != self._port.thread:
            self._port.check_thread("publish", "publish_nowait() may be called from any thread")
        if hand is not None:
            return core.accept(event, core.route(event))
        if core.journaling is not None:
            receipt = await self._port.publish_on_trio(event)
            await receipt.wait_secured()
            return receipt
        if not core.door.open:
            core.check_open()
        route = core.route(event)
        if core.ledger.accepted >= route.open_until and not core.in_hook():
            route = await core.wait_open(event)
        return core.accept(event, route)

    def publish_nowait(self, event: Event, *, now: bool = False) -> Receipt:
        """Publish an event without waiting; from any thread.

        Args:
            event: the event.
            now: as for `publish`.

        Raises:
            BusFull: if a subscription that the event goes to is full; the event is in the error.
            NotAnEvent: as for `publish`; so are the others.
        """
        core = self._core
        hand = core.hand()
        if hand is not None and not now:
            return core.keep(event, hand)
        if hand is None:
            core.check_open()
        route = core.route(event)
        if hand is None and core.journaling is not None and not core.journaling.has_room:
            raise BusFull(f"the store of bus {self.name!r} takes nothing now; publish() waits", event)
        if hand is None and core.ledger.accepted >= route.open_until:
            margin = route.margin(core.inbox)
            if margin <= 0:
                raise BusFull(
                    f"bus {self.name!r}: a subscription to {event.event_type} is full; publish() waits",
                    event,
                )
            route.open_until = core.ledger.accepted + margin
        return self._port.accept(event, route)

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
        """Have a handler called for the events it takes; before the start or while the bus runs.

        Args:
            handler: an instance, kept across restarts; a class or factory, which gives a fresh one
                for each life; or, with `event_types`, a plain function of an event.
            event_types: what it takes, if the handler does not say; empty takes all.
            name: unique in the bus; default the handler's, numbered if it is taken.
            retry_policy: of this subscription; None takes the bus's.
            breaker: of this subscription; None takes the error policy's, if it has one.
            concurrency: how many events may be in hand at once, at least 1; default the handler's, or 1.
            order_by: gives the key of an event; those of one key are handled one after the other;
                default the handler's.
            ordered: a failing event is retried in its place and holds up all behind it; `concurrency` and
                `order_by` of the handler itself do not count then.
            filter: given an event, says whether it is taken; what it raises is a failure of this
                subscription.
            priority: lower is dispatched to first; default the handler's.
            capacity: events it may hold in memory before publishers of its types wait, or, with a store,
                the others stay on the disk; default the bus's.
            drain_rate: events per second, more than 0, by which those on the disk become less at the most,
                so that the end of an outage is no flood; as many as come in meanwhile it gets beside
                them. Default the handler's, or inf.
            shutdown: seconds of grace for the event in hand when the handler is stopped.

        Returns:
            The subscription, for `unsubscribe`.

        Raises:
            TypeError: if there is nothing to call, or an argument is of the wrong type.
            ValueError: if a value cannot work.
            WrongThread: in another thread, while it runs.
        """
        self._port.check_thread("subscribe")
        return self._core.subscribe(
            handler,
            event_types=event_types,
            name=name,
            retry_policy=retry_policy,
            breaker=breaker,
            concurrency=concurrency,
            order_by=order_by,
            ordered=ordered,
            filter=filter,
            priority=priority,
            capacity=capacity,
            drain_rate=drain_rate,
            shutdown=shutdown,
        )

    async def unsubscribe(self, handler: Any) -> bool:
        """Take a subscription away: no new events, those it has are handled, then it stops.

        Inside a handler of this bus it only asks: the handler may be the very one that is to finish.

        Args:
            handler: the subscription, its handler, or its name.

        Returns:
            Whether there was one.

        Cancelled: the subscription takes no new events any more; what it has is dropped when the
        bus next stops it.
        """
        self._port.check_thread("unsubscribe")
        await trio.lowlevel.checkpoint()
        if self._core.hand() is not None:
            return self._core.request_unsubscribe(handler)
        subscription = self._core.unsubscribe(handler)
        if subscription is not None:
            await self._core.retire(subscription)
        return subscription is not None

    register_handler = subscribe
    unregister_handler = unsubscribe

    def register_transport(
        self, transport: BaseTransport | Callable[[], BaseTransport], *, reconnect: Backoff | None = None
    ) -> BaseTransport:
        """Add a transport; it starts with the bus, or at once if that runs.

        Args:
            transport: the transport, kept across restarts; or a factory, which gives a fresh one of the
                same name for each life.
            reconnect: when it is started again after a failure; default after 0.5 s, growing to 60 s.

        Returns:
            The transport, of the first life.

        Raises:
            TypeError: if it is no BaseTransport, or `reconnect` no Backoff.
            ValueError: if there is one of that name.
        """
        self._port.check_thread("register_transport")
        core = self._core
        made = core.transports.register(transport, reconnect, core.tree if core.running else None)
        made.set_event_bus(self)
        return made

    async def unregister_transport(self, transport: BaseTransport | str) -> bool:
        """Take a transport away: it is stopped, and its name is free again.

        Args:
            transport: the transport, or its name.

        Returns:
            Whether there was one.

        Cancelled: it goes on stopping.
        """
        self._port.check_thread("unregister_transport")
        registered = self._core.transports.unregister(transport)
        if registered is None:
            await trio.lowlevel.checkpoint()
            return False
        tree = self._core.tree
        if tree is not None and self._core.running:
            await tree.transports.remove(registered.name)
        return True

    # Dead letters

    async def replay_dead_letter(self, letter: DeadLetterEntry) -> Receipt:
        """Give the event of a dead letter to the handler that gave it up, once more; to no other.

        One that nobody took goes to those that take it now.

        The dead letter stays until that has come to an outcome: handled, or a dead letter anew. So a
        process that ends meanwhile has lost nothing.

        Args:
            letter: the dead letter.

        Returns:
            The receipt, as that of `publish`; the same one while it is on its way.

        Raises:
            BusNotRunning: before the bus runs.
            BusStopped: if it is stopping or has stopped.
            TypeError: if it is no dead letter.
            ValueError: if it was no event; nobody can handle that.
            LookupError: if there is no subscription of that name any more, or still none that takes it.

        Cancelled: it stays a dead letter.
        """
        self._port.check_thread("replay_dead_letter")
        if not isinstance(letter, DeadLetterEntry):
            raise TypeError(f"letter must be a DeadLetterEntry, not {letter!r}; `get` of the queue finds it")
        self._core.check_open()
        return await self._redelivery.replay(letter)

    # Own children

    def add_child(self, child: ChildSpec, branch: BranchName = "services") -> None:
        """Have a child of your own live in the bus's tree; from the start, or at once if that runs.

        What leaves it starts it again, after 0.5 s and then ever later up to 60 s, and is no failure of
        the bus. A `policy` of its own decides first.

        Args:
            child: an actor's `spec()`, a whole subtree's, or one around any async function.
            branch: "services", started before the handlers and stopped after them; or "observers",
                started last and stopped first.

        Raises:
            TypeError: if it is no ChildSpec.
            ValueError: if there is no such branch, or it has a child of that name.
        """
        self._port.check_thread("add_child")
        core = self._core
        core.own_children.add(child, branch, core.tree if core.running else None)

    async def remove_child(self, name: str, branch: BranchName = "services") -> bool:
        """Stop a child of your own and forget it.

        Args:
            name: of the child.
            branch: where it is.

        Returns:
            Whether there was one.

        Cancelled: it goes on stopping.
        """
        self._port.check_thread("remove_child")
        await trio.lowlevel.checkpoint()
        core = self._core
        return await core.own_children.remove(name, branch, core.tree if core.running else None)

    # Running

    async def run(  # noqa: ASYNC128 - handed on
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the bus until it is stopped, for instance by `nursery.start(bus.run)`.

        Raises:
            Exception: what the tree could not deal with.
            RuntimeError: if it runs already.
            BusStopped: if it has run before; its mailboxes are closed, so build another.

        Cancelled: everything is cancelled at once; unsettled events are handed back.
        """
        if self._core.running:
            raise RuntimeError(f"bus {self.name!r} is running already")
        if self._core.tree is not None:
            raise BusStopped(f"bus {self.name!r} has been stopped; build another one")
        self._port.enter_run()
        await self._core.run(task_status)

    async def stop(self, timeout: float = DEFAULT_GRACE) -> None:  # noqa: ASYNC109 - a grace, not a limit of this call
        """Stop the inputs, let what was accepted be handled, then stop everything.

        Args:
            timeout: seconds for all of it; what is not settled then is handed back.

        Raises:
            WouldDeadlock: inside a handler of this bus; use `request_stop` there.

        Cancelled: the bus goes on stopping.
        """
        if self._core.hand() is not None:
            raise WouldDeadlock(f"a handler of bus {self.name!r} cannot wait for its end; use request_stop()")
        self._port.check_thread("stop", "request_stop() may be called from any thread")
        await self._core.stop(checked_duration("timeout", timeout))

    def request_stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Ask for a stop, without waiting; from any thread, also inside a handler.

        Args:
            timeout: seconds, as for `stop`.
        """
        grace = checked_duration("timeout", timeout)
        if self._core.running:
            self._port.call_soon(self._spawn_stop, grace)

    def _spawn_stop(self, grace: float) -> None:
        if self._core.running:
            trio.lowlevel.spawn_system_task(self._core.stop, grace)

    async def __aenter__(self) -> Self:
        """Start the bus; it is up when this returns."""
        if self._core.running:
            raise RuntimeError(f"bus {self.name!r} is running already")
        entered = trio.open_nursery()
        nursery = await entered.__aenter__()
        try:
            await nursery.start(self.run)
        except BaseException as error:
            await self._leave(entered, error)  # noqa: ASYNC102 - leaving a nursery waits for its end
            raise
        self._nursery = entered
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop the bus within its grace, or at once if the block failed."""
        nursery = self._nursery
        if nursery is None:
            raise BusNotRunning(f"bus {self.name!r} was not entered")
        try:
            if error is None:
                await self._core.stop(DEFAULT_GRACE)  # noqa: ASYNC102 - not reached when cancelled
        except BaseException as late:  # noqa: BLE001, ASYNC103 - the nursery raises what comes of it
            error = late
        return await self._leave(nursery, error)  # noqa: ASYNC102 - leaving a nursery waits for its end

    async def _leave(
        self, nursery: AbstractAsyncContextManager[trio.Nursery], error: BaseException | None
    ) -> bool | None:
        """Leave the nursery; what the tree failed with comes out bare, not in the nursery's group."""
        try:
            kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
            return await nursery.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None

    async def wait_stopped(self) -> None:
        """Wait until the bus has run and ended. Cancelled: nothing has happened."""
        self._port.check_thread("wait_stopped")
        await self._core.wait_stopped()

    async def wait_idle(self) -> None:
        """Wait until every accepted event is settled.

        Raises:
            WouldDeadlock: inside a handler of this bus, whose own event is not settled before it returns.

        Cancelled: nothing has happened.
        """
        if self._core.hand() is not None:
            raise WouldDeadlock(f"a handler of bus {self.name!r} cannot wait until no event is in hand")
        self._port.check_thread("wait_idle")
        await self._core.wait_idle()

    async def wait_replayed(self) -> None:
        """Wait until what the process before had left in the store is on its way to its handlers.

        New events are accepted meanwhile, and follow. Cancelled: nothing has happened.
        """
        self._port.check_thread("wait_replayed")
        if self._core.journaling is None:
            await trio.lowlevel.checkpoint()
        else:
            await self._core.journaling.wait_replayed()

    # What can be seen

    @property
    def port(self) -> Port:
        """What its transports publish to, and how its receipts wait."""
        return self._port

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def store(self) -> Store | None:
        """Its store, where what is attached to it may keep what it must remember; None without one."""
        return self._core.store

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._core.running

    @property
    def handler_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._core.subscriptions)

    @property
    def transport_count(self) -> int:
        """How many transports are registered."""
        return len(self._core.transports)

    @property
    def queue_size(self) -> int:
        """How many accepted events are not settled."""
        return self._core.ledger.unsettled

    @property
    def unrouted_count(self) -> int:
        """How many events no subscription took (see `ErrorPolicy(dead_letter_unrouted=True)`)."""
        return self._core.ledger.unrouted

    @property
    def error_policy(self) -> ErrorPolicy:
        """The error policy, with the dead letters."""
        return self._core.error_policy

    def get_handlers(self, event_type: EventType) -> list[Any]:
        """The handlers that take events of a type, in the order of their dispatch."""
        return [taker.handler for taker in self._core.routes[event_type].takers]

    def snapshot(self) -> SupervisorSnapshot:
        """The bus's tree at this moment."""
        self._port.check_thread("snapshot")
        tree = self._core.tree
        return Supervisor((), name=self.name).snapshot() if tree is None else tree.root.snapshot()

    def on_event(self, callback: Callable[[Event], object], *, system: bool = False) -> None:
        """Have `callback(event)` called for each accepted event; it must not wait.

        Args:
            callback: given the event.
            system: whether it hears system events too, taken by a handler or not.
        """
        self._core.hear(self._core.on_event, callback)
        if system:
            self._core.hear(self._core.on_system_event, callback)

    def on_error(self, callback: Callable[[Event, Exception], object]) -> None:
        """Have `callback(event, error)` called for each failed attempt; it must not wait."""
        self._core.hear(self._core.on_error, callback)

    def spec(self, name: str | None = None) -> ChildSpec:
        """The bus as a child of another supervisor; asked to stop, it drains within `DEFAULT_GRACE`.

        Args:
            name: of the child; default the bus's.
        """
        return ChildSpec(name or self.name, self._live, shutdown=DEFAULT_GRACE)

    async def _live(  # noqa: ASYNC114, ASYNC128 - handed on
        self, *, task_status: trio.TaskStatus[None], child: ChildContext
    ) -> None:
        child.on_stopping(lambda: self.request_stop(max(0.0, child.deadline - trio.current_time())))
        await self.run(task_status=task_status)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"AsyncEventBus({self.name!r}, {self.handler_count} handlers, {state})"
