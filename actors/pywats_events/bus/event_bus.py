"""EventBus: the bus for plain code; trio runs in a thread of its own behind it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Never, Self, TypeVar, final

import trio

from pywats_events.bus._checks import check_no_more, checked_timeout
from pywats_events.bus._core import DEFAULT_CAPACITY, DEFAULT_GRACE
from pywats_events.bus._own_children import BranchName
from pywats_events.bus._plain_run import PlainRun
from pywats_events.bus._routing_actor import Route
from pywats_events.bus._subscriptions import Subscription
from pywats_events.bus._thread import wait_for
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.errors import (
    BusFull,
    UnsettledTimeout,
)
from pywats_events.handlers._handler_actor import HandlerPerformer
from pywats_events.handlers.handler_chain import HandlerChain
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.policies.circuit_breaker import CircuitBreaker
from pywats_events.policies.dead_letter_queue import DeadLetterEntry
from pywats_events.policies.error_policy import ErrorPolicy
from pywats_events.policies.retry_policy import RetryPolicy
from pywats_events.settlement import Receipt
from pywats_events.transports.base_transport import BaseTransport
from pywats_supervision import ChildSpec, Runtime, SupervisorSnapshot
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.logs import GuardedLogger
from pywats_supervision.policies import Backoff
from pywats_supervision.system import monotonic

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability import Store

__all__ = ["EventBus"]

T = TypeVar("T")

logger: Final = GuardedLogger("pywats_events")


@final
class EventBus:
    """Publish and subscribe from plain code, with supervised handlers and transports.

    It may be called from any thread. A script that ends without `stop()` drains within the grace
    and exits.

    Example:
        ```python
        bus = EventBus()
        bus.subscribe(MyHandler())
        bus.start()
        bus.publish(event).wait(timeout=5)
        bus.stop()
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
        runtime: where time, ids and chance come from; None takes the real ones.
        **unknown: none; names of pywats-api 0.6 are refused with the call that took their place.

    Attributes:
        on_trio: the face of the same bus for code on its own thread, such as children of your own.

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
        self.on_trio: AsyncEventBus = AsyncEventBus(
            name,
            retry_policy,
            error_policy,
            capacity=capacity,
            middleware=middleware,
            store=store,
            runtime=runtime,
        )
        self._core = self.on_trio._core  # noqa: SLF001 - the two faces of one core
        self._port = self.on_trio._port  # noqa: SLF001 - likewise
        self._core.ledger.waits = self
        self._run = PlainRun(self.on_trio, self._core)

    # Running

    def start(self, timeout: float | None = None) -> None:
        """Start the bus in its thread, and wait until it is up. Starting twice changes nothing.

        It waits for the `on_start` of the handlers, and with a store until that is open. Interrupted
        by Ctrl-C, or out of time, it asks the bus to stop.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            Exception: what kept it from starting.
            TimeoutError: if it is not up in time; it is asked to stop.
            BusStopped: if it was stopped before; build another.
            BusFailed: if it had failed.
        """
        self._run.start(timeout)

    def stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Stop the inputs, let what was accepted be handled, then stop everything.

        On the bus's own thread or in a handler it only asks. Stopping twice changes nothing.
        Interrupted by Ctrl-C, the bus goes on stopping.

        Args:
            timeout: seconds for all of it; what is not settled then is handed back.

        Raises:
            BusFailed: if the bus had failed.
        """
        self._run.stop(checked_duration("timeout", timeout))

    def request_stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Ask for a stop, without waiting; from any thread, also inside a handler.

        Args:
            timeout: seconds, as for `stop`.
        """
        self._run.request_stop(checked_duration("timeout", timeout))

    def __enter__(self) -> Self:
        """Start the bus."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bus within its grace."""
        self.stop()

    # Publishing

    def publish(self, event: Event, *, now: bool = False, timeout: float | None = None) -> Receipt:
        """Publish an event, from any thread.

        From outside it waits while a subscription that the event goes to is full, and with a store
        until the event is written down. On the bus's own thread it never waits; inside a handler the
        event stays with the message in hand and enters the bus when the handler returns.

        Args:
            event: the event.
            now: inside a handler, enter the bus at once, whatever becomes of the handler.
            timeout: seconds to wait for space, and to be written down; None waits for ever.

        Returns:
            The receipt: `receipt.wait()` waits until every handler is done with the event.

        Raises:
            NotAnEvent: if it is no Event.
            EventValidationError: with a store, if it cannot be written down.
            BusNotRunning: before `start`.
            BusStopped: after, or during, `stop`.
            BusFailed: if the bus failed.
            TimeoutError: if there is no space in time: the event was not accepted; or, with a store, if
                it is not written down in time: then it may be accepted.
        """
        timeout = checked_timeout(timeout)
        core = self._core
        hand = core.hand()
        if hand is not None and not now:
            return self._keep(event, hand)
        self._run.check_running(inside=hand is not None)
        route = core.route(event)
        until = inf if timeout is None else monotonic() + timeout
        while hand is None and self._full(route):
            # Another publisher may take the space that was waited for.
            left = None if until == inf else max(0.0, until - monotonic())
            self._run.wait(partial(self._space, event), left)
            self._run.check_running()
            route = core.route(event)
        receipt = self._send(event, route)
        if core.journaling is not None and hand is None and not self._run.here:
            left = None if until == inf else max(0.0, until - monotonic())
            self._run.wait(partial(self._secured, receipt), left)
        return receipt

    publish_async = publish

    def publish_nowait(self, event: Event, *, now: bool = False) -> Receipt:
        """Publish an event, from any thread, without waiting: for the loops of asyncio and GUIs.

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
            return self._keep(event, hand)
        self._run.check_running(inside=hand is not None)
        route = core.route(event)
        if hand is None and self._full(route):
            raise BusFull(
                f"bus {self.name!r}: a subscription to {event.event_type} is full; publish() waits", event
            )
        return self._send(event, route)

    def _keep(self, event: Event, hand: HandlerPerformer) -> Receipt:
        """Keep an event with the message in hand."""
        self._run.check_process()  # a handler in a worker thread may fork
        return self._core.keep(event, hand)

    def _full(self, route: Route) -> bool:
        """Whether a publish from outside has to wait."""
        if self._run.here or self._core.in_hook():
            return False
        if self._core.journaling is not None and not self._core.journaling.has_room:
            return True
        return not self._run.lane.leaves_room(route)

    def _send(self, event: Event, route: Route) -> Receipt:
        """Accept an event on the bus's thread, or put it into the lane that leads there."""
        return self._core.accept(event, route) if self._run.here else self._run.lane.put(event)

    async def _space(self, event: Event) -> None:
        route = self._core.route(event)
        self._run.lane.take()
        if self._core.journaling is not None:
            await self._core.journaling.room()
        await self._core.door.wait(route, self._core.ledger.accepted)
        await trio.lowlevel.checkpoint()

    async def _secured(self, receipt: Receipt) -> None:
        self._run.lane.take()
        await receipt.wait_secured()

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
        timeout: float | None = None,
    ) -> Subscription:
        """Have a handler called for the events it takes; see `AsyncEventBus.subscribe`.

        Args:
            handler: this and the others as there.
            event_types: what it takes, if the handler does not say.
            name: unique in the bus.
            retry_policy: of this subscription.
            breaker: of this subscription.
            concurrency: how many events may be in hand at once.
            order_by: gives the key of an event.
            ordered: a failing event is retried in its place; the handler's own `concurrency` and `order_by`
                do not count then.
            filter: says whether an event is taken.
            priority: lower is dispatched to first.
            capacity: events it may hold in memory.
            drain_rate: events per second of those on the disk.
            shutdown: seconds of grace for the event in hand.
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up: nothing was subscribed.
        """
        return self._run.make(
            partial(
                self.on_trio.subscribe,
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
            ),
            timeout,
        )

    def unsubscribe(self, handler: Any, timeout: float | None = None) -> bool:
        """Take a subscription away: no new events, those it has are handled, then it stops.

        On the bus's own thread or in a handler it only asks.

        Args:
            handler: the subscription, its handler, or its name.
            timeout: seconds to wait for that; None waits for ever.

        Returns:
            Whether there was one.

        Raises:
            TimeoutError: if it has not stopped in time; it goes on stopping.
        """
        if self._run.over():
            return self._core.unsubscribe(handler) is not None
        if self._run.inside:
            return self._run.make(partial(self._core.request_unsubscribe, handler), timeout)
        return bool(self._run.wait(partial(self._unsubscribe, handler), timeout))

    async def _unsubscribe(self, handler: Any) -> bool:
        """Unsubscribe in a task of its own, which goes on when nobody waits for it any more."""
        over = trio.Event()
        found: list[bool] = []

        async def unsubscribe() -> None:
            found.append(await self.on_trio.unsubscribe(handler))
            over.set()

        self._run.spawn(unsubscribe)
        await over.wait()
        return found[0]

    register_handler = subscribe
    unregister_handler = unsubscribe

    def register_transport(
        self,
        transport: BaseTransport | Callable[[], BaseTransport],
        *,
        reconnect: Backoff | None = None,
        timeout: float | None = None,
    ) -> BaseTransport:
        """Add a transport; see `AsyncEventBus.register_transport`.

        Args:
            transport: as there.
            reconnect: as there.
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up: nothing was registered.
        """
        register = partial(self.on_trio.register_transport, transport, reconnect=reconnect)
        registered = self._run.make(register, timeout)
        registered.set_event_bus(self)
        return registered

    def unregister_transport(self, transport: BaseTransport | str, timeout: float | None = None) -> bool:
        """Take a transport away: it is stopped, and its name is free again.

        Args:
            transport: the transport, or its name.
            timeout: seconds to wait for that; None waits for ever.

        Returns:
            Whether there was one.

        Raises:
            WouldDeadlock: on the bus's own thread or in a handler.
            TimeoutError: if it has not stopped in time; it goes on stopping.
        """
        if self._run.over():
            return self._core.transports.unregister(transport) is not None
        return bool(self._run.wait(partial(self.on_trio.unregister_transport, transport), timeout))

    def add_child(
        self, child: ChildSpec, branch: BranchName = "services", timeout: float | None = None
    ) -> None:
        """Have a child of your own live in the bus's tree; see `AsyncEventBus.add_child`.

        Args:
            child: as there.
            branch: as there.
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up: nothing was added.
        """
        self._run.make(partial(self.on_trio.add_child, child, branch), timeout)

    def remove_child(self, name: str, branch: BranchName = "services", timeout: float | None = None) -> bool:
        """Stop a child of your own and forget it.

        Args:
            name: of the child.
            branch: where it is.
            timeout: seconds to wait for that; None waits for ever.

        Returns:
            Whether there was one.

        Raises:
            WouldDeadlock: on the bus's own thread or in a handler.
            TimeoutError: if it has not stopped in time; it goes on stopping.
        """
        return bool(self._run.wait(partial(self.on_trio.remove_child, name, branch), timeout))

    # Dead letters

    def replay_dead_letter(self, letter: DeadLetterEntry, timeout: float | None = None) -> Receipt:
        """Give the event of a dead letter to the handler that gave it up, once more.

        See `AsyncEventBus.replay_dead_letter`.

        Args:
            letter: the dead letter.
            timeout: seconds to wait for room at the handler; None waits for ever.

        Raises:
            WouldDeadlock: on the bus's own thread or in a handler.
            TimeoutError: if there is no room in time.
        """
        return self._run.wait(partial(self.on_trio.replay_dead_letter, letter), timeout)

    # What can be seen

    @property
    def name(self) -> str:
        """Its name."""
        return self.on_trio.name

    @property
    def store(self) -> Store | None:
        """Its store, where what is attached to it may keep what it must remember; None without one."""
        return self.on_trio.store

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.on_trio.is_running and not self._run.forked

    @property
    def handler_count(self) -> int:
        """How many subscriptions there are."""
        return self.on_trio.handler_count

    @property
    def transport_count(self) -> int:
        """How many transports are registered."""
        return self.on_trio.transport_count

    @property
    def queue_size(self) -> int:
        """How many accepted events are not settled."""
        return self.on_trio.queue_size + len(self._run.lane)

    @property
    def unrouted_count(self) -> int:
        """How many events no subscription took (see `ErrorPolicy(dead_letter_unrouted=True)`)."""
        return self.on_trio.unrouted_count

    @property
    def error_policy(self) -> ErrorPolicy:
        """The error policy, with the dead letters."""
        return self.on_trio.error_policy

    def get_handlers(self, event_type: EventType) -> list[Any]:
        """The handlers that take events of a type, in the order of their dispatch."""
        return self.on_trio.get_handlers(event_type)

    def snapshot(self, timeout: float | None = None) -> SupervisorSnapshot:
        """The bus's tree at this moment.

        Args:
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up.
        """
        return self._run.make(self.on_trio.snapshot, timeout)

    def on_event(self, callback: Callable[[Event], object], *, system: bool = False) -> None:
        """As `AsyncEventBus.on_event`, called on the bus's thread.

        Raises:
            BusFailed: if the bus has failed.
        """
        self._run.over()
        self.on_trio.on_event(callback, system=system)

    def on_error(self, callback: Callable[[Event, Exception], object]) -> None:
        """Have `callback(event, error)` called, on the bus's thread, for each failed attempt.

        Raises:
            BusFailed: if the bus has failed.
        """
        self._run.over()
        self.on_trio.on_error(callback)

    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until every accepted event is settled.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: if some are not in time.
            WouldDeadlock: on the bus's own thread or in a handler.
        """
        self._run.wait(self.on_trio.wait_idle, timeout)

    # How receipts wait, and what transports need (see Waits and Port)

    @property
    def port(self) -> EventBus:
        """What its transports publish to."""
        return self

    def check_may_wait(self, what: str) -> None:
        """Refuse on the bus's own thread and in its handlers."""
        self._run.check_may_wait(what)

    async def wait_settled(self, receipt: Receipt) -> None:
        """Wait, on trio, until a receipt is settled."""
        await self._port.wait_settled(receipt)

    def wait(self, receipt: Receipt, timeout: float | None) -> None:
        """Wait, in a plain thread, until a receipt is settled."""
        timeout = checked_timeout(timeout)
        if receipt.settled:
            return
        self._run.check_process()
        self.check_may_wait("receipt.wait()")
        settled: Future[Receipt] = Future()
        receipt.add_done_callback(settled.set_result)
        try:
            wait_for(settled, timeout)
        except TimeoutError:
            waiting = [taker.name for taker in receipt.takers if taker.name not in receipt.outcomes]
            raise UnsettledTimeout(
                f"{receipt.what} is not settled after {timeout:g} s; pending at: "
                f"{', '.join(waiting) or 'the bus'}, {receipt.pending} in all"
            ) from None
        finally:
            if not settled.done():
                receipt.remove_done_callback(settled.set_result)

    def callback_failed(self, receipt: Receipt, error: Exception) -> None:
        """A done callback of a receipt raised."""
        self._port.callback_failed(receipt, error)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread: at once there, soon from any other."""
        self._run.call_soon(function, *args)

    def reject(self, raw: bytes, error: Exception, source: str) -> Receipt:
        """Make a dead letter of a transport's input that is no event; from any thread."""
        self._run.over()
        receipt = self._core.dead_letters.rejecting()
        self.call_soon(self._core.dead_letters.reject, receipt, raw, error, source)
        return receipt

    async def publish_on_trio(self, event: Event) -> Receipt:
        """Publish for a transport, on trio; waits at the door."""
        return await self._port.publish_on_trio(event)

    def publish_from_thread(self, event: Event) -> Receipt:
        """Publish for a transport, from any thread."""
        return self.publish(event)

    def announce(self, event_type: EventType, payload: dict[str, Any]) -> None:
        """Make a system event for a transport."""
        self.call_soon(lambda: self._core.system.announce(event_type, payload))

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"EventBus({self.name!r}, {self.handler_count} handlers, {state})"
