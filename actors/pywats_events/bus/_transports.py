"""The transports of a bus: registered with it, and each a child of its tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pywats_events.bus._checks import check_kind
from pywats_events.bus._outermost import OUTERMOST
from pywats_events.bus._tree import Tree
from pywats_events.transports._life import TransportLife
from pywats_events.transports.base_transport import BaseTransport
from pywats_supervision import ChildSpec
from pywats_supervision.policies import Backoff

__all__ = ["Transports"]


class Transports(dict[str, BaseTransport]):
    """The transports by name; above the restarts of the tree."""

    def __init__(self) -> None:
        super().__init__()
        self._lives: dict[str, TransportLife] = {}

    def register(
        self,
        transport: BaseTransport | Callable[[], BaseTransport],
        reconnect: Backoff | None,
        tree: Tree | None,
    ) -> BaseTransport:
        """Add one, or one that is made anew for each life, and start it if the tree runs.

        Returns:
            The transport, of the first life.

        Raises:
            TypeError: if it is no BaseTransport, or `reconnect` no Backoff.
            ValueError: if there is one of that name.
        """
        make = transport if not isinstance(transport, BaseTransport) and callable(transport) else None
        made: object = transport if make is None else make()
        if not isinstance(made, BaseTransport):
            raise TypeError(f"transport must be a BaseTransport, or make one, not {made!r}")
        check_kind("reconnect", reconnect, Backoff)
        if made.name in self:
            raise ValueError(f"there is a transport {made.name!r} already; give this one another name")
        self[made.name] = made
        self._lives[made.name] = TransportLife(
            made, reconnect or Backoff(**OUTERMOST), make, partial(self.__setitem__, made.name)
        )
        if tree is not None:
            tree.transports.add(self._lives[made.name].spec())
        return made

    def unregister(self, transport: BaseTransport | str) -> BaseTransport | None:
        """Forget one, given by itself or its name; None if there is no such."""
        for registered in self.values():
            if transport in (registered, registered.name):
                del self._lives[registered.name]
                return self.pop(registered.name)
        return None

    def specs(self) -> list[ChildSpec]:
        """The children that run them."""
        return [life.spec() for life in self._lives.values()]
