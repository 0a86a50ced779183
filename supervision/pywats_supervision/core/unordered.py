"""The same decisions for children without an order: no group, all stop at once.

As in Elixir's DynamicSupervisor, a child that comes to rest is forgotten, `max_children` counts
those that are restarting, and a stop sets one timer per distinct grace, so 100,000 children cost
time linear in their number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pywats_supervision.core.agenda import Entry
from pywats_supervision.core.children import Child
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.life import ALIVE, After, ChildState
from pywats_supervision.core.spec import ChildSpec
from pywats_supervision.errors import TooManyChildren

__all__ = ["Batch", "UnorderedDecider"]


class Batch(NamedTuple):
    """Children whose time comes at once, and their one entry in the agenda."""

    entry: Entry
    members: list[Child]


class UnorderedDecider(Decider):
    """The decisions of one run of a dynamic supervisor."""

    def __init__(self, name: str, *, max_children: int | None, **options: Any) -> None:
        super().__init__(name, **options)
        self.max_children = max_children
        self._batches: dict[float, Batch] = {}
        """Whose grace ends when, while stopping."""

    def begin(self, specs: tuple[ChildSpec, ...], now: float) -> None:
        """Be ready at once: a dynamic supervisor starts without children."""
        super().begin((), now)

    def _admit(self, spec: ChildSpec) -> Child:
        if self.max_children is not None and len(self.children) >= self.max_children:
            raise TooManyChildren(
                f"supervisor {self.name!r} has {len(self.children)} children, restarting ones included; "
                f"max_children is {self.max_children}, so {spec.name!r} is refused"
            )
        return super()._admit(spec)

    def _appoint(self, child: Child, due: float) -> None:
        if not self.stopping:
            super()._appoint(child, due)
            return
        batch = self._batches.get(due)
        if batch is None:
            members: list[Child] = []
            batch = self._batches[due] = Batch(self.agenda.enter(due, members), members)
        batch.members.append(child)
        child.appointment = batch.entry

    def _disappoint(self, child: Child) -> None:
        entry = child.appointment
        if entry is None:
            return
        batch = self._batches.get(entry.due)
        if batch is not None and batch.entry is entry:
            child.appointment = None  # others keep the same one
        else:
            super()._disappoint(child)

    def _rest_or_go(self, child: Child, error: Exception | None = None) -> None:
        self._come_to_rest(child, error)
        self._remove(child)

    def _settle(self, child: Child, after: After, now: float, error: Exception | None = None) -> None:
        if after is After.STAY and not self.stopping:
            after = After.REMOVE
        super()._settle(child, after, now, error)

    def _begin_stop(self, now: float) -> None:
        super()._begin_stop(now)
        for child in self._leaving:
            if child.state in ALIVE and child.state is not ChildState.STOPPING:
                self._order_stop(child, After.STAY, now)

    def _advance_stop(self, now: float) -> None:
        del now  # everybody has been asked already
        while self._leaving and self._leaving[-1].state not in ALIVE:
            self._leaving.pop()
        if not self._leaving:
            self._finish()
