"""Random trees, failures, times and calls, compared with a model of OTP's rules after every step.

Starts fail, hang, are ignored and take time, at every level and at the first start of all; stops take
time, fail and outlast their grace; the last step is a stop with a deadline. Each step is over before
the next, as OTP's supervisor does one thing after the other; `test_nothing_wedges` looks at what
overlaps. `PYWATS_EXAMPLES=20000` makes it a soak.
"""

from __future__ import annotations

import os
from contextlib import suppress
from math import inf
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
    DynamicSupervisor,
    RestartIntensityExceeded,
    StartTimeout,
    SupervisionError,
    Supervisor,
    SupervisorSnapshot,
)
from pywats_supervision.testing import Puppet, settled
from support.otp_model import Clock, Habits, ModelChild, ModelSupervisor, Start

RESTART: Final = {"permanent": PERMANENT, "transient": TRANSIENT, "temporary": TEMPORARY}
STRATEGY: Final = {"one_for_one": ONE_FOR_ONE, "one_for_all": ONE_FOR_ALL, "rest_for_one": REST_FOR_ONE}
SHUTDOWN: Final = {"never": NEVER, "any": ANY_SIGNIFICANT, "all": ALL_SIGNIFICANT}

WITHIN: Final = 5.0


class Leaf(NamedTuple):
    """A child that is no supervisor."""

    restart: str
    significant: bool
    starts: tuple[Start, ...]
    listens: bool
    stop_takes: float
    grace: float
    shielded: float
    stop_fails: bool


class Plan(NamedTuple):
    """A supervisor to be built, in the model and for real; a dynamic one begins without children."""

    strategy: str
    max_restarts: int
    auto_shutdown: str
    children: tuple[Leaf | tuple[str, Plan], ...]


class Step(NamedTuple):
    """One thing that happens, to whichever child or supervisor `who` picks."""

    what: str
    who: int
    seconds: int
    leaf: Leaf
    """What is added; its starts are also those that follow a failure."""


CALLS: Final = ["finish", "stop", "suspend", "resume", "restart", "remove", "add", "add", "sleep"]

restarts = st.sampled_from(sorted(RESTART))
# No two of these can be over at the same moment: then either may be the first.
stops = {"stop_takes": st.sampled_from([0.0, 0.0, 1.0, 3.0]), "grace": st.sampled_from([0.0, 2.0, 5.0])}


def leaves(*starts: Start) -> st.SearchStrategy[Leaf]:
    """Leaves whose next starts do one of these things each."""
    return st.builds(
        Leaf,
        restarts,
        st.booleans(),
        st.lists(st.sampled_from(starts), max_size=3).map(tuple),
        st.booleans(),
        shielded=st.sampled_from([0.0, 0.0, 1.0]),
        stop_fails=st.booleans(),
        **stops,
    )


def plans(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        st.sampled_from([*sorted(STRATEGY), *sorted(STRATEGY), "dynamic"]),
        st.sampled_from([3, 9, 1, 2, 0]),
        st.sampled_from(sorted(SHUTDOWN)),
        st.lists(inner, min_size=1, max_size=4).map(tuple),
    )


# Mostly up at once: a first start that fails is the end.
first = leaves(*[0.0] * 12, 2.0, 2.0, "is ignored", "fails", "hangs")
later = leaves(0.0, 0.0, 2.0, "is ignored", "fails", "fails", "hangs")
trees = plans(st.one_of(first, st.tuples(restarts, plans(first))))
steps = st.lists(
    st.builds(Step, st.sampled_from(["fail"] * 4 + CALLS), st.integers(0, 20), st.integers(0, 5), later),
    min_size=10,
    max_size=40,
)
timeouts = st.sampled_from([0.0, 0.5, 2.5, 6.5, inf])


class Timed(list[Any]):
    """A diary with the time of each line."""

    def append(self, line: str) -> None:
        super().append((trio.current_time(), line))


class Both:
    """The model and the real tree, side by side."""

    def __init__(self, plan: Plan) -> None:
        self.names = 0
        self.clock = Clock()
        self.ordered = True
        self.expected: list[tuple[float, str]] = []
        self.diary = Timed()
        self.puppets: dict[str, Puppet] = {}
        self.supervisors: dict[str, Supervisor | DynamicSupervisor] = {}
        self.model, self.tree = self._build(plan, "root")
        self.outcome = ""

    def _build(self, plan: Plan, name: str) -> tuple[ModelSupervisor, Supervisor | DynamicSupervisor]:
        dynamic = plan.strategy == "dynamic"
        planned = () if dynamic else plan.children
        built = [self._child(child, plan.auto_shutdown != "never") for child in planned]
        model: Any = ModelSupervisor(
            name,
            plan.strategy,  # type: ignore[arg-type]
            plan.max_restarts,
            WITHIN,
            plan.auto_shutdown,  # type: ignore[arg-type]
            [one for one, _ in built],
            self.clock,
            self.expected,
        )
        options: dict[str, Any] = {
            "name": name,
            "max_restarts": plan.max_restarts,
            "within": WITHIN,
            "auto_shutdown": SHUTDOWN[plan.auto_shutdown],
        }
        tree: Supervisor | DynamicSupervisor
        if dynamic:
            tree = DynamicSupervisor(**options)
            self.ordered = False
        else:
            tree = Supervisor([spec for _, spec in built], strategy=STRATEGY[plan.strategy], **options)
        self.supervisors[name] = tree
        return model, tree

    def _child(
        self, child: Leaf | tuple[str, Plan], may_be_significant: bool
    ) -> tuple[ModelChild, ChildSpec]:
        self.names += 1
        if not isinstance(child, Leaf):
            name = f"s{self.names}"
            restart, plan = child
            model, tree = self._build(plan, name)
            return ModelChild(name, restart, sub=model), ChildSpec(name, tree.run, RESTART[restart])  # type: ignore[arg-type]
        name = f"c{self.names}"
        significant = child.significant and may_be_significant and child.restart != "permanent"
        error = OSError(name) if child.stop_fails else None
        puppet = self.puppets[name] = Puppet(
            name,
            listens=child.listens,
            stop_takes=child.stop_takes,
            stop_error=error,
            cleanup_error=error,
            shielded=child.shielded,
            diary=self.diary,
        )
        habits = Habits([], child.listens, child.stop_takes, child.grace, child.shielded)
        one = ModelChild(name, child.restart, significant, habits)  # type: ignore[arg-type]
        self._plan(one, child.starts)
        spec = puppet.spec(
            restart=RESTART[child.restart],
            significant=significant,
            shutdown=child.grace,
            start_timeout=habits.patience,
        )
        return one, spec

    def _plan(self, child: ModelChild, starts: tuple[Start, ...]) -> None:
        """Say what its next starts do, in both."""
        child.habits.starts.extend(starts)
        real = {"fails": OSError(child.name), "is ignored": None, "hangs": inf}
        self.puppets[child.name].plan(*[real.get(start, start) for start in starts])  # type: ignore[call-overload]

    # Steps

    def running(self, model: ModelSupervisor) -> list[ModelSupervisor]:
        """Every supervisor that runs."""
        found = [model]
        for child in model.children:
            if child.sub is not None and child.state == "running":
                found += self.running(child.sub)
        return found

    async def take(self, step: Step) -> None:
        """Take one step in both."""
        if step.what == "sleep":
            self.clock.now += step.seconds
            return
        running = self.running(self.model)
        if step.what == "add":
            await self._add(running[step.who % len(running)], step.leaf)
            return
        places = [(model, child) for model in running for child in model.children]
        if not places:
            return
        model, child = places[step.who % len(places)]
        if step.what in {"fail", "finish"}:
            self._end_life(step, model, child)
            return
        getattr(model, f"{step.what}_child")(child)
        self.model.escalated()
        with suppress(OSError, StartTimeout, SupervisionError):
            await getattr(self.supervisors[model.name], f"{step.what}_child")(child.name)

    async def _add(self, model: ModelSupervisor, leaf: Leaf) -> None:
        child, spec = self._child(leaf, may_be_significant=False)
        came_up = model.start_child(child)
        try:
            await self.supervisors[model.name].start_child(spec)
        except (OSError, StartTimeout):
            assert not came_up
        else:
            assert came_up

    def _end_life(self, step: Step, model: ModelSupervisor, child: ModelChild) -> None:
        if child.sub is not None or child.state != "running":
            return
        self._plan(child, step.leaf.starts)
        puppet = self.puppets[child.name]
        if step.what == "fail":
            puppet.fail()
        else:
            puppet.finish()
        model.end_life(child, failed=step.what == "fail")
        self.model.escalated()

    async def stop(self, within: float) -> None:
        """The last step."""
        self.clock.deadline = self.clock.now + within
        self.model.stop()
        await self.tree.stop(within)

    # Comparing

    async def compare(self, step: object) -> None:
        """When what was begun is over, both are in the same state, by the same way in the same time."""
        await trio.sleep_until(self.clock.now)
        await settled()
        seen = [(when, line) for when, line in self.diary if line.startswith(("start", "end"))]
        if self.ordered:
            assert seen == self.expected, step
        else:
            assert sorted(seen) == sorted(self.expected), step  # those of a dynamic one have no order
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


async def compared(plan: Plan, taken: list[Step], stop_within: float) -> None:
    both = Both(plan)

    async def run() -> None:
        try:
            await both.tree.run()
            both.outcome = "normal"
        except RestartIntensityExceeded:
            both.outcome = "too many restarts"
        except (OSError, StartTimeout):
            both.outcome = "failed start"

    async with trio.open_nursery() as nursery:
        both.model.start()
        nursery.start_soon(run)
        await both.compare("the first start")
        for step in taken:
            if both.outcome:
                return
            await both.take(step)
            await both.compare(step)
        if not both.outcome:
            await both.stop(stop_within)
            await both.compare(f"stop({stop_within})")
            assert both.outcome == "normal"


@settings(max_examples=int(os.environ.get("PYWATS_EXAMPLES", "300")), deadline=None)
@given(trees, steps, timeouts)
def test_whatever_happens_the_tree_does_what_otp_s_rules_say(
    plan: Plan, taken: list[Step], stop_within: float
) -> None:
    trio.run(compared, plan, taken, stop_within, clock=MockClock(autojump_threshold=0))
