"""Random trees, failures, times and calls, compared with a model of OTP's rules after every step.

`PYWATS_EXAMPLES=20000` makes it a soak.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pywats_supervision import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    NEVER,
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    RestartIntensityExceeded,
    Supervisor,
    SupervisorSnapshot,
)
from pywats_supervision.testing import Puppet, settled
from support.otp_model import ModelChild, ModelSupervisor

RESTART: Final = {"permanent": PERMANENT, "transient": TRANSIENT, "temporary": TEMPORARY}
STRATEGY: Final = {"one_for_one": ONE_FOR_ONE, "one_for_all": ONE_FOR_ALL, "rest_for_one": REST_FOR_ONE}
SHUTDOWN: Final = {"never": NEVER, "any": ANY_SIGNIFICANT, "all": ALL_SIGNIFICANT}


class Plan(NamedTuple):
    """A supervisor to be built, in the model and for real."""

    strategy: str
    max_restarts: int
    auto_shutdown: str
    children: tuple[Any, ...]
    """A restart type and whether it is significant; or a restart type and another plan."""


class Step(NamedTuple):
    """One thing that happens, to whichever child `who` picks."""

    what: str
    who: int
    number: int


CALLS: Final = ["finish", "stop", "suspend", "resume", "restart", "remove", "add", "sleep"]

restarts = st.sampled_from(sorted(RESTART))
leaves = st.tuples(restarts, st.booleans())


def plans(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        st.sampled_from(sorted(STRATEGY)),
        st.integers(0, 3),
        st.sampled_from(sorted(SHUTDOWN)),
        st.lists(inner, min_size=1, max_size=4).map(tuple),
    )


trees = plans(st.one_of(leaves, st.tuples(restarts, plans(leaves))))
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["fail"] * 3 + CALLS),
        st.integers(0, 20),
        st.integers(0, 5),
    ),
    max_size=25,
)


class Both:
    """The model and the real tree, side by side."""

    def __init__(self, plan: Plan) -> None:
        self.names = 0
        self.expected: list[str] = []
        self.diary: list[str] = []
        self.puppets: dict[str, Puppet] = {}
        self.supervisors: dict[str, Supervisor] = {}
        self.model, self.tree = self._build(plan, "root")
        self.outcome = ""

    def _build(self, plan: Plan, name: str) -> tuple[ModelSupervisor, Supervisor]:
        built = [self._child(child, plan.auto_shutdown != "never") for child in plan.children]
        model: Any = ModelSupervisor(
            name,
            plan.strategy,
            plan.max_restarts,
            5.0,
            plan.auto_shutdown,
            [one for one, _ in built],
            self.expected,  # type: ignore[arg-type]
        )
        tree = Supervisor(
            [spec for _, spec in built],
            name=name,
            strategy=STRATEGY[plan.strategy],
            max_restarts=plan.max_restarts,
            within=5.0,
            auto_shutdown=SHUTDOWN[plan.auto_shutdown],
        )
        self.supervisors[name] = tree
        return model, tree

    def _child(self, child: Any, may_be_significant: bool) -> tuple[ModelChild, ChildSpec]:
        self.names += 1
        restart, what = child
        if isinstance(what, Plan):
            name = f"s{self.names}"
            model, tree = self._build(what, name)
            return ModelChild(name, restart, sub=model), ChildSpec(name, tree.run, RESTART[restart])
        name = f"c{self.names}"
        significant = what and may_be_significant and restart != "permanent"
        puppet = self.puppets[name] = Puppet(name, listens=self.names % 3 != 0, diary=self.diary)
        spec = puppet.spec(restart=RESTART[restart], significant=significant)
        return ModelChild(name, restart, significant), spec

    # Steps

    def places(self, model: ModelSupervisor | None = None) -> list[tuple[ModelSupervisor, ModelChild]]:
        """Every child of every supervisor that runs."""
        model = model or self.model
        found = []
        for child in model.children:
            found.append((model, child))
            if child.sub is not None and child.state == "running":
                found += self.places(child.sub)
        return found

    async def take(self, step: Step) -> None:
        """Take one step in both."""
        now = trio.current_time()
        if step.what == "sleep":
            await trio.sleep(step.number)
            return
        places = self.places()
        if step.what == "add":
            child, spec = self._child((sorted(RESTART)[step.number % 3], False), False)
            self.model.start_child(child, now)
            await self.tree.start_child(spec)
            return
        if not places:
            return
        model, child = places[step.who % len(places)]
        supervisor = self.supervisors[model.name]
        if step.what in {"fail", "finish"}:
            self._end_life(step, model, child, now)
        elif step.what in {"stop", "suspend", "remove"}:
            getattr(model, f"{step.what}_child")(child)
            await getattr(supervisor, f"{step.what}_child")(child.name)
        else:
            getattr(model, f"{step.what}_child")(child, now)
            await getattr(supervisor, f"{step.what}_child")(child.name)

    def _end_life(self, step: Step, model: ModelSupervisor, child: ModelChild, now: float) -> None:
        if child.sub is not None or child.state != "running":
            return
        puppet = self.puppets[child.name]
        if step.what == "finish":
            model.returned(child, now)
            puppet.finish()
        else:
            if model is self.model and child.restart != "temporary":
                # So many of its next starts fail, too.
                child.failing_starts = step.number % 3
                puppet.plan(*[OSError(child.name) for _ in range(child.failing_starts)])
            model.failed(child, now)
            puppet.fail()
        self.model.escalated(now)

    # Comparing

    def compare(self, step: Step | None) -> None:
        """Both are in the same state, and came there in the same order."""
        seen = [line for line in self.diary if line.startswith(("start", "end"))]
        assert seen == self.expected, step
        assert self.outcome == self.model.ended, step
        if not self.outcome:
            assert shape_of(self.tree.snapshot()) == model_shape(self.model), step


def shape_of(snapshot: SupervisorSnapshot) -> list[Any]:
    return [
        (child.name, child.state.value, child.life, shape_of(child.detail))
        if isinstance(child.detail, SupervisorSnapshot) and child.state.value == "running"
        else (child.name, child.state.value, child.life)
        for child in snapshot.children
    ]


def model_shape(model: ModelSupervisor) -> list[Any]:
    return [
        (child.name, child.state, child.life, model_shape(child.sub))
        if child.sub is not None and child.state == "running"
        else (child.name, child.state, child.life)
        for child in model.children
    ]


async def compared(plan: Plan, taken: list[Step]) -> None:
    both = Both(plan)

    async def run(task_status: trio.TaskStatus[None]) -> None:
        try:
            await both.tree.run(task_status=task_status)
            both.outcome = "normal"
        except RestartIntensityExceeded:
            both.outcome = "too many restarts"

    async with trio.open_nursery() as nursery:
        both.model.start(trio.current_time())
        await nursery.start(run)
        both.compare(None)
        for step in taken:
            await both.take(step)
            await settled()
            both.compare(step)
            if both.outcome:
                break
        nursery.cancel_scope.cancel()


@settings(max_examples=int(os.environ.get("PYWATS_EXAMPLES", "300")), deadline=None)
@given(trees, steps)
def test_whatever_happens_the_tree_does_what_otp_s_rules_say(plan: Plan, taken: list[Step]) -> None:
    trio.run(compared, plan, taken, clock=MockClock(autojump_threshold=0))
