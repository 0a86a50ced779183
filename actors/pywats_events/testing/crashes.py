"""How to make any actor of a bus fail in the middle of what it does.

A crashed life ends where it stands, at whatever it awaits, and its supervisor is told that it
failed. From then on everything goes as after a failure in production: policies are asked, the
actor is started again, what it had in hand is tried again or becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from pywats_events.bus._core import BusCore
from pywats_events.bus.async_event_bus import AsyncEventBus
from pywats_events.bus.event_bus import EventBus
from pywats_events.transports.base_transport import BaseTransport
from pywats_supervision import NotRunning, Supervisor
from pywats_supervision.core.children import Child
from pywats_supervision.testing import Crashed, crash_child

__all__ = ["POLICY_ACTOR", "ROUTER", "Crashed", "crash"]

ROUTER: Final = "bus"
"""The name of the routing actor in a bus's tree."""
POLICY_ACTOR: Final = "store"
"""The name of the policy actor, which keeps dead letters, in a bus's tree."""


def crash(bus: EventBus | AsyncEventBus, who: Any, error: Exception | None = None) -> None:
    """Make an actor of a running bus fail now.

    On an AsyncEventBus this is called on trio, and the actor has failed at the next checkpoint of
    the caller. On an EventBus it is called from any plain thread.

    Args:
        bus: a bus that runs.
        who: `ROUTER`, `POLICY_ACTOR`, a transport or its name, or a handler, its subscription or
            its name. Of a handler all workers fail; events that wait for a retry go on waiting. A
            sync handler is in a thread, which nothing can stop: it fails when that returns.
        error: what it fails with; default `Crashed`.

    Raises:
        LookupError: if there is no such actor, or it is not up.
    """
    core = (bus.on_trio if isinstance(bus, EventBus) else bus)._core  # noqa: SLF001 - of the bus under test
    step = partial(_crash_now, core, who, error or Crashed(f"{_name_of(who)} was crashed by the test"))
    if isinstance(bus, EventBus):
        bus._run.make(step)  # noqa: SLF001 - of the bus under test
    else:
        step()


def _crash_now(core: BusCore, who: Any, error: Exception) -> None:
    try:
        lives = [(supervisor, child) for supervisor, child in _lives(core, who) if child.shell is not None]
    except NotRunning:
        lives = []
    if not lives:
        raise LookupError(f"bus {core.name!r} has no actor {_name_of(who)} that is up")
    for supervisor, child in lives:
        crash_child(supervisor, child.spec.name, error)


def _lives(core: BusCore, who: Any) -> Iterator[tuple[Supervisor, Child]]:
    """The children that `who` stands for, each with its supervisor."""
    tree = core.tree
    if tree is None or not core.running:
        return
    if who in (ROUTER, POLICY_ACTOR):
        yield tree.root, _child(tree.root, who)
    for transport in core.transports.values():
        if who is transport or who == transport.name:
            supervisor = tree.transports.supervisor
            yield supervisor, _child(supervisor, transport.name)
    for subscription in core.subscriptions:
        if who is subscription or who is subscription.handler or who == subscription.name:
            yield from _workers(tree.handlers.supervisor, subscription)


def _workers(handlers: Supervisor, subscription: Any) -> Iterator[tuple[Supervisor, Child]]:
    group: Supervisor | None = subscription.workers._supervisor  # noqa: SLF001 - of the bus under test
    if group is None:
        # One worker whose retries stay in their place is a child of its own.
        yield handlers, _child(handlers, subscription.name)
        return
    for slot in subscription.mailbox.slots:
        yield group, _child(group, slot.name)


def _child(supervisor: Supervisor, name: str) -> Child:
    return supervisor._running().children.named(name)  # noqa: SLF001 - of the bus under test


def _name_of(who: Any) -> str:
    return repr(who.name if isinstance(who, BaseTransport) else who)
