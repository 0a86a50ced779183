"""What a user adds to the tree of a bus: own children, in the branches that are theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias

from pywats_events.bus._outermost import OUTERMOST, ToldBackoff
from pywats_events.bus._tree import Branch, Tree
from pywats_supervision import ChildSpec, Supervisor

__all__ = ["BRANCHES", "BranchName", "OwnChildren"]

BranchName: TypeAlias = Literal["services", "observers"]
"""Services start before the handlers, which lean on them; observers after everything that they look at."""

BRANCHES: Final = ("services", "observers")


class OwnChildren:
    """The children that users added, by branch; above the restarts of the tree.

    Args:
        failed: told of each failure that leaves one: the branch, the child's name, and the error.

    Attributes:
        services: started before the handlers.
        observers: started last.
    """

    def __init__(self, failed: Callable[[str, str, Exception], None]) -> None:
        self._failed = failed
        self.services: list[ChildSpec] = []
        self.observers: list[ChildSpec] = []

    def add(self, child: ChildSpec, branch: str, tree: Tree | None) -> None:
        """Add a child to a branch, and start it if the tree runs.

        Raises:
            TypeError: if it is no ChildSpec.
            ValueError: if there is no such branch, or the branch has a child of that name.
        """
        if not isinstance(child, ChildSpec):
            raise TypeError(f"child must be a ChildSpec, not {child!r}; write ChildSpec(name, start)")
        children = self._of(branch)
        if any(other.name == child.name for other in children):
            raise ValueError(f"{branch} has a child {child.name!r} already; give this one another name")
        spec = comes_back(child, partial(self._failed, branch, child.name))
        children.append(spec)
        if tree is not None:
            running: Branch = getattr(tree, branch)
            running.add(spec)

    async def remove(self, name: str, branch: str, tree: Tree | None) -> bool:
        """Stop a child and forget it; says whether there was one. Cancelled: it goes on stopping."""
        children = self._of(branch)
        kept = [child for child in children if child.name != name]
        found = len(kept) < len(children)
        children[:] = kept
        if found and tree is not None:
            running: Branch = getattr(tree, branch)
            await running.remove(name)
        return found

    def _of(self, branch: str) -> list[ChildSpec]:
        if branch not in BRANCHES:
            raise ValueError(f"branch must be one of {', '.join(BRANCHES)}, not {branch!r}")
        children: list[ChildSpec] = getattr(self, branch)
        return children


def comes_back(child: ChildSpec, tell: Callable[[Exception], None]) -> ChildSpec:
    """The same child, with a Backoff around all that leaves it: its failure is nobody else's.

    A policy of its own stays in charge, one level further down.
    """
    outermost = ToldBackoff(**OUTERMOST, tell=tell)
    if child.policy is None:
        return dataclasses.replace(child, policy=outermost)
    own = Supervisor([child], name=child.name)
    return ChildSpec(child.name, own.run, restart=child.restart, policy=outermost)
