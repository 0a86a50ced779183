"""The same decisions for children without an order: no group, all stop at once.

A stop sets one timer per distinct grace, so it takes as long as the longest of them, not as all
of them together, and 100,000 children cost time linear in their number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pywats_supervision.core.agenda import Entry
from pywats_supervision.core.children import Child
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.life import ALIVE, After, ChildState

__all__ = ["Batch", "UnorderedDecider"]


class Batch(NamedTuple):
    """Children whose time comes at once, and their one entry in the agenda."""

    entry: Entry
    members: list[Child]


class UnorderedDecider(Decider):
    """The decisions of one run of a supervisor whose children stop together."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._batches: dict[float, Batch] = {}
        """Whose grace ends when, while stopping."""

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
