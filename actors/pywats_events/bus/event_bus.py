"""EventBus: the bus for plain code; trio runs in a thread of its own behind it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
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
from pywats_events.bus._thread import Asked, TrioThread, made, wait_for, wait_for_call
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
from pywats_events.handlers._handler_actor import CURRENT_HAND, HandlerPerformer
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
        thread = self._thread
        if thread is None:
            up = self._begin(timeout)
        else:
            self._check_process(thread)
            if thread.ended:
                self._check_failure(thread)
            up = not thread.ended and (self._inside or thread.wait_up(timeout))
        if not up:
            raise BusStopped(f"bus {self.name!r} has been stopped; build another one")

    def _begin(self, timeout: float | None) -> bool:
        thread = TrioThread(f"EventBus {self.name}", self._main, self.request_stop)
        try:
            self._thread = thread
            thread.start()
            return thread.wait_up(timeout)
        except BaseException:
            if thread.ended or thread.call_off():
                self._thread = None
            else:
                self.request_stop()
            raise

    async def _main(self, up: Callable[[], None]) -> None:
        told, failure = Up(up), None
        try:
            async with trio.open_nursery() as self._nursery:
                await self._bus.run(task_status=told)
                self._nursery.cancel_scope.cancel()
        except BaseException as error:  # noqa: BLE001, ASYNC103 - raised below, when the lane is empty
            failure = unwrapped(error)
        if self._lane:
            logger.warning(
                "bus %r ended before it saw %d events of other threads; they are handed back",
                self.name,
                len(self._lane),
            )
            self._take_lane()
        if failure is None:
            return
        if told.up:  # before, `start` raises it
            logger.critical("bus %r has failed, and handles nothing any more", self.name, exc_info=failure)
        raise failure

    def stop(self, timeout: float = DEFAULT_GRACE) -> None:
        """Stop the inputs, let what was accepted be handled, then stop everything.

        On the bus's own thread or in a handler it only asks. Stopping twice changes nothing.
        Interrupted by Ctrl-C, the bus goes on stopping.

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
        if self._inside:
            return
        thread.join()
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
                self._thread.call_soon(self._stop_on_bus, grace)
            except RuntimeError:
                return  # it has ended, which is what was asked for

    def _stop_on_bus(self, grace: float) -> None:
        self._take_lane()
        if self._core.tree is None:
            self._nursery.cancel_scope.cancel()  # it still opens its store, and has accepted nothing
        else:
            self._bus.request_stop(grace)

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
            return self._keep(event, hand)
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
            return self._keep(event, hand)
        thread = self._running(inside=hand is not None)
        route = core.route(event)
        if hand is None and self._full(route, thread):
            raise BusFull(
                f"bus {self.name!r}: a subscription to {event.event_type} is full; publish() waits", event
            )
        return self._send(event, route, thread)

    def _keep(self, event: Event, hand: HandlerPerformer) -> Receipt:
        """Keep an event with the message in hand."""
        if self._thread is not None:
            self._check_process(self._thread)  # a handler in a worker thread may fork
        return self._core.keep(event, hand)

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
            try:
                self._armed = True
                self.call_soon(self._take_lane)
            except BaseException:
                self._armed = False  # Ctrl-C, and perhaps the bus was not told: the next one tells it
                raise
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
            ordered: a failing event is retried in its place.
            filter: says whether an event is taken.
            priority: lower is dispatched to first.
            capacity: events it may hold in memory.
            drain_rate: events per second of those on the disk.
            shutdown: seconds of grace for the event in hand.
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up: nothing was subscribed.
        """
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
        if self._over():
            return self._core.unsubscribe(handler) is not None
        if self._inside:
            return self._on_bus(partial(self._core.request_unsubscribe, handler), timeout)
        return bool(self._await(partial(self._unsubscribe, handler), timeout))

    async def _unsubscribe(self, handler: Any) -> bool:
        """Unsubscribe in a task of its own, which goes on when nobody waits for it any more."""
        over = trio.Event()
        found: list[bool] = []

        async def unsubscribe() -> None:
            found.append(await self._bus.unsubscribe(handler))
            over.set()

        self._nursery.start_soon(unsubscribe)
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
        register = partial(self._bus.register_transport, transport, reconnect=reconnect)
        registered = self._on_bus(register, timeout)
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
        if self._over():
            return self._core.transports.unregister(transport) is not None
        return bool(self._await(partial(self._bus.unregister_transport, transport), timeout))

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
        self._on_bus(partial(self._bus.add_child, child, branch), timeout)

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
        return self._await(partial(self._bus.replay_dead_letter, letter), timeout)

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

    def snapshot(self, timeout: float | None = None) -> SupervisorSnapshot:
        """The bus's tree at this moment.

        Args:
            timeout: seconds to wait for the bus's thread; None waits for ever.

        Raises:
            TimeoutError: if that thread is held up.
        """
        return self._on_bus(self._bus.snapshot, timeout)

    def on_event(self, callback: Callable[[Event], object]) -> None:
        """Have `callback(event)` called, on the bus's thread, for each accepted event.

        Raises:
            BusFailed: if the bus has failed.
        """
        self._over()
        self._bus.on_event(callback)

    def on_error(self, callback: Callable[[Event, Exception], object]) -> None:
        """Have `callback(event, error)` called, on the bus's thread, for each failed attempt.

        Raises:
            BusFailed: if the bus has failed.
        """
        self._over()
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
        if self._inside:
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
        settled: Future[Receipt] = Future()
        receipt.add_done_callback(settled.set_result)
        try:
            wait_for(settled, timeout)
        except BaseException as error:
            receipt.remove_done_callback(settled.set_result)
            if not isinstance(error, TimeoutError):
                raise
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
    def _inside(self) -> bool:
        """Whether the caller is on the bus's own thread, or in a worker thread of one of its handlers."""
        hand = CURRENT_HAND.get()
        return self._here or (hand is not None and hand.bus is self._core)

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

    def _on_bus(self, call: Callable[[], T], timeout: float | None = None) -> T:
        """Make a sync call on the bus's thread and wait for its result."""
        if self._over() or self._here:
            return call()
        future: Future[T] = Future()
        self.call_soon(made, future, call)
        try:
            return wait_for_call(future, timeout)
        except TimeoutError:
            if not future.cancelled():
                raise
            raise TimeoutError(
                f"the thread of bus {self.name!r} did not come to this call in {timeout:g} s, so it was not "
                "made; a handler or a callback holds that thread up"
            ) from None

    def _await(self, call: Callable[[], Awaitable[T]], timeout: float | None) -> T:
        """Run an async call on the bus's thread and wait for its result; out of time, it is cancelled."""
        self.check_may_wait("this call")
        thread = self._running()
        stopped = BusStopped(f"bus {self.name!r} stopped meanwhile")
        asked = Asked(call, stopped)

        def spawn() -> None:
            self._take_lane()
            try:
                self._nursery.start_soon(asked.run)
            except RuntimeError:  # it has been left: the bus ended after this call began
                asked.refuse()

        try:
            self._call_running(thread, spawn)
            return wait_for(asked.future, timeout)
        except BusStopped as error:
            if error is stopped:
                self._check_failure(thread)
            raise
        except BaseException:
            if not asked.future.done():
                self.call_soon(asked.withdraw)
            raise

    def _call_running(self, thread: TrioThread, function: Callable[[], object]) -> None:
        """Call it on the bus's thread, which has to run still."""
        try:
            thread.call_soon(function)
        except RuntimeError:
            thread.join()
            self._check_failure(thread)
            raise BusStopped(f"bus {self.name!r} stopped meanwhile") from None

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"EventBus({self.name!r}, {self.handler_count} handlers, {state})"


class Up:
    """The task status of a run that a plain thread waits for.

    Args:
        tell: called when it is up.

    Attributes:
        up: whether it is.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self.up = False

    def started(self, value: None = None) -> None:
        """It is up."""
        del value
        self.up = True
        self._tell()
