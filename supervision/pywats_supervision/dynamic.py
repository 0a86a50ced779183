"""DynamicSupervisor: children that come and go, in no order (Elixir's DynamicSupervisor)."""

from __future__ import annotations

from typing import Any, final

from pywats_supervision._calls import Calls
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.dynamic import DynamicDecider
from pywats_supervision.core.intensity import Intensity, checked_intensity
from pywats_supervision.core.spec import NEVER, ONE_FOR_ONE, AutoShutdown
from pywats_supervision.policies.decision import RestartPolicy
from pywats_supervision.runtime import Runtime

__all__ = ["DynamicSupervisor"]


@final
class DynamicSupervisor(Calls):
    """Supervises children that are started one by one, and stops them all at once.

    A child that has ended for good is forgotten. 100,000 children cost time linear in their number.

    Args:
        name: for logs, snapshots and errors.
        max_children: how many there may be, restarting ones included; None for no limit.
        max_restarts: as for `Supervisor`.
        within: as for `Supervisor`, in seconds.
        auto_shutdown: as for `Supervisor`.
        policy: as for `Supervisor`.
        runtime: as for `Supervisor`.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work.
    """

    def __init__(
        self,
        *,
        name: str = "dynamic supervisor",
        max_children: int | None = None,
        max_restarts: int = 3,
        within: float = 5.0,
        auto_shutdown: AutoShutdown = NEVER,
        policy: RestartPolicy[Any] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(name=name, policy=policy, runtime=runtime, auto_shutdown=auto_shutdown)
        if max_children is not None and (isinstance(max_children, bool) or not isinstance(max_children, int)):
            raise TypeError(f"max_children must be an int or None, not {max_children!r}")
        if max_children is not None and max_children < 1:
            raise ValueError(f"max_children must be at least 1, not {max_children}")
        self.max_children = max_children
        self.max_restarts: int
        self.within: float
        self.max_restarts, self.within = checked_intensity(max_restarts, within)

    def _new_decider(self, runtime: Runtime) -> Decider:
        return DynamicDecider(
            self.name,
            max_children=self.max_children,
            strategy=ONE_FOR_ONE,
            intensity=Intensity(self.max_restarts, self.within),
            auto_shutdown=self.auto_shutdown,
            policy=self.policy,
            chance=runtime.random.random,
            announce=self._announce,
            on_reset=self._policy_was_reset,
        )
