"""The transports of a bus: registered with it, and each a child of its tree."""

from __future__ import annotations

from pywats_events.bus._checks import check_kind
from pywats_events.bus._subscriptions import OUTERMOST
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
        self._reconnect: dict[str, Backoff] = {}

    def register(self, transport: BaseTransport, reconnect: Backoff | None, tree: Tree | None) -> None:
        """Add one, and start it if the tree runs.

        Raises:
            TypeError: if it is no BaseTransport, or `reconnect` no Backoff.
            ValueError: if there is one of that name.
        """
        if not isinstance(transport, BaseTransport):
            raise TypeError(f"transport must be a BaseTransport, not {transport!r}")
        check_kind("reconnect", reconnect, Backoff)
        if transport.name in self:
            raise ValueError(f"there is a transport {transport.name!r} already; give this one another name")
        self[transport.name] = transport
        self._reconnect[transport.name] = reconnect or Backoff(**OUTERMOST)
        if tree is not None:
            tree.transports.add(self._spec(transport))

    def unregister(self, transport: BaseTransport | str) -> BaseTransport | None:
        """Forget one, given by itself or its name; None if there is no such."""
        for registered in self.values():
            if transport in (registered, registered.name):
                return self.pop(registered.name)
        return None

    def specs(self) -> list[ChildSpec]:
        """The children that run them."""
        return [self._spec(transport) for transport in self.values()]

    def _spec(self, transport: BaseTransport) -> ChildSpec:
        return TransportLife(transport, self._reconnect[transport.name]).spec()
