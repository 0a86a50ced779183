"""From the parts of a bus to the specification of its tree (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pywats_supervision import REST_FOR_ONE, ChildSpec, Runtime, Supervisor

__all__ = ["Tree", "tree"]


class Tree(NamedTuple):
    """A bus's supervisors: the root, and those that children are added to while it runs."""

    root: Supervisor
    handlers: Supervisor
    transports: Supervisor


def tree(
    name: str,
    *,
    store: ChildSpec,
    router: ChildSpec,
    system: ChildSpec,
    handlers: Iterable[ChildSpec],
    transports: Iterable[ChildSpec],
    runtime: Runtime | None,
) -> Tree:
    """Build the tree: each part leans on those before it, so rest_for_one.

    Args:
        name: of the bus.
        store: the policy actor.
        router: the routing actor.
        system: the router of system events.
        handlers: one child per subscription, each with an outermost policy of its own.
        transports: one child per transport, likewise.
        runtime: of the whole tree; None takes that of the tree around it.
    """
    handlers_supervisor = Supervisor(handlers, name="handlers")
    transports_supervisor = Supervisor(transports, name="transports")
    root = Supervisor(
        [
            store,
            router,
            system,
            ChildSpec("handlers", handlers_supervisor.run),
            ChildSpec("transports", transports_supervisor.run),
        ],
        name=name,
        strategy=REST_FOR_ONE,
        runtime=runtime,
    )
    return Tree(root, handlers_supervisor, transports_supervisor)
