"""EventBus: the bus for plain code; trio runs in a thread of its own behind it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final

import trio

from pywats_events.bus._core import DEFAULT_CAPACITY, DEFAULT_GRACE
from pywats_events.bus._own_children import BranchName
from pywats_events.bus._routing_actor import Route
from pywats_events.bus._subscriptions import Subscription
from pywats_events.bus._thread import TrioThread, async_into, into, wait_for
from pywats_events.bus._unwrapping import unwrapped
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.errors import (
    BusFailed,
    BusFull,
    BusNotRunning,
    BusStopped,
    UnsettledTimeout,
    WouldDeadlock,
)
from pywats_events.handlers._handler_actor import CURRENT_HAND
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
from pywats_supervision._system import monotonic
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies import Backoff

if TYPE_CHECKING:  # a bus without a store needs no SQLite
    from pywats_events.durability import Store

__all__ = ["EventBus"]

T = TypeVar("T")

LANE: Final = 1024
"""Events that threads may have published and the bus's thread has not seen yet."""

logger: Final = logging.getLogger("pywats_events")


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
    ) -> None:
        self._bus = AsyncEventBus(
            name,
            retry_policy,
            error_policy,
            capacity=capacity,
            middleware=middleware,
            store=store,
            runtime=runtime,
        )
        self._core = self._bus._core  # noqa: SLF001 - the two faces of one core
        self._core.ledger.waits = self
        self._thread: TrioThread | None = None
        self._nursery: trio.Nursery
        self._lane: deque[Receipt] = deque()
        self._armed = False

    # Running

    def start(self) -> None:
        """Start the bus in its thread, and wait until it is up. Starting twice changes nothing.

        Raises:
            Exception: what kept it from starting.
            BusStopped: if it was stopped before; build another.
            BusFailed: if it had failed.
        """
        if self._thread is not None:
            self._check_process(self._thread)
            if self._thread.ended:
                self._check_failure(self._thread)
                raise BusStopped(f"bus {self.name!r} has been stopped; build another one")
            return
        thread = TrioThread(f"EventBus {self.name}", self._main, self.request_stop)
        self._thread = thread
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    async def _main(self, up: Callable[[], None]) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self._bus.run)
                up()
                await self._bus.wait_stopped()
                self._nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None
        finally:
            self._take_lane()  # the bus never saw what is left, and hands it back

    def stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Stop the inputs, let what was accepted be handled, then stop everything.

        On the bus's own thread or in a handler it only asks. Stopping twice changes nothing.

        Args:
            timeout: seconds for all of it; what is not settled then is handed back.

        Raises:
            BusFailed: if the bus had failed.
        """
        thread = self._thread
        if thread is None:
            return
        self._check_process(thread)
        self.request_stop(timeout)
        if thread.here or CURRENT_HAND.get() is not None:
            return
        thread.join(None)
        self._check_failure(thread)

    def request_stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Ask for a stop, without waiting; from any thread, also inside a handler.

        Args:
            timeout: seconds, as for `stop`.
        """
        grace = checked_duration("timeout", timeout)
        if self._thread is not None:
            self._check_process(self._thread)
            try:
                self._thread.call_soon(self._bus.request_stop, grace)
            except RuntimeError:
                return  # it has ended, which is what was asked for

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
            BusNotRunning: before `start`.
            BusStopped: after, or during, `stop`.
            BusFailed: if the bus failed.
            TimeoutError: if there is no space in time: the event was not accepted; or, with a store, if
                it is not written down in time: then it may be accepted.
        """
        core = self._core
        hand = core.hand()
        if hand is not None and not now:
            return core.keep(event, hand)
        thread = self._running(inside=hand is not None)
        route = core.route(event)
        until = inf if timeout is None else monotonic() + timeout
        while hand is None and self._full(route, thread):
            # Another publisher may take the space that was waited for.
            left = None if until == inf else max(0.0, until - monotonic())
            self._await(partial(self._space, event), left)
            thread, route = self._running(), core.route(event)
        receipt = self._send(event, route, thread)
        if core.journaling is not None and hand is None and not thread.here:
            left = None if until == inf else max(0.0, until - monotonic())
            self._await(partial(self._secured, receipt), left)
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
            return core.keep(event, hand)
        thread = self._running(inside=hand is not None)
        route = core.route(event)
        if hand is None and self._full(route, thread):
            raise BusFull(
                f"bus {self.name!r}: a subscription to {event.event_type} is full; publish() waits", event
            )
        return self._send(event, route, thread)

    def _full(self, route: Route, thread: TrioThread) -> bool:
        """Whether a publish from outside has to wait."""
        lane = len(self._lane)
        if thread.here:
            return False
        if self._core.journaling is not None and not self._core.journaling.has_room:
            return True
        return lane >= LANE or route.margin(self._core.inbox) <= lane

    def _send(self, event: Event, route: Route, thread: TrioThread) -> Receipt:
        """Accept an event on the bus's thread, or put it into the lane that leads there."""
        if thread.here:
            return self._core.accept(event, route)
        receipt = Receipt(event, (), self._core.ledger, 1, routed=-1)
        self._lane.append(receipt)
        if not self._armed:
            self._armed = True
            self.call_soon(self._take_lane)
        return receipt

    async def _space(self, event: Event) -> None:
        route = self._core.route(event)
        self._take_lane()
        if self._core.journaling is not None:
            await self._core.journaling.room()
        await self._core.door.wait(route, self._core.ledger.accepted)
        await trio.lowlevel.checkpoint()

    async def _secured(self, receipt: Receipt) -> None:
        self._take_lane()
        await receipt.wait_secured()

    def _take_lane(self) -> None:
        """Accept what threads have published; on the bus's thread."""
        self._armed = False  # before the lane is emptied: who comes later arms it again
        lane = self._lane
        while lane:
            self._core.enter((lane.popleft(),), None)

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
        drain_rate: float = inf,
        shutdown: float = 5.0,
    ) -> Subscription:
        """Have a handler called for the events it takes; see `AsyncEventBus.subscribe`."""
        return self._on_bus(
            partial(
                self._bus.subscribe,
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
        if self._over():
            return self._core.unsubscribe(handler) is not None
        if self._here or CURRENT_HAND.get() is not None:
            return self._on_bus(partial(self._core.request_unsubscribe, handler))
        return bool(self._await(partial(self._bus.unsubscribe, handler), timeout))

    register_handler = subscribe
    unregister_handler = unsubscribe

    def register_transport(
        self, transport: BaseTransport | Callable[[], BaseTransport], *, reconnect: Backoff | None = None
    ) -> BaseTransport:
        """Add a transport; see `AsyncEventBus.register_transport`."""
        made = self._on_bus(partial(self._bus.register_transport, transport, reconnect=reconnect))
        made.set_event_bus(self)
        return made

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
        if self._over():
            return self._core.transports.unregister(transport) is not None
        return bool(self._await(partial(self._bus.unregister_transport, transport), timeout))

    def add_child(self, child: ChildSpec, branch: BranchName = "services") -> None:
        """Have a child of your own live in the bus's tree; see `AsyncEventBus.add_child`."""
        self._on_bus(partial(self._bus.add_child, child, branch))

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
        return bool(self._await(partial(self._bus.remove_child, name, branch), timeout))

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
        receipt: Receipt = self._await(partial(self._bus.replay_dead_letter, letter), timeout)
        return receipt

    # What can be seen

    @property
    def name(self) -> str:
        """Its name."""
        return self._bus.name

    @property
    def store(self) -> Store | None:
        """Its store, where what is attached to it may keep what it must remember; None without one."""
        return self._bus.store

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._bus.is_running and not (self._thread is not None and self._thread.forked)

    @property
    def handler_count(self) -> int:
        """How many subscriptions there are."""
        return self._bus.handler_count

    @property
    def transport_count(self) -> int:
        """How many transports are registered."""
        return self._bus.transport_count

    @property
    def queue_size(self) -> int:
        """How many accepted events are not settled."""
        return self._bus.queue_size + len(self._lane)

    @property
    def error_policy(self) -> ErrorPolicy:
        """The error policy, with the dead letters."""
        return self._bus.error_policy

    def get_handlers(self, event_type: EventType) -> list[Any]:
        """The handlers that take events of a type, in the order of their dispatch."""
        return self._bus.get_handlers(event_type)

    def snapshot(self) -> SupervisorSnapshot:
        """The bus's tree at this moment."""
        return self._on_bus(self._bus.snapshot)

    def on_event(self, callback: Callable[[Event], object], *, system: bool = False) -> None:
        """As `AsyncEventBus.on_event`, called on the bus's thread."""
        self._bus.on_event(callback, system=system)

    def on_error(self, callback: Callable[[Event, Exception], object]) -> None:
        """Have `callback(event, error)` called, on the bus's thread, for each failed attempt."""
        self._bus.on_error(callback)

    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until every accepted event is settled.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: if some are not in time.
            WouldDeadlock: on the bus's own thread or in a handler.
        """
        self._await(self._bus.wait_idle, timeout)

    # How receipts wait, and what transports need (see Waits and Port)

    @property
    def port(self) -> EventBus:
        """What its transports publish to."""
        return self

    def check_may_wait(self, what: str) -> None:
        """Refuse on the bus's own thread and in its handlers."""
        if self._here or CURRENT_HAND.get() is not None:
            raise WouldDeadlock(
                f"{what} would wait for bus {self.name!r} on its own thread, or inside one of its handlers"
            )

    async def wait_settled(self, receipt: Receipt) -> None:
        """Wait, on trio, until a receipt is settled."""
        await self._bus.wait_settled(receipt)

    def wait(self, receipt: Receipt, timeout: float | None) -> None:
        """Wait, in a plain thread, until a receipt is settled."""
        if receipt.settled:
            return
        if self._thread is not None:
            self._check_process(self._thread)
        self.check_may_wait("receipt.wait()")
        try:
            wait_for(receipt.future, timeout)
        except TimeoutError:
            waiting = [taker.name for taker in receipt.takers if taker.name not in receipt.outcomes]
            raise UnsettledTimeout(
                f"event {receipt.event.id} is not settled after {timeout:g} s; pending at: "
                f"{', '.join(waiting) or 'the bus'}, {receipt.pending} in all"
            ) from None

    def callback_failed(self, receipt: Receipt, error: Exception) -> None:
        """A done callback of a receipt raised."""
        self._bus.callback_failed(receipt, error)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the bus's thread: at once there, soon from any other."""
        thread = self._thread
        if thread is None or thread.here or thread.ended:
            function(*args)
            return
        self._check_process(thread)
        try:
            thread.call_soon(function, *args)
        except RuntimeError:
            function(*args)  # it has ended meanwhile; nobody else can touch what it left

    def reject(self, raw: bytes, error: Exception, source: str) -> Receipt:
        """Make a dead letter of a transport's input that is no event; from any thread."""
        receipt = Receipt(None, (), self._core.ledger, 1)
        self.call_soon(self._core.reject, receipt, raw, error, source)
        return receipt

    async def publish_on_trio(self, event: Event) -> Receipt:
        """Publish for a transport, on trio; waits at the door."""
        return await self._bus.publish_on_trio(event)

    def publish_from_thread(self, event: Event) -> Receipt:
        """Publish for a transport, from any thread."""
        return self.publish(event)

    def announce(self, event_type: EventType, payload: dict[str, Any]) -> None:
        """Make a system event for a transport."""
        self.call_soon(lambda: self._core.system.announce(event_type, payload))

    # Between the threads

    @property
    def _here(self) -> bool:
        """Whether the caller is on the bus's own thread."""
        return self._thread is not None and self._thread.here

    def _over(self) -> bool:
        """Whether it does not run yet, or any more; raises if it failed, or runs in another process."""
        if self._thread is None:
            return True
        self._check_process(self._thread)
        if self._thread.ended:
            self._check_failure(self._thread)
        return self._thread.ended

    def _running(self, *, inside: bool = False) -> TrioThread:
        """The thread, if it takes calls; those made inside a handler also while the bus stops."""
        thread = self._thread
        if thread is None:
            raise BusNotRunning(f"bus {self.name!r} is not running; call start() before you publish")
        self._check_process(thread)
        if thread.ended or not (self._core.running if inside else self._core.door.open):
            self._check_failure(thread)
            raise BusStopped(f"bus {self.name!r} is stopped or stopping; it accepts no more events")
        return thread

    def _check_process(self, thread: TrioThread) -> None:
        if thread.forked:
            raise BusNotRunning(
                f"bus {self.name!r} runs in the process that forked this one; build a bus after the fork"
            )

    def _check_failure(self, thread: TrioThread) -> None:
        failure = self._core.failure or thread.failure
        if failure is not None:
            raise BusFailed(f"bus {self.name!r} failed: {type(failure).__name__}: {failure}") from failure

    def _on_bus(self, call: Callable[[], T]) -> T:
        """Make a sync call on the bus's thread and wait for its result."""
        if self._over() or self._here:
            return call()
        future: Future[T] = Future()
        self.call_soon(into, future, call)
        return wait_for(future, None)

    def _await(self, call: Callable[[], Any], timeout: float | None) -> Any:
        """Run an async call on the bus's thread and wait for its result."""
        self.check_may_wait("this call")
        future: Future[Any] = Future()
        stopped = BusStopped(f"bus {self.name!r} stopped meanwhile")

        def spawn() -> None:
            try:
                self._nursery.start_soon(async_into, future, call, stopped)
            except RuntimeError:  # it has been left: the bus ended after this call began
                future.set_exception(stopped)

        self._running().call_soon(spawn)
        return wait_for(future, timeout)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"EventBus({self.name!r}, {self.handler_count} handlers, {state})"
