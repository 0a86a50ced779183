"""BaseTransport: what connects a bus to one outside source.

A transport turns what its source sends into events and publishes them; how it is started again
after a failure is its supervisor's business, so it fails plainly and never reconnects itself.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import trio

from pywats_actors.blocking import Blocking
from pywats_events.errors import BusNotRunning
from pywats_events.models.event import Event
from pywats_events.models.event_types import EventType
from pywats_events.settlement import Receipt
from pywats_supervision.errors import error_text, said_by
from pywats_supervision.logs import GuardedLogger

__all__ = ["BaseTransport", "Port", "TransportState"]

logger: Final = GuardedLogger("pywats_events")

Callback = TypeVar("Callback", bound=Callable[..., object])


class TransportState(enum.Enum):
    """How a transport stands to its source."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    ERROR = "error"


class Port(Protocol):
    """What a bus is to its transports."""

    def check_may_wait(self, what: str) -> None:
        """Raise WouldDeadlock where a plain thread may not wait for the bus: on trio, in a handler."""
        ...

    def reject(self, raw: bytes, error: Exception, source: str) -> Receipt:
        """Make a dead letter of input that is no event; from any thread, never waits."""
        ...

    async def publish_on_trio(self, event: Event) -> Receipt:
        """Publish on trio; waits at the door."""
        ...

    def publish_from_thread(self, event: Event) -> Receipt:
        """Publish from any thread; waits at the door, but never on the bus's own thread."""
        ...

    def announce(self, event_type: EventType, payload: dict[str, Any]) -> None:
        """Make a system event; from any thread, never waits."""
        ...


class BaseTransport(abc.ABC):
    """Base of transports.

    Simple ones implement `start` and `stop`, call `publish_event` from wherever their source calls
    them, and `fail` when the connection is lost. Ones on trio override `start_async` and
    `stop_async`, or `serve`, which is their whole life.

    Args:
        name: unique in its bus.
    """

    def __init__(self, name: str = "transport") -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"name of a transport must be a non-empty str, not {name!r}")
        self._name = name
        self._state = TransportState.DISCONNECTED
        self._port: Port | None = None
        self._bus: Any = None
        self._fail: Callable[[Exception], object] | None = None
        self._threads = Blocking(1)
        self._on_connect: list[Callable[[], object]] = []
        self._on_disconnect: list[Callable[[], object]] = []
        self._on_error: list[Callable[[Exception], object]] = []

    @property
    def name(self) -> str:
        """Its name."""
        try:
            return self._name
        except AttributeError:
            raise TypeError(f"__init__ of {type(self).__name__} has to call super().__init__(name)") from None

    @property
    def state(self) -> TransportState:
        """How it stands to its source."""
        return self._state

    @property
    def is_connected(self) -> bool:
        """Whether it is connected."""
        return self._state is TransportState.CONNECTED

    @property
    def event_bus(self) -> Any:
        """The bus it is registered with; None before."""
        return self._bus

    def set_event_bus(self, event_bus: Any) -> None:
        """Called by `register_transport`.

        Args:
            event_bus: an EventBus or AsyncEventBus.

        Raises:
            TypeError: if it is none.
        """
        port = getattr(event_bus, "port", None)
        if port is None:
            raise TypeError(f"event_bus must be an EventBus or AsyncEventBus, not {event_bus!r}")
        self._bus = event_bus
        self._port = port

    # Life

    @abc.abstractmethod
    def start(self) -> None:
        """Connect to the source; called in a worker thread, and may block. Raise if it fails."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Disconnect from the source; called in a worker thread, and may block."""

    async def start_async(self) -> None:
        """Connect to the source, on trio; by default `start` in a worker thread.

        Cancelled: the thread is waited for, until the final stop's grace is over.
        """
        await self._threads.run(self.start)

    async def stop_async(self) -> None:
        """Disconnect from the source, on trio; by default `stop` in a worker thread.

        Not called beside a `start` that was left behind in its thread.

        Cancelled: as `start_async`.
        """
        if not self._threads.abandoned:
            await self._threads.run(self.stop)

    async def serve(self) -> None:
        """What it does between connecting and disconnecting, on trio; by default it waits.

        What it raises ends this life of the transport; a return ends it too, as a failure.

        Cancelled: when the transport is to stop.
        """
        await trio.sleep_forever()

    async def before_stop(self) -> None:
        """What it does when it is asked to stop, while it still serves; by default nothing.

        For instance take nothing more, acknowledge what was handled, say goodbye to the source.

        Cancelled: when its grace is over.
        """
        await trio.lowlevel.checkpoint()

    def fail(self, error: Exception) -> None:
        """Say that the connection is lost: this life ends with `error`, and the supervisor decides.

        From any thread; without effect when the transport does not run.

        Raises:
            TypeError: if it is no Exception.
        """
        if not isinstance(error, Exception):
            raise TypeError(f"error must be an Exception, not {error!r}")
        self._set_state(TransportState.ERROR)
        self._notify_error(error)
        if self._fail is not None:
            self._fail(error)

    def attach(self, fail: Callable[[Exception], object] | None, threads: Blocking) -> None:
        """Called by its life: where it reports and where it blocks.

        Args:
            fail: told of a lost connection; None when the life is over.
            threads: where `start` and `stop` are called.
        """
        self._fail = fail
        self._threads = threads

    def abandon(self) -> None:
        """The bus stops for good and the grace is over: leave a blocking call behind."""
        self._threads.abandon()

    # Publishing

    def publish_event(self, event: Event) -> Receipt:
        """Publish an event, from any thread.

        Returns:
            Its receipt: acknowledge to the source when it is secured (`add_secured_callback`).

        Raises:
            BusNotRunning: if there is no bus, or it does not run yet.
            BusStopped: if it is stopping or has stopped.
        """
        return self._ported().publish_from_thread(event)

    async def publish_event_async(self, event: Event) -> Receipt:
        """Publish an event, on trio; waits while a subscription it goes to is full.

        Cancelled: the event was not accepted.

        Raises:
            BusNotRunning: if there is no bus, or it does not run yet.
            BusStopped: if it is stopping or has stopped.
        """
        return await self._ported().publish_on_trio(event)

    def reject(self, raw: bytes, error: Exception, source: str = "") -> Receipt:
        """Make a dead letter of input that could not be made an event, so that it is kept.

        Args:
            raw: the input as it came.
            error: what is wrong with it.
            source: where it came from; default the transport's name.

        Returns:
            Its receipt: acknowledge the input to the source when it is secured, for then it is kept.

        Raises:
            TypeError: if the input is no bytes, or the error no Exception.
            BusNotRunning: if there is no bus, or it does not run.
        """
        if not isinstance(raw, bytes):
            raise TypeError(f"raw must be the bytes that came, not {raw!r}")
        if not isinstance(error, Exception):
            raise TypeError(f"error must be an Exception, not {error!r}")
        return self._ported().reject(raw, error, source or self._name)

    def _ported(self) -> Port:
        if self._port is None:
            raise BusNotRunning(f"transport {self._name!r} belongs to no bus; register it with one first")
        return self._port

    # State

    def _set_state(self, state: TransportState) -> None:
        before, self._state = self._state, state
        if state is TransportState.CONNECTED and before is not TransportState.CONNECTED:
            self._announce(EventType.TRANSPORT_CONNECTED)
            self._tell(self._on_connect)
        elif state is TransportState.DISCONNECTED and before is TransportState.CONNECTED:
            self._announce(EventType.TRANSPORT_DISCONNECTED)
            self._tell(self._on_disconnect)

    def _notify_error(self, error: Exception) -> None:
        extra = {"transport": self._name}
        logger.warning("transport %r failed: %s", self._name, error_text(error), extra=extra)
        self._announce(
            EventType.TRANSPORT_ERROR, error_type=type(error).__name__, error_message=said_by(error)
        )
        self._tell(self._on_error, error)

    def _announce(self, event_type: EventType, **details: Any) -> None:
        if self._port is not None:
            self._port.announce(event_type, {"transport": self._name, **details})

    def _tell(self, callbacks: list[Callable[..., object]], *args: Any) -> None:
        for callback in tuple(callbacks):
            try:
                callback(*args)
            except Exception:  # a user's callback; the transport goes its way
                extra = {"transport": self._name}
                logger.exception("a callback of transport %r raised", self._name, extra=extra)

    def on_connect(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called when it has connected. Raises TypeError if it cannot be called."""
        self._on_connect.append(_checked(callback))

    def on_disconnect(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called when it has disconnected. Raises TypeError if it cannot be called."""
        self._on_disconnect.append(_checked(callback))

    def on_error(self, callback: Callable[[Exception], object]) -> None:
        """Have `callback(error)` called when it fails. Raises TypeError if it cannot be called."""
        self._on_error.append(_checked(callback))

    def get_subscribed_topics(self) -> list[str]:
        """What it listens to at its source; none by default."""
        return []

    def get_stats(self) -> dict[str, Any]:
        """What a person would want to see of it, in plain values."""
        return {"name": self._name, "state": self._state.value, "is_connected": self.is_connected}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self._name!r}, state={self._state.value})"


def _checked(callback: Callback) -> Callback:
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {callback!r}")
    return callback
