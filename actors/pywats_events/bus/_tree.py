"""From the parts of a bus to the specification of its tree (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import trio

from pywats_supervision import REST_FOR_ONE, ChildContext, ChildSpec, NotRunning, Runtime, Supervisor

__all__ = ["Branch", "Tree", "tree"]


class Branch:
    """A supervisor whose children come and go while it runs, and come back with it after its restart.

    A supervisor by itself comes back with the children that it was built with, as in OTP; a handler
    that subscribed later must not be lost when the router crashes.

    Attributes:
        supervisor: of its present or last life.
    """

    def __init__(self, name: str, children: Iterable[ChildSpec]) -> None:
        self._name = name
        self._children = {spec.name: spec for spec in children}
        self.supervisor = Supervisor((), name=name)

    async def run(  # noqa: ASYNC128 - handed on
        self, *, task_status: trio.TaskStatus[None], child: ChildContext
    ) -> None:
        """Live once; a child's start, as `Supervisor.run` is."""
        self.supervisor = Supervisor(self._children.values(), name=self._name)
        await self.supervisor.run(task_status=task_status, child=child)

    run.is_supervisor = True  # type: ignore[attr-defined] # what ChildSpec looks for

    def add(self, spec: ChildSpec) -> None:
        """Start a child now, or with the next life."""
        self._children[spec.name] = spec
        try:
            self.supervisor.start_child_nowait(spec)
        except NotRunning:
            return  # it is being restarted, and takes the child up then

    async def remove(self, name: str) -> None:
        """Stop a child and forget it. Cancelled: it goes on stopping and is forgotten."""
        del self._children[name]
        try:
            await self.supervisor.remove_child(name)
        except NotRunning:
            return  # it is being restarted, and comes back without the child


class Tree(NamedTuple):
    """A bus's supervisors: the root, and the branches that children are added to while it runs."""

    root: Supervisor
    services: Branch
    handlers: Branch
    transports: Branch
    observers: Branch


def tree(
    name: str,
    *,
    journal: ChildSpec | None,
    store: ChildSpec,
    router: ChildSpec,
    system: ChildSpec,
    services: Iterable[ChildSpec],
    handlers: Iterable[ChildSpec],
    transports: Iterable[ChildSpec],
    paging: Iterable[ChildSpec],
    observers: Iterable[ChildSpec],
    runtime: Runtime | None,
) -> Tree:
    """Build the tree: each part leans on those before it, so rest_for_one.

    Args:
        name: of the bus.
        journal: what writes the store, if there is one.
        store: the policy actor.
        router: the routing actor.
        system: the router of system events.
        services: what others lean on, each with an outermost policy of its own.
        handlers: one child per subscription, likewise.
        transports: one child per transport, likewise.
        paging: what reads from the store for those that are behind, if there is one.
        observers: what looks at all of it, likewise.
        runtime: of the whole tree; None takes that of the tree around it.
    """
    branches = {
        "services": Branch("services", services),
        "handlers": Branch("handlers", handlers),
        "transports": Branch("transports", transports),
        "observers": Branch("observers", observers),
    }
    children = [
        journal,
        store,
        router,
        system,
        ChildSpec("services", branches["services"].run),
        ChildSpec("handlers", branches["handlers"].run),
        ChildSpec("transports", branches["transports"].run),
        *paging,
        ChildSpec("observers", branches["observers"].run),
    ]
    root = Supervisor(
        [child for child in children if child is not None],
        name=name,
        strategy=REST_FOR_ONE,
        runtime=runtime,
    )
    return Tree(root, **branches)
