"""From the configuration of a station to a bus that has all of its parts; also in a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pywats_events import AsyncEventBus, EventBus
from pywats_events.policies import DeadLetterQueue, ErrorPolicy
from pywats_events.transports import BaseTransport
from pywats_station._control import control_of
from pywats_station._parts import store_of
from pywats_station._senders import UnmappedSenders, tell
from pywats_station.checking import first_look
from pywats_station.config import StationConfig, TransportSpec
from pywats_station.plan import Subscribing, subscribing
from pywats_supervision import TEMPORARY, ChildSpec
from pywats_wats.profile import SourceProfile

__all__ = ["assemble", "bus_options"]

Bus: TypeAlias = AsyncEventBus | EventBus
Part = TypeVar("Part")


def bus_options(config: StationConfig) -> dict[str, Any]:
    """What the bus of a station is told beside its name."""
    options: dict[str, Any] = {"capacity": config.capacity, "middleware": config.middleware}
    store = store_of(config)
    if store is None:
        queue = config.dead_letters if config.dead_letters is not None else DeadLetterQueue()
        options["error_policy"] = ErrorPolicy(queue)
    else:
        options["store"] = store
    return options


def assemble(config: StationConfig, bus: Bus) -> None:
    """Give a bus all that a station is made of."""
    for child in config.services:
        bus.add_child(child, "services")
    handlers = [_subscribe(bus, one, config.sources) for one in subscribing(config)]
    for spec in config.transports:
        _register(bus, spec, config.sources)
    if config.sources:
        bus.on_event(UnmappedSenders(config.sources, bus.port.announce).hear)
    if config.folder is not None:
        bus.add_child(control_of(config.folder, bus), "observers")
    look = partial(first_look, handlers, bus.port.announce)
    bus.add_child(ChildSpec("first look", look, restart=TEMPORARY), "observers")
    for child in config.observers:
        bus.add_child(child, "observers")


def _subscribe(bus: Bus, one: Subscribing, sources: Sequence[SourceProfile]) -> object:
    """Subscribe a handler that knows who senders are; the one of its first life."""
    handler = one.handler
    if one.is_factory:
        handler = partial(_made, handler, sources)
    else:
        tell(sources, [handler])
    return bus.subscribe(handler, **one.options).handler


def _register(bus: Bus, spec: TransportSpec, sources: Sequence[SourceProfile]) -> None:
    if isinstance(spec.transport, BaseTransport):
        tell(sources, [spec.transport])
        bus.register_transport(spec.transport, reconnect=spec.reconnect)
    else:
        bus.register_transport(partial(_made, spec.transport, sources), reconnect=spec.reconnect)


def _made(make: Callable[[], Part], sources: Sequence[SourceProfile]) -> Part:
    """What a factory makes for a life, told who senders are."""
    part = make()
    tell(sources, [part])
    return part
