"""Station: transports, handlers and a store as one supervised tree, to run, embed or test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from types import TracebackType
from typing import Any, Final, Self, final

import trio

from pywats_events import AsyncEventBus, Event, EventBus
from pywats_events.errors import BusNotRunning
from pywats_events.policies import DeadLetterQueue
from pywats_events.settlement import Receipt
from pywats_station._assembling import assemble, bus_options
from pywats_station._signals import heed_signals
from pywats_station.config import StationConfig
from pywats_station.plan import Node, plan
from pywats_supervision import ChildContext, ChildSpec, SupervisorSnapshot
from pywats_supervision.errors import unwrapped
from pywats_supervision.logs import GuardedLogger

__all__ = ["Station"]

logger: Final = GuardedLogger("pywats_station")


@final
class Station:
    """A station: what comes in by its transports is handled by its handlers, and nothing is lost.

    Example:
        ```python
        station = Station(
            "ICT-01",
            transports=[CFXTransport(CFXConfig(endpoint=EndpointConfig(cfx_handle="//Acme/WATS/ICT-01")))],
            handlers=[ReportHandler(WATSClient.from_env())],
            data="/var/lib/ict-01",
        )
        trio.run(station.run)
        ```

    Args:
        name: for logs, snapshots and the `source` of its own events.
        **options: the fields of `StationConfig`. Transports and handlers may be given as they are, or in
            a `TransportSpec` or `HandlerSpec` that says how they are supervised.

    Attributes:
        config: what it was given, checked.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if it cannot work.
    """

    def __init__(self, name: str, **options: Any) -> None:
        taken = [field.name for field in fields(StationConfig) if field.init and field.name != "name"]
        if unknown := sorted(options.keys() - set(taken)):
            raise TypeError(f"a station takes no {unknown[0]!r}; it takes {', '.join(taken)}")
        self.config: StationConfig = StationConfig(name=name, **options)
        self._bus: AsyncEventBus | EventBus | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    @property
    def bus(self) -> Any:
        """The bus of its present or last life: an AsyncEventBus under `run`, an EventBus after `start`.

        Raises:
            BusNotRunning: if it was never started.
        """
        if self._bus is None:
            raise BusNotRunning(f"station {self.name!r} has not been started; run() or start() does that")
        return self._bus

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._bus is not None and self._bus.is_running

    @property
    def dead_letters(self) -> DeadLetterQueue:
        """The dead letters of its present or last life."""
        queue: DeadLetterQueue = self.bus.error_policy.dead_letter_queue
        return queue

    def plan(self) -> Node:
        """The tree that it will run."""
        return plan(self.config)

    def snapshot(self) -> SupervisorSnapshot:
        """Its tree at this moment."""
        snapshot: SupervisorSnapshot = self.bus.snapshot()
        return snapshot

    # On trio

    async def run(
        self,
        *,
        signals: bool = True,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run until it is stopped; with `nursery.start(station.run)` until it is up.

        In the main thread SIGINT and SIGTERM stop it: what was accepted is handled within `grace`
        seconds, then this returns. A second one ends it at once.

        Args:
            signals: whether to heed them.
            task_status: told when it is up.

        Raises:
            Exception: what its tree could not deal with, such as a folder that cannot be written to.
            SystemExit: at a second signal.

        Cancelled: it ends at once; what was not settled is in the journal, or handed back.
        """
        bus = AsyncEventBus(self.name, **bus_options(self.config))
        self._assemble(bus)
        try:
            async with trio.open_nursery() as nursery:
                if signals:
                    await nursery.start(heed_signals, self.request_stop)
                await nursery.start(bus.run)
                task_status.started()
                await bus.wait_stopped()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None

    def spec(self, name: str | None = None) -> ChildSpec:
        """The station as a child of another supervisor; asked to stop, it does so within its grace.

        Args:
            name: of the child; default the station's.
        """
        return ChildSpec(name or self.name, self._live, shutdown=self.config.grace, start_timeout=300)

    async def _live(  # noqa: ASYNC114, ASYNC128 - handed on
        self, *, task_status: trio.TaskStatus[None], child: ChildContext
    ) -> None:
        child.on_stopping(lambda: self.request_stop(max(0.0, child.deadline - trio.current_time())))
        await self.run(signals=False, task_status=task_status)

    @asynccontextmanager
    async def testing(self, **options: Any) -> AsyncIterator[Any]:
        """Run it in a test: its transports are mocks, nothing is written to a disk, time may be virtual.

        At the block's end it is stopped, and nothing may be lost then; see `pywats_station.testing`.

        Args:
            **options: fields of `StationConfig` that are other in this test.

        Yields:
            A `pywats_station.testing.TestStation`.
        """
        from pywats_station.testing import running

        async with running(self.config, **options) as station:
            yield station

    # In plain code

    def start(self) -> None:
        """Start it in a thread of its own, and wait until it is up. Starting twice changes nothing.

        A script that ends without `stop` drains within the grace and exits.

        Raises:
            Exception: what kept it from starting.
        """
        if self.is_running:
            return
        bus = EventBus(self.name, **bus_options(self.config))
        self._assemble(bus)
        bus.start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the inputs, let what was accepted be handled, then stop everything.

        Of a station that runs on trio it only asks. Stopping twice changes nothing.

        Args:
            timeout: seconds for all of it; default the station's grace.

        Raises:
            BusFailed: if it had failed.
        """
        grace = self.config.grace if timeout is None else timeout
        if isinstance(self._bus, EventBus):
            self._bus.stop(grace)
        elif self._bus is not None:
            self._bus.request_stop(grace)

    def request_stop(self, timeout: float | None = None) -> None:
        """Ask for a stop, without waiting; also inside a handler.

        Args:
            timeout: seconds, as for `stop`.
        """
        if self._bus is not None:
            self._bus.request_stop(self.config.grace if timeout is None else timeout)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it within its grace."""
        self.stop()

    # Publishing

    def publish(self, event: Event) -> Any:
        """Publish an event of one's own, as `bus.publish`: awaitable under `run`, a receipt after `start`."""
        return self.bus.publish(event)

    def publish_nowait(self, event: Event) -> Receipt:
        """Publish an event of one's own without waiting; from any thread.

        Raises:
            BusFull: if a handler of its type is full.
            BusNotRunning: if the station does not run.
        """
        receipt: Receipt = self.bus.publish_nowait(event)
        return receipt

    def _assemble(self, bus: AsyncEventBus | EventBus) -> None:
        if self.is_running:
            raise RuntimeError(f"station {self.name!r} is running already")
        assemble(self.config, bus)
        self._bus = bus

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        transports, handlers = len(self.config.transports), len(self.config.handlers)
        return f"Station({self.name!r}, {transports} transports, {handlers} handlers, {state})"
