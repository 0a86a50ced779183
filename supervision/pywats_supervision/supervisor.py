"""Supervisor: OTP's supervisor for trio, with ordered children and a restart strategy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

from pywats_supervision._calls import Calls
from pywats_supervision.core.decide import Decider
from pywats_supervision.core.intensity import Intensity, checked_intensity
from pywats_supervision.core.spec import (
    NEVER,
    ONE_FOR_ONE,
    AutoShutdown,
    ChildSpec,
    Strategy,
)
from pywats_supervision.core.unordered import UnorderedDecider
from pywats_supervision.policies.decision import RestartPolicy
from pywats_supervision.runtime import Runtime

__all__ = ["Supervisor"]


@final
class Supervisor(Calls):
    """Starts children in order, restarts those that fail, stops them in reverse.

    Example:
        ```python
        supervisor = Supervisor(
            [ChildSpec("reader", read), ChildSpec("writer", write)],
            strategy=REST_FOR_ONE,
        )
        await supervisor.run()
        ```

    Args:
        children: their specifications, in the order of their start; names are unique.
        name: for logs, snapshots and errors.
        strategy: ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE.
        max_restarts: how many restarts, not decided by a policy, are allowed `within` seconds;
            one more and the supervisor gives up.
        within: the length of that window, in seconds.
        stop_together: ask all children to stop at once when the supervisor stops, instead of one
            after the other in reverse; their graces then run together. For independent children,
            so with ONE_FOR_ONE only (OTP's simple_one_for_one stops so).
        auto_shutdown: whether the end of significant children ends the supervisor.
        policy: decides on failures of all children without one of their own, with one state for
            all of them (so a breaker counts over all of them together).
        runtime: where time and chance come from; default that of the tree around it.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if a value cannot work, alone or together with another.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        name: str = "supervisor",
        strategy: Strategy = ONE_FOR_ONE,
        max_restarts: int = 3,
        within: float = 5.0,
        stop_together: bool = False,
        auto_shutdown: AutoShutdown = NEVER,
        policy: RestartPolicy[Any] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(name=name, policy=policy, runtime=runtime, auto_shutdown=auto_shutdown)
        if not isinstance(strategy, Strategy):
            raise TypeError(f"strategy must be ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE, not {strategy!r}")
        if not isinstance(stop_together, bool):
            raise TypeError(f"stop_together must be True or False, not {stop_together!r}")
        if stop_together and strategy is not ONE_FOR_ONE:
            raise ValueError(
                f"stop_together takes ONE_FOR_ONE: children of {name!r} that depend on each other "
                "stop in reverse order"
            )
        self.strategy = strategy
        self.stop_together = stop_together
        self.max_restarts: int
        self.within: float
        self.max_restarts, self.within = checked_intensity(max_restarts, within)
        if not isinstance(children, Iterable):
            raise TypeError(f"children of {name!r} must be several ChildSpecs, not {children!r}")
        self._initial = tuple(children)
        names: set[str] = set()
        for spec in self._initial:
            self._check_spec(spec)
            if spec.name in names:
                raise ValueError(f"two children of {name!r} are called {spec.name!r}; names must be unique")
            names.add(spec.name)

    @property
    def _specs(self) -> tuple[ChildSpec, ...]:
        return self._initial

    def _new_decider(self, runtime: Runtime) -> Decider:
        kind = UnorderedDecider if self.stop_together else Decider
        return kind(
            self.name,
            strategy=self.strategy,
            intensity=Intensity(self.max_restarts, self.within),
            auto_shutdown=self.auto_shutdown,
            policy=self.policy,
            chance=runtime.random.random,
            announce=self._announce,
            on_reset=self._policy_was_reset,
        )
