"""What a station is made of: values, checked when they are given."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pywats_events import Event
from pywats_events.handlers import HandlerChain, takes_of
from pywats_events.policies import CircuitBreaker, DeadLetterQueue, RetryPolicy
from pywats_events.transports import BaseTransport
from pywats_supervision import ChildSpec
from pywats_supervision.core.spec import checked_duration
from pywats_supervision.policies import Backoff
from pywats_wats.profile import SourceProfile

if TYPE_CHECKING:  # a station without a store needs no SQLite
    from pywats_events.durability import Store

__all__ = ["DEFAULT_GRACE", "HandlerSpec", "StationConfig", "TransportSpec"]

DEFAULT_GRACE: Final = 30.0
"""Seconds in which a station that is to stop handles what it has accepted."""


@dataclass(frozen=True, kw_only=True)
class HandlerSpec:
    """A handler, and how it is supervised where that differs from the others of its station.

    Args:
        handler: an instance, kept across restarts; or a class or factory, which gives a fresh one for
            each life.
        name: unique in the station; default the handler's.
        retry_policy: default the station's.
        breaker: default the station's.
        concurrency: how many events may be in hand at once; default the handler's.
        order_by: gives the key of an event; those of one key stay in order; default the handler's.
        ordered: a failing event is retried in its place and holds up all behind it; `concurrency` and
            `order_by` of the handler itself do not count then.
        filter: given an event, says whether it is taken.
        priority: lower is dispatched to first; default the handler's.
        capacity: events it may hold in memory; default the station's.
        drain_rate: events per second by which those on the disk become less at the most, so that the end
            of an outage is no flood for its server; default the handler's (those for WATS have one).
        shutdown: seconds of grace for the event in hand.
    """

    handler: Any
    name: str | None = None
    retry_policy: RetryPolicy | None = None
    breaker: CircuitBreaker | None = None
    concurrency: int | None = None
    order_by: Callable[[Event], Hashable] | None = None
    ordered: bool = False
    filter: Callable[[Event], bool] | None = None
    priority: int | None = None
    capacity: float | None = None
    drain_rate: float | None = None
    shutdown: float = 5.0

    def __post_init__(self) -> None:
        """Check what can be checked without a bus."""
        if self.is_factory and not callable(self.handler):
            raise TypeError(f"handler {self.handler!r} has no `handle` method and makes no handlers")
        if not self.is_factory:
            takes_of(self.handler)

    @property
    def is_factory(self) -> bool:
        """Whether each life gets a fresh handler."""
        return isinstance(self.handler, type) or not hasattr(self.handler, "handle")

    @property
    def title(self) -> str:
        """What it is called before the bus has made its name unique."""
        said = None if self.is_factory else getattr(self.handler, "name", None)
        return str(self.name or said or getattr(self.handler, "__name__", type(self.handler).__name__))

    def options(self) -> dict[str, Any]:
        """What `subscribe` is told beside the handler."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "handler"}


@dataclass(frozen=True, kw_only=True)
class TransportSpec:
    """A transport, and how it is supervised where that differs from the others of its station.

    Args:
        transport: the transport; or a factory, which gives a fresh one for each life.
        reconnect: when it is started again after a failure; default after 0.5 s, growing to 60 s.
    """

    transport: BaseTransport | Callable[[], BaseTransport]
    reconnect: Backoff | None = None

    def __post_init__(self) -> None:
        """Check what is given."""
        if not isinstance(self.transport, BaseTransport) and not callable(self.transport):
            raise TypeError(f"transport must be a BaseTransport, or make one, not {self.transport!r}")
        if self.reconnect is not None and not isinstance(self.reconnect, Backoff):
            raise TypeError(f"reconnect must be a Backoff or None, not {self.reconnect!r}")

    @property
    def title(self) -> str:
        """The name of the transport; of a factory its own."""
        if isinstance(self.transport, BaseTransport):
            return self.transport.name
        return str(getattr(self.transport, "__name__", self.transport))

    def make(self) -> BaseTransport:
        """The transport; of a factory a fresh one.

        Raises:
            TypeError: if the factory makes something else.
            Exception: what the factory raises.
        """
        made: object = self.transport if isinstance(self.transport, BaseTransport) else self.transport()
        if not isinstance(made, BaseTransport):
            raise TypeError(f"it must make a BaseTransport, not {made!r}")
        return made


@dataclass(frozen=True, kw_only=True)
class StationConfig:
    """What a station is made of.

    Args:
        name: for logs, snapshots and the `source` of its own events.
        transports: where events come from.
        handlers: where they go.
        sources: who senders are for WATS; the first that matches counts.
        services: own children that handlers lean on: started before them, stopped after them.
        observers: own children that look at everything: started last, stopped first.
        retry_policy: of handlers without one of their own; None means that a failed event is a dead
            letter at once.
        breaker: likewise; each handler has a state of its own.
        data: the folder of what survives the process, or a `Store` that is configured already; None
            keeps everything in memory.
        dead_letters: where dead letters go, if there is no `data`; default in memory.
        middleware: wraps every handler.
        capacity: events that a handler may hold in memory, at least 1.
        grace: seconds in which a station that is to stop handles what it has accepted.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if it cannot work.
    """

    name: str
    transports: Sequence[TransportSpec] = ()
    handlers: Sequence[HandlerSpec] = ()
    sources: Sequence[SourceProfile] = ()
    services: Sequence[ChildSpec] = ()
    observers: Sequence[ChildSpec] = ()
    retry_policy: RetryPolicy | None = None
    breaker: CircuitBreaker | None = None
    data: Path | Store | None = None
    dead_letters: DeadLetterQueue | None = None
    middleware: HandlerChain | None = None
    capacity: float = 1024
    grace: float = DEFAULT_GRACE
    folder: Path | None = field(init=False, default=None)
    """The folder of what survives the process."""

    def __post_init__(self) -> None:
        """Check the values, and take the short forms of them."""
        _check_name(self.name)
        put = object.__setattr__
        put(self, "transports", tuple(_transport(one) for one in _listed("transports", self.transports)))
        put(self, "handlers", tuple(_handler(one) for one in _listed("handlers", self.handlers)))
        for name, kind in _LISTS.items():
            put(self, name, tuple(_checked(name, one, kind) for one in _listed(name, getattr(self, name))))
        for name, kind in _KINDS.items():
            if getattr(self, name) is not None:
                _checked(name, getattr(self, name), kind)
        checked_duration("grace", self.grace)
        if self.data is not None and self.dead_letters is not None:
            raise ValueError("with data, dead letters are kept there; give data or dead_letters, not both")
        put(self, "data", _data(self.data))
        put(self, "folder", getattr(self.data, "path", self.data))
        transports = [one.transport for one in self.transports]
        _unique("transports", [one.name for one in transports if isinstance(one, BaseTransport)])
        for name in ("services", "observers"):
            _unique(name, [child.name for child in getattr(self, name)])


_LISTS: Final[dict[str, type]] = {
    "sources": SourceProfile,
    "services": ChildSpec,
    "observers": ChildSpec,
}
_KINDS: Final[dict[str, type]] = {
    "retry_policy": RetryPolicy,
    "breaker": CircuitBreaker,
    "dead_letters": DeadLetterQueue,
    "middleware": HandlerChain,
}


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"name must be a printable text such as 'ICT-01', not {name!r}")


def _listed(name: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a list, not {values!r}")
    return tuple(values)


def _transport(given: Any) -> TransportSpec:
    return given if isinstance(given, TransportSpec) else TransportSpec(transport=given)


def _handler(given: Any) -> HandlerSpec:
    return given if isinstance(given, HandlerSpec) else HandlerSpec(handler=given)


def _checked(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be of {kind.__name__}, not {value!r}")
    return value


def _data(given: Any) -> Path | Store | None:
    if given is None or isinstance(given, Path):
        return given
    if isinstance(given, str | os.PathLike):
        return Path(given)
    if hasattr(given, "journal") and hasattr(given, "path"):
        store: Store = given
        return store
    raise TypeError(f"data must be a folder, a Store or None, not {given!r}")


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what} are called {twice[0]!r}; give one another name")
