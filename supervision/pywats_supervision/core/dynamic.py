"""The same decisions for children that come and go, as in Elixir's DynamicSupervisor.

A child that comes to rest is forgotten, and `max_children` counts those that are restarting.
"""

from __future__ import annotations

from typing import Any

from pywats_supervision.core.children import Child
from pywats_supervision.core.life import After
from pywats_supervision.core.spec import ChildSpec
from pywats_supervision.core.unordered import UnorderedDecider
from pywats_supervision.errors import TooManyChildren

__all__ = ["DynamicDecider"]


class DynamicDecider(UnorderedDecider):
    """The decisions of one run of a dynamic supervisor."""

    def __init__(self, name: str, *, max_children: int | None, **options: Any) -> None:
        super().__init__(name, **options)
        self.max_children = max_children

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

    def _rest_or_go(self, child: Child, error: Exception | None = None) -> None:
        self._come_to_rest(child, error)
        self._remove(child)

    def _settle(self, child: Child, after: After, now: float, error: Exception | None = None) -> None:
        if after is After.STAY and not self.stopping:
            after = After.REMOVE
        super()._settle(child, after, now, error)
